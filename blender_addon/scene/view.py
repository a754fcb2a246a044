"""The windows: looking through the camera, redrawing the sidebar, telling where the mouse is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
from bpy.types import Area, Context, Region, Scene, ViewLayer
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
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


def camera_place(context: Context, x: int, y: int) -> Place | None:
    """The camera's frame under a window position.

    None where there is no 3D view that looks through the camera. The frame's corners on screen are
    all that is needed: no ray is cast.
    """
    scene = context.scene
    eye = scene.camera
    if eye is None or eye.type != "CAMERA":
        return None
    for area in context.window.screen.areas:
        space = area.spaces.active
        if area.type != "VIEW_3D" or space.region_3d.view_perspective != "CAMERA":
            continue
        hit = [region for region in area.regions if _inside(region, x, y)]
        if [region.type for region in hit] != ["WINDOW"]:
            continue  # sidebar, tool bar and header lie over the view
        region = hit[0]
        corners = [
            view3d_utils.location_3d_to_region_2d(region, space.region_3d, eye.matrix_world @ v)
            for v in eye.data.view_frame(scene=scene)
        ]
        if any(corner is None for corner in corners):
            continue
        across, up = [region.x + c.x for c in corners], [region.y + c.y for c in corners]
        return Place(area=area, left=min(across), right=max(across), bottom=min(up), top=max(up))
    return None


def _inside(region: Region, x: int, y: int) -> bool:
    across = region.x <= x < region.x + region.width
    return region.width > 1 and across and region.y <= y < region.y + region.height
