"""A table's run: the videos that are missing are made, every row is measured, all is written."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.engines import registry
from backend.evaluation.clip_sets import KnownClipSet
from backend.evaluation.intervals import Interval
from backend.evaluation.published import Key
from backend.evaluation.recipes.controls import FLAT
from backend.evaluation.recipes.measure import Measures, RowScores, clip_label, score_row
from backend.evaluation.recipes.plan import RenderedBy, Row, rows_of
from backend.evaluation.recipes.rendering import clip_seed, options_of, training_notes
from backend.evaluation.recipes.request import PROTOCOL, Request
from backend.evaluation.recipes.videos import MadeVideos, folder_name
from backend.evaluation.recipes.workers import Job, OnClip, Work, make_videos
from backend.evaluation.same_settings import check_same
from backend.evaluation.video_folders import videos_in
from backend.evaluation.weights_file import checksum
from protocol.errors import ShotError

RUN = "run.json"
NO_DEPTH = (
    "Engines were told of flat scenes, things before a backdrop, since there is no depth network: "
    "`levitor weights fetch depth-anything-v2-small` gets one."
)
NETWORK_FILES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRow:
    """A row with its numbers.

    Attributes:
        row: which one.
        made_by: engine, weights and so on; or the folders of the videos.
        videos: the files by set and clip.
        scores: of them.
        left_out: clips without a number, by ``SET/CLIP``, and why.
        notes: what is to be kept in mind.
    """

    row: Row
    made_by: Mapping[str, Any]
    videos: Mapping[str, Mapping[str, Path]]
    scores: RowScores
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measured table.

    Attributes:
        request: what was asked for.
        rows: in order.
        notes: on all of them.
    """

    request: Request
    rows: Sequence[MeasuredRow]
    notes: tuple[str, ...]

    @property
    def values(self) -> dict[Key, Mapping[str, Interval]]:
        """Of every row, by metric."""
        return {one.row.key: one.scores.values for one in self.rows}

    @property
    def replaced(self) -> set[Key]:
        """Rows of other systems whose own videos were measured in all that their paper prints."""
        recipe = self.request.recipe
        printed = {
            key: {
                name for name, value in zip(recipe.metrics, row, strict=True) if value is not None
            }
            for key, row in recipe.rows.items()
        }
        return {
            one.row.key
            for one in self.rows
            if one.row.given and printed.get(one.row.key, set()) <= one.scores.values.keys()
        }


def run_recipe(
    request: Request, measures: Measures, on_clip: OnClip = lambda *step: None
) -> Measured:
    """Make what is missing, measure every row.

    A row whose weights are missing, or whose videos do not fit, is left without numbers and says
    why; the other rows go on. Videos that are there are kept, so a run that was stopped goes on.

    Args:
        request: what is wanted.
        measures: networks that were given, trackers and flow.
        on_clip: progress.

    Raises:
        ShotError: ``out`` holds videos that were made by other means, or sets do not fit the table.
    """
    recipe = request.recipe
    notes = list(_set_notes(request))
    rows = rows_of(recipe, request.engines, request.videos, list(request.sets))
    depth = measures.depth
    notes += depth.notes
    if depth.name == FLAT and any(one.row.engine != "still" for one in request.engines):
        notes.append(NO_DEPTH)
    _check_folder(request)
    made: dict[Key, tuple[Mapping[str, Any], dict[str, MadeVideos], str]] = {}
    jobs: list[Job] = []
    for row in rows:
        if row.rendered is None:
            continue
        try:
            made_by = _made_by(row, row.rendered, request, depth.name)
        except ShotError as error:
            made[row.key] = ({"engine": row.rendered.row.engine}, {}, str(error))
            continue
        folders: dict[str, MadeVideos] = {}
        for part in row.sets:
            folder = request.out / "videos" / video_folder(row.rendered, made_by)
            folder /= folder_name(part)
            own = {name: made_by[name] for name in made_by if name not in ("checkpoint", "row")}
            own |= {"options": made_by["options"][part], "set": part}
            folders[part] = MadeVideos(folder, own)
            jobs += _jobs(row.rendered, request, part, folders[part])
        made[row.key] = (made_by, folders, "")
    work = Work(
        recipe=recipe,
        sets=request.sets,
        resources=request.resources,
        depth=request.depth,
        seed=request.seed,
    )
    failures = make_videos(work, jobs, request.devices, on_clip) if jobs else {}
    measured: list[MeasuredRow] = []
    for row in rows:
        if row.rendered is not None:
            made_by, folders, why = made[row.key]
            videos, left_out = _rendered_videos(request, folders, failures)
        else:
            made_by, why = {"videos": {part: str(at) for part, at in (row.given or {}).items()}}, ""
            videos, left_out = {}, {}
            try:
                videos, left_out = _given_videos(request, row)
            except ShotError as error:
                why = str(error)
        measured.append(_measured(request, measures, row, made_by, videos, left_out, why, on_clip))
    for part in _differently_measured(measured):
        notes.append(
            f"Rows{f' of {part}' if part else ''} are of different clips: compare only those of "
            "the same; results.json lists them."
        )
    return Measured(request=request, rows=measured, notes=(*notes, *measures.notes(recipe)))


