"""Moments at which Blender's data must be left alone: saving, loading, undo and rendering.

A strip inserted while the file is being saved crashes Blender; data made during an undo is lost.
While a flag is up, the pump reads its socket and places nothing. Nor does it while the artist is in
a mode with an undo history of its own, or is dragging something: what is placed then would not be
undone as one step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

raised: set[str] = set()
"""Names of what is going on."""
OWN_UNDO = ("EDIT", "SCULPT", "VERTEX_PAINT", "WEIGHT_PAINT", "TEXTURE_PAINT", "PARTICLE_EDIT")
SOON = "It is placed as soon as that is over."
_PAIRS = {
    "save": ("save_pre", ("save_post", "save_post_fail")),
    "load": ("load_pre", ("load_post", "load_post_fail")),
    "undo": ("undo_pre", ("undo_post",)),
    "redo": ("redo_pre", ("redo_post",)),
    "render": ("render_init", ("render_complete", "render_cancel")),
}
_added: list[tuple[list[Any], Any]] = []
_loads = 0


def hindrance() -> tuple[str, str] | None:
    """Why nothing may be placed now, as the end of a sentence, and what to do; None when it may."""
    if raised:
        return f"Blender is busy ({', '.join(sorted(raised))})", SOON
    for window in bpy.context.window_manager.windows:
        active = window.view_layer.objects.active
        if active is not None and active.mode.startswith(OWN_UNDO):
            return "Blender is not in Object Mode", "Go back to Object Mode; it is placed then."
        if any(running.bl_idname.startswith("TRANSFORM_OT") for running in window.modal_operators):
            return "something is being moved", SOON
    return None


def loads() -> int:
    """How many times a file was opened; a result must go into the file it was asked for in."""
    return _loads


def file_name() -> str:
    """What the artist calls the file that is open."""
    return Path(bpy.data.filepath).name or "an unsaved file"


def _raiser(name: str) -> Any:
    @persistent
    def up(*_: object) -> None:
        raised.add(name)

    return up


def _dropper(name: str, event: str) -> Any:
    @persistent
    def down(*_: object) -> None:
        global _loads
        raised.discard(name)
        _loads += event == "load_post"

    return down


def start() -> None:
    """Add the handlers."""
    for name, (begins, ends) in _PAIRS.items():
        pairs = [(begins, _raiser(name)), *((end, _dropper(name, end)) for end in ends)]
        for event, handler in pairs:
            handlers = getattr(bpy.app.handlers, event)
            handlers.append(handler)
            _added.append((handlers, handler))


def stop() -> None:
    """Remove the handlers, and forget what was going on."""
    while _added:
        handlers, handler = _added.pop()
        if handler in handlers:
            handlers.remove(handler)
    raised.clear()
