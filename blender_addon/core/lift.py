"""A lifted photo as points, and the photo back from them; bit for bit both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from . import coords
from .coords import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Some of a photo's pixels as points, in Blender's world at rest.

    Attributes:
        position: (n, 3) float32.
        colour: (n, 4) float32, scene-linear with alpha 1.
        pixel: (n,) int32, row * width + column; each pixel of the photo is in one cloud.
        depth: (n,) float32, z along the optical axis.
        segment: (n,) int32, automatic static segment; 0 is none.
    """

    position: Array
    colour: Array
    pixel: Array
    depth: Array
    segment: Array

    def __len__(self) -> int:
        return len(self.pixel)

    def take(self, chosen: Array) -> Cloud:
        """The points that ``chosen``, (n,) bool, names."""
        return Cloud(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


def _linear_table() -> Array:
    byte = np.arange(256) / 255.0
    low, high = byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4
    return np.where(byte <= 0.04045, low, high).astype(np.float32)


LINEAR: Array = _linear_table()
"""(256,) float32: the scene-linear value of every sRGB byte."""
_HALFWAY: Array = (LINEAR[1:] + LINEAR[:-1]) / 2


def to_linear(image: Array) -> Array:
    """uint8 sRGB of any shape as float32 scene-linear."""
    return LINEAR[image]


def to_bytes(linear: Array) -> Array:
    """float32 scene-linear as the nearest uint8 sRGB; undoes :func:`to_linear` exactly."""
    return np.searchsorted(_HALFWAY, linear).astype(np.uint8)


def positions(pixel: Array, depth: Array, intrinsics: Array, width: int) -> Array:
    """(n, 3) float32 points in Blender's world of the pixels' centres at ``depth``."""
    row, column = np.divmod(pixel.astype(np.int64), width)
    z = depth.astype(np.float64)
    x = (column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1] * z
    return coords.to_blender(np.stack([x, y, z], axis=-1)).astype(np.float32)


def cloud_of(image: Array, depth: Array, segments: Array, intrinsics: Array) -> Cloud:
    """The whole photo as points.

    Args:
        image: (H, W, 3) uint8 sRGB.
        depth: (H, W) float32, positive.
        segments: (H, W) int32.
        intrinsics: (3, 3), pixels.
    """
    height, width = depth.shape
    pixel = np.arange(height * width, dtype=np.int32)
    flat = np.ascontiguousarray(depth, np.float32).ravel()
    colour = np.ones((height * width, 4), np.float32)
    colour[:, :3] = to_linear(image).reshape(-1, 3)
    return Cloud(
        position=positions(pixel, flat, intrinsics, width),
        colour=colour,
        pixel=pixel,
        depth=flat,
        segment=np.ascontiguousarray(segments, np.int32).ravel(),
    )


def at_depth(cloud: Cloud, depth: Array, intrinsics: Array, width: int) -> Cloud:
    """``cloud`` with its points moved along their rays to ``depth``, (n,) float32."""
    return Cloud(
        position=positions(cloud.pixel, depth, intrinsics, width),
        colour=cloud.colour,
        pixel=cloud.pixel,
        depth=np.ascontiguousarray(depth, np.float32),
        segment=cloud.segment,
    )


def missing_points(clouds: Sequence[Cloud], height: int, width: int) -> int:
    """How many of the photo's pixels are not in exactly one of ``clouds``."""
    pixel = np.concatenate([cloud.pixel for cloud in clouds])
    inside = pixel[(pixel >= 0) & (pixel < height * width)]
    return int((np.bincount(inside, minlength=height * width) != 1).sum())


def photo_of(clouds: Sequence[Cloud], height: int, width: int) -> tuple[Array, Array]:
    """The image, (H, W, 3) uint8, and depth, (H, W) float32, that ``clouds`` hold together.

    Raises:
        ValueError: a pixel is in none or in several of them.
    """
    if missing := missing_points(clouds, height, width):
        raise ValueError(f"{missing} of {height * width} pixels are not in exactly one cloud")
    image = np.zeros((height * width, 3), np.uint8)
    depth = np.zeros(height * width, np.float32)
    for cloud in clouds:
        image[cloud.pixel] = to_bytes(cloud.colour[:, :3])
        depth[cloud.pixel] = cloud.depth
    return image.reshape(height, width, 3), depth.reshape(height, width)
