"""What is registered, in order; taken away in the reverse order."""

from __future__ import annotations

import bpy

from . import prefs, props
from .link import pump
from .ops import OPERATORS, live
from .scene import picks, pictures
from .ui import PANELS

CLASSES = (*props.CLASSES, prefs.LEVITOR_AP_preferences, *OPERATORS, *PANELS)


def register() -> None:
    """Register classes, then properties that use them, then the timer."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    props.attach()
    pump.start()
    live.start()


def unregister() -> None:
    """Undo :func:`register`."""
    live.stop()
    pump.stop()
    pictures.forget()
    picks.forget()
    props.detach()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
