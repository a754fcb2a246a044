"""What is registered, in order; taken away in the reverse order."""

from __future__ import annotations

import logging
from functools import partial

import bpy

from . import prefs, props
from .link import pump
from .ops import OPERATORS
from .scene import (
    caches,
    deletion_watch,
    horizon_line,
    job_icons,
    live_preview,
    outline_overlay,
    panel_state,
    save_as,
    selection,
    versioning,
)
from .ui import PANELS

log = logging.getLogger(__name__)

CLASSES = (*props.CLASSES, prefs.LEVITOR_AP_preferences, *OPERATORS, *PANELS)


def register() -> None:
    """Register classes, then properties that use them, then the timer."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    props.attach()
    pump.start()
    live_preview.start()
    save_as.start()
    deletion_watch.start()
    selection.start()
    outline_overlay.start()
    versioning.start()
    panel_state.start()
    caches.start()


def unregister() -> None:
    """Undo :func:`register`, all of it: a step that fails is logged and the others are taken.

    What stayed behind would keep the extension from being enabled again until Blender is restarted.
    """
    steps = [
        caches.stop,
        panel_state.stop,
        horizon_line.stop,
        versioning.stop,
        outline_overlay.stop,
        selection.stop,
        deletion_watch.stop,
        save_as.stop,
        live_preview.stop,
        pump.stop,
        job_icons.forget,
        props.detach,
    ]
    steps += [partial(bpy.utils.unregister_class, cls) for cls in reversed(CLASSES)]
    for step in steps:
        try:
            step()
        except Exception:
            log.exception("%s failed while the extension was disabled", step)
