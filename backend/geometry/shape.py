"""What the artist makes of an instance's shape: how flat its front is, how thick its body.

Both happen along the rays of the photo's camera, so that at rest it sees just what it saw before.
The extension has the same in numpy (``blender_addon/core/shape.py``); a test compares the two.
"""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from backend.contracts import Lift, PointCloud, Shot
from backend.geometry.lift import cloud_from_lift

SHEET_GAP = 0.8
"""Pixels at rest from one sheet of a body to the next. With the splat's radius of 0.75, its sides
have no holes seen from anywhere, up to 44 degrees off the photo's axis."""
MAX_SHEETS = 1024
"""Of one body; past it, its sides get holes rather than the memory full."""


def flattened(depth: Tensor, mask: Tensor, amount: float) -> Tensor:
    """Push what ``mask`` shows towards one plane, each point along its own ray.

    The blend is one of disparities, 1/z: it keeps straight what was straight.

    Args:
        depth: ``(H, W)`` z, positive.
        mask: ``(H, W)`` bool; where it is False everywhere, nothing changes.
        amount: 0 keeps the relief, 1 puts every point at the median of 1/z, the lower of two.

    Raises:
        ValueError: the amount is not between 0 and 1.
    """
    if not 0.0 <= amount <= 1.0:
        raise ValueError(f"an instance is flattened by 0 to 1, got {amount:g}")
    if amount == 0 or not bool(mask.any()):
        return depth
    disparity = 1.0 / depth[mask].to(torch.float64)
    blend = (1.0 - amount) * disparity + amount * disparity.median()
    result = depth.clone()
    result[mask] = (1.0 / blend).to(depth.dtype)
    return result


def cloud_from_shot(shot: Shot) -> PointCloud:
    """The points of a shot: those of its photo in row-major order, then those of the bodies."""
    cloud = cloud_from_lift(shot.lift, shot.instance)
    return with_bodies(cloud, shot.lift, shot.instance, shot.thickness)


def with_bodies(
    cloud: PointCloud, lift: Lift, instance: Tensor, thickness: Mapping[int, float]
) -> PointCloud:
    """Give instances a body behind their front, which hides it from the photo's camera.

    A body is the front again, scaled away from that camera: a back, and the outline on every sheet
    up to it. What lies between is never seen, so it is left out.

    Args:
        cloud: the front, one point a pixel in row-major order.
        lift: what it was made of.
        instance: ``(H, W)`` int32.
        thickness: scene units at the median depth of the instance, by id; 0 is no body.

    Raises:
        ValueError: a thickness is negative or not finite.
    """
    height, width = instance.shape
    xyz, ids = [cloud.xyz], [cloud.instance]
    for item, depth in thickness.items():
        mask = instance == item
        scales = sheet_scales(lift, mask, depth)
        if not scales:
            continue
        front = cloud.xyz.reshape(height, width, 3)
        factors = cloud.xyz.new_tensor(scales)
        sides = factors[:-1, None, None] * front[outline(mask)]
        xyz += [sides.reshape(-1, 3), factors[-1] * front[mask]]
        ids += [cloud.instance.new_full((len(part),), item) for part in xyz[-2:]]
    return PointCloud(xyz=torch.cat(xyz), instance=torch.cat(ids))


def sheet_scales(lift: Lift, mask: Tensor, thickness: float) -> list[float]:
    """By how much each sheet of a body is larger than the front, front to back; empty without one.

    Raises:
        ValueError: the thickness is negative or not finite.
    """
    grows = growth(lift.depth, mask, thickness)
    if grows == 0:
        return []
    focal = float(lift.camera.intrinsics.diagonal()[:2].max())
    count = max(1, min(MAX_SHEETS, math.ceil(grows * focal / SHEET_GAP)))
    return [1.0 + k * grows / count for k in range(1, count + 1)]


def growth(depth: Tensor, mask: Tensor, thickness: float) -> float:
    """By how much the back of a body is larger than the front: thickness / median depth.

    Raises:
        ValueError: the thickness is negative or not finite.
    """
    if not 0.0 <= thickness < math.inf:
        raise ValueError(f"a thickness is a length of 0 or more, got {thickness:g}")
    return thickness / float(depth[mask].median()) if bool(mask.any()) else 0.0


def outline(mask: Tensor) -> Tensor:
    """``(H, W)`` bool: what has one of its eight neighbours outside ``mask`` or the photo."""
    height, width = mask.shape
    padded = mask.new_zeros(height + 2, width + 2)
    padded[1:-1, 1:-1] = mask
    inner = mask
    for row in range(3):
        for column in range(3):
            inner = inner & padded[row : row + height, column : column + width]
    return mask & ~inner
