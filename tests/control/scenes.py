"""Small id maps for the control's tests."""

from __future__ import annotations

import numpy as np
import torch

from backend.contracts import MaskSequence


def moving_discs(seed, frames=4, height=40, width=56, count=4):
    """Discs that wander and change size, over each other; (F, H, W) ids and depth D."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((frames, height, width), np.int64)
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform((8, 8), (height - 8, width - 8), (count, 2))
    step, size = rng.uniform(-4, 4, (count, 2)), rng.uniform(3, 14, count)
    growth = rng.uniform(0.5, 1.2, count)
    for f in range(frames):
        for i in range(count):
            cy, cx = centre[i] + f * step[i]
            ids[f][(y - cy) ** 2 + (x - cx) ** 2 < (size[i] * growth[i] ** f) ** 2] = i + 1
    depth = 1 / rng.integers(1, 256, (frames, height, width))
    return ids, depth


def visible_moving(ids, wanted=2):
    """How many of ids 1, 2 .. may be called moving: those that are in a frame at all."""
    return min(wanted, min([i for i in range(1, 5) if not (ids == i).any()] or [99]) - 1)


def square(frames=3, size=64, side=40):
    """One square of id 1 that stands still."""
    maps = np.zeros((frames, size, size), np.int64)
    maps[:, 4 : 4 + side, 4 : 4 + side] = 1
    return maps


def changed(ids, value, at=(0, 0, 0)):
    ids = ids.copy()
    ids[at] = value
    return ids


def masks_of(ids, z):
    return MaskSequence(instance=torch.from_numpy(ids).int(), depth=torch.from_numpy(z).float())
