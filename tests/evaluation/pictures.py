"""Textured pictures that trackers find their way in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """``(3, H, W)`` smooth random colours."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, 3, height // 5 + 2, width // 5 + 2, generator=generator)
    return F.interpolate(rough, (height, width), mode="bicubic").clamp(0, 1)[0]


def sliding(frames: int, height: int, width: int, step: tuple[int, int]) -> Tensor:
    """``(F, 3, H, W)``: a window that moves so that the picture goes by ``step`` (x, y) a frame."""
    across, down = (abs(part) * frames for part in step)
    whole = texture(height + 2 * down, width + 2 * across)
    return torch.stack(
        [
            whole[
                :,
                down - k * step[1] : down - k * step[1] + height,
                across - k * step[0] : across - k * step[0] + width,
            ]
            for k in range(frames)
        ]
    )
