"""The live preview: asks for a new one when the shot has changed and none is under way."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.types import Scene

from ..link import pump
from . import blender_state, edit_counter, options

QUIET_SECONDS = 0.3
"""Pause after an edit: reading a shot takes a moment, which is not to come between two edits."""
FIRST = ("lift", "segment", "preview")
"""What the artist waits for goes first; the backend does one of these at a time."""
trouble = ""
"""Why the shot as it is now cannot be previewed; empty where it can."""
_settings: Any = None


def follow() -> None:
    """Send a preview if it is wanted; called by the timer."""
    global trouble, _settings
    scene, link = bpy.context.scene, pump.link()
    if scene is None or not scene.levitor.preview_live or scene.levitor.lift is None:
        trouble, _settings = "", None
        return
    if not link.connected or any(map(link.pending, FIRST)) or blender_state.hindrance() is not None:
        return
    settings = _settings_of(scene)
    if settings == _settings and not edit_counter.pending(QUIET_SECONDS):
        return
    _settings = settings
    try:
        bpy.ops.levitor.preview_control(live=True)
    except RuntimeError as error:  # how Blender tells a script what an operator has reported
        trouble = str(error).removeprefix("Error: ").strip()
    else:
        trouble = ""
    edit_counter.seen()  # only now: reading the shot counts as an edit


def said() -> str:
    """Why there is no preview of the shot as it is now; empty where there is one."""
    if failure := pump.failure(follow):
        return (
            f"Live previews failed and are off: {failure}. Disable and enable LeviTor in the "
            "preferences to have them again; Blender's console says more."
        )
    return trouble


def start() -> None:
    """Begin to watch."""
    edit_counter.start()
    pump.follow(follow)


def stop() -> None:
    """End it, and forget."""
    global trouble, _settings
    pump.unfollow(follow)
    edit_counter.stop()
    trouble, _settings = "", None


def _settings_of(scene: Scene) -> Any:
    """What decides over a shot and is no object: Blender does not tell when it changes."""
    own, render = scene.levitor, scene.render
    return (
        (scene.session_uid, scene.frame_start, scene.frame_end, render.fps, render.fps_base),
        (own.engine, own.frames, own.anchors, own.preview_over, frozenset(own.preview_show)),
        [(item.moving, item.thickness) for item in own.lift.levitor.instances],
        options.changed(scene, own.engine),
        sorted(options.lost_choices(scene, own.engine)),
    )
