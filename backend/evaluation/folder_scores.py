"""Videos against the clips that they were made of: the numbers of a folder, with intervals.

The one way in which folders are scored: `evaluate videos` and the papers' tables both use it.

What is bootstrapped: clips. A resample draws as many clips as there are, with replacement; a metric
of clips is averaged over them (ObjMC and CamMC over all their points and frames, as published), FID
and FVD are computed anew of their features, a real clip together with the one made of it.

Box centres and turns need things' masks or poses in the made video: `recipes/turns.py` has them for
clips that were rendered in Blender.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.evaluation.clip_sets import Clip, ClipSet
from backend.evaluation.distances import ClipDistance
from backend.evaluation.features import Extractor
from backend.evaluation.flow import Flow, video_flow
from backend.evaluation.intervals import Interval, bootstrap_interval
from backend.evaluation.lpips import LPIPS
from backend.evaluation.metrics import (
    camera_motion_error,
    counted_points,
    endpoint_error,
    motion_diff,
    psnr,
    ssim,
    trajectory_error,
)
from backend.evaluation.trackers import Tracker
from backend.evaluation.video_folders import VideoFormat, read_video
from protocol.errors import ShotError

NAN = float("nan")
DISTANCES = ("FID", "FVD")
"""Metrics of sets; all others have a number for each clip."""
TRACKED = ("ObjMC", "CamMC")
OF_FLOW = ("EPE", "Motion-Diff")
PUBLISHED, SHARE = "ObjMC, published", "ObjMC, % of diagonal"
COUNTED = " points"
"""Behind a metric's name: of how many points and frames a clip's number is the mean."""
OnClip = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScores:
    """Numbers of a folder of videos.

    Attributes:
        values: by metric.
        per_clip: by clip and metric; of ObjMC and CamMC also of how many points.
        clips: that were scored.
        notes: on the numbers.
        extractors: of FID and FVD, with their weights and how many frames or clips they saw.
        speed: clips a second by what was done; FID's and FVD's with their intervals.
    """

    values: Mapping[str, Interval]
    per_clip: Mapping[str, Mapping[str, float]]
    clips: int
    notes: tuple[str, ...] = ()
    extractors: Mapping[str, str] = field(default_factory=dict[str, str])
    speed: Mapping[str, float] = field(default_factory=dict[str, float])


def score_folder(
    videos: Mapping[str, Path],
    clips: ClipSet,
    metrics: Sequence[str],
    *,
    tracker: Tracker,
    flow: Flow,
    inception: Extractor | None = None,
    i3d: Extractor | None = None,
    lpips: LPIPS | None = None,
    resize: bool = True,
    on_clip: OnClip = lambda *step: None,
) -> FolderScores:
    """Score videos by the names of their clips; each is read once, and one at a time.

    Args:
        videos: by clip.
        clips: what they should show.
        metrics: FID, FVD and LPIPS only where their network is given.
        tracker: of points.
        flow: of pixels.
        inception: of FID.
        i3d: of FVD.
        lpips: of LPIPS.
        resize: videos of another size to that of their clip; else they are refused.
        on_clip: progress.

    Raises:
        ShotError: a video has another number of frames than its clip. Clips that FID or FVD do not
            take are a note.
    """
    per_clip: dict[str, dict[str, float]] = {}
    single = [metric for metric in metrics if metric not in DISTANCES]
    networks = {"FID": inception, "FVD": i3d}
    distances = {
        metric: ClipDistance(network)
        for metric, network in networks.items()
        if metric in metrics and network is not None
    }
    formats: list[VideoFormat] = []
    notes: list[str] = []
    watch = _Watch()
    for done, (name, path) in enumerate(videos.items(), 1):
        with watch("reading both"):
            clip = clips.clip(name)
            made, own = _read(path, clip, resize)
            real = real_frames(clip)
        formats.append(own)
        if single:
            per_clip[name] = _clip_scores(made, real, clip, single, tracker, flow, lpips, watch)
        for metric, distance in [*distances.items()]:
            try:
                with watch(metric):
                    distance.add(real, made)
            except ShotError as error:
                notes.append(f"{metric}: {error}")
                del distances[metric]
        on_clip("compare", done, len(videos))
    values = intervals_of(per_clip.values())
    extractors: dict[str, str] = {}
    for metric, distance in distances.items():
        try:
            with watch(metric):
                found = distance.distance()
        except ShotError as error:
            notes.append(f"{metric}: {error}")
            continue
        values[metric] = found.value
        extractors[metric] = f"{found.extractor}, {found.samples} {found.kind} of each set"
        notes += [f"{metric}: {note}" for note in found.notes]
    notes += [*_left_out(values), *_other_formats(formats, clips), *getattr(clips, "notes", ())]
    return FolderScores(
        values=values,
        per_clip=per_clip,
        clips=len(videos),
        notes=tuple(notes),
        extractors=extractors,
        speed={what: len(videos) / spent for what, spent in watch.spent.items() if spent > 0},
    )


def intervals_of(per_clip: Any) -> dict[str, Interval]:
    """Means over clips with their intervals; a clip without a number is left out and counted.

    Args:
        per_clip: the numbers of each clip by metric. Where a metric has a count of points, its mean
            is that of all points of all clips.
    """
    rows: list[Mapping[str, float]] = list(per_clip)
    names = dict.fromkeys(metric for row in rows for metric in row if not metric.endswith(COUNTED))
    found: dict[str, Interval] = {}
    for metric in names:
        of = {PUBLISHED: PUBLISHED, SHARE: "ObjMC"}.get(metric, metric) + COUNTED
        weights = [row.get(of, 0.0) for row in rows] if any(of in row for row in rows) else None
        found[metric] = bootstrap_interval([row.get(metric, NAN) for row in rows], weights=weights)
    return found


def real_frames(clip: Clip) -> Tensor:
    """``(F, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.array(clip.frames)).movedim(-1, 1).float() / 255


