"""What a take that obeys its shot shows: the draft's pixels, each thing alone, and their masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.compose.draft import FittedDraft, ShotDraft
from backend.compose.layers import Background, layers_from_shot
from backend.contracts import Draft, Shot
from backend.control_sources import shot_masks
from backend.geometry.camera import project
from backend.geometry.fit import Fit
from backend.geometry.lift import cloud_from_lift
from backend.geometry.motion import camera_from_rest, move_points

BEHIND_ALL = 1e4
"""Depths of the scene at which all else stands when a thing is rendered alone."""
MIN_Z = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedThing:
    """A picked instance.

    Attributes:
        id: of the instance.
        alone: its frames before the plate, with nothing else picked and nothing in front of it.
        whole: ``(F, h, w)`` bool, where it is, hidden parts included.
        displacement: ``(F, 2)`` pixels (x, y) that the mean of its points has gone from rest.
    """

    id: int
    alone: Draft
    whole: Tensor
    displacement: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTake:
    """A shot in the pixels of a take.

    Attributes:
        draft: all of it.
        plate: without what is picked.
        ids: ``(F, h, w)`` int32 that are to be seen; -1 where nothing was splatted.
        things: moving ones first; static ones after them.
        moving: how many move.
    """

    draft: Draft
    plate: Draft
    ids: Tensor
    things: tuple[ExpectedThing, ...]
    moving: int

    def visible(self, item: int, frame: int) -> Tensor:
        """``(h, w)`` bool, where a thing is to be seen."""
        return self.ids[frame] == item

    def background(self, frame: int) -> Tensor:
        """``(h, w)`` bool, what is not picked."""
        picked = torch.tensor([thing.id for thing in self.things], dtype=self.ids.dtype)
        return ~torch.isin(self.ids[frame], picked)


def expected_take(shot: Shot, fit: Fit) -> ExpectedTake:
    """What a shot asks for, in the frame of ``fit``; frames are drawn when they are indexed."""
    moving = shot.motion.moved_from_rest.shape[1]
    plate = layers_from_shot(shot)
    background = Background(rgb=plate.plate.rgb, depth=plate.plate_depth)
    none = torch.zeros_like(shot.instance)
    bare = replace(
        shot,
        lift=replace(shot.lift, image=background.rgb, depth=background.depth),
        instance=none,
        static=(),
        thickness={},
        motion=replace(shot.motion, moved_from_rest=shot.motion.moved_from_rest[:, :0]),
    )
    things = [_thing(shot, item, background, fit) for item in (*range(1, moving + 1), *shot.static)]
    return ExpectedTake(
        draft=FittedDraft(ShotDraft(shot), fit),
        plate=FittedDraft(ShotDraft(bare, background=background), fit),
        ids=shot_masks(shot, fit).instance,
        things=tuple(things),
        moving=moving,
    )


def _thing(shot: Shot, item: int, background: Background, fit: Fit) -> ExpectedThing:
    own = shot.instance == item
    moved = shot.motion.moved_from_rest
    matrices = torch.eye(4).to(moved).repeat(len(moved), 1, 1, 1)
    if item <= moved.shape[1]:
        matrices = moved[:, item - 1 : item]
    thickness: Mapping[int, float] = {}
    if item in shot.thickness:
        thickness = {1: shot.thickness[item]}
    alone = replace(
        shot,
        instance=own.to(shot.instance.dtype),
        static=(),
        thickness=thickness,
        motion=replace(shot.motion, moved_from_rest=matrices),
    )
    far = float(shot.lift.depth.max()) * BEHIND_ALL
    behind = Background(rgb=background.rgb, depth=torch.full_like(background.depth, far))
    unhidden = replace(alone, lift=replace(shot.lift, depth=shot.lift.depth.where(own, far)))
    return ExpectedThing(
        id=item,
        alone=FittedDraft(ShotDraft(unhidden, background=behind), fit),
        whole=shot_masks(unhidden, fit).instance == 1,
        displacement=_displacement(alone, own, fit),
    )


def _displacement(shot: Shot, own: Tensor, fit: Fit) -> Tensor:
    """``(F, 2)`` in the frame's pixels."""
    points = cloud_from_lift(shot.lift, shot.instance).xyz[own.reshape(-1)]
    down, across = fit.scale
    means: list[Tensor] = []
    for matrices in camera_from_rest(shot.motion, shot.lift.camera):
        xyz = move_points(points, matrices[1])
        xyz = torch.cat([xyz[:, :2], xyz[:, 2:].clamp(min=MIN_Z)], -1)
        means.append(project(xyz, shot.lift.camera).double().mean(0))
    mean = torch.stack(means)
    return (mean - mean[:1]) * mean.new_tensor([across, down])
