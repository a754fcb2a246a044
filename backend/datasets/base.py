"""What a dataset gives: annotated clips, as bytes on the disk hold them."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from backend.contracts import AnnotatedClip
from protocol.errors import ShotError
from protocol.rules import MAX_ID

Array = npt.NDArray[Any]
LEARNED_RATE = 6.0
"""Annotated frames a second of SA-V, on which LeviTor was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClip:
    """Consecutive annotated frames of a video, before anything is known of their depth.

    Attributes:
        frames: uint8 ``(F, H, W, 3)`` sRGB.
        ids: int32 ``(F, H, W)``; 0 is what nobody marked, objects are 1..N in the dataset's order.
        names: of the objects, in the order of their ids.
        depth: float32 ``(F, H, W)`` z in scene units, where it is exact; else None.
        near: z of disparity 255, where there is depth.
        far: z of disparity 0, likewise.
        notes: what was left out or guessed, a sentence each.
    """

    frames: Array
    ids: Array
    names: tuple[str, ...]
    depth: Array | None = None
    near: float = 0.0
    far: float = 0.0
    notes: tuple[str, ...] = ()

    def with_depth(self, depth: Array, near: float, far: float) -> LabelledClip:
        """The clip with the depth that a network found.

        Args:
            depth: float32 ``(F, H, W)``, z.
            near: z of disparity 255.
            far: z of disparity 0.
        """
        return replace(self, depth=depth, near=near, far=far)

    def annotated(self) -> AnnotatedClip:
        """The clip as a control is made of it; all objects count as moving.

        Raises:
            ValueError: its depth is not known.
        """
        if self.depth is None:
            raise ValueError("the depth of this clip is not known; call with_depth first")
        return AnnotatedClip(
            frames=torch.from_numpy(np.ascontiguousarray(self.frames)).movedim(-1, 1).float() / 255,
            instance=torch.from_numpy(np.ascontiguousarray(self.ids)),
            depth=torch.from_numpy(np.ascontiguousarray(self.depth)),
            near=self.near,
            far=self.far,
            moving=len(self.names),
            names=self.names,
        )


class Dataset(Protocol):
    """A folder of annotated videos in one of the formats that are known.

    Attributes:
        format: what it was recognised as.
    """

    format: str

    @property
    def videos(self) -> Sequence[str]:
        """Names of its videos, sorted."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What is broken, that was seen without decoding anything; a sentence each."""
        ...

    def num_frames(self, video: str) -> int:
        """Annotated frames of a video.

        Raises:
            ShotError: the video's files cannot be read.
        """
        ...

    def frame_rate(self, video: str) -> float | None:
        """Annotated frames a second of a video; None where the format does not say.

        Raises:
            ShotError: the video's files cannot be read.
        """
        ...

    def read(
        self, video: str, start: int = 0, count: int | None = None, every: int = 1
    ) -> LabelledClip:
        """``count`` annotated frames, or all to the end; decodes no others.

        Args:
            video: its name.
            start: index of the first annotated frame.
            count: of frames.
            every: annotated frames from one to the next.

        Raises:
            ShotError: files are missing or broken, or do not go together.
        """
        ...


def rate_note(dataset: Dataset, every: int = 1) -> str | None:
    """A sentence where another ``every`` is nearer to the frame rate that LeviTor learned at."""
    rates = list[float]()
    for video in dataset.videos:
        with contextlib.suppress(ShotError):  # it is listed as broken
            if rate := dataset.frame_rate(video):
                rates.append(rate)
    if not rates:
        return None
    near = max(1, round(statistics.median(rates) / LEARNED_RATE))
    if near == every:
        return None
    lowest, highest = f"{min(rates):.3g}", f"{max(rates):.3g}"
    rate = lowest if lowest == highest else f"{lowest} to {highest}"
    return (
        f"there are {rate} annotated frames a second, and LeviTor learned from {LEARNED_RATE:g} a "
        f"second: `levitor prepare` with --every {near} is near that."
    )


def broken(where: Path | str, what: str, fix: str) -> ShotError:
    """The error of a dataset's file."""
    return ShotError("dataset", f"{where}: {what}", fix)


def chosen(video: str, total: int, start: int, count: int | None, every: int = 1) -> range:
    """Which of a video's ``total`` annotated frames are asked for.

    Raises:
        ShotError: it does not have them.
    """
    stop = total if count is None else start + (count - 1) * every + 1
    if not 0 <= start < stop <= total:
        raise broken(
            video,
            f"it has {total} annotated frames; frames {start} to {stop - 1} were asked for.",
            "Ask for frames that it has.",
        )
    return range(start, stop, every)


def numbered(values: Array, known: Sequence[int] | None = None) -> tuple[Array, tuple[int, ...]]:
    """Ids 1..N for whatever numbers a dataset gives its objects, in ascending order.

    Args:
        values: whole numbers ``(F, H, W)``; 0 is no object.
        known: the numbers to look for, where they are fewer than all in ``values``.

    Returns:
        int32 ids, and the dataset's number of each. Where there are more than 255, the smallest
        objects are left out, and become 0.
    """
    found, areas = np.unique(values, return_counts=True)
    keep = found != 0
    if known is not None:
        keep &= np.isin(found, np.asarray(known))
    found, areas = found[keep], areas[keep]
    if len(found) > MAX_ID:
        largest = np.sort(np.argsort(-areas, kind="stable")[:MAX_ID])
        found = found[largest]
    ids = np.zeros(values.shape, np.int32)
    if len(found):
        at = np.searchsorted(found, values).clip(max=len(found) - 1)
        ids = np.where(found[at] == values, at + 1, 0).astype(np.int32)
    return ids, tuple(int(number) for number in found)


def overlaid(
    frames: Array, masks: Sequence[Array], names: Sequence[str], below: Sequence[bool]
) -> LabelledClip:
    """A clip of masks that may overlap: ``below`` first, then by area, largest first.

    Args:
        frames: uint8 ``(F, H, W, 3)``.
        masks: bool ``(F, H, W)`` of each object.
        names: of the objects.
        below: which objects lie under all others.

    Returns:
        The clip; of more than 255 objects, the smallest are left out, and a note says so.
    """
    areas = [int(mask.sum()) for mask in masks]
    notes: tuple[str, ...] = ()
    kept = range(len(masks))
    if len(masks) > MAX_ID:
        kept = sorted(sorted(kept, key=lambda index: -areas[index])[:MAX_ID])
        notes = (f"{len(masks) - MAX_ID} of {len(masks)} objects were left out, the smallest.",)
    ids = np.zeros(frames.shape[:3], np.int32)
    number = {index: place for place, index in enumerate(kept, 1)}
    for index in sorted(kept, key=lambda index: (not below[index], -areas[index])):
        ids[masks[index]] = number[index]
    return LabelledClip(
        frames=frames, ids=ids, names=tuple(names[index] for index in kept), notes=notes
    )
