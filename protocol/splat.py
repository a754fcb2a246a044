"""What is seen of a shot's points in each of its frames, in numpy, for exports.

Engines use ``backend/geometry/splat.py``: their points lie on a GPU already. A test holds the ids
and depths of the two equal to the bit.

A point covers a pixel if and only if the distance from its projection to the pixel's centre is less
than its radius. The nearest point wins, ties go to the smaller id, points with z <= 0 are not seen.
Sums are written out in one order instead of left to a matrix product, so that both splatters round
alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from . import content, messages, rules, shape
from .arrays import Array

REST_RADIUS = 0.75
MAX_RADIUS = 24.0
"""Pixels; at rest every point covers just its own one, and no point ever covers more than these."""
_NOTHING = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A shot as points: one for every pixel, in row-major order, then those of bodies.

    Attributes:
        xyz: (P, 3) float32, the shot's world at rest.
        instance: (P,) int32.
        intrinsics: (3, 3) float64 of the photo.
        matrices: (F, N + 1, 4, 4) float64, from rest into each frame's camera with its lens folded
            in; index 0 is everything that stays.
        static: ids of picked instances that stay.
    """

    xyz: Array
    instance: Array
    intrinsics: Array
    matrices: Array
    height: int
    width: int
    static: tuple[int, ...]

    @property
    def moving(self) -> int:
        """N, the number of moving instances; their ids are 1 to N."""
        return self.matrices.shape[1] - 1

    @property
    def picked(self) -> tuple[int, ...]:
        """Ids of all picked instances."""
        return (*range(1, self.moving + 1), *self.static)


def points_of(shot: messages.ShotMessage, blobs: Mapping[str, bytes]) -> Points:
    """The points of a shot and where they go; its blobs are found by their hashes.

    Raises:
        ShotError: the depth or the instance map holds numbers that mean nothing.
    """
    depth, ids = (
        content.array_of(ref, blobs[ref.sha256]) for ref in (shot.scene.depth, shot.instance_map)
    )
    height, width = depth.shape
    rules.check_arrays(depth, ids, shot.instances)
    depth = shape.shown_depth(depth, ids, shot.instances)
    masks = [ids == item.id for item in shot.instances]
    inverse = np.linalg.inv(shot.scene.intrinsics)
    pixel = np.ones((height, width, 3))
    pixel[..., 0] = np.arange(width) + 0.5
    pixel[..., 1] = (np.arange(height) + 0.5)[:, None]
    rays = pixel @ inverse.T
    front = (rays * depth[..., None]).astype(np.float32)
    xyz, owner = [front.reshape(-1, 3)], [ids.reshape(-1)]
    for item, mask in zip(shot.instances, masks, strict=True):
        xyz.append(shape.body(front, mask, shot.scene.intrinsics, item.thickness))
        owner.append(np.full(len(xyz[-1]), item.id, np.int32))
    frames = len(shot.camera_from_world)
    still = np.broadcast_to(np.eye(4), (frames, 1, 4, 4))
    lens = np.tile(np.eye(4), (frames, 1, 1))
    # The photo's intrinsics then project a point where the frame's own would; its z is unchanged
    lens[:, :3, :3] = inverse @ shot.intrinsics
    view = lens @ shot.camera_from_world
    return Points(
        xyz=np.concatenate(xyz),
        instance=np.concatenate(owner),
        intrinsics=shot.scene.intrinsics,
        matrices=view[:, None] @ np.concatenate([still, shot.moved_from_rest], 1),
        height=height,
        width=width,
        static=tuple(item.id for item in shot.instances if not item.moving),
    )


def move(xyz: Array, matrix: Array) -> Array:
    """(P, 3) float32 points under one (4, 4) matrix."""
    m = matrix.astype(np.float32)
    x, y, z = xyz.T
    return np.stack([x * m[i, 0] + y * m[i, 1] + z * m[i, 2] + m[i, 3] for i in range(3)], -1)


