"""Clips of a video: which frames, and which part of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from backend.datasets.base import Dataset, LabelledClip
from protocol.errors import ShotError

Array = npt.NDArray[Any]


def windows(total: int, length: int = 16, step: int | None = None) -> tuple[int, ...]:
    """First frames of the clips of ``length`` consecutive frames that a video gives.

    Args:
        total: annotated frames of the video.
        length: frames of a clip.
        step: from one clip's first frame to the next one's; ``length`` where it is None, so that no
            frame is in two clips.
    """
    return tuple(range(0, total - length + 1, step or length))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlace:
    """A clip of a dataset: its video and its first annotated frame."""

    video: str
    start: int


def clips_of(
    dataset: Dataset, span: int, step: int | None = None
) -> tuple[list[ClipPlace], list[str]]:
    """All clips of a dataset in their order, and why videos give none, a sentence each.

    Args:
        dataset: whose.
        span: annotated frames from a clip's first to its last, both included.
        step: from one clip's first frame to the next one's, as :func:`windows` has it.
    """
    places, problems = list[ClipPlace](), list(dataset.problems)
    for video in dataset.videos:
        try:
            total = dataset.num_frames(video)
        except ShotError as error:
            problems.append(str(error))
            continue
        starts = windows(total, span, step)
        if not starts:
            problems.append(f"{video}: it has {total} annotated frames, a clip needs {span}.")
        places += [ClipPlace(video=video, start=start) for start in starts]
    return places, problems


def crop_to(clip: LabelledClip, height: int, width: int) -> LabelledClip:
    """The middle of a clip in the proportions of ``height`` x ``width``, scaled to that size.

    Pictures are averaged over what a pixel covers, or blended where they grow; ids and depth take
    the nearest pixel. (LeviTor, section 4: centre crop and resize to 288 x 512.)
    """
    rows, columns = _middle(clip.ids.shape[1:], height, width)
    shrinks = (rows.stop - rows.start) >= height
    smooth = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (width, height)

    def scaled(values: Array, how: int) -> Array:
        return np.stack([cv2.resize(one[rows, columns], size, interpolation=how) for one in values])

    return replace(
        clip,
        frames=scaled(clip.frames, smooth),
        ids=scaled(clip.ids, cv2.INTER_NEAREST_EXACT),
        depth=None if clip.depth is None else scaled(clip.depth, cv2.INTER_NEAREST_EXACT),
    )


def without_small(clip: LabelledClip, share: float = 0.001) -> LabelledClip:
    """The clip without objects that never cover more than ``share`` of a frame; ids close up."""
    limit = share * clip.ids[0].size
    largest = instance_areas(clip).max(0)
    return only(clip, [number for number, area in enumerate(largest, 1) if area > limit])


def only(clip: LabelledClip, kept: Sequence[int]) -> LabelledClip:
    """The clip with these ids alone, numbered anew in their order."""
    table = np.zeros(len(clip.names) + 1, np.int32)
    table[list(kept)] = np.arange(1, len(kept) + 1)
    return replace(clip, ids=table[clip.ids], names=tuple(clip.names[i - 1] for i in kept))


def instance_areas(clip: LabelledClip) -> Array:
    """Pixels of each object in each frame, int64 ``(F, N)``."""
    objects = len(clip.names)
    return np.stack([np.bincount(one.ravel(), minlength=objects + 1)[1:] for one in clip.ids])


def _middle(size: Sequence[int], height: int, width: int) -> tuple[slice, slice]:
    own_height, own_width = size
    if own_width * height > own_height * width:  # wider than asked for
        kept = max(1, round(own_height * width / height))
        left = (own_width - kept) // 2
        return slice(0, own_height), slice(left, left + kept)
    kept = max(1, round(own_width * height / width))
    top = (own_height - kept) // 2
    return slice(top, top + kept), slice(0, own_width)
