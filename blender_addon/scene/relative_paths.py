"""Relative paths across Save As and undo: each owner of paths is marked with the file's place.

Saving a file elsewhere turns its relative paths but makes no undo step, so the steps of before hold
paths that would name other files from the new place. Each owner of such paths therefore has the
mark of the place that they were written for, which comes back along with them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from . import files

_mark = ""
_former: dict[str, Path | None] = {}
"""The file as it was called at its former places, oldest first; None before its first save."""


def mark() -> str:
    """The mark of the place the file has now."""
    return _mark


def new_mark() -> str:
    """A mark for another place; no file that is opened later has it."""
    return uuid.uuid4().hex


def moved(former: Path | None, to: str) -> None:
    """The file has left a place for the one with the mark ``to``."""
    global _mark
    _former[_mark] = former
    _mark = to


def forget() -> None:
    """Another file was opened: no undo leads to former places any more."""
    global _mark
    _mark = ""
    _former.clear()


def former() -> list[Path]:
    """The files of the former places, the latest first."""
    return [path for path in reversed(_former.values()) if path is not None]


def stamp(owner: Any, _context: Any = None) -> None:
    """Mark that an owner's paths are written for the present place; called as they are set."""
    owner.place = _mark


def owners() -> Iterator[tuple[Any, tuple[str, ...]]]:
    """What of the open file has paths, and their names."""
    found = [(scene.levitor, files.PATHS) for scene in bpy.data.scenes]
    found += [(one.levitor, ("photo",)) for one in bpy.data.collections]
    for owner, names in found:
        if owner.id_data.library is None:
            yield owner, names


def turn_back() -> None:
    """Let paths that an undo brought back name the same files from the present place."""
    if not _former:
        return
    first, blend = next(iter(_former.values())), Path(bpy.data.filepath)
    for owner, names in owners():
        if owner.place == _mark:
            continue
        # An unknown mark is of an earlier session, so of the path the file was opened at
        was = _former.get(owner.place, first)
        for name in names:
            value = getattr(owner, name)
            if was is not None and value.startswith("//"):
                path = Path(bpy.path.abspath(value, start=str(was.parent)))
                setattr(owner, name, files.relative(path, blend))
        stamp(owner)
