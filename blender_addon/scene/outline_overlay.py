"""Outlines in the 3D views: of what is picked, and of the instances whose handles are selected.

A handle is an Empty, of which Blender highlights three arrows; the artist means the thing itself.
"""

from __future__ import annotations

from typing import Any

import bpy
import gpu
import numpy as np
from bpy.types import Collection, Object, SpaceView3D

from ..core import outline
from ..link.wire import ShotError
from . import cloud, flattening, gpu_drawing, lifts

_kept: dict[int, tuple[Any, Any]] = {}
"""By number of the object: the state that its lines were made of, and the lines."""
_handle: Any = None


def start() -> None:
    """Begin to draw."""
    global _handle
    if not bpy.app.background:
        _handle = SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def stop() -> None:
    """Draw no more."""
    global _handle
    if _handle is not None:
        SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None


def forget() -> None:
    """Keep no lines; they are made again where they are drawn."""
    _kept.clear()


def _draw() -> None:
    context = bpy.context
    collection = context.scene.levitor.lift
    if collection is None or not context.space_data.overlay.show_overlays:
        return
    lift = collection.levitor
    theme = context.preferences.themes[0].view_3d
    for item in lift.instances:
        handle, points = item.handle, item.points
        if handle is None or points is None or not (handle.select_get() and points.visible_get()):
            continue
        chosen = handle == context.view_layer.objects.active
        colour = theme.object_active if chosen else theme.object_selected
        _outline(collection, points, flattening.flatten_of(points), handle, (*colour, 1.0))
    background = lift.background
    if lift.picked and background is not None and background.visible_get():
        state = (lift.pick, lift.candidate, lift.picked)
        _outline(collection, background, state, None, gpu_drawing.LIGHT)


def _outline(
    collection: Collection, ob: Object, state: Any, handle: Object | None, colour: Any
) -> None:
    """Draw around the points of ``ob``, or around those that are picked where it has no handle."""
    state = (state, ob.data.session_uid, lifts.shape_of(collection))
    if _kept.get(ob.session_uid, (None,))[0] != state:
        try:
            ends = _ends(collection, ob, handle)
        except ShotError:  # its points are being edited, or have lost what they are made of
            ends = np.zeros((0, 3), np.float32)
        _kept[ob.session_uid] = state, gpu_drawing.lines(ends) if len(ends) else None
    batch = _kept[ob.session_uid][1]
    if batch is None:
        return
    with gpu.matrix.push_pop():
        if handle is not None:
            gpu.matrix.multiply_matrix(ob.matrix_world)
        gpu.state.depth_test_set("NONE")
        gpu_drawing.draw_lines(batch, colour)


def _ends(collection: Collection, ob: Object, handle: Object | None) -> Any:
    """(n, 3) float32 ends of the outline's lines, two by two, where ``ob`` has its points."""
    photo, pixel, depth = lifts.photo_of(collection), cloud.pixels(ob), cloud.depths(ob)
    if handle is None:
        pick = cloud.floats(ob.data, cloud.PICK)
        chosen = np.zeros(len(pixel), bool) if pick is None else pick > 0.5
        pixel, depth = pixel[chosen], depth[chosen]
    found = outline.segments(pixel, depth, photo.intrinsics, photo.width).reshape(-1, 3)
    if handle is not None:
        found -= lifts.rest_of(handle)[:3, 3].astype(np.float32)
    return found
