"""Save As: takes and previews beside the .blend come along, and paths stay relative.

Takes of an unsaved file wait in the home folder. When a file gets a place, or another one, its
takes and previews are put into that place's own folders before it is written, and the strips name
them there, so that the project's folder can be moved as a whole. Blender itself turns relative
paths of strips; those in properties of the extension are turned here.

A save makes no undo step, so undo leads back to the names of before it; they are turned then. Takes
that waited in the home folder stay there too until another file is opened or Blender ends.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.types import MovieStrip

from ..link import pump
from ..link.wire import ShotError
from . import files, preview_strips, relative_paths, sequencer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Move:
    """A save under way.

    Attributes:
        target: the file that is being written.
        former: the file as it was called; None where it had no place.
        mark: of the new place, see :mod:`relative_paths`.
        before: what properties and strips named, to be set back where the save was of a copy.
        landed: the new place of each film, by the old one.
    """

    target: Path
    former: Path | None
    mark: str = field(default_factory=relative_paths.new_mark)
    before: list[tuple[Any, str, str]] = field(default_factory=list[tuple[Any, str, str]])
    landed: dict[Path, Path] = field(default_factory=dict[Path, Path])

    def set(self, owner: Any, name: str, value: str) -> None:
        """Set a path, and remember what it was."""
        if (old := getattr(owner, name)) != value:
            self.before.append((owner, name, old))
            setattr(owner, name, value)


_move: Move | None = None
_landed: dict[Path, Path] = {}
"""Where films were brought since this file was opened: steps of undo still name the old places."""
_waited: set[Path] = set()
"""Films in the home folder that have landed since this file was opened; undo still names them."""


@persistent
def _before_save(path: str = "", *_: object) -> None:
    global _move
    _move = None
    old, new = bpy.data.filepath, Path(path)
    if not path or (old and Path(old).parent == new.parent):
        return
    _move = Move(target=new, former=Path(old) if old else None)
    try:
        _turn_properties(_move)
        _bring_films(_move)
    except Exception:  # whatever it is, the artist's file is saved
        log.exception("the takes of %s did not come along", new)


@persistent
def _after_save(*_: object) -> None:
    global _move
    move, _move = _move, None
    if move is None:
        return
    if not bpy.data.filepath or Path(bpy.data.filepath) != move.target:  # a copy was saved
        _set_back(move)
        return
    takes = pump.link().takes
    for job, take in list(takes.items()):
        if take.path in move.landed:
            takes[job] = replace(take, path=move.landed[take.path])
    relative_paths.moved(move.former, move.mark)
    for old, new in move.landed.items():
        _landed[old] = new
        _landed.pop(new, None)  # what was brought back to where it had been leads no further
    if move.former is None:
        _waited.update(move.landed)


@persistent
def _after_undo(*_: object) -> None:
    if not bpy.data.filepath:
        return
    try:
        relative_paths.turn_back()
        for strip in _own_strips():
            _turn_strip_back(strip)
    except Exception:  # whatever it is, the artist's undo is done
        log.exception("paths that undo brought back were not turned")


def _turn_strip_back(strip: MovieStrip) -> None:
    """Let a strip that undo brought back name its film where that is now."""
    blend = Path(bpy.data.filepath)
    for beside in (blend, *relative_paths.former()):
        film = Path(bpy.path.abspath(strip.filepath, start=str(beside.parent)))
        named = film
        while film in _landed:
            film = _landed[film]
        if film.is_file():
            if beside != blend or film != named:
                strip.filepath = files.relative(film, blend)
            return


@persistent
def _after_load(*_: object) -> None:
    """With the file its undo is gone, and with that the last that named the films that waited."""
    relative_paths.forget()
    _landed.clear()
    _clear_away({Path(bpy.path.abspath(strip.filepath)) for strip in _own_strips()})


def _clear_away(shown: Collection[Path] = ()) -> None:
    """Delete the films that waited and have landed, but none that the opened file shows."""
    while _waited:
        if (film := _waited.pop()) not in shown:
            _delete(film)


def _delete(film: Path) -> None:
    with contextlib.suppress(OSError):  # Windows keeps what is open; it is only in the way
        film.unlink(missing_ok=True)


@persistent
def _after_failure(*_: object) -> None:
    global _move
    move, _move = _move, None
    if move is None:
        return
    _set_back(move)
    for landed in move.landed.values():
        _delete(landed)


def _set_back(move: Move) -> None:
    for owner, name, value in reversed(move.before):
        setattr(owner, name, value)


def _turn_properties(move: Move) -> None:
    """Let the extension's own paths name the same files from the new place."""
    for owner, names in relative_paths.owners():
        for name in names:
            value = getattr(owner, name)
            if value.startswith("//"):
                if move.former is not None:
                    move.set(owner, name, files.relative(files.absolute(value), move.target))
            elif value and Path(value).is_relative_to(move.target.parent):
                move.set(owner, name, files.relative(Path(value), move.target))
        move.set(owner, "place", move.mark)  # last: a path that is set is marked with the former


def _bring_films(move: Move) -> None:
    """Put takes and previews into the new place's folders, unless theirs is a fixed one."""
    here, there = files.takes_folder(), files.takes_folder(move.target)
    if here == there:
        return
    folders = {here: there, preview_strips.beside(here): preview_strips.beside(there)}
    for strip in _own_strips():
        film = Path(bpy.path.abspath(strip.filepath))
        if film.parent in folders and film.is_file():
            landed = _land(film, folders[film.parent], move)
            name = files.relative(landed, move.former) if move.former else str(landed)
            move.set(strip, "filepath", name)  # Blender turns it to the new place as it saves
    for _, take in sequencer.of_this_file(pump.link().takes.values()):
        if take.path.parent in folders and take.path.is_file():
            _land(take.path, folders[take.path.parent], move)


def _land(film: Path, folder: Path, move: Move) -> Path:
    """Copy a film there, or leave it where it is where there is no room for it."""
    if film not in move.landed:
        path = files.free_path(folder, film.stem, film.suffix)
        try:
            files.write(path, film.read_bytes())
        except (OSError, ShotError):
            log.exception("%s stays where it is", film)
            return film
        move.landed[film] = path
    return move.landed[film]


def _own_strips() -> Iterator[MovieStrip]:
    for scene in bpy.data.scenes:
        if scene.sequence_editor is not None and scene.library is None:
            for strip in sequencer.strips_of(scene)[1]:
                if "levitor_job" in strip:
                    yield strip


_HANDLERS = (
    ("save_pre", _before_save),
    ("save_post", _after_save),
    ("save_post_fail", _after_failure),
    ("undo_post", _after_undo),
    ("redo_post", _after_undo),
    ("load_post", _after_load),
)


def start() -> None:
    """Add the handlers."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    atexit.register(_clear_away)  # not in stop: disabled, the extension leaves undo with its names


def stop() -> None:
    """Remove the handlers."""
    for name, handler in _HANDLERS:
        if handler in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(handler)