def project(xyz: Array, intrinsics: Array) -> Array:
    """(..., 2) float32 pixels of (..., 3) points in camera axes; with z <= 0 they mean nothing."""
    k = intrinsics.astype(np.float32)
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        across = (k[0, 0] * x + k[0, 1] * y) / z + k[0, 2]
        return np.stack([across, k[1, 1] * y / z + k[1, 2]], -1)


def seen(points: Points) -> Iterator[tuple[Array, Array]]:
    """(ids, depth) of every frame, one at a time.

    Yields:
        (H, W) int32 ids, -1 where no point landed, and (H, W) float32 z, infinity there.
    """
    owners = [(n, np.flatnonzero(points.instance == n)) for n in range(1, points.moving + 1)]
    own = np.where(points.instance <= points.moving, points.instance, 0)
    for frame in points.matrices:
        moved = move(points.xyz, frame[0])
        for number, index in owners:
            moved[index] = move(points.xyz[index], frame[number])
        radius = _radii(points.xyz[:, 2], moved[:, 2], frame, own)
        yield splat(moved, points.instance, points.intrinsics, points.height, points.width, radius)


def _radii(rest_z: Array, moved_z: Array, matrices: Array, own: Array) -> Array:
    """(P,) float32: a point grows as its surroundings do, so that what comes nearer is whole."""
    scale = np.linalg.norm(matrices[:, :3, :3], ord=2, axis=(1, 2)).astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.where(moved_z > 0, rest_z / moved_z, np.float32(1))
    times = np.clip(ratio * scale[own], 1.0, MAX_RADIUS / REST_RADIUS)
    return np.float32(REST_RADIUS) * times


def splat(
    xyz: Array, instance: Array, intrinsics: Array, height: int, width: int, radius: Array
) -> tuple[Array, Array]:
    """One frame, as :func:`seen` yields it.

    Args:
        xyz: (P, 3) float32 in camera axes.
        instance: (P,) ids, 0 or more.
        intrinsics: (3, 3), pixels.
        height: of the frame.
        width: of the frame.
        radius: (P,) float32 pixels.
    """
    x, y = project(xyz, intrinsics).T
    inside = (xyz[:, 2] > 0) & (x > -radius) & (x < width + radius)
    keep = np.flatnonzero(inside & (y > -radius) & (y < height + radius))
    x, y, radius = x[keep], y[keep], radius[keep]
    # Bits of positive floats sort as they do: one number holds depth, then id
    bits = np.ascontiguousarray(xyz[keep, 2]).view(np.int32).astype(np.int64)
    key = (bits << 32) | instance[keep].astype(np.int64)
    buffer = np.full(height * width, _NOTHING)
    # A point reaches a window of ceil(2 r) pixels a side; the few large ones go by themselves
    side = np.ceil(2 * radius).astype(np.int64)
    for size in np.flatnonzero(np.bincount(side)):
        group = np.flatnonzero(side == size)
        if len(group) == len(keep):
            group = slice(None)
        _splat_group(
            buffer, x[group], y[group], radius[group], key[group], int(size), height, width
        )
    empty = buffer == _NOTHING
    ids = np.where(empty, -1, buffer & 0xFFFFFFFF).astype(np.int32)
    depth = np.where(empty, np.float32(np.inf), (buffer >> 32).astype(np.int32).view(np.float32))
    return ids.reshape(height, width), depth.reshape(height, width)


def _splat_group(
    buffer: Array, x: Array, y: Array, radius: Array, key: Array, side: int, height: int, width: int
) -> None:
    half = np.float32(0.5)
    first_x, first_y = np.ceil(x - radius - half), np.ceil(y - radius - half)
    limit = radius * radius
    for row in range(side):
        down = first_y + np.float32(row)
        dy2 = (down + half - y) ** 2
        in_row = (down >= 0) & (down < height) & (dy2 < limit)
        for column in range(side):
            across = first_x + np.float32(column)
            dx = across + half - x
            hit = in_row & (across >= 0) & (across < width) & (dx * dx + dy2 < limit)
            at = np.flatnonzero(hit)
            index = down[at].astype(np.int64) * width + across[at].astype(np.int64)
            np.minimum.at(buffer, index, key[at])
