"""Prepares a dataset's clips for tables: points in the first frame's masks, followed, once."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from backend.contracts import MaskSequence
from backend.control.levitor import points_from_masks
from backend.datasets.base import Dataset
from backend.datasets.clips import ClipPlace, clips_of
from backend.datasets.recognise import open_dataset
from backend.evaluation.prepared_clips import (
    MANIFEST,
    REPORT,
    Manifest,
    clip_path,
    looks_of,
    manifest_values,
    masks_hash,
    prepared_names,
    read_labelled,
)
from backend.evaluation.same_settings import check_same
from backend.evaluation.trackers import Tracker
from backend.files.atomic import write_atomically
from protocol.errors import ShotError

Array = npt.NDArray[Any]
OnClip = Callable[[str, int, int], None]
SINGLE, MULTI, CIRCLE = "single", "multi", "circle"
RULES = {
    SINGLE: "the mean of each mask of the first frame",
    MULTI: "K-means of each mask of the first frame, at most 8 by its area, at least 3",
    CIRCLE: "the centre of the largest circle in each mask of the first frame (DragAnything)",
}
SINGLE_RATIO = 0.1
"""Of at most eight points, one."""
AGAIN = "It is left out."
BACKGROUND = 16
"""Points on the background, in a grid, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedOptions:
    """Which clips, and which points.

    Attributes:
        split: of the dataset.
        frames: of a clip.
        every: annotated frames from one frame of a clip to the next.
        step: from one clip's first annotated frame to the next one's; None for a clip's length.
        height: pixels.
        width: pixels.
        smallest: objects that never cover more than this share of a frame are left out.
        points: one of :data:`RULES`.
        limit: only so many clips.
    """

    split: str = ""
    frames: int = 16
    every: int = 1
    step: int | None = None
    height: int = 288
    width: int = 512
    smallest: float = 0.001
    points: str = MULTI
    limit: int | None = None

    @property
    def span(self) -> int:
        """Annotated frames from a clip's first to its last."""
        return (self.frames - 1) * self.every + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedReport:
    """What was done.

    Attributes:
        clips: that are there now.
        made: of them, now.
        problems: why videos or clips are missing, a sentence each.
    """

    clips: int
    made: int
    problems: tuple[str, ...]


def prepare_clips(
    source: Path,
    out: Path,
    options: PreparedOptions,
    tracker: Tracker,
    on_clip: OnClip = lambda *step: None,
) -> PreparedReport:
    """Prepare what is missing; a clip that cannot be is listed, and tried again the next time.

    Args:
        source: the dataset's folder.
        out: folder of the clips; made where it is not there.
        options: which clips.
        tracker: follows the points.
        on_clip: progress.

    Raises:
        ShotError: nothing is recognised, there is no clip of that length, or ``out`` was prepared
            otherwise.
    """
    dataset = open_dataset(source, options.split)
    places, problems = clips_of(dataset, options.span, options.step)
    places = places[: options.limit]
    if not places:
        raise ShotError(
            "dataset",
            f"{source} gives no clip of {options.frames} frames"
            + (f": {problems[0]}" if problems else "."),
            "levitor data check PATH says more; fewer --frames or a smaller --every make shorter "
            "clips.",
        )
    manifest = Manifest(
        dataset=dataset.format,
        source=str(source.resolve()),
        split=options.split,
        frames=options.frames,
        every=options.every,
        step=options.step or options.span,
        height=options.height,
        width=options.width,
        fps=(dataset.frame_rate(places[0].video) or 0.0) / options.every,
        smallest=options.smallest,
        points=options.points,
        rule=RULES[options.points],
        tracker=f"{tracker.name} ({tracker.source})" if tracker.source else tracker.name,
    )
    check_same(out / MANIFEST, manifest_values(manifest), f"{out} was prepared otherwise")
    there, made = set(prepared_names(out)), 0
    for done, place in enumerate(places, 1):
        name = f"{place.video.removesuffix('.shot')}_{place.start:05}"
        if name not in there:
            try:
                content = _points(dataset, manifest, options, place, tracker)
            except (ShotError, ValueError) as error:
                problems.append(f"{name}: {error}")
            else:
                write_atomically(clip_path(out, name), content)
                made += 1
        on_clip("tracking", done, len(places))
    count = len(prepared_names(out))
    said = {"wanted": len(places), "clips": count, "left_out": problems}
    write_atomically(out / REPORT, json.dumps(said, indent=1).encode())
    return PreparedReport(clips=count, made=made, problems=tuple(problems))


