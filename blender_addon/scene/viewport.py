"""3D viewports: looking through the camera, redrawing, and where the mouse is in the photo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import bpy
from bpy.types import (
    Area,
    Collection,
    Context,
    LayerCollection,
    Region,
    Scene,
    View3DShading,
    ViewLayer,
)
from bpy_extras import view3d_utils

from .rollback import Rollback


def _areas(scene: Scene | None = None) -> Iterator[Area]:
    manager = bpy.context.window_manager
    for window in manager.windows if manager is not None else ():
        if scene is None or window.scene == scene:
            yield from (area for area in window.screen.areas if area.type == "VIEW_3D")


def layer_of(scene: Scene) -> ViewLayer:
    """The view layer of ``scene`` that the artist works in, where that is known."""
    layer = bpy.context.view_layer
    return layer if layer is not None and layer.id_data == scene else scene.view_layers[0]


COLOURLESS = ("SOLID", "WIREFRAME")
"""Shadings that draw points and lone vertices in one colour, whatever attribute they are told."""


def show_collection(scene: Scene, collection: Collection, shown: bool, rollback: Rollback) -> None:
    """Show a collection of ``scene``, or hide it, in viewports and renders.

    What is linked from another file keeps its settings there: the view layer leaves it out instead.
    """
    if collection.library is None:
        rollback.keep(collection, "hide_viewport", "hide_render")
        collection.hide_viewport = collection.hide_render = not shown
    for one in _places_of(layer_of(scene).layer_collection, collection):
        rollback.keep(one, "exclude", "hide_viewport")
        if shown:
            one.exclude = one.hide_viewport = False
        elif collection.library is not None:
            one.exclude = True


def _places_of(root: LayerCollection, collection: Collection) -> list[LayerCollection]:
    found = [one for child in root.children for one in _places_of(child, collection)]
    return [root, *found] if root.collection == collection else found


def look_through(scene: Scene, area: Area | None = None) -> str:
    """Point one 3D view of ``scene`` through its camera; the others stay as the artist has them.

    Of all views that look through a camera, also in other workspaces, those in Solid shading show
    the points' own colours from now on.

    Args:
        scene: the scene.
        area: the view; without it, the largest one that shows the scene.

    Returns:
        What was changed that the artist did not ask for, in a sentence; mostly nothing.
    """
    if area is None or area.type != "VIEW_3D":
        area = max(_areas(scene), key=lambda one: one.width * one.height, default=None)
    if bpy.app.background or area is None:
        return ""
    space = area.spaces.active
    space.camera = scene.camera
    space.region_3d.view_perspective = "CAMERA"
    area.tag_redraw()
    spaces = [
        one.spaces.active
        for screen in bpy.data.screens
        for one in screen.areas
        if one.type == "VIEW_3D" and one.spaces.active.region_3d.view_perspective == "CAMERA"
    ]
    solid = [one for one in spaces if one.shading.type == "SOLID" or one == space]
    return show_colours([one.shading for one in solid])


def show_colours(shadings: Iterable[View3DShading]) -> str:
    """Switch those that cannot show the points' colours to Material Preview; says so if any."""
    found = [shading for shading in shadings if shading.type in COLOURLESS]
    for shading in found:
        shading.type = "MATERIAL"
    if not found:
        return ""
    which = "The 3D view is" if len(found) == 1 else f"{len(found)} 3D views are"
    return f"{which} in Material Preview now, since Solid shows points without their colours."


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFrame:
    """A 3D view that looks through the camera, and where the camera's frame lies in the window.

    Attributes:
        area: the view.
        left: of the frame, pixels of the window; likewise right, bottom and top.
    """

    area: Area
    left: float
    right: float
    bottom: float
    top: float

    def of(self, x: float, y: float) -> tuple[float, float]:
        """A window position in the frame: (0, 0) is its top-left corner, (1, 1) the opposite."""
        return (x - self.left) / (self.right - self.left), (self.top - y) / (self.top - self.bottom)


def camera_place(context: Context, x: int, y: int) -> CameraFrame | None:
    """The camera's frame under a window position.

    None where there is no 3D view that looks through the camera. The frame's corners on screen are
    all that is needed: no ray is cast.
    """
    for area in context.window.screen.areas:
        if area.type != "VIEW_3D":
            continue
        hit = [region for region in area.regions if _inside(region, x, y)]
        if [region.type for region in hit] != ["WINDOW"]:
            continue  # sidebar, tool bar and header lie over the view
        if (place := place_in(context.scene, area, hit[0])) is not None:
            return place
    return None


def place_in(scene: Scene, area: Area, region: Region) -> CameraFrame | None:
    """The camera's frame in a 3D view's main region; None where it is not looked through."""
    eye, space = scene.camera, area.spaces.active
    if eye is None or eye.type != "CAMERA" or space.region_3d.view_perspective != "CAMERA":
        return None
    corners = [
        view3d_utils.location_3d_to_region_2d(region, space.region_3d, eye.matrix_world @ v)
        for v in eye.data.view_frame(scene=scene)
    ]
    if any(corner is None for corner in corners):
        return None
    across, up = [region.x + c.x for c in corners], [region.y + c.y for c in corners]
    return CameraFrame(area=area, left=min(across), right=max(across), bottom=min(up), top=max(up))


def _inside(region: Region, x: int, y: int) -> bool:
    across = region.x <= x < region.x + region.width
    return region.width > 1 and across and region.y <= y < region.y + region.height
