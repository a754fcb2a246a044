"""The point splatter: a z-buffer of instance id and depth, exact per pixel.

A point covers a pixel if and only if the distance from its projection to the pixel's centre is less
than its radius. The nearest point wins, ties go to the smaller id, points with z <= 0 are not seen.
The ids equal those of PyTorch3D's nearest-point rasteriser. In torch, since an engine's points lie
on a GPU; exports use ``protocol/splat.py``, and a test holds ids and depths equal to the bit.
"""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from backend.contracts import Camera, MaskSequence, Motion, PointCloud
from backend.geometry import splat_pytorch3d
from backend.geometry.camera import project
from backend.geometry.motion import camera_from_rest, magnification, move_cloud

Array = npt.NDArray[Any]

REST_RADIUS = 0.75
"""Pixels. Above 1/sqrt(2), so that a magnified grid has no holes; below 1, so that it is exact at
rest, where every point covers just the pixel it came from."""
MAX_RADIUS = 24.0
"""Pixels; a limit on the cost of points that are very near to the camera."""
_EMPTY = torch.iinfo(torch.int64).max
_MAX_ID = torch.iinfo(torch.int32).max


def render_masks(
    points: Tensor | Array,
    instance: Tensor | Array,
    camera: Camera,
    radius: float | Tensor | Array,
    rasteriser: str = "own",
) -> MaskSequence:
    """Splat points frame by frame.

    Args:
        points: ``(F, P, 3)`` float32 in camera axes.
        instance: ``(P,)`` int ids, 0 or more.
        camera: of the image.
        radius: pixels; one number, ``(P,)`` or ``(F, P)``.
        rasteriser: "own", or "pytorch3d" as a reference, if it is installed.

    Returns:
        Masks on the device of ``points``.

    Raises:
        ValueError: shapes do not fit, an id is negative or above int32, a radius is negative or not
            finite, or the rasteriser is not one of the two or not installed.
    """
    points, instance = as_tensor(points), as_tensor(instance).to(torch.int64)
    if points.dtype not in (torch.float32, torch.float64):
        points = points.float()
    if rasteriser not in RASTERISERS:
        raise ValueError(f"rasteriser {rasteriser!r} is not one of {', '.join(RASTERISERS)}")
    fits = points.ndim == 3 and points.shape[-1] == 3 and instance.shape == points.shape[1:2]
    if not fits or not len(points):
        raise ValueError(
            f"points {tuple(points.shape)} and instance {tuple(instance.shape)} "
            "must be (F, P, 3) and (P,), with a frame at least"
        )
    _check_ids(instance)
    radii = torch.as_tensor(radius, dtype=points.dtype, device=points.device)
    if bad := int((~((radii >= 0) & torch.isfinite(radii))).sum()):
        raise ValueError(f"{bad} radii are negative or not finite; a radius is a size in pixels")
    if tuple(radii.shape) not in ((), points.shape[1:2], (len(points), 1), points.shape[:2]):
        raise ValueError(
            f"radius {tuple(radii.shape)} must be one number, (P,) or (F, P) for points "
            f"{tuple(points.shape)}"
        )
    radii, instance = radii.expand(points.shape[:2]), instance.to(points.device)
    rasterise = RASTERISERS[rasteriser]
    frames = [
        rasterise(frame, instance, camera, own) for frame, own in zip(points, radii, strict=True)
    ]
    return MaskSequence(
        instance=torch.stack([ids for ids, _ in frames]),
        depth=torch.stack([depth for _, depth in frames]),
    )


def as_tensor(values: Tensor | Array) -> Tensor:
    """Tensors are returned as they are; arrays become tensors on the CPU."""
    return values if isinstance(values, Tensor) else torch.tensor(values, device="cpu")


def render_motion(
    cloud: PointCloud, camera: Camera, motion: Motion
) -> Iterator[tuple[Tensor, Tensor]]:
    """(instance, depth) of every frame, one at a time to save memory.

    The radius follows the magnification, so that surfaces that come nearer have no holes.
    """
    _check_ids(cloud.instance)
    matrices = camera_from_rest(motion, camera)
    rest_z = cloud.xyz[:, 2]
    for frame in matrices:
        points = move_cloud(cloud, frame)
        magnified = magnification(rest_z, points[:, 2], frame, cloud.instance)
        radius = REST_RADIUS * magnified.clamp(1.0, MAX_RADIUS / REST_RADIUS)
        yield splat_frame(points, cloud.instance, camera, radius)


