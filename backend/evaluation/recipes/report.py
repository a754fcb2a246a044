"""What was measured as files: JSON of everything, tables, bars, contact sheets."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.evaluation.intervals import Interval
from backend.evaluation.published import Recipe
from backend.evaluation.recipes.measure import Measures
from backend.evaluation.recipes.pictures import (
    SheetLine,
    bars,
    best_median_worst,
    contact_sheet,
)
from backend.evaluation.recipes.run import Measured, MeasuredRow, finite, seeds_of, set_identity
from backend.evaluation.recipes.turns import LEAST_POINTS, YAW
from backend.evaluation.recipes.videos import folder_name
from backend.evaluation.tables import comma_separated, interval_text, markdown, table_of
from backend.evaluation.video_folders import read_clip, videos_in
from backend.files.atomic import write_atomically
from backend.pixels import pixels_from_image

FORMAT = 1
PACKAGES = ("levitor", "torch", "numpy", "opencv-python-headless", "av", "diffusers")
NO_PLOTS = "No bars.png: `pip install levitor[train]` brings matplotlib."


def write_report(measured: Measured, measures: Measures, devices: list[str]) -> list[str]:
    """Write everything into the run's folder.

    Args:
        measured: the rows.
        measures: what measured them.
        devices: that were used, in words.

    Returns:
        The sentences on what could not be written.
    """
    out, recipe = measured.request.out, measured.request.recipe
    table = table_of(recipe, measured.values, measured.replaced, measures.proxies)
    content = content_of(measured, measures, devices)
    write_atomically(out / "results.json", json.dumps(content, indent=1, allow_nan=False).encode())
    write_atomically(out / "table.csv", comma_separated(table).encode())
    write_atomically(out / "table.md", (page_of(measured, measures) + "\n").encode())
    for row in measured.rows:
        if (sheet := _sheet(measured, row)) is not None:
            name = folder_name("-".join(part for part in row.row.key if part))
            write_atomically(out / "sheets" / f"{name}.png", sheet)
    drawn = bars(recipe, measured.values)
    if drawn is None:
        return [NO_PLOTS]
    write_atomically(out / "bars.png", drawn)
    return []


def content_of(measured: Measured, measures: Measures, devices: list[str]) -> dict[str, Any]:
    """All of it, as JSON has it; the same for the same videos."""
    request, recipe = measured.request, measured.request.recipe
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "title": recipe.title,
        "source": recipe.source,
        "seed": request.seed,
        "clips": {
            part: {**set_identity(clips), "measured": len(request.names(part))}
            for part, clips in request.sets.items()
        },
        "reference": _reference(request.reference),
        "seeds": {part: seeds_of(request, part) for part in request.sets},
        "measured_with": measures.described(),
        "proxies": sorted(measures.proxies),
        "versions": {"python": platform.python_version(), **_versions()},
        "devices": devices,
        "rows": [_row(one) for one in measured.rows],
        "published": [
            {
                "setting": setting,
                "method": method,
                "values": dict(zip(recipe.metrics, values, strict=True)),
                "replaced": (setting, method) in measured.replaced,
            }
            for (setting, method), values in recipe.rows.items()
        ],
        "notes": list(measured.notes),
    }


def page_of(measured: Measured, measures: Measures) -> str:
    """The table and what has to be read with it, as Markdown."""
    recipe = measured.request.recipe
    lines = [
        f"# {recipe.name}: {recipe.title}",
        "",
        f"{recipe.source}. In brackets: 95 % of resampled sets of clips. N: clips that count, "
        "least/most of the columns.",
        "",
        markdown(table_of(recipe, measured.values, measured.replaced, measures.proxies)),
    ]
    extra = _other_metrics(measured, recipe)
    if extra:
        header = ("setting", "method", *extra)
        body = [
            (*row.row.key, *(interval_text(row.scores.values.get(name)) for name in extra))
            for row in measured.rows
        ]
        lines += ["", "Not in the paper's table:", "", markdown([header, *body])]
    lines += ["", "Measured with:", ""]
    lines += [f"- {name}: {said}" for name, said in measures.described().items()]
    notes = [*measured.notes]
    for row in measured.rows:
        label = " / ".join(part for part in row.row.key if part)
        notes += [f"{label}: {note}" for note in (*row.notes, *_partly_measured(row))]
    if notes:
        lines += ["", "Notes:", "", *(f"- {note}" for note in dict.fromkeys(notes))]
    return "\n".join(lines)


def _partly_measured(row: MeasuredRow) -> list[str]:
    """What could not be measured in every clip, and how many points a turn needs."""
    return [
        f"{name} could be measured in {found.count} of {found.count + found.left_out} clips"
        + (f": it needs {LEAST_POINTS} visible points of a thing." if name == YAW else ".")
        for name, found in row.scores.values.items()
        if found.left_out
    ]


def _other_metrics(measured: Measured, recipe: Recipe) -> list[str]:
    found = {name: None for row in measured.rows for name in row.scores.values}
    return [name for name in found if name not in (*recipe.metrics, *recipe.ours)]


def _row(one: MeasuredRow) -> dict[str, Any]:
    return {
        "setting": one.row.key[0],
        "method": one.row.key[1],
        "made_by": dict(one.made_by),
        "values": {name: _interval(found) for name, found in one.scores.values.items()},
        "clips": {
            part: {
                name: {metric: finite(value) for metric, value in values.items()}
                for name, values in clips.items()
            }
            for part, clips in one.scores.per_clip.items()
        },
        "left_out": dict(one.left_out),
        "notes": list(one.notes),
    }


def _reference(folder: Path | None) -> dict[str, Any] | None:
    """The videos that FID and FVD compare with, where the recipe has none of its own."""
    if folder is None:
        return None
    names = [*videos_in(folder)]
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape"))
    return {"folder": str(folder), "videos": len(names), "names_sha256": digest.hexdigest()}


def _interval(found: Interval) -> dict[str, Any]:
    return {
        "mean": finite(found.mean),
        "low": finite(found.low),
        "high": finite(found.high),
        "N": found.count,
        "left_out": found.left_out,
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _sheet(measured: Measured, row: MeasuredRow) -> bytes | None:
    """The best, median and worst clips of a row; None where nothing can be put in order."""
    recipe = measured.request.recipe
    special = {part: metric for metric, part in recipe.only.items()}
    lines: list[SheetLine] = []
    for part, clips in row.scores.per_clip.items():
        metric = special.get(part, recipe.control_metric)
        own = {name: values[metric] for name, values in clips.items() if metric in values}
        for word, name in best_median_worst(own, metric).items():
            clip = measured.request.sets[part].clip(name)
            things = clip.instances > 0
            shown = things if things.any() else ~things  # the camera's points where it moves
            lines.append(
                SheetLine(
                    caption=f"{word}: {name}\n{metric} {own[name]:.4g}",
                    real=clip.frames,
                    made=_pixels(row.videos[part][name], clip.frames.shape[1:3]),
                    tracks=clip.tracks[:, shown],
                    visible=clip.visible[:, shown],
                )
            )
    return contact_sheet(lines) if lines else None


def _pixels(path: Path, size: Any) -> npt.NDArray[Any]:
    frames = read_clip(path, (int(size[0]), int(size[1])))
    return np.stack([pixels_from_image(frame) for frame in frames])
