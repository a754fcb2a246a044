"""Axes and cameras: the one place where Blender's meet OpenCV's.

OpenCV: +x right, +y down, +z forward. Blender's world: +x right, +y forward, +z up, with the
lifted photo's camera at the origin looking along +y. Blender's camera looks along its own -z.
Pixels are (x, y), the centre of the first one at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLENDER_FROM_WORLD: Array = np.array(
    [[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]]
)
"""A point of the shot's world (OpenCV) in Blender's world: (x, z, -y)."""
WORLD_FROM_BLENDER: Array = BLENDER_FROM_WORLD.T
OPENCV_FROM_BLENDER_CAMERA: Array = np.diag([1.0, -1.0, -1.0, 1.0])
SNAP = 2e-6
"""Blender keeps matrices as float32; what is this close to the rest pose is the rest pose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """What Blender's camera data and the scene's pixel aspect say about the projection.

    Attributes:
        focal: focal length in millimetres.
        sensor: (width, height) in millimetres.
        fit: ``HORIZONTAL``, ``VERTICAL`` or ``AUTO``.
        shift: (x, y) in Blender's unit, the size of the fitted side.
        aspect: the scene's (pixel_aspect_x, pixel_aspect_y).
    """

    focal: float
    sensor: tuple[float, float] = (36.0, 24.0)
    fit: str = "HORIZONTAL"
    shift: tuple[float, float] = (0.0, 0.0)
    aspect: tuple[float, float] = (1.0, 1.0)


def lens_of(intrinsics: Array, width: int, height: int, sensor: float = 36.0) -> Lens:
    """The lens that projects exactly like ``intrinsics``, (3, 3) in pixels of (height, width)."""
    fx, fy, cx, cy = (float(intrinsics[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    tall = fx / fy
    aspect = (1.0, tall) if tall >= 1.0 else (1.0 / tall, 1.0)
    return Lens(
        focal=fx * sensor / width,
        sensor=(sensor, sensor * height / width),
        shift=((width / 2 - cx) / width, (cy - height / 2) * (aspect[1] / aspect[0]) / width),
        aspect=aspect,
    )


def intrinsics_of(lens: Lens, width: int, height: int) -> Array:
    """The (3, 3) float64 intrinsics, in pixels of (height, width), of a perspective lens."""
    ratio = lens.aspect[1] / lens.aspect[0]
    wide = lens.fit == "HORIZONTAL" or (lens.fit == "AUTO" and width >= height * ratio)
    # Blender measures the focal length and both shifts in the side that the sensor fits.
    side = width if wide else height * ratio
    millimetres = lens.sensor[1] if lens.fit == "VERTICAL" else lens.sensor[0]
    fx = lens.focal * side / millimetres
    cx = width / 2 - lens.shift[0] * side
    cy = height / 2 + lens.shift[1] * side / ratio
    return np.array([[fx, 0, cx], [0, fx / ratio, cy], [0, 0, 1.0]])


def snapped(value: Array, rest: Array) -> Array:
    """``value``, (F, ...), with what differs from ``rest`` by float32 rounding only set to it."""
    scale = max(1.0, float(np.abs(rest).max()))
    axes = tuple(range(1, value.ndim))
    near = np.abs(value - rest).max(axis=axes) <= SNAP * scale
    return np.where(near.reshape(-1, *[1] * len(axes)), rest, value)


def moved_from_rest(matrices: Array, rests: Array) -> Array:
    """Motion of handles in the shot's world.

    Args:
        matrices: (F, N, 4, 4) handles in Blender's world.
        rests: (N, 4, 4) the same handles at rest.

    Returns:
        (F, N, 4, 4) float64; exactly the identity where a handle stands at rest.
    """
    moved = matrices @ np.linalg.inv(rests) if len(rests) else matrices
    moved = WORLD_FROM_BLENDER @ moved @ BLENDER_FROM_WORLD
    at_rest = (matrices == rests).all(axis=(2, 3))
    return np.where(at_rest[..., None, None], np.eye(4), moved)


def camera_from_world(matrices: Array) -> Array:
    """(F, 4, 4) views of the shot's world from (F, 4, 4) camera objects in Blender's world.

    A camera object's scale changes nothing that Blender draws, so it is left out. A camera whose
    scale is zero, or that is not a number, gives NaN.
    """
    pose = matrices.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        pose[:, :3, :3] /= np.linalg.norm(pose[:, :3, :3], axis=1, keepdims=True)
    finite = np.asarray(np.isfinite(pose).all(axis=(1, 2), keepdims=True))
    volume = np.linalg.det(np.where(finite, pose, 0.0))
    good = np.abs(volume) > 1e-6
    views = np.full_like(pose, np.nan)
    views[good] = OPENCV_FROM_BLENDER_CAMERA @ np.linalg.inv(pose[good]) @ BLENDER_FROM_WORLD
    return snapped(views, np.eye(4))


def to_blender(points: Array) -> Array:
    """(..., 3) points of the shot's world in Blender's world."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def to_world(points: Array) -> Array:
    """(..., 3) points of Blender's world in the shot's world."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)
