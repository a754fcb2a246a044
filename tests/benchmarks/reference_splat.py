"""The splatter's rule as one would first write it: a loop over points, a loop over their pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.contracts import Camera

Array = npt.NDArray[Any]


def reference_splat(points: Array, instance: Array, camera: Camera, radius: float) -> Array:
    """(H, W) ids, -1 where nothing landed."""
    height, width = camera.height, camera.width
    k = camera.intrinsics.numpy()
    ids = np.full((height, width), -1, np.int32)
    nearest = np.full((height, width), np.inf)
    for (x, y, z), item in zip(points.astype(np.float64), instance, strict=True):
        if z <= 0:
            continue
        px, py = k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]
        for row in range(max(math.floor(py - radius), 0), min(math.ceil(py + radius), height)):
            for col in range(max(math.floor(px - radius), 0), min(math.ceil(px + radius), width)):
                covered = (col + 0.5 - px) ** 2 + (row + 0.5 - py) ** 2 < radius * radius
                if covered and (z, item) < (nearest[row, col], ids[row, col]):
                    nearest[row, col], ids[row, col] = z, item
    return ids