def _measured(
    request: Request,
    measures: Measures,
    row: Row,
    made_by: Mapping[str, Any],
    videos: Mapping[str, Mapping[str, Path]],
    left_out: dict[str, str],
    why: str,
    on_clip: OnClip,
) -> MeasuredRow:
    scores, notes = RowScores(), [why] if why else []
    if row.rendered is not None:
        notes += training_notes(row.rendered.checkpoint, row.rendered.row)
    if not why:
        try:
            scores = score_row(request, measures, row, videos, left_out, on_clip)
        except ShotError as error:
            notes.append(str(error))
    if left_out:
        notes.append(f"{len(left_out)} clips are left out; the JSON file says why.")
    return MeasuredRow(
        row=row,
        made_by=made_by,
        videos=videos,
        scores=scores,
        left_out=left_out,
        notes=(*notes, *scores.notes),
    )


def _differently_measured(rows: Sequence[MeasuredRow]) -> list[str]:
    """Sets of which rows have other clips than one another."""
    clips: dict[str, set[frozenset[str]]] = {}
    for one in rows:
        for part, own in one.scores.per_clip.items():
            clips.setdefault(part, set()).add(frozenset(own))
    return [part for part, found in clips.items() if len(found) > 1]


def video_folder(rendered: RenderedBy, made_by: Mapping[str, Any]) -> str:
    """The folder of a row's videos: a checkpoint's by its weights, wherever it lies."""
    if rendered.checkpoint is None:
        return folder_name(rendered.method)
    text = json.dumps(made_by["weights"], sort_keys=True)
    return f"{folder_name(rendered.name)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _check_folder(request: Request) -> None:
    """Whether what lies in the folder is of this run; more rows and more sets may come."""
    what = f"{request.out} is of another run"
    content = {"protocol": PROTOCOL, "recipe": request.recipe.name, "seed": request.seed}
    check_same(request.out / RUN, content, what)
    for part, clips in request.sets.items():
        path = request.out / "sets" / f"{folder_name(part)}.json"
        check_same(path, {"clips": set_identity(clips)}, what)


def set_identity(clips: KnownClipSet) -> dict[str, Any]:
    """What a set is, and a hash of its clips."""
    each = "\n".join(f"{name} {clips.fingerprint(name)}" for name in clips.names)
    digest = hashlib.sha256(each.encode("utf-8", "surrogateescape"))
    manifest = asdict(clips.manifest)
    manifest.pop("source", None)  # a dataset may be moved
    return {
        **manifest,
        "count": len(clips.names),
        "clips_sha256": digest.hexdigest(),
    }


