"""A prepared clip as the ``Control`` that engines are told by, as a shot of Blender is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backend.contracts import AnnotatedClip, Boxes, Control, Tracks
from backend.control_sources import ClipControl
from backend.evaluation.clip_sets import Clip
from backend.geometry.lift import depth_from_disparity
from backend.perception import registry as models
from backend.perception.lift import LiftOptions
from backend.resources import Resources
from protocol.errors import ShotError

Array = npt.NDArray[Any]
EXACT, FLAT = "the dataset's own", "flat: things before a backdrop"
THINGS_AT, BACKDROP_AT = 4.0, 10.0
"""Where a flat scene has them, scene units."""


class ClipDepth:
    """The depth of clips: exact where they have it, a network's, or a flat scene's.

    Args:
        requested: as in ``perception.registry.depth_model``.
        resources: weights and device.
    """

    def __init__(self, requested: str, resources: Resources) -> None:
        found = models.depth_model(requested, resources, models.LoadedModels())
        self._network, self.notes = found.model, found.notes
        self.name = FLAT
        if found.model is not None:
            self.name = f"{found.model.name} {found.model.fingerprint[:16]}"

    def __call__(self, frames: Array, ids: Array) -> tuple[Tensor, float, float]:
        """Depth ``(F, H, W)``, near and far of frames ``(F, H, W, 3)``.

        Args:
            frames: uint8.
            ids: ``(F, H, W)``; 0 is the background.
        """
        options = LiftOptions()
        near, far = options.near, options.far
        if self._network is None:
            return torch.from_numpy(np.where(ids > 0, THINGS_AT, BACKDROP_AT)).float(), near, far
        disparity = np.stack([self._network.disparity(frame) for frame in frames])
        return depth_from_disparity(torch.from_numpy(disparity), near, far), near, far


def first_depth(clip: Clip, depth: ClipDepth) -> Tensor:
    """``(H, W)`` of a clip's first frame: exact where it is known."""
    if (exact := _exact(clip)) is not None:
        return exact[0][0]
    ids = np.zeros(clip.frames.shape[:3], np.uint8) if clip.ids is None else clip.ids
    return depth(clip.frames[:1], ids[:1])[0][0]


class PreparedControl(ClipControl):
    """An annotated clip whose points were followed before, and whose regions may be circles.

    Args:
        clip: the clip.
        tracks: the points that its video is compared with.
        regions: boxes that stand for its masks; None for the masks' own.
    """

    def __init__(self, clip: AnnotatedClip, tracks: Tracks, regions: Boxes | None = None) -> None:
        super().__init__(clip)
        self._tracks, self._regions = tracks, regions

    def tracks(self, per_instance: int = 8, anchors: int = 16) -> Tracks:
        """The first ones of each instance, and of the background."""
        given = self._tracks
        most = {0: anchors}
        kept = [
            at
            for item in given.instance.unique().tolist()
            for at in torch.nonzero(given.instance == item)[: most.get(item, per_instance), 0]
        ]
        at = torch.tensor(sorted(int(one) for one in kept), dtype=torch.int64)
        return Tracks(
            xy=given.xy[:, at],
            depth=given.depth[:, at],
            visible=given.visible[:, at],
            instance=given.instance[at],
        )

    def boxes(self) -> Boxes:
        """The regions, or around the masks."""
        return super().boxes() if self._regions is None else self._regions


def control_of(clip: Clip, depth: ClipDepth, *, regions: bool = False) -> Control:
    """What engines are told of a clip: the things of its first frame that have points.

    Args:
        clip: the clip.
        depth: of its frames.
        regions: whether boxes are DragAnything's: squares with the side of a circle's diameter
            around each thing's first track.

    Raises:
        ShotError: it has no masks, or nothing in the first frame can be followed.
    """
    if clip.ids is None:
        raise ShotError(
            "evaluation_sets",
            f"{clip.name} has no masks, and engines are told by masks.",
            "Give videos of it with --videos, or prepare a dataset with masks.",
        )
    first = set(np.unique(clip.ids[0]).tolist())
    items = [int(item) for item in np.unique(clip.instances) if item and int(item) in first]
    if not items:
        raise ShotError(
            "evaluation_sets",
            f"{clip.name}: nothing in its first frame has a point to follow.",
            "It is left out.",
        )
    table = np.zeros(256, np.int32)
    table[items] = np.arange(1, len(items) + 1)
    ids = table[clip.ids]
    z, near, far = _exact(clip) or depth(clip.frames, ids)
    annotated = AnnotatedClip(
        frames=torch.from_numpy(np.ascontiguousarray(clip.frames)).movedim(-1, 1).float() / 255,
        instance=torch.from_numpy(ids),
        depth=z,
        near=near,
        far=far,
        moving=len(items),
    )
    kept = np.isin(clip.instances, [0, *items])
    tracks = _tracks(clip, kept, table, z)
    return PreparedControl(annotated, tracks, region_boxes(ids[0], tracks) if regions else None)


def region_boxes(ids: Array, tracks: Tracks) -> Boxes:
    """A square around each thing's first track, as wide as the largest circle in its first mask.

    Source: Wu et al. 2024, "DragAnything", section 3.2 (the circle), whose diameter SG-I2V takes as
    the side of its boxes.

    Args:
        ids: ``(H, W)`` of the first frame; things are 1..N.
        tracks: in every frame.
    """
    height, width = ids.shape
    items = range(1, int(ids.max()) + 1)
    frames = len(tracks.xy)
    boxes, visible = torch.zeros(len(items), frames, 4), torch.zeros(len(items), frames).bool()
    size = torch.tensor([width, height, width, height], dtype=torch.float32)
    for row, item in enumerate(items):
        at = torch.nonzero(tracks.instance == item)[:1, 0]
        if not len(at):
            continue
        mask = np.pad((ids == item).astype(np.uint8), 1)
        radius = float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max())
        centre = tracks.xy[:, at[0]]
        box = torch.cat([centre - radius, centre + radius], 1)
        box = torch.minimum(box.clamp(min=0), size)
        boxes[row] = torch.where((box[:, 2:] > box[:, :2]).all(1, keepdim=True), box, 0.0)
        visible[row] = tracks.visible[:, at[0]]
    return Boxes(xyxy=boxes, visible=visible, instance=torch.arange(1, len(items) + 1))


def _exact(clip: Any) -> tuple[Tensor, float, float] | None:
    """The dataset's own depth, where it is exact."""
    if getattr(clip, "depth", None) is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(clip.depth)).float(), clip.near, clip.far


def _tracks(clip: Clip, kept: Array, table: Array, depth: Tensor) -> Tracks:
    xy = torch.from_numpy(np.ascontiguousarray(clip.tracks[:, kept])).float()
    frames, height, width = depth.shape
    column, row = xy.nan_to_num(0.0).floor().long().unbind(-1)
    frame = torch.arange(frames)[:, None].expand_as(row)
    return Tracks(
        xy=xy,
        depth=depth[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)],
        visible=torch.from_numpy(np.ascontiguousarray(clip.visible[:, kept])).bool(),
        instance=torch.from_numpy(table[np.asarray(clip.instances)[kept]]),
    )
