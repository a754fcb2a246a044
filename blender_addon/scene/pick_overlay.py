"""What the 3D views show while the artist picks: clicks, box, and which of several masks it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import blf
import bpy
from bpy.types import Collection, SpaceView3D

from ..core.mask_candidates import Box, Click
from . import gpu_drawing, picks, viewport

SIZE = 16
PLACE = (24, 24)
"""Pixels from the lower left corner of the view, before Blender's scale."""


class PickOverlay:
    """Drawn from now until :meth:`end`.

    Args:
        asked: gives the clicks and the box so far, in pixels of the photo.
    """

    def __init__(self, asked: Callable[[], tuple[list[Click], Box]]) -> None:
        self._asked = asked
        self._handle = SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")

    def end(self) -> None:
        """Draw no more."""
        if self._handle is not None:
            SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
            self._handle = None

    def _draw(self) -> None:
        collection = bpy.context.scene.levitor.lift
        if collection is None:
            return
        self._draw_marks(collection)
        if not (text := picks.label(collection.levitor)):
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

    def _draw_marks(self, collection: Collection) -> None:
        context = bpy.context
        place = viewport.place_in(context.scene, context.area, context.region)
        if place is None:
            return
        lift: Any = collection.levitor

        def on_screen(x: float, y: float) -> gpu_drawing.Point:
            across, down = x / lift.width, y / lift.height
            left, top = place.left - context.region.x, place.top - context.region.y
            right, bottom = place.right - context.region.x, place.bottom - context.region.y
            return left + across * (right - left), top + down * (bottom - top)

        clicks, box = self._asked()
        if box is not None:
            gpu_drawing.rectangle(on_screen(*box[:2]), on_screen(*box[2:]))
        for x, y, positive in clicks:
            gpu_drawing.mark(on_screen(x, y), positive)
