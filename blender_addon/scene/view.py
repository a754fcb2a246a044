"""The windows: looking through the camera, redrawing the sidebar, telling where the mouse is."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
from bpy.types import Area, Context, Event, Region, Scene
from bpy_extras import view3d_utils


def _areas(scene: Scene | None = None) -> Iterator[Area]:
    manager = bpy.context.window_manager
    for window in manager.windows if manager is not None else ():
        if scene is None or window.scene == scene:
            yield from (area for area in window.screen.areas if area.type == "VIEW_3D")


def look_through(scene: Scene) -> None:
    """Point the 3D views of ``scene`` through its camera, with the points' own colours."""
    if bpy.app.background:
        return
    for area in _areas(scene):
        space = area.spaces.active
        space.camera = scene.camera
        space.region_3d.view_perspective = "CAMERA"
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
    for area in context.window.screen.areas:
        space = area.spaces.active
        if area.type != "VIEW_3D" or space.region_3d.view_perspective != "CAMERA":
            continue
        hit = [region for region in area.regions if _inside(region, event)]
        if [region.type for region in hit] != ["WINDOW"]:
            continue  # sidebar, tool bar and header lie over the view
        scene, region = context.scene, hit[0]
        eye = scene.camera
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