def _points(
    dataset: Dataset,
    manifest: Manifest,
    options: PreparedOptions,
    place: ClipPlace,
    tracker: Tracker,
) -> bytes:
    clip = read_labelled(dataset, manifest, place.video, place.start)
    begin, instances = first_points(clip.ids[0], options.points)
    frames = torch.from_numpy(np.ascontiguousarray(clip.frames)).movedim(-1, 1).float() / 255
    found = tracker(frames, torch.from_numpy(begin))
    xy = found.xy.float().numpy()
    inside = ((xy >= 0) & (xy < [manifest.width, manifest.height])).all(-1)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tracks=xy,
        visible=found.visible.numpy() & inside,
        instances=instances,
        looks=looks_of(clip.frames),
        masks=np.array(masks_hash(clip.ids)),
        video=np.array(place.video),
        start=np.array(place.start),
    )
    return buffer.getvalue()


def first_points(ids: Array, points: str) -> tuple[Array, Array]:
    """Where tracks begin: float32 ``(N, 2)`` pixels, things first, and what each is on ``(N,)``.

    Args:
        ids: ``(H, W)`` of the first frame; 0 is the background.
        points: one of :data:`RULES`.

    Raises:
        ShotError: there is no thing in it that a point fits on.
    """
    items = [int(item) for item in np.unique(ids) if item]
    if not items:
        raise ShotError("clip", "no thing is in its first frame.", AGAIN)
    places: list[tuple[float, float]] = []
    owner: list[int] = []
    if points == CIRCLE:
        for item in items:
            inside = cv2.distanceTransform(
                np.pad((ids == item).astype(np.uint8), 1), cv2.DIST_L2, 5
            )
            row, column = np.unravel_index(int(inside.argmax()), inside.shape)
            places.append((column - 0.5, row - 0.5))  # less the rim, plus half a pixel
            owner.append(item)
    else:
        compact = np.searchsorted(items, ids) + 1
        compact[ids == 0] = 0
        masks = torch.from_numpy(np.stack([compact, compact]).astype(np.int32))
        ratio = 1.0 if points == MULTI else SINGLE_RATIO
        depth = torch.ones(masks.shape)
        sequence = MaskSequence(instance=masks, depth=depth, moving=len(items), near=0.5, far=2.0)
        for row, column, item, _ in points_from_masks(sequence, len(items), 0.5, 2.0, ratio)[0]:
            near_row, near_column = _nearest(ids == items[item - 1], row, column)
            places.append((near_column + 0.5, near_row + 0.5))
            owner.append(items[item - 1])
    if not places:
        raise ShotError("clip", "all things of its first frame are too small for a point.", AGAIN)
    grid = _background(ids)
    begin = np.array([*places, *grid], np.float32).reshape(-1, 2)
    return begin, np.array([*owner, *(0 for _ in grid)], np.int64)


def _nearest(mask: Array, row: int, column: int) -> tuple[int, int]:
    """The mask's pixel that is nearest to one that may lie in a hole of it."""
    if mask[row, column]:
        return row, column
    rows, columns = np.nonzero(mask)
    at = int(((rows - row) ** 2 + (columns - column) ** 2).argmin())
    return int(rows[at]), int(columns[at])


def _background(ids: Array) -> list[tuple[float, float]]:
    height, width = ids.shape
    side = round(BACKGROUND**0.5)
    rows = ((np.arange(side) + 0.5) * height / side).astype(int)
    columns = ((np.arange(side) + 0.5) * width / side).astype(int)
    return [
        (column + 0.5, row + 0.5) for row in rows for column in columns if ids[row, column] == 0
    ]
