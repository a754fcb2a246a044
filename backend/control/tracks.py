"""Point tracks: points on the instances of the first frame, followed through the shot.

In torch, since an engine's masks lie on a GPU; exports use ``protocol/export.py``, a test compares.
"""

# Parts of torch carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import torch
from torch import Tensor

from backend.contracts import MaskSequence, Shot, Tracks
from backend.geometry.camera import project
from backend.geometry.lift import cloud_from_lift
from backend.geometry.motion import camera_from_rest, move_points

DEPTH_TOLERANCE = 1.02
"""Relative tolerance of the depth test for visibility."""
MIN_Z = 1e-6
"""Scene units; smaller z are clamped before projection."""


def shot_tracks(
    shot: Shot,
    masks: MaskSequence,
    per_instance: int = 8,
    anchors: int = 16,
    within: Tensor | None = None,
) -> Tracks:
    """Seed points on every instance of the first frame and follow them.

    Args:
        shot: the shot.
        masks: its rendered masks, for visibility.
        per_instance: points on each picked instance, fewer where it has fewer pixels.
        anchors: points on everything not picked, which follow the camera.
        within: ``(H, W)`` bool, pixels on which points may start; None for all.
    """
    moving = shot.motion.moved_from_rest.shape[1]
    cloud = cloud_from_lift(shot.lift, shot.instance)
    visible = (masks.instance[0] == shot.instance).reshape(-1)
    if within is not None:
        visible = visible & within.reshape(-1)
    picked = [*range(1, moving + 1), *shot.static]
    groups = [(item, (cloud.instance == item) & visible, per_instance) for item in picked]
    rest = visible & ~torch.isin(cloud.instance, cloud.instance.new_tensor(picked))
    groups.append((0, rest, anchors))
    chosen: list[Tensor] = []
    owner: list[int] = []
    width = shot.lift.camera.width
    for item, candidates, count in groups:
        flat = torch.nonzero(candidates)[:, 0]
        pixels = torch.stack([flat % width, flat // width], -1).float()
        seeds = flat[farthest_points(pixels, count)]
        chosen.append(seeds)
        owner += [item] * len(seeds)
    points, instance = cloud.xyz[torch.cat(chosen)], cloud.instance.new_tensor(owner)
    # Only moving instances have a matrix of their own
    matrix = torch.where(instance <= moving, instance, 0).long()
    xyz = torch.stack(
        [
            _transformed(points, matrix, frame)
            for frame in camera_from_rest(shot.motion, shot.lift.camera)
        ]
    )
    # Points behind the camera project far outside the frame, not mirrored or as NaN
    before = torch.cat([xyz[..., :2], xyz[..., 2:].clamp(min=MIN_Z)], -1)
    xy = project(before, shot.lift.camera)
    return Tracks(
        xy=xy, depth=xyz[..., 2], visible=_visible(xy, xyz[..., 2], masks.depth), instance=instance
    )


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Farthest point sampling: indices of up to ``count`` points.

    Args:
        points: ``(P, D)``.
        count: how many; the first is the one nearest to their mean.
    """
    count = min(count, len(points))
    if count == 0:
        return torch.zeros(0, dtype=torch.int64, device=points.device)
    points = points.double()  # exact means and ties for pixels, on every device
    chosen = [int(((points - points.mean(0)) ** 2).sum(1).argmin())]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    return torch.tensor(chosen, device=points.device)


def _transformed(points: Tensor, matrix: Tensor, frame: Tensor) -> Tensor:
    moved = torch.empty_like(points)
    for index in torch.unique(matrix).tolist():
        own = matrix == index
        moved[own] = move_points(points[own], frame[index])
    return moved


def _visible(xy: Tensor, z: Tensor, depth: Tensor) -> Tensor:
    """Which points are in the frame and pass the depth test."""
    height, width = depth.shape[1:]
    column, row = xy.floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (z > 0)
    frame = torch.arange(len(depth), device=depth.device)[:, None].expand_as(row)
    nearest = depth[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return inside & (z <= nearest * DEPTH_TOLERANCE)
