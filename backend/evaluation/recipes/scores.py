"""Videos against the clips that they were made of, one number a clip and metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from backend.evaluation.features import Extractor, clip_distance
from backend.evaluation.flow import Flow, video_flow
from backend.evaluation.intervals import Interval, bootstrap_frechet, bootstrap_interval
from backend.evaluation.lpips import LPIPS
from backend.evaluation.metrics import (
    camera_motion_error,
    endpoint_error,
    motion_diff,
    psnr,
    ssim,
    trajectory_error,
)
from backend.evaluation.recipes.controls import Clip
from backend.evaluation.recipes.workers import ClipSet
from backend.evaluation.trackers import Tracker
from backend.evaluation.video_folders import read_clip
from protocol.errors import ShotError

NAN = float("nan")
TRACKED = ("ObjMC", "CamMC")
MOST_KEPT = 1 << 28
"""Numbers of features that are kept, 1 GB."""
RESAMPLES, LEAST_RESAMPLES = 1000, 20
INTERVAL_WORK = RESAMPLES * 256**3
"""A resample's work grows with the third power of its smaller side: beyond this, they are fewer."""
OF_FLOW = ("EPE", "Motion-Diff")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScores:
    """Numbers of a folder of videos.

    Attributes:
        values: by metric.
        per_clip: by clip and metric.
        clips: that were scored.
        notes: on the numbers.
    """

    values: Mapping[str, Interval]
    per_clip: Mapping[str, Mapping[str, float]]
    clips: int
    notes: tuple[str, ...] = ()


class KeptFeatures:
    """An extractor whose features are kept for the interval, while they are few enough.

    Args:
        extractor: of the features; real ones are asked for before generated ones.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.name, self.source = extractor.name, extractor.source
        self.kind: Literal["frames", "clips"] = extractor.kind
        self.least = extractor.least
        self._extractor = extractor
        self._rows: list[Tensor] = []
        self._count = 0

    def __call__(self, pictures: Tensor) -> Tensor:
        """As the extractor's own."""
        found = self._extractor(pictures)
        self._count += found.numel()
        if self._count <= MOST_KEPT:
            self._rows.append(found.detach().cpu().float())
        else:
            self._rows.clear()
        return found

    def interval(self, value: float, clips: int) -> tuple[Interval, list[str]]:
        """The distance with its interval over clips, and what is to be said of it.

        Args:
            value: the distance.
            clips: of each set.
        """
        if not self._rows:
            return Interval(value, NAN, NAN, clips, 0), ["too many features for an interval."]
        rows = torch.cat(self._rows)
        half = rows.reshape(2, clips, -1, rows.shape[1]).double().numpy()
        side = min(half[0, :, :, 0].size, rows.shape[1])
        resamples = int(np.clip(INTERVAL_WORK / side**3, LEAST_RESAMPLES, RESAMPLES))
        found = bootstrap_frechet(half[0], half[1], resamples=resamples)
        said = [] if resamples == RESAMPLES else [f"the interval is of {resamples} resamples."]
        return found._replace(mean=value), said


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
) -> FolderScores:
    """Score videos by the names of their clips.

    Args:
        videos: by clip.
        clips: what they should show.
        metrics: FID and FVD only where their network is given.
        tracker: of points.
        flow: of pixels.
        inception: of FID.
        i3d: of FVD.
        lpips: of LPIPS.

    Raises:
        ShotError: a video has another number of frames than its clip, or they are too few.
    """
    per_clip: dict[str, dict[str, float]] = {}
    single = [metric for metric in metrics if metric not in ("FID", "FVD")]
    for name, path in videos.items() if single else ():
        per_clip[name] = _clip_scores(path, clips.clip(name), single, tracker, flow, lpips)
    names = dict.fromkeys(metric for own in per_clip.values() for metric in own)
    values = {
        metric: bootstrap_interval([own[metric] for own in per_clip.values()]) for metric in names
    }
    notes: list[str] = []
    for metric, extractor in (("FID", inception), ("FVD", i3d)):
        if metric not in metrics or extractor is None:
            continue
        kept = KeptFeatures(extractor)
        real = (real_frames(clips.clip(name)) for name in videos)
        found = clip_distance(kept, real, _made(videos, clips))
        values[metric], said = kept.interval(found.value, len(videos))
        notes += [f"{metric}: {note}" for note in (*found.notes, *said)]
    return FolderScores(values=values, per_clip=per_clip, clips=len(videos), notes=tuple(notes))


def real_frames(clip: Clip) -> Tensor:
    """``(F, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.array(clip.frames)).movedim(-1, 1).float() / 255


def _made(videos: Mapping[str, Path], clips: ClipSet) -> Iterator[Tensor]:
    for name, path in videos.items():
        height, width = clips.clip(name).frames.shape[1:3]
        yield read_clip(path, (height, width))


def _clip_scores(
    path: Path,
    clip: Clip,
    metrics: Sequence[str],
    tracker: Tracker,
    flow: Flow,
    lpips: LPIPS | None,
) -> dict[str, float]:
    count, height, width = clip.frames.shape[:3]
    made = read_clip(path, (height, width))
    if len(made) != count:
        raise ShotError(
            "evaluation_sets",
            f"{path} has {len(made)} frames, the clip '{clip.name}' has {count}.",
            "Make it of the clip's length.",
        )
    found: dict[str, float] = {}
    if not set(metrics).isdisjoint(TRACKED):
        begin = torch.from_numpy(np.array(clip.tracks[0], np.float32))
        xy = tracker(made, begin).xy
        own = np.asarray(clip.instances) > 0
        parts = (xy[:, torch.from_numpy(own)], clip.tracks[:, own], clip.visible[:, own])
        size = (height, width)
        if "ObjMC" in metrics:
            found["ObjMC"] = trajectory_error(*parts, size=size)
            found["ObjMC, published"] = trajectory_error(*parts, published=True)
            found["ObjMC, % of diagonal"] = 100 * found["ObjMC"] / math.hypot(*size)
        if "CamMC" in metrics:
            found["CamMC"] = camera_motion_error(
                xy, clip.tracks, clip.visible, clip.instances, size=size
            )
    real = real_frames(clip)
    if "SSIM" in metrics:
        found["SSIM"] = ssim(made, real)
    if "PSNR" in metrics:
        value = psnr(made, real)
        found["PSNR"] = value if np.isfinite(value) else NAN
    if "LPIPS" in metrics and lpips is not None:
        found["LPIPS"] = lpips(made, real)
    if not set(metrics).isdisjoint(OF_FLOW):
        flows = video_flow(flow, made), video_flow(flow, real)
        found["EPE"], found["Motion-Diff"] = endpoint_error(*flows), motion_diff(*flows)
    return found