def _made_by(row: Row, rendered: RenderedBy, request: Request, depth: str) -> dict[str, Any]:
    """All that a row's videos depend on.

    Raises:
        ShotError: weights are missing.
    """
    options = {part: options_of(rendered.row, _points(request, part)) for part in row.sets}
    spec = registry.spec_of(rendered.row.engine)
    needs = spec.needs(next(iter(options.values()))) if options else ()
    return {
        "protocol": PROTOCOL,
        "row": list(row.key),
        "engine": rendered.row.engine,
        "options": options,
        "told_depth": rendered.row.depth,
        "told_instance": rendered.row.instance,
        "checkpoint": None if rendered.checkpoint is None else str(rendered.checkpoint),
        "weights": {name: weights_checksum(rendered.weights(name)) for name in needs},
        "depth": "none" if rendered.row.engine == "still" else depth,
        "seed": request.seed,
    }


@functools.cache
def weights_checksum(path: Path) -> str:
    """SHA-256 of the files of a network, in a folder or alone."""
    if path.is_file():
        return checksum(path)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.suffix in NETWORK_FILES and file.is_file():
            digest.update(f"{file.relative_to(path)} {checksum(file)}\n".encode())
    return digest.hexdigest()


def _points(request: Request, part: str) -> str:
    return str(getattr(request.sets[part].manifest, "points", ""))


def _jobs(rendered: RenderedBy, request: Request, part: str, folder: MadeVideos) -> list[Job]:
    options = options_of(rendered.row, _points(request, part))
    return [
        Job(
            row=rendered.row,
            weights=rendered.weights,
            options=options,
            set=part,
            clip=name,
            out=folder.path(name),
            fps=request.sets[part].manifest.fps or 8.0,
        )
        for name in folder.missing(request.names(part))
    ]


def _rendered_videos(
    request: Request, folders: Mapping[str, MadeVideos], failures: Mapping[Path, str]
) -> tuple[dict[str, dict[str, Path]], dict[str, str]]:
    videos: dict[str, dict[str, Path]] = {}
    left_out: dict[str, str] = {}
    for part, folder in folders.items():
        videos[part] = {}
        for name in request.names(part):
            path = folder.path(name)
            if path.is_file():
                videos[part][name] = path
            else:
                left_out[clip_label(part, name)] = failures.get(path, "It was not made.")
    return videos, left_out


def _given_videos(request: Request, row: Row) -> tuple[dict[str, dict[str, Path]], dict[str, str]]:
    videos: dict[str, dict[str, Path]] = {}
    left_out: dict[str, str] = {}
    for part, folder in (row.given or {}).items():
        there = videos_in(folder)
        videos[part] = {name: there[name] for name in request.names(part) if name in there}
        for name in request.names(part):
            if name not in there:
                left_out[clip_label(part, name)] = f"{folder} has no video of that name."
    return videos, left_out


def _set_notes(request: Request) -> list[str]:
    """Where sets of clips are not the paper's.

    Raises:
        ShotError: there is none, or one has other points than the setting is about.
    """
    recipe, notes = request.recipe, list[str]()
    if not request.sets:
        raise ShotError(
            "evaluation_sets", "No clips were given.", "Name what `evaluate prepare` made."
        )
    for part, clips in request.sets.items():
        manifest, wanted = clips.manifest, recipe.sets[part]
        points = _points(request, part)
        if wanted and points and points != wanted:
            raise ShotError(
                "evaluation_sets",
                f"The clips of '{part or recipe.name}' have {points} points a mask, and the table "
                f"is about {wanted} ones.",
                f"Prepare them with --points {wanted}.",
            )
        if manifest.frames != recipe.frames:
            notes.append(
                f"Clips have {manifest.frames} frames; the paper's have {recipe.frames}: compare "
                "only with numbers of the same length."
            )
    if missing := [part for part in recipe.sets if part not in request.sets]:
        notes.append(f"No clips were given for {', '.join(missing)}.")
    return notes


def seeds_of(request: Request, part: str) -> dict[str, int]:
    """The seed of every clip of a set."""
    return {name: clip_seed(request.seed, name) for name in request.names(part)}


def finite(value: float) -> float | None:
    """As JSON has it: None for what is no number."""
    return float(value) if math.isfinite(value) else None
