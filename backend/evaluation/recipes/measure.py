"""Videos of a row against the clips that they were made of: the numbers of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from backend.evaluation.clip_sets import ClipSet
from backend.evaluation.distances import Distance, ReferenceSet
from backend.evaluation.features import Extractor
from backend.evaluation.flow import Flow
from backend.evaluation.folder_scores import (
    DISTANCES,
    OF_FLOW,
    PUBLISHED,
    SHARE,
    TRACKED,
    FolderScores,
    intervals_of,
    score_folder,
)
from backend.evaluation.intervals import Interval
from backend.evaluation.lpips import LPIPS
from backend.evaluation.published import Recipe
from backend.evaluation.recipes.controls import ClipDepth, first_depth
from backend.evaluation.recipes.plan import Row
from backend.evaluation.recipes.request import PROTOCOL, Request
from backend.evaluation.recipes.score_cache import ScoreCache
from backend.evaluation.recipes.turns import BOX_CENTRE, YAW, box_and_yaw
from backend.evaluation.recipes.videos import folder_name
from backend.evaluation.recipes.workers import OnClip
from backend.evaluation.trackers import Tracker
from backend.evaluation.video_folders import read_clip, videos_in
from protocol.errors import ShotError

NAN = float("nan")
ALSO = ("ObjMC", "CamMC", "SSIM", "PSNR", "LPIPS")
"""Measured whatever the table's columns are, where it can be."""
NO_REFERENCE = "FID and FVD compare with other videos here: name a folder of them with --reference."


@dataclass(slots=True, kw_only=True)
class Measures:
    """What measures: networks that were given, a tracker, a flow.

    Attributes:
        tracker: of points.
        flow: of pixels.
        depth: of first frames, for turns.
        inception: of FID; None where its weights were not given.
        i3d: of FVD, likewise.
        lpips: likewise.
        missing: what is missing for a metric, in a sentence.
    """

    tracker: Tracker
    flow: Flow
    depth: ClipDepth
    inception: Extractor | None = None
    i3d: Extractor | None = None
    lpips: LPIPS | None = None
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    _references: dict[tuple[str, tuple[int, ...]], ReferenceSet] = field(default_factory=dict)

    def notes(self, recipe: Recipe) -> list[str]:
        """On columns of a table that cannot be measured."""
        return [f"{name}: {self.missing[name]}" for name in recipe.metrics if name in self.missing]

    @property
    def proxies(self) -> set[str]:
        """Metrics whose tracker or flow no paper has used."""
        found: set[str] = set()
        if not self.tracker.comparable:
            found |= {*TRACKED, PUBLISHED, SHARE, BOX_CENTRE, YAW}
        return found if self.flow.comparable else found | {*OF_FLOW}

    def described(self) -> dict[str, str]:
        """Which networks, with checksums, by what they are for."""
        found: dict[str, Any] = {
            "FID": self.inception,
            "FVD": self.i3d,
            "LPIPS": self.lpips,
            "tracks": self.tracker,
            "flow": self.flow,
        }
        return {
            name: f"{one.name} ({one.source})" if one.source else one.name
            for name, one in found.items()
            if one is not None
        }

    def scores(
        self, videos: Mapping[str, Path], clips: ClipSet, metrics: Sequence[str]
    ) -> FolderScores:
        """Of videos by clip; metrics whose network is not there are left out.

        Raises:
            ShotError: a video does not go with its clip, or they are too few.
        """
        return score_folder(
            videos,
            clips,
            [metric for metric in metrics if metric not in self.missing],
            tracker=self.tracker,
            flow=self.flow,
            inception=self.inception,
            i3d=self.i3d,
            lpips=self.lpips,
        )

    def to_reference(
        self, metric: str, folder: Path, clips: Iterator[Tensor], shape: tuple[int, int, int]
    ) -> Distance:
        """FID or FVD of clips against a folder of other videos.

        Args:
            metric: which.
            folder: of the videos, whose features are computed once; they are cut to the clips'
                length and resized to their size.
            clips: ``(F, 3, H, W)`` each.
            shape: (F, H, W) of the clips.

        Raises:
            ShotError: the folder has no videos, or too few.
        """
        extractor = self.inception if metric == "FID" else self.i3d
        assert extractor is not None
        if (metric, shape) not in self._references:
            count, *size = shape
            real = (read_clip(path, (size[0], size[1])) for path in videos_in(folder).values())
            self._references[metric, shape] = ReferenceSet(
                extractor, (clip[:count] for clip in real)
            )
        return self._references[metric, shape].distance(clips)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScores:
    """The numbers of a row.

    Attributes:
        values: by metric.
        per_clip: by set, clip and metric.
        clips: that were scored.
        notes: on the numbers.
    """

    values: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    per_clip: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    clips: int = 0
    notes: tuple[str, ...] = ()


