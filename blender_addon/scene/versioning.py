"""Versioning: files of earlier versions are brought up to date as they are opened."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import keyframes, lifts, linked


@persistent
def _opened(*_: Any) -> None:
    for collection in bpy.data.collections:
        lift = collection.levitor
        for item in lift.instances:
            if item.handle is not None:
                _rest_unkeyed(item.handle)
        if lift.background is not None and not linked.is_foreign(collection):
            lifts.guard(collection, lift.background)


def _rest_unkeyed(handle: Any) -> None:
    """Once, the key I gave a handle's rest channels too; they would undo a change of the lens."""
    data = handle.animation_data
    if data is not None and data.action is not None and data.action.is_editable:
        keyframes.remove(handle, f'["{lifts.REST}"]')


def start() -> None:
    """Add the handler."""
    bpy.app.handlers.load_post.append(_opened)


def stop() -> None:
    """Remove the handler."""
    if _opened in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(_opened)
