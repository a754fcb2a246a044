"""Which rows of a table are made, and of what: an engine of ours, or a folder of videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.engines import registry
from backend.evaluation.published import EngineRow, Key, Recipe
from backend.resources import no_weights
from protocol.errors import ShotError

FROZEN = "frozen"
"""The first frame, repeated: what every number has to be better than."""
FROZEN_ROW = EngineRow(engine="still")
Weights = Callable[[str], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedBy:
    """A row whose videos an engine of ours makes.

    Attributes:
        method: the row's name.
        name: the same without what tells it from other rows of the same engine.
        row: which engine, and what it is told.
        checkpoint: as it was named; None for the engine's own weights.
        weights: where the engine's weights lie, by name.
    """

    method: str
    name: str
    row: EngineRow
    checkpoint: Path | None = None
    weights: Weights = no_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenVideos:
    """A row whose videos are there.

    Attributes:
        method: the row's name.
        folder: of the videos.
        set: the name of the set of clips that they were made of.
    """

    method: str
    folder: Path
    set: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row to measure.

    Attributes:
        key: its setting and method.
        rendered: the engine, or
        given: folders of videos by set.
        sets: of clips, by name.
    """

    key: Key
    sets: tuple[str, ...]
    rendered: RenderedBy | None = None
    given: Mapping[str, Path] | None = None


def parsed_engines(
    recipe: Recipe, given: Iterable[str], weights_of: Callable[[str, Path | None], Weights]
) -> list[RenderedBy]:
    """``NAME`` or ``NAME=CHECKPOINT`` of the command line; the frozen one comes first, always.

    Args:
        recipe: the table.
        given: each names an engine, or a row of the table that an engine of ours makes.
        weights_of: finds the weights of an engine, of which one may be a checkpoint.

    Raises:
        ShotError: there is no such engine or row, or a row needs a checkpoint that was not named.
    """
    found = [(FROZEN, FROZEN_ROW, "")]
    for text in given:
        name, _, place = text.partition("=")
        if name != FROZEN:
            found.append((*_engine_row(recipe, name, place), place))
    names = Counter(method for method, _, _ in found)
    rows: list[RenderedBy] = []
    for method, row, place in found:
        checkpoint = Path(place) if place else None
        label = f"{method} ({place or 'its own weights'})" if names[method] > 1 else method
        if any(other.method == label for other in rows):
            raise ShotError("option", f"The row '{label:.80}' is asked for twice.", "Name it once.")
        rows.append(
            RenderedBy(
                method=label,
                name=method,
                row=row,
                checkpoint=checkpoint,
                weights=weights_of(row.engine, checkpoint),
            )
        )
    return rows


def parsed_videos(recipe: Recipe, given: Iterable[str], sets: Sequence[str]) -> list[GivenVideos]:
    """``METHOD=FOLDER`` or ``SET/METHOD=FOLDER`` of the command line.

    Args:
        recipe: the table.
        given: of the command line.
        sets: names of the sets of clips that were given.

    Raises:
        ShotError: it is none of these, the folder is not there, or it is not said which set the
            videos are of.
    """
    found: dict[tuple[str, str], GivenVideos] = {}
    for text in given:
        name, equals, place = text.partition("=")
        folder = Path(place)
        if not (equals and name and place):
            raise ShotError(
                "option",
                f"--videos {text:.60} is no METHOD=FOLDER.",
                'Write --videos "DragAnything=FOLDER".',
            )
        part, slash, method = name.partition("/")
        if not slash or part not in recipe.sets:
            part, method = (sets[0] if len(sets) == 1 else ""), name
        if part not in sets:
            raise ShotError(
                "option",
                f"--videos {text:.60} does not say which of the sets of clips it is of, or it is "
                "of one that was not given.",
                f"Write {' or '.join(f'{one}/{method}' for one in sets)}=FOLDER.",
            )
        if not folder.is_dir():
            raise ShotError(
                "option", f"--videos {text:.120}: there is no such folder.", "Correct the path."
            )
        if (part, method) in found:
            raise ShotError("option", f"The row '{name:.60}' is given twice.", "Give it once.")
        found[part, method] = GivenVideos(method=method, folder=folder, set=part)
    return list(found.values())


def rows_of(
    recipe: Recipe,
    rendered: Iterable[RenderedBy],
    given: Iterable[GivenVideos],
    sets: Sequence[str],
) -> list[Row]:
    """The rows to measure, in the table's order, ours first.

    Args:
        recipe: the table.
        rendered: rows of our engines, each in every setting whose clips are there.
        given: folders of videos.
        sets: names of the sets of clips that were given.

    Raises:
        ShotError: a row is both rendered and given.
    """
    rows: dict[Key, Row] = {}
    for one in rendered:
        for key, own in _keys(recipe, one.method, sets):
            rows[key] = Row(key=key, sets=own, rendered=one)
    for one in given:
        for key, own in _keys(recipe, one.method, sets):
            if one.set not in own:
                continue
            before = rows.get(key)
            if before is not None and before.rendered is not None:
                raise ShotError(
                    "option",
                    f"The row '{one.method:.60}' is rendered here and given as videos too.",
                    "Name it otherwise in --videos, or leave --engine out.",
                )
            folders = {**(before.given if before and before.given else {}), one.set: one.folder}
            rows[key] = Row(
                key=key, sets=tuple(name for name in own if name in folders), given=folders
            )
    return list(rows.values())


def _engine_row(recipe: Recipe, name: str, checkpoint: str) -> tuple[str, EngineRow]:
    """The row's name, and how it is made."""
    engines = {spec.name for spec in registry.specs()}
    row = recipe.engines.get(name)
    if row is None and name in engines:
        usual = (
            (method, one)
            for method, one in recipe.engines.items()
            if one.engine == name and not one.checkpoint
        )
        return next(usual, (name, EngineRow(engine=name)))
    if row is None:
        rows = ", ".join(f"'{method}'" for method in recipe.engines)
        raise ShotError(
            "engine",
            f"'{name:.60}' is no engine, and no row of {recipe.name} that one of ours makes.",
            f"Engines are {', '.join(sorted({*engines, FROZEN}))}"
            + (f"; rows are {rows}." if rows else "."),
        )
    if row.checkpoint and not checkpoint:
        raise ShotError(
            "engine",
            f"The row '{name}' is of a training of its own.",
            f'Write --engine "{name}=CHECKPOINT".',
        )
    return name, row


def _keys(recipe: Recipe, method: str, sets: Sequence[str]) -> list[tuple[Key, tuple[str, ...]]]:
    """The rows of a method, each with its sets of clips."""
    own = [setting for setting in recipe.settings if setting in recipe.sets]
    if own:
        return [((name, method), (name,)) for name in sets]
    setting = next((setting for setting, known in recipe.rows if known == method), "")
    return [((setting, method), tuple(sets))]
