"""Small caches that belong to one file, emptied when another one is opened."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import notices, outline_overlay, panel_state, picks


@persistent
def _loaded(*_: object) -> None:
    outline_overlay.forget()
    notices.forget()
    picks.forget_gone()
    panel_state.forget()


def start() -> None:
    """Add the handler."""
    bpy.app.handlers.load_post.append(_loaded)


def stop() -> None:
    """Remove the handler, and forget everything, the masks in memory too."""
    if _loaded in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(_loaded)
    _loaded()
    picks.forget()
