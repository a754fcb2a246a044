"""Flat fronts and thick bodies along the rays of the photo's camera, which sees no difference.

Both sides flatten with this. Engines make bodies in ``backend/geometry/body.py``, since their
points lie on a GPU already; a test holds the two side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import Array
from .messages import Instance

SHEET_GAP = 0.8
"""Pixels at rest from one sheet of a body to the next."""
MAX_SHEETS = 1024


def flattened(depth: Array, amount: float) -> Array:
    """Depths of one instance pushed towards one plane: disparities blended with their median.

    Args:
        depth: (n,) float32 z, positive.
        amount: 0 keeps the relief, 1 puts every point at the median of 1/z, the lower of two.

    Raises:
        ValueError: the amount is not between 0 and 1.
    """
    if not 0.0 <= amount <= 1.0:
        raise ValueError(f"an instance is flattened by 0 to 1, got {amount:g}")
    if amount == 0 or not len(depth):
        return depth
    disparity = 1.0 / depth.astype(np.float64)
    blend = (1.0 - amount) * disparity + amount * _median(disparity)
    return (1.0 / blend).astype(np.float32)


def shown_depth(depth: Array, ids: Array, instances: Sequence[Instance]) -> Array:
    """(H, W) float32 depth of a shot with its instances as flat as they say.

    Args:
        depth: (H, W) float32, as it was lifted.
        ids: (H, W) int32, the instance map.
        instances: of the shot.
    """
    shown = depth
    for item in instances:
        if item.flatten:
            shown = depth.copy() if shown is depth else shown
            mask = ids == item.id
            shown[mask] = flattened(depth[mask], item.flatten)
    return shown


def body(xyz: Array, mask: Array, intrinsics: Array, thickness: float) -> Array:
    """The points of a body behind a front: its outline on every sheet, all of it on the last.

    Args:
        xyz: (H, W, 3) float32, the front in the shot's world.
        mask: (H, W) bool, where it is the instance's.
        intrinsics: (3, 3) of the photo.
        thickness: scene units at the median depth; 0 is no body.

    Returns:
        (n, 3) float32.
    """
    # A thickness so small that it vanishes beside the depth is none, as it is for the backend
    grows = thickness / float(_median(xyz[..., 2][mask])) if mask.any() else 0.0
    if grows == 0:
        return np.zeros((0, 3), np.float32)
    focal = float(max(intrinsics[0, 0], intrinsics[1, 1]))
    count = max(1, min(MAX_SHEETS, math.ceil(grows * focal / SHEET_GAP)))
    scales = np.array([1.0 + k * grows / count for k in range(1, count + 1)], np.float32)
    sides = scales[:-1, None, None] * xyz[outline(mask)]
    return np.concatenate([sides.reshape(-1, 3), scales[-1] * xyz[mask]])


def outline(mask: Array) -> Array:
    """(H, W) bool: what has one of its eight neighbours outside ``mask`` or the photo."""
    height, width = mask.shape
    padded = np.pad(mask, 1)
    inner = mask
    for row in range(3):
        for column in range(3):
            inner = inner & padded[row : row + height, column : column + width]
    return mask & ~inner


def _median(values: Array) -> Array:
    """The middle one; of an even number, the smaller of the two."""
    middle = (len(values) - 1) // 2
    return np.partition(values, middle)[middle]
