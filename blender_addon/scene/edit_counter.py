"""Counts edits by Blender's handlers; cheap, so it does not say what was edited."""

from __future__ import annotations

import time
from typing import Any

import bpy
from bpy.app.handlers import persistent

# Keys inserted by a script trigger no depsgraph update until the frame changes.
_EVENTS = ("depsgraph_update_post", "frame_change_post", "undo_post", "redo_post", "load_post")
_added: list[tuple[list[Any], Any]] = []
_last = _asked = 0.0
_count = 0


@persistent
def _edited(*_: object) -> None:
    global _last, _count
    _last = time.monotonic()
    _count += 1


def pending(quiet: float) -> bool:
    """Whether something was edited since :func:`seen`, and nothing for ``quiet`` seconds."""
    return _last > _asked and time.monotonic() - _last >= quiet


def count(quiet: float) -> int | None:
    """How many edits there were; None while the last one is less than ``quiet`` seconds old."""
    return _count if time.monotonic() - _last >= quiet else None


def seen() -> None:
    """What was edited until now is known."""
    global _asked
    _asked = time.monotonic()


def start() -> None:
    """Add the handlers."""
    for name in _EVENTS:
        handlers = getattr(bpy.app.handlers, name)
        handlers.append(_edited)
        _added.append((handlers, _edited))


def stop() -> None:
    """Remove the handlers."""
    while _added:
        handlers, handler = _added.pop()
        if handler in handlers:
            handlers.remove(handler)
