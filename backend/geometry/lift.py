"""Depth to point cloud, and conversions between depth, disparity and depth map values."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import Lift, PointCloud
from backend.geometry.camera import unproject


def cloud_from_lift(lift: Lift, instance: Tensor) -> PointCloud:
    """Unproject a lift: one point per pixel, in row-major order.

    Args:
        lift: the photo.
        instance: ``(H, W)`` int32 map at rest.
    """
    xyz = unproject(lift.depth, lift.camera.intrinsics)
    return PointCloud(xyz=xyz.reshape(-1, 3), instance=instance.reshape(-1))


def depth_from_disparity(disparity: Tensor, near: float, far: float) -> Tensor:
    """Depth from disparity in [0, 1], 1 at ``near``: ``1/z = 1/far + d (1/near - 1/far)``."""
    return 1.0 / (1.0 / far + disparity * (1.0 / near - 1.0 / far))


def disparity_from_depth(depth: Tensor, near: float, far: float) -> Tensor:
    """The inverse of :func:`depth_from_disparity`, clamped to [0, 1]; infinity becomes 0."""
    return ((1.0 / depth - 1.0 / far) / (1.0 / near - 1.0 / far)).clamp(0.0, 1.0)


def depth_from_map(values: Tensor, nearer_is_larger: bool, near: float, far: float) -> Tensor:
    """Depth from the values of a depth map of any scale.

    The map's range is mapped to near..far: linearly in disparity if larger is nearer (as depth
    networks write), linearly in depth if larger is farther (as renderers write).

    Args:
        values: ``(H, W)`` float.
        nearer_is_larger: whether larger values are nearer.
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
