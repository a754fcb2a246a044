"""The horizon as a line over the photo, while it is edited and a moment longer.

A slider does not tell when it is held. So every change of the value draws the line for a few
seconds more; a timer, which runs only as long, takes it away.
"""

from __future__ import annotations

import time
from typing import Any

import blf
import bpy
from bpy.types import Collection, Scene, SpaceView3D
from bpy_extras import view3d_utils
from mathutils import Vector

from . import gpu_drawing, lifts, viewport

SECONDS = 3.0
"""How long the line stays after a change."""
SIZE = 14
"""Of the text at its end, pixels before Blender's scale."""
_handle: Any = None
_until = 0.0
_next: float | None = None
"""Row of the horizon of the next lift, where it is that which is edited."""


def typed(value: float) -> float:
    """A height as the artist typed it: Blender keeps 0.3 as 0.30000001."""
    return float(f"{value:.6g}")


def show(scene: Scene, of_next_lift: float | None = None) -> None:
    """Draw the line for :data:`SECONDS` from now on.

    Args:
        scene: whose lift's horizon was changed.
        of_next_lift: that of the next lift instead, drawn over the photo that is there.
    """
    global _handle, _until, _next
    if bpy.app.background or scene.levitor.lift is None:
        return
    _until, _next = time.monotonic() + SECONDS, of_next_lift
    if _handle is None:
        _handle = SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")
    if not bpy.app.timers.is_registered(_expire):
        bpy.app.timers.register(_expire, first_interval=SECONDS)
    viewport.redraw_points()


def shown() -> bool:
    """Whether the line is being drawn."""
    return _handle is not None


def hide() -> None:
    """Draw no more."""
    global _handle
    if _handle is not None:
        SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None
        viewport.redraw_points()


def stop() -> None:
    """Draw no more, and leave no timer behind."""
    hide()
    if bpy.app.timers.is_registered(_expire):
        bpy.app.timers.unregister(_expire)


def _expire() -> float | None:
    left = _until - time.monotonic()
    if left > 0 and _handle is not None:
        return left
    hide()
    return None


def ends(collection: Collection, height: float) -> tuple[Vector, Vector]:
    """Both ends of the horizon in Blender's world, at the far distance.

    Args:
        collection: the lift, whose camera took the photo.
        height: of the horizon, as a fraction of the photo's, from the top.
    """
    photo = lifts.photo_of(collection)
    k, z = photo.intrinsics, photo.far
    up = -(height * photo.height - k[1, 2]) / k[1, 1] * z
    left, right = ((x - k[0, 2]) / k[0, 0] * z for x in (0.0, float(photo.width)))
    return Vector((left, z, up)), Vector((right, z, up))


def _draw() -> None:
    context = bpy.context
    collection = context.scene.levitor.lift
    if collection is None or not context.space_data.overlay.show_overlays:
        return
    photo = lifts.photo_of(collection)
    height = photo.horizon if _next is None else _next
    if _next is None and photo.kind != "ground":
        return
    at = [
        view3d_utils.location_3d_to_region_2d(context.region, context.region_data, place)
        for place in ends(collection, height)
    ]
    if at[0] is None or at[1] is None:
        return  # behind the view
    gpu_drawing.draw_lines(gpu_drawing.lines([(*place, 0.0) for place in at]), width=2.0)
    scale = context.preferences.system.ui_scale
    blf.size(0, SIZE * scale)
    blf.color(0, 1.0, 1.0, 1.0, 1.0)
    blf.enable(0, blf.SHADOW)
    blf.shadow(0, 5, 0.0, 0.0, 0.0, 1.0)
    blf.position(0, max(at[0].x, 0.0) + 8 * scale, at[0].y + 6 * scale, 0.0)
    blf.draw(0, f"Horizon {height:.3g}" + (" of the next lift" if _next is not None else ""))
    blf.disable(0, blf.SHADOW)
