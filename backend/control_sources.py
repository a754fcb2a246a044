"""The two implementations of ``contracts.Control``: of a shot, and of an annotated clip.

Inference uses the first, training and evaluation use the second. Engines see the same interface, so
that a signal means the same in training and in inference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from backend.compose.draft import shot_draft
from backend.contracts import AnnotatedClip, Boxes, Draft, MaskSequence, Shot, Tracks
from backend.control.boxes import mask_boxes, shot_boxes
from backend.control.tracks import shot_tracks
from backend.geometry.clip_motion import check_clip, shot_from_clip
from backend.geometry.fit import Fit, render_fitted

OnFrame = Callable[[int, int], None]
"""Called with (done, total) after every frame whose masks are rendered."""


def _ignore_progress(done: int, total: int) -> None:
    """The default for ``on_frame``."""


class ShotControl:
    """The control of a shot: its points are moved and splatted.

    Args:
        shot: the shot.
        on_frame: progress of the masks; may raise ``Cancelled``.
    """

    def __init__(self, shot: Shot, on_frame: OnFrame = _ignore_progress) -> None:
        self._shot = shot
        self._on_frame = on_frame
        self._masks: dict[Fit | None, MaskSequence] = {}

    @property
    def image(self) -> Tensor:
        """The photo."""
        return self._shot.lift.image

    @property
    def num_frames(self) -> int:
        """Frames of the shot's motion."""
        return self._shot.motion.num_frames

    @property
    def anchors(self) -> bool:
        """The shot's setting."""
        return self._shot.anchors

    def masks(self, fit: Fit | None = None) -> MaskSequence:
        """Splatted from the moved points, once per fit."""
        if fit not in self._masks:
            self._masks[fit] = shot_masks(self._shot, fit, self._on_frame)
        return self._masks[fit]

    def tracks(self, per_instance: int = 8, anchors: int = 16) -> Tracks:
        """Points of the cloud; visible by a depth test against the masks."""
        return shot_tracks(self._shot, self.masks(), per_instance, anchors)

    def boxes(self) -> Boxes:
        """Around all points of an instance, occluded ones included."""
        return shot_boxes(self._shot, self.masks())

    def draft(self, fit: Fit | None = None, softness: float = 1.0) -> Draft:
        """Composited from the photo's plate and layers."""
        return shot_draft(self._shot, fit, softness)


class ClipControl:
    """The control of an annotated clip: its masks and depth as they are.

    Tracks and draft need motion, which ``geometry.clip_motion`` estimates from masks and depth.

    Args:
        clip: the clip.
        anchors: whether static objects give control points too.

    Raises:
        ValueError: the clip's parts do not fit together.
    """

    def __init__(self, clip: AnnotatedClip, anchors: bool = True) -> None:
        check_clip(clip)
        self._clip = clip
        self.anchors = anchors

    @cached_property
    def _shot(self) -> Shot:
        return shot_from_clip(self._clip)

    @property
    def image(self) -> Tensor:
        """The first frame."""
        return self._clip.frames[0]

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self._clip.frames)

    def masks(self, fit: Fit | None = None) -> MaskSequence:
        """The annotation, resampled by nearest neighbour if a fit is given."""
        clip = self._clip
        instance, depth = clip.instance, clip.depth
        if fit is not None:
            instance, depth = fit.nearest(instance, -1), fit.nearest(depth, float("inf"))
        return MaskSequence(
            instance=instance,
            depth=depth,
            moving=clip.moving,
            static=clip.static,
            near=clip.near,
            far=clip.far,
        )

    def tracks(self, per_instance: int = 8, anchors: int = 16) -> Tracks:
        """Points of the first frame; visible where the annotation has their object."""
        masks = self.masks()
        tracks = shot_tracks(self._shot, masks, per_instance, anchors)
        height, width = masks.instance.shape[1:]
        column, row = tracks.xy.floor().long().unbind(-1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        frame = torch.arange(len(row), device=row.device)[:, None].expand_as(row)
        found = masks.instance[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)]
        chosen = torch.isin(found, found.new_tensor([*range(1, masks.moving + 1), *masks.static]))
        own = torch.where(chosen, found, 0) == tracks.instance
        return replace(tracks, visible=inside & own)

    def boxes(self) -> Boxes:
        """Around the mask of each object."""
        return mask_boxes(self.masks())

    def draft(self, fit: Fit | None = None, softness: float = 1.0) -> Draft:
        """The first frame's pixels, moved by the estimated motion."""
        return shot_draft(self._shot, fit, softness)


def shot_masks(
    shot: Shot, fit: Fit | None = None, on_frame: OnFrame = _ignore_progress
) -> MaskSequence:
    """Splat a shot: ids and depth of every frame, in the photo's pixels or those of ``fit``."""
    total, size = shot.motion.num_frames, fit.frame if fit else shot.lift.depth.shape
    masks = MaskSequence(
        instance=shot.instance.new_empty(total, *size),
        depth=shot.lift.depth.new_empty(total, *size),
        moving=shot.motion.moved_from_rest.shape[1],
        static=shot.static,
        near=shot.lift.near,
        far=shot.lift.far,
    )
    for index, (ids, depth) in enumerate(render_fitted(shot, fit)):
        masks.instance[index], masks.depth[index] = ids, depth
        on_frame(index + 1, total)
    return masks
