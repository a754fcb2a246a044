"""Extruding a body behind an instance's front.

Its points lie on the rays of the photo's camera, so the view at rest does not change. In torch,
since an engine's points lie on a GPU; exports use ``protocol/shape.py``, which also flattens,
and a test compares the two.
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
"""Pixels at rest between the sheets (cross sections) of a body. With the splat radius of 0.75 its
sides have no holes from any view, up to 44 degrees off the photo's axis."""
MAX_SHEETS = 1024
"""Of one body; a limit on memory, past which its sides get holes."""


def cloud_from_shot(shot: Shot) -> PointCloud:
    """The points of a shot: its photo's in row-major order, then its bodies'."""
    cloud = cloud_from_lift(shot.lift, shot.instance)
    return add_bodies(cloud, shot.lift, shot.instance, shot.thickness)


def add_bodies(
    cloud: PointCloud, lift: Lift, instance: Tensor, thickness: Mapping[int, float]
) -> PointCloud:
    """Add a body behind the front of instances; the photo's camera does not see it.

    A body is the front scaled about the camera's centre: a back face, and the outline on each sheet
    up to it. The interior is never visible and is left out.

    Args:
        cloud: the front, one point per pixel in row-major order.
        lift: of which the cloud was made.
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
    """Scale of each sheet of a body relative to the front, front to back; empty without a body.

    Raises:
        ValueError: the thickness is negative or not finite.
    """
    relative = relative_thickness(lift.depth, mask, thickness)
    if relative == 0:
        return []
    focal = float(lift.camera.intrinsics.diagonal()[:2].max())
    count = max(1, min(MAX_SHEETS, math.ceil(relative * focal / SHEET_GAP)))
    return [1.0 + k * relative / count for k in range(1, count + 1)]


def relative_thickness(depth: Tensor, mask: Tensor, thickness: float) -> float:
    """Thickness / median depth: the scale of a body's back face is 1 plus this.

    Raises:
        ValueError: the thickness is negative or not finite.
    """
    if not 0.0 <= thickness < math.inf:
        raise ValueError(f"a thickness is a length of 0 or more, got {thickness:g}")
    return thickness / float(depth[mask].median()) if bool(mask.any()) else 0.0


def outline(mask: Tensor) -> Tensor:
    """``(H, W)`` bool: pixels with one of their eight neighbours outside ``mask`` or the photo."""
    height, width = mask.shape
    padded = mask.new_zeros(height + 2, width + 2)
    padded[1:-1, 1:-1] = mask
    inner = mask
    for row in range(3):
        for column in range(3):
            inner = inner & padded[row : row + height, column : column + width]
    return mask & ~inner
