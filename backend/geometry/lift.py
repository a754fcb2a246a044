"""From depth to points, and between depth, disparity and what a depth map file holds."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import Lift, PointCloud
from backend.geometry.camera import unproject


def cloud_from_lift(lift: Lift, instance: Tensor) -> PointCloud:
    """One point a pixel, in row-major order.

    Args:
        lift: the photo.
        instance: ``(H, W)`` int32 map at rest.
    """
    xyz = unproject(lift.depth, lift.camera.intrinsics)
    return PointCloud(xyz=xyz.reshape(-1, 3), instance=instance.reshape(-1))


def depth_from_disparity(disparity: Tensor, near: float, far: float) -> Tensor:
    """Z from disparity in [0, 1], 1 at ``near``: ``1/z = 1/far + d (1/near - 1/far)``."""
    return 1.0 / (1.0 / far + disparity * (1.0 / near - 1.0 / far))


def disparity_from_depth(depth: Tensor, near: float, far: float) -> Tensor:
    """The inverse of :func:`depth_from_disparity`, clamped to [0, 1]; infinity becomes 0."""
    return ((1.0 / depth - 1.0 / far) / (1.0 / near - 1.0 / far)).clamp(0.0, 1.0)


def depth_from_map(values: Tensor, nearer_is_larger: bool, near: float, far: float) -> Tensor:
    """Z from the numbers of a depth map, whatever their scale.

    The map's range is stretched over near..far: as disparity where larger is nearer (what depth
    networks write), as depth itself where larger is farther (what renderers write).

    Args:
        values: ``(H, W)`` float.
        nearer_is_larger: how the map is meant.
        near: z of the nearest value.
        far: z of the farthest value.

    Raises:
        ValueError: a value is not finite, or all are equal.
    """
    if not torch.isfinite(values).all():
        bad = int((~torch.isfinite(values)).sum())
        raise ValueError(f"{bad} of {values.numel()} values of the depth map are not numbers")
    low, high = values.min(), values.max()
    if low == high:
        raise ValueError(f"every value of the depth map is {float(low):g}")
    unit = (values - low) / (high - low)
    if nearer_is_larger:
        return depth_from_disparity(unit, near, far)
    return near + unit * (far - near)
