"""The two scenes that need no depth model, the same numbers on both ends of the wire.

*Ground*: a plane that vanishes at a horizon, and a wall at the far distance behind it. *Backdrop*:
all of the photo at the far distance. In both the depth is one number a row, and what the artist
picks stands upright before it, at the depth of its lowest row.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .arrays import Array

SceneKind = Literal["ground", "backdrop"]
GROUND: SceneKind = "ground"
BACKDROP: SceneKind = "backdrop"
DEPTH_NAMES: dict[SceneKind, str] = {GROUND: "ground plane", BACKDROP: "backdrop"}
"""What a lift says made its depth."""
AUTO = "auto"
"""Whoever lifts the photo chooses one of the two by what it shows."""
LOWEST_HORIZON = 0.95
"""Of the height, from the top; below, hardly a row of ground would be left."""


def row_depths(kind: SceneKind, height: int, horizon: float, near: float, far: float) -> Array:
    """Z of all that was not picked, row by row: (H,) float32.

    1/z of a plane is linear in the row: 0 at the horizon, 1/near at the lowest row. With the
    horizon in the middle of the photo the camera looks level.

    Args:
        kind: ground or backdrop.
        height: of the photo.
        horizon: its row as a fraction of the height, from the top; of no use to a backdrop.
        near: z of the lowest row of a ground.
        far: z of the wall, and of a backdrop.
    """
    if kind == BACKDROP:
        return np.full(height, far, np.float32)
    rows = np.arange(height) + 0.5
    line = horizon * height
    inverse = (rows - line) / max(height - 0.5 - line, 1.0) / near
    return (1.0 / np.clip(inverse, 1.0 / far, 1.0 / near)).astype(np.float32)


def standing_depth(
    kind: SceneKind, row: int, height: int, horizon: float, near: float, far: float
) -> float:
    """Z at which something stands whose lowest row is ``row``, counted from 0.

    On a ground that is the ground's. Before a backdrop, where nothing tells how far a thing is, it
    is in the middle third between far and near, in 1/z: what ends lower in the photo stands before
    what ends higher, as things mostly do, and there is room to move it nearer and farther.
    """
    if kind == GROUND:
        return float(row_depths(kind, height, horizon, near, far)[row])
    share = (1.0 + (row + 0.5) / height) / 3.0
    return float(np.float32(1.0 / (1.0 / far + share * (1.0 / near - 1.0 / far))))


def check_horizon(horizon: float) -> None:
    """Raise :class:`ValueError` where there can be no ground below ``horizon``."""
    if not 0.0 <= horizon <= LOWEST_HORIZON:
        raise ValueError(
            f"a horizon at {horizon:g} of the height is not between 0 and {LOWEST_HORIZON:g}"
        )
