"""The windows: looking through the camera, redrawing the sidebar, telling where the mouse is."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
from bpy.types import Area, Context, Event, Region, Scene, ViewLayer
from bpy_extras import view3d_utils


def _areas(scene: Scene | None = None) -> Iterator[Area]:
    manager = bpy.context.window_manager
    for window in manager.windows if manager is not None else ():
        if scene is None or window.scene == scene:
            yield from (area for area in window.screen.areas if area.type == "VIEW_3D")


def layer_of(scene: Scene) -> ViewLayer:
    """The view layer of ``scene`` that the artist works in, where that is known."""
    layer = bpy.context.view_layer
    return layer if layer is not None and layer.id_data == scene else scene.view_layers[0]


def look_through(scene: Scene, area: Area | None = None, *, colours: bool = True) -> None:
    """Point one 3D view of ``scene`` through its camera; the others stay as the artist has them.

    Args:
        scene: the scene.
        area: the view; without it, the largest one that shows the scene.
        colours: whether to show the points in their own colours, too.
    """
    if area is None or area.type != "VIEW_3D":
        area = max(_areas(scene), key=lambda one: one.width * one.height, default=None)
    if bpy.app.background or area is None:
        return
    space = area.spaces.active
    space.camera = scene.camera
    space.region_3d.view_perspective = "CAMERA"
    if colours:
        space.shading.type = "MATERIAL"
    area.tag_redraw()


def redraw_sidebar() -> None:
    """Draw the sidebars again; the 3D views beside them cost a hundred times more."""
    for area in _areas():
        for region in area.regions:
            if region.type == "UI":
                region.tag_redraw()


def redraw_points() -> None:
    """Draw the 3D views again."""
    for area in _areas():
        area.tag_redraw()


def camera_position(context: Context, event: Event) -> tuple[float, float] | None:
    """Where the mouse is in the camera's frame: (0, 0) is its top-left corner, (1, 1) the opposite.

    None where the mouse is not over a 3D view that looks through the camera; outside the frame
    the numbers go on. The frame's corners on screen are all that is needed: no ray is cast.
    """
    scene = context.scene
    eye = scene.camera
    if eye is None or eye.type != "CAMERA":
        return None
    for area in context.window.screen.areas:
        space = area.spaces.active
        if area.type != "VIEW_3D" or space.region_3d.view_perspective != "CAMERA":
            continue
        hit = [region for region in area.regions if _inside(region, event)]
        if [region.type for region in hit] != ["WINDOW"]:
            continue  # sidebar, tool bar and header lie over the view
        region = hit[0]
        corners = [
            view3d_utils.location_3d_to_region_2d(region, space.region_3d, eye.matrix_world @ v)
            for v in eye.data.view_frame(scene=scene)
        ]
        if any(corner is None for corner in corners):
            continue
        left, right = (f(corner.x for corner in corners) for f in (min, max))
        bottom, top = (f(corner.y for corner in corners) for f in (min, max))
        x = (event.mouse_x - region.x - left) / (right - left)
        y = (top - event.mouse_y + region.y) / (top - bottom)
        return x, y
    return None


def _inside(region: Region, event: Event) -> bool:
    across = region.x <= event.mouse_x < region.x + region.width
    up = region.y <= event.mouse_y < region.y + region.height
    return region.width > 1 and across and up