def score_row(
    request: Request,
    measures: Measures,
    row: Row,
    videos: Mapping[str, Mapping[str, Path]],
    left_out: dict[str, str],
    on_clip: OnClip,
) -> RowScores:
    """The numbers of a row's videos.

    Args:
        request: the table, and its sets of clips.
        measures: the networks.
        row: which one.
        videos: by set and clip; those that were not made are not among them.
        left_out: clips without a number, and why; a video that does not go with its clip is added.
        on_clip: progress.

    Raises:
        ShotError: no clip has a video that goes with it.
    """
    values: dict[str, Interval] = {}
    per_clip: dict[str, dict[str, Mapping[str, float]]] = {}
    notes: list[str] = []
    kept: dict[str, dict[str, Path]] = {}
    for part, own in videos.items():
        per_clip[part] = _clip_scores(request, measures, row, part, own, left_out, on_clip)
        kept[part] = {name: own[name] for name in per_clip[part]}
    if not any(kept.values()):
        why = next(reversed(left_out.values()), "none was made.")
        raise ShotError(
            "evaluation_sets",
            f"The row '{row.key[1]}' has no video that goes with a clip: {why}",
            "Videos have the names of the clips; see results.json.",
        )
    for part, own in kept.items():
        values |= intervals_of(per_clip[part].values())
        if own:
            found, said = _of_all(request, measures, part, own)
            values |= found
            notes += said
            on_clip(f"measure {row.key[1]}, all together", 1, 1)
    if request.recipe.reference:
        values |= _to_reference(request, measures, kept, notes)
    return RowScores(
        values=values,
        per_clip=per_clip,
        clips=sum(len(own) for own in kept.values()),
        notes=tuple(dict.fromkeys(notes)),
    )


def _clip_scores(
    request: Request,
    measures: Measures,
    row: Row,
    part: str,
    videos: Mapping[str, Path],
    left_out: dict[str, str],
    on_clip: OnClip,
) -> dict[str, Mapping[str, float]]:
    metrics = metrics_of(request.recipe, part)
    cache = _cache(request, measures, part)
    scores: dict[str, Mapping[str, float]] = {}
    for done, (clip, path) in enumerate(videos.items(), 1):
        of = cache.of(clip, path)
        found = cache.get(of)
        if found is None:
            try:
                given = measures.scores({clip: path}, request.sets[part], metrics)
                found = {**given.per_clip[clip]}
                if request.recipe.ours:
                    found |= _turns(request, measures, part, clip, path)
            except (ShotError, ValueError) as error:  # also a tracker's or flow's NaN
                left_out[clip_label(part, clip)] = str(error)
                continue
            cache.put(of, clip, found)
            on_clip(f"measure {row.key[1]}", done, len(videos))
        scores[clip] = found
    return scores


def _cache(request: Request, measures: Measures, part: str) -> ScoreCache:
    """Of all rows of a set: a video's numbers are known by its content, whatever its row is called.

    The set is the one that the folder began with (``run._check_folder``).
    """
    return ScoreCache(
        request.out / "scores" / f"{folder_name(part)}.jsonl",
        {
            "protocol": PROTOCOL,
            "metrics": [*metrics_of(request.recipe, part), *request.recipe.ours],
            "with": measures.described(),
            "depth": measures.depth.name,
            "set": part,
        },
    )


def _of_all(
    request: Request, measures: Measures, part: str, videos: Mapping[str, Path]
) -> tuple[dict[str, Interval], tuple[str, ...]]:
    """FID and FVD of a set's videos, and what is to be said of the videos."""
    cache = _cache(request, measures, part)
    of = cache.of_all(", ".join(DISTANCES), videos)
    if cache.get(of) is None:
        metrics = () if request.recipe.reference else DISTANCES
        found = measures.scores(videos, request.sets[part], metrics)
        numbers = {
            f"{metric} {name}": float(value)
            for metric, interval in found.values.items()
            for name, value in interval._asdict().items()
        }
        cache.put(of, ", ".join(DISTANCES), numbers, found.notes)
    known = cache.get(of) or {}
    values = {
        metric: Interval(
            known[f"{metric} mean"],
            known[f"{metric} low"],
            known[f"{metric} high"],
            int(known[f"{metric} count"]),
            int(known[f"{metric} left_out"]),
        )
        for metric in DISTANCES
        if f"{metric} mean" in known
    }
    return values, cache.notes(of)


def clip_label(part: str, clip: str) -> str:
    """``SET/CLIP``, or the clip where there is one set."""
    return f"{part}/{clip}" if part else clip


def metrics_of(recipe: Recipe, part: str) -> list[str]:
    """Metrics that are measured on a set: the table's, and what else has the same means."""
    if recipe.only:
        return [metric for metric, own in recipe.only.items() if own == part]
    return [metric for metric in dict.fromkeys([*recipe.metrics, *ALSO]) if metric not in DISTANCES]


def _turns(
    request: Request, measures: Measures, part: str, name: str, path: Path
) -> dict[str, float]:
    clip = request.sets[part].clip(name)
    height, width = clip.frames.shape[1:3]
    made = read_clip(path, (height, width))
    return box_and_yaw(made, clip, measures.tracker, first_depth(clip, measures.depth))


def _to_reference(
    request: Request,
    measures: Measures,
    videos: Mapping[str, Mapping[str, Path]],
    notes: list[str],
) -> dict[str, Interval]:
    if request.reference is None:
        notes.append(NO_REFERENCE)
        return {}
    found: dict[str, Interval] = {}
    for metric, extractor in (("FID", measures.inception), ("FVD", measures.i3d)):
        if extractor is None:
            continue
        part, own = next((part, own) for part, own in videos.items() if own)
        count, height, width = request.sets[part].clip(next(iter(own))).frames.shape[:3]
        clips = (
            read_clip(path, (height, width)) for own in videos.values() for path in own.values()
        )
        shape = (count, height, width)
        try:
            distance = measures.to_reference(metric, request.reference, clips, shape)
        except ShotError as error:  # too short or too few; other columns are made
            notes.append(f"{metric}: {error}")
            continue
        found[metric] = distance.value
        notes += [f"{metric}: {note}" for note in distance.notes]
    return found