def splat_frame(
    points: Tensor, instance: Tensor, camera: Camera, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Splat one frame.

    Args:
        points: ``(P, 3)`` float32 in camera axes.
        instance: ``(P,)`` int ids, 0 or more.
        camera: of the image.
        radius: ``(P,)`` pixels.

    Returns:
        ``(H, W)`` int32 ids, -1 where no point was splatted, and ``(H, W)`` float32 z, +inf there.
    """
    height, width = camera.height, camera.width
    pixel = project(points, camera)
    inside = (
        (points[:, 2] > 0)
        & (pixel[:, 0] > -radius)
        & (pixel[:, 0] < width + radius)
        & (pixel[:, 1] > -radius)
        & (pixel[:, 1] < height + radius)
    )
    keep = torch.nonzero(inside)[:, 0]
    pixel, radius = pixel[keep], radius[keep]
    key = _keys(points[keep, 2], instance[keep])
    buffer = torch.full((height * width,), _EMPTY, dtype=torch.int64, device=points.device)
    # A point of radius r reaches the pixels of a window of ceil(2 r) centres a side; points are
    # grouped by that window, so that the few large ones do not make all others slow.
    side = torch.ceil(2 * radius).clamp(max=max(height, width)).to(torch.int64)
    sizes: list[int] = torch.nonzero(torch.bincount(side))[:, 0].tolist()
    for size in sizes:
        if len(sizes) == 1:
            _splat_group(buffer, pixel, radius, key, size, height, width)
            break
        group = torch.nonzero(side == size)[:, 0]
        _splat_group(buffer, pixel[group], radius[group], key[group], size, height, width)
    empty = buffer == _EMPTY
    ids = torch.where(empty, -1, buffer & 0xFFFFFFFF).to(torch.int32)
    bits = (buffer >> 32).to(torch.int32)
    depth = torch.where(empty, torch.inf, bits.view(torch.float32))
    return ids.reshape(height, width), depth.reshape(height, width)


def _check_ids(instance: Tensor) -> None:
    if instance.numel() and int(instance.min()) < 0:
        raise ValueError(f"instance ids must be 0 or more, got {int(instance.min())}")
    if instance.numel() and int(instance.max()) > _MAX_ID:
        raise ValueError(f"instance ids must be at most {_MAX_ID}, got {int(instance.max())}")


def _keys(z: Tensor, instance: Tensor) -> Tensor:
    """Depth and id in one int64 that sorts by depth, then id: bits of positive floats sort so."""
    bits = z.to(torch.float32).contiguous().view(torch.int32).to(torch.int64)
    return (bits << 32) | instance.to(torch.int64)


def _splat_group(
    buffer: Tensor, pixel: Tensor, radius: Tensor, key: Tensor, side: int, height: int, width: int
) -> None:
    x, y = pixel.unbind(-1)
    # Clamped, so that a window larger than the frame is not walked outside of it
    first_x = torch.ceil(x - radius - 0.5).clamp(min=0)
    first_y = torch.ceil(y - radius - 0.5).clamp(min=0)
    limit = radius * radius
    rows, columns = min(side, height), min(side, width)
    if len(key) < rows * columns:
        _splat_discs(buffer.view(height, width), x, y, first_x, first_y, limit, key, rows, columns)
        return
    for row in range(rows):
        down = first_y + row
        dy2 = (down + 0.5 - y) ** 2
        row_inside = (down < height) & (dy2 < limit)
        start = down.to(torch.int64) * width
        for column in range(columns):
            across = first_x + column
            dx = across + 0.5 - x
            hit = row_inside & (across < width) & (dx * dx + dy2 < limit)
            at = torch.nonzero(hit)[:, 0]
            index = start[at] + across[at].to(torch.int64)
            buffer.scatter_reduce_(0, index, key[at], "amin")


def _splat_discs(
    frame: Tensor,
    x: Tensor,
    y: Tensor,
    first_x: Tensor,
    first_y: Tensor,
    limit: Tensor,
    key: Tensor,
    rows: int,
    columns: int,
) -> None:
    """The same, one point at a time: faster if there are few and large points."""
    height, width = frame.shape
    tops: list[int] = first_y.clamp(max=height).to(torch.int64).tolist()
    lefts: list[int] = first_x.clamp(max=width).to(torch.int64).tolist()
    down = torch.arange(height, dtype=y.dtype, device=y.device)
    across = torch.arange(width, dtype=x.dtype, device=x.device)
    for n, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        part = frame[top : top + rows, left : left + columns]
        dy = down[top : top + rows, None] + 0.5 - y[n]
        dx = across[left : left + columns] + 0.5 - x[n]
        hit = dx * dx + dy * dy < limit[n]
        torch.minimum(part, torch.where(hit, key[n], _EMPTY), out=part)


RASTERISERS: dict[str, Callable[[Tensor, Tensor, Camera, Tensor], tuple[Tensor, Tensor]]] = {
    "own": splat_frame,
    "pytorch3d": splat_pytorch3d.splat_frame,
}
