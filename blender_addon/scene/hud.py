"""A line of text in the 3D views while the artist picks: which of several masks is shown."""

from __future__ import annotations

import blf
import bpy
from bpy.types import SpaceView3D

from . import picks

SIZE = 16
PLACE = (24, 24)
"""Pixels from the lower left corner of the view, before Blender's scale."""


class Hud:
    """Drawn from now until :meth:`end`."""

    def __init__(self) -> None:
        self._handle = SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")

    def end(self) -> None:
        """Draw no more."""
        if self._handle is not None:
            SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
            self._handle = None

    def _draw(self) -> None:
        collection = bpy.context.scene.levitor.lift
        if collection is None or not (text := picks.label(collection.levitor)):
            return
        scale = bpy.context.preferences.system.ui_scale
        blf.size(0, SIZE * scale)
        blf.color(0, 1.0, 1.0, 1.0, 1.0)
        blf.enable(0, blf.SHADOW)
        blf.shadow(0, 3, 0.0, 0.0, 0.0, 1.0)
        blf.position(0, PLACE[0] * scale, PLACE[1] * scale, 0.0)
        more = "   Tab: another" if picks.several(collection.levitor) else ""
        blf.draw(0, text + more)
        blf.disable(0, blf.SHADOW)
