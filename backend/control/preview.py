"""The control made visible: which instance is seen where, and how far away."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

from backend.contracts import MaskSequence
from backend.geometry.lift import disparity_from_depth

GOLDEN = 0.61803398875
"""Hues this far apart stay distinct however many are used."""


def palette(count: int) -> Tensor:
    """``(count + 2, 3)`` colours for ids -1..count: nothing is black, the background dark grey."""
    colours = [(0.0, 0.0, 0.0), (0.16, 0.16, 0.18)]
    colours += [colorsys.hsv_to_rgb((0.05 + i * GOLDEN) % 1.0, 0.75, 0.95) for i in range(count)]
    return torch.tensor(colours)


def control_frames(masks: MaskSequence, picked: int, near: float, far: float) -> Tensor:
    """Ids on the left, depth on the right.

    Args:
        masks: of a shot.
        picked: how many ids the artist picked; automatic segments after them are shown dimmed.
        near: z shown white.
        far: z shown black.

    Returns:
        ``(F, 3, H, 2 W)`` float32 in [0, 1].
    """
    colours = palette(max(int(masks.instance.max()), picked, 0))
    colours[picked + 2 :] = 0.25 + 0.2 * colours[picked + 2 :]
    ids = colours[(masks.instance + 1).long()].movedim(-1, 1)
    depth = disparity_from_depth(masks.depth, near, far)[:, None].expand_as(ids)
    return torch.cat([ids, depth], -1)
