"""What lies beside the .blend comes along when it is saved elsewhere, and paths stay relative.

Takes of an unsaved file wait in the home folder. When a file gets a place, or another one, its
takes and previews are put into that place's own folders before it is written, and the strips name
them there, so that the project's folder can be moved as a whole. Blender itself turns relative
paths of strips; those in properties of the extension are turned here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.types import MovieStrip

from ..link import pump
from ..link.wire import ShotError
from ..scene import files, previews, sequencer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Move:
    """A save under way.

    Attributes:
        target: the file that is being written.
        unsaved: whether the file had no place before.
        before: what properties and strips named, to be set back where the save was of a copy.
        landed: the new place of each film, by the old one.
    """

    target: Path
    unsaved: bool
    before: list[tuple[Any, str, str]] = field(default_factory=list[tuple[Any, str, str]])
    landed: dict[Path, Path] = field(default_factory=dict[Path, Path])

    def set(self, owner: Any, name: str, value: str) -> None:
        """Set a path, and remember what it was."""
        if (old := getattr(owner, name)) != value:
            self.before.append((owner, name, old))
            setattr(owner, name, value)


_move: Move | None = None


@persistent
def _before_save(path: str = "", *_: object) -> None:
    global _move
    _move = None
    old, new = bpy.data.filepath, Path(path)
    if not path or (old and Path(old).parent == new.parent):
        return
    _move = Move(target=new, unsaved=not old)
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
    if move.unsaved:  # a take that waited lies where it belongs, and no other file names it
        for waited in move.landed:
            waited.unlink(missing_ok=True)


@persistent
def _after_failure(*_: object) -> None:
    global _move
    move, _move = _move, None
    if move is None:
        return
    _set_back(move)
    for landed in move.landed.values():
        landed.unlink(missing_ok=True)


def _set_back(move: Move) -> None:
    for owner, name, value in reversed(move.before):
        setattr(owner, name, value)


def _turn_properties(move: Move) -> None:
    """Let the extension's own paths name the same files from the new place."""
    owners = [(scene.levitor, name) for scene in bpy.data.scenes for name in files.PATHS]
    owners += [(one.levitor, "photo") for one in bpy.data.collections]
    for owner, name in owners:
        value = getattr(owner, name)
        if not value or owner.id_data.library is not None:
            continue
        if value.startswith("//"):
            if not move.unsaved:
                move.set(owner, name, files.relative(files.absolute(value), move.target))
        elif Path(value).is_relative_to(move.target.parent):
            move.set(owner, name, files.relative(Path(value), move.target))


def _bring_films(move: Move) -> None:
    """Put takes and previews into the new place's folders, unless theirs is a fixed one."""
    here, there = files.takes_folder(), files.takes_folder(move.target)
    if here == there:
        return
    folders = {here: there, previews.beside(here): previews.beside(there)}
    for strip in _own_strips():
        film = Path(bpy.path.abspath(strip.filepath))
        if film.parent in folders and film.is_file():
            landed = _land(film, folders[film.parent], move)
            name = str(landed) if move.unsaved else files.relative(landed, Path(bpy.data.filepath))
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
)


def start() -> None:
    """Add the handlers."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def stop() -> None:
    """Remove the handlers."""
    for name, handler in _HANDLERS:
        if handler in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(handler)
