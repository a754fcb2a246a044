"""Watches for instances that were deleted or copied by hand, and sets right what can be."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..link import pump
from ..link.wire import ShotError
from . import blender_state, edit_counter, instance_removal, lifts

QUIET_SECONDS = 0.1
"""Pause after an edit: nobody looks through the scene while a thing is dragged or frames play."""
trouble = ""
"""What is wrong with the instances as they are; empty where nothing is."""
_count: int | None = None
_came_back = False
"""Whether an undo or redo led here since the last look."""
_left: frozenset[tuple[str, str]] = frozenset()
"""Broken instances that an undo led back to. Healing them at once would be an undo step in front of
the artist's own, and no undo would ever come past it; her next action heals them."""


def follow() -> None:
    """Look after the instances when something was edited; called by the timer."""
    global trouble, _count, _came_back, _left
    scene = bpy.context.scene
    if scene is None or scene.levitor.lift is None:
        trouble, _count = "", None
        return
    count = edit_counter.count(QUIET_SECONDS)
    if count is None or count == _count or blender_state.hindrance() is not None:
        return
    _count = count
    collection = scene.levitor.lift
    lift = collection.levitor
    broken = frozenset(
        (lift.uid, lift.instances[n].name) for n in instance_removal.broken(scene, collection)
    )
    if _came_back:
        _left, _came_back = broken, False
    if broken and broken != _left:
        instance_removal.heal(scene)
        _count = edit_counter.count(0.0)
    _left &= broken
    trouble = _trouble(scene, scene.levitor.lift)


def said() -> str:
    """What the artist should know of the instances, or that nobody looks after them any more."""
    if failure := pump.failure(follow):
        return (
            f"What is deleted by hand does not heal any more, since that failed: {failure}. "
            "Disable and enable LeviTor in the preferences to have it again; Blender's console "
            "says more."
        )
    return trouble


def _trouble(scene: Any, collection: Any) -> str:
    try:
        lifts.present(scene, collection)
    except ShotError as error:
        return str(error)
    found = instance_removal.copies(scene)
    return str(instance_removal.refusal(found)) if found else ""


@persistent
def _returned(*_: object) -> None:
    global _came_back
    _came_back = True


@persistent
def _loaded(*_: object) -> None:
    global trouble, _count, _came_back, _left
    trouble, _count, _came_back, _left = "", None, False, frozenset()


def _handlers() -> list[tuple[Any, Any]]:
    events = bpy.app.handlers
    return [
        (events.undo_post, _returned),
        (events.redo_post, _returned),
        (events.load_post, _loaded),
    ]


def start() -> None:
    """Begin to watch; :mod:`live_preview` has begun to count edits."""
    for handlers, handler in _handlers():
        handlers.append(handler)
    pump.follow(follow)


def stop() -> None:
    """End it, and forget."""
    pump.unfollow(follow)
    for handlers, handler in _handlers():
        if handler in handlers:
            handlers.remove(handler)
    _loaded()
