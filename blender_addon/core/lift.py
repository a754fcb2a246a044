"""A lifted photo as points, and the photo back from them; bit for bit both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

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
        index = np.flatnonzero(chosen)  # found once for all five fields
        # Four floats go as one value of sixteen bytes; numpy copies rows of floats far slower.
        colour = np.ascontiguousarray(self.colour).view(np.complex128).take(index)
        others = [f.name for f in fields(self) if f.name != "colour"]
        return Cloud(
            colour=colour.view(np.float32).reshape(-1, 4),
            **{name: getattr(self, name).take(index, axis=0) for name in others},
        )


def _linear_table() -> Array:
    byte = np.arange(256) / 255.0
    low, high = byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4
    return np.where(byte <= 0.04045, low, high).astype(np.float32)


LINEAR: Array = _linear_table()
"""(256,) float32: the scene-linear value of every sRGB byte."""
_HALFWAY: Array = (LINEAR[1:] + LINEAR[:-1]) / 2
# No two of the 256 values share the upper half of their bits, so that half names the byte.
_BYTE_OF_TOP: Array = np.zeros(1 << 16, np.uint8)
_BYTE_OF_TOP[LINEAR.view(np.uint32) >> 16] = np.arange(256)
_CHUNK = 1 << 18


def to_linear(image: Array) -> Array:
    """uint8 sRGB of any shape as float32 scene-linear."""
    return LINEAR[image]


def to_bytes(linear: Array) -> Array:
    """float32 scene-linear as the nearest uint8 sRGB; undoes :func:`to_linear` exactly."""
    flat = np.ascontiguousarray(linear, np.float32).reshape(-1)
    found = np.empty(flat.size, np.uint8)
    for start in range(0, flat.size, _CHUNK):  # in pieces that stay in the processor's cache
        value = flat[start : start + _CHUNK]
        byte = _BYTE_OF_TOP[value.view(np.uint32) >> 16]
        other = LINEAR[byte] != value
        if other.any():  # painted by somebody: between two of the values, or beyond them
            byte[other] = np.searchsorted(_HALFWAY, value[other]).astype(np.uint8)
        found[start : start + _CHUNK] = byte
    return found.reshape(linear.shape)


def positions(pixel: Array, depth: Array, intrinsics: Array, width: int) -> Array:
    """(n, 3) float32 points in Blender's world of the pixels' centres at ``depth``."""
    pixel, depth = np.asarray(pixel, np.int32), np.asarray(depth)
    height = int(pixel.max(initial=-1)) // width + 1
    # A ray's slopes depend on its column and on its row alone: few divisions for many points.
    across = (np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    down = (np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    found = np.empty((len(pixel), 3), np.float32)
    for start in range(0, len(pixel), _CHUNK):
        part = slice(start, start + _CHUNK)
        row = pixel[part] // width
        z = depth[part].astype(np.float64)
        # coords.to_blender, without the detour over an array of its own.
        found[part, 0] = across[pixel[part] - row * width] * z
        found[part, 1] = z
        found[part, 2] = -(down[row] * z)
    return found


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
    size = height * width
    seen = np.zeros(size, bool)
    for pixel in (cloud.pixel for cloud in clouds):
        if len(pixel) and (pixel.min() < 0 or pixel.max() >= size):
            break
        seen[pixel] = True
    else:
        if sum(map(len, clouds)) == size and seen.all():
            return 0
    pixel = np.concatenate([cloud.pixel for cloud in clouds])
    inside = pixel[(pixel >= 0) & (pixel < size)]
    return int((np.bincount(inside, minlength=size) != 1).sum())


def photo_of(clouds: Sequence[Cloud], height: int, width: int) -> tuple[Array, Array]:
    """The image, (H, W, 3) uint8, and depth, (H, W) float32, that ``clouds`` hold together.

    Raises:
        ValueError: a pixel is in none or in several of them.
    """
    if missing := missing_points(clouds, height, width):
        raise ValueError(f"{missing} of {height * width} pixels are not in exactly one cloud")
    # Four bytes a pixel go to their places as one number, which is faster than as three.
    packed = np.zeros(height * width, np.uint32)
    depth = np.zeros(height * width, np.float32)
    for cloud in clouds:
        packed[cloud.pixel] = to_bytes(cloud.colour).view(np.uint32)[:, 0]
        depth[cloud.pixel] = cloud.depth
    image = np.ascontiguousarray(packed.view(np.uint8).reshape(height, width, 4)[:, :, :3])
    return image, depth.reshape(height, width)
