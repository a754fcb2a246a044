"""The outline of a set of the photo's pixels, as 3D line segments."""

from __future__ import annotations

import numpy as np

from .coords import Array


def segments(pixel: Array, depth: Array, intrinsics: Array, width: int) -> Array:
    """The sides of pixels that no other pixel of the same set lies behind.

    Args:
        pixel: (n,) int, row * width + column, each once.
        depth: (n,) z along the optical axis; a side has the depth of its pixel.
        intrinsics: (3, 3), pixels.
        width: of the photo.

    Returns:
        (m, 2, 3) float32, both ends of each side, in Blender's world at rest.
    """
    if not len(pixel):
        return np.zeros((0, 2, 3), np.float32)
    row, column = pixel // width, pixel % width
    top, left = int(row.min()), int(column.min())
    # A frame of pixels that are not in the set, so that every pixel has four neighbours.
    inside = np.zeros((int(row.max()) - top + 3, int(column.max()) - left + 3), bool)
    y, x = row - top + 1, column - left + 1
    inside[y, x] = True
    found = list[Array]()
    for down, across, begin, end in _SIDES:
        bare = ~inside[y + down, x + across]
        z = depth[bare].astype(np.float64)
        ends = [_at(column[bare] + dx, row[bare] + dy, z, intrinsics) for dx, dy in (begin, end)]
        found.append(np.stack(ends, axis=1))
    return np.concatenate(found).astype(np.float32)


_SIDES = (
    # neighbour (rows, columns), then the side's two ends as (column, row) from the pixel's corner
    (-1, 0, (0, 0), (1, 0)),
    (1, 0, (0, 1), (1, 1)),
    (0, -1, (0, 0), (0, 1)),
    (0, 1, (1, 0), (1, 1)),
)


def _at(x: Array, y: Array, z: Array, intrinsics: Array) -> Array:
    """(n, 3) in Blender's world: (x, z, -y) of the camera's axes."""
    across = (x - intrinsics[0, 2]) / intrinsics[0, 0] * z
    down = (y - intrinsics[1, 2]) / intrinsics[1, 1] * z
    return np.stack([across, z, -down], axis=1)
