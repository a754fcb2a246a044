"""A lifted photo as points, and the photo back from them; bit for bit both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        return Cloud(**{f.name: rows(getattr(self, f.name), index) for f in fields(self)})


def rows(values: Array, index: Array, out: Array | None = None) -> Array:
    """``values[index]`` of (n,) or C-ordered (n, k) values of 32 bits, into ``out`` if given."""
    if values.ndim == 2 and values.shape[1] == 4:
        # As one value of sixteen bytes; numpy copies rows of four far slower.
        whole = values.view(np.complex128)[:, 0]
        target = None if out is None else out.view(np.complex128)[:, 0]
        return whole.take(index, out=target, mode="clip").view(values.dtype).reshape(-1, 4)
    return values.take(index, axis=0, out=out, mode="clip")


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
    found = np.empty((len(pixel), 3), np.float32)
    for part, points in _placed(pixel, depth, intrinsics, width):
        found[part] = points
    return found


def _placed(
    pixel: Array, depth: Array, intrinsics: Array, width: int
) -> Iterator[tuple[slice, Array]]:
    """The positions in pieces that stay in the processor's cache, each with its place."""
    height = int(pixel.max(initial=-1)) // width + 1
    # A ray's slopes depend on its column and on its row alone: few divisions for many points.
    across = (np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    down = (np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    for start in range(0, len(pixel), _CHUNK):
        part = slice(start, start + _CHUNK)
        row = pixel[part] // width
        z = depth[part].astype(np.float64)
        points = np.empty((len(z), 3), np.float32)
        # coords.to_blender, without the detour over an array of its own.
        points[:, 0] = across[pixel[part] - row * width] * z
        points[:, 1] = z
        points[:, 2] = -(down[row] * z)
        yield part, points


def moved_points(
    cloud: Cloud, intrinsics: Array, width: int, offset: Array, tolerance: float
) -> int:
    """How many points are not on their ray at their depth.

    Args:
        cloud: points relative to ``offset``, (3,).
        intrinsics: (3, 3), pixels.
        width: of the photo.
        offset: where their handle rests.
        tolerance: how far a point may be off; of its depth where that is more than 1.
    """
    count = 0
    for part, points in _placed(cloud.pixel, cloud.depth, intrinsics, width):
        room = tolerance * np.maximum(cloud.depth[part], 1)
        points -= offset.astype(np.float32)
        points -= cloud.position[part]
        near = [np.abs(points[:, axis]) <= room for axis in range(3)]  # not so for no number
        count += len(room) - int(np.count_nonzero(near[0] & near[1] & near[2]))
    return count


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