def _read(path: Path, clip: Clip, resize: bool) -> tuple[Tensor, VideoFormat]:
    count, height, width = clip.frames.shape[:3]
    made, own = read_video(path, (height, width) if resize else None)
    if made.shape != (count, 3, height, width):
        raise ShotError(
            "evaluation_sets",
            f"{path} has {len(made)} frames of {made.shape[3]} x {made.shape[2]}, the clip "
            f"'{clip.name}' has {count} of {width} x {height}.",
            "Cut both to one length; --size resizes both.",
        )
    return made, own


def _clip_scores(
    made: Tensor,
    real: Tensor,
    clip: Clip,
    metrics: Sequence[str],
    tracker: Tracker,
    flow: Flow,
    lpips: LPIPS | None,
    watch: _Watch,
) -> dict[str, float]:
    found: dict[str, float] = {}
    if not set(metrics).isdisjoint(TRACKED):
        with watch("ObjMC, CamMC"):
            found |= _of_tracks(made, clip, metrics, tracker)
    if "SSIM" in metrics:
        with watch("SSIM"):
            found["SSIM"] = ssim(made, real)
    if "PSNR" in metrics:
        with watch("PSNR"):
            differ = (made != real).flatten(1).any(1)  # equal frames have no finite one
            found["PSNR"] = psnr(made[differ], real[differ])
    if "LPIPS" in metrics and lpips is not None:
        with watch("LPIPS"):
            found["LPIPS"] = lpips(made, real)
    if not set(metrics).isdisjoint(OF_FLOW):
        with watch("EPE, Motion-Diff"):
            flows = video_flow(flow, made), video_flow(flow, real)
            found["EPE"], found["Motion-Diff"] = endpoint_error(*flows), motion_diff(*flows)
    return found


def _of_tracks(
    made: Tensor, clip: Clip, metrics: Sequence[str], tracker: Tracker
) -> dict[str, float]:
    xy = tracker(made, torch.from_numpy(np.array(clip.tracks[0], np.float32))).xy
    size = (made.shape[2], made.shape[3])
    own = np.asarray(clip.instances) > 0
    target, visible = clip.tracks[:, own], clip.visible[:, own]
    found: dict[str, float] = {}
    if "ObjMC" in metrics:
        at = xy[:, torch.from_numpy(own)]
        found["ObjMC"] = trajectory_error(at, target, visible, size=size)
        found["ObjMC" + COUNTED] = float(counted_points(target, visible, size=size).sum())
        found[PUBLISHED] = trajectory_error(at, target, visible, published=True)
        found[PUBLISHED + COUNTED] = float(visible.size)
        found[SHARE] = 100 * found["ObjMC"] / math.hypot(*size)
    if "CamMC" in metrics:
        found["CamMC"] = camera_motion_error(
            xy, clip.tracks, clip.visible, clip.instances, size=size
        )
        ground = clip.tracks[:, ~own], clip.visible[:, ~own]
        found["CamMC" + COUNTED] = float(counted_points(*ground, size=size).sum())
    return found


def _left_out(values: Mapping[str, Interval]) -> Iterator[str]:
    for metric in TRACKED:
        if metric in values and (lost := values[metric].left_out):
            yield (
                f"{metric}: {lost} of {lost + values[metric].count} clips have no point that is "
                "seen after the first frame, and do not count."
            )


def _other_formats(formats: Sequence[VideoFormat], clips: ClipSet) -> Iterator[str]:
    """What was made alike to be compared, and need not have been alike."""
    size = getattr(clips.manifest, "height", 0), getattr(clips.manifest, "width", 0)
    total = len(formats)
    if all(size) and (other := [one.size for one in formats if one.size != size]):
        yield (
            f"{len(other)} of {total} videos were resized to {size[1]} x {size[0]}, the first of "
            f"them from {other[0][1]} x {other[0][0]}."
        )
    fps = getattr(clips.manifest, "fps", 0.0)
    rates = [one.fps for one in formats if one.fps and abs(one.fps - fps) > 0.01 * fps]
    if fps and rates:
        yield (
            f"{len(rates)} of {total} videos have another frame rate than their clips "
            f"({rates[0]:.4g} a second, not {fps:.4g}): frames were compared one by one."
        )


class _Watch:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent[what] += time.perf_counter() - began
