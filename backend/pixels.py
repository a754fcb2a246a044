"""Conversion of uint8 (H, W, 3) pixels to float (3, H, W) images and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def image_from_pixels(pixels: npt.NDArray[Any]) -> Tensor:
    """``(3, H, W)`` float32 in [0, 1] from uint8 (H, W, 3)."""
    return torch.from_numpy(np.array(pixels)).movedim(-1, 0).float() / 255.0


def pixels_from_image(image: Tensor) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3) from ``(3, H, W)`` float in [0, 1]; exact for what came from 8 bits."""
    return (image.clamp(0, 1) * 255).round().byte().movedim(0, -1).contiguous().cpu().numpy()
