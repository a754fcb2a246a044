"""Box selection over the photo: a rectangle drawn while the mouse is dragged."""

from __future__ import annotations

import bpy
from bpy.types import SpaceView3D

from . import gpu_drawing
from .viewport import CameraFrame

LEAST = 6
"""Pixels of the window; less than that is a click with an unsteady hand."""


class DragBox:
    """From where the mouse was pressed to where it is now; drawn until :meth:`end`."""

    def __init__(self, place: CameraFrame, x: int, y: int) -> None:
        self._place = place
        self._start = self._now = (x, y)
        self._handle = SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")

    @property
    def dragged(self) -> bool:
        """Whether the mouse went far enough for a box."""
        return min(abs(a - b) for a, b in zip(self._start, self._now, strict=True)) >= LEAST

    @property
    def corners(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Both ends in the camera's frame: (0, 0) is its top-left corner, (1, 1) the opposite."""
        return self._place.of(*self._start), self._place.of(*self._now)

    def to(self, x: int, y: int) -> None:
        """The mouse moved."""
        self._now = (x, y)
        self._place.area.tag_redraw()

    def end(self) -> None:
        """Draw no more."""
        if self._handle is not None:
            SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
            self._handle = None
            self._place.area.tag_redraw()

    def _draw(self) -> None:
        region = bpy.context.region
        if not self.dragged or bpy.context.area != self._place.area:
            return
        one, other = ((x - region.x, y - region.y) for x, y in (self._start, self._now))
        gpu_drawing.rectangle(one, other)
