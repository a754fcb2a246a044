"""A click on an instance's points selects its handle: the points themselves cannot be moved.

Blender picks whole objects by what they show, and what an instance shows are its points. So the
selection is handed on, whatever it came from: click, box, Outliner, Select All. It is done when
Blender tells of it, which is before the artist's next key; undo steps hold what Blender selected,
and coming back to one hands the selection on again.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.types import Depsgraph, Object, Scene, ViewLayer

from . import cloud, lifts

_active: dict[int, int] = {}
"""By scene, the object that was active when Blender last told of a selection; session numbers."""


def handle_of(ob: Object) -> Object | None:
    """The handle that moves ``ob``; None where ``ob`` is not the points of an instance."""
    parent = ob.parent
    known = parent is not None and lifts.is_handle(parent) and cloud.is_cloud(ob)
    return parent if known else None


def hand_on(layer: ViewLayer, before: int = 0, operator: str = "") -> None:
    """Select the handles of all points that are selected, in their place.

    Args:
        layer: the view layer; nothing happens outside of Object Mode.
        before: session number of the object that was active until now.
        operator: that made the selection, where that is known. Points chosen in the Outliner stay
            active, so that their modifiers can be seen; Select All means the handles as well.
    """
    objects = layer.objects
    active = objects.active
    if active is not None and active.mode != "OBJECT":
        return
    for points in [ob for ob in objects.selected if handle_of(ob) is not None]:
        handle = handle_of(points)
        if handle is None or not _can_select(handle, layer):
            continue  # better the points than nothing; the sidebar says why
        points.select_set(False, view_layer=layer)
        if operator == "OBJECT_OT_select_all":
            continue
        again = active == points and handle.select_get(view_layer=layer)
        # As Blender does: a second Shift-click on what is selected and active takes it away.
        handle.select_set(not (again and handle.session_uid == before), view_layer=layer)
        if active == points and not operator.startswith("OUTLINER_OT"):
            objects.active = handle


def _can_select(handle: Object, layer: ViewLayer) -> bool:
    known = handle.name in layer.objects
    return known and not handle.hide_select and handle.visible_get(view_layer=layer)


def hint(active: Object | None, collection: Any) -> str:
    """What to know where what is active is not moved by itself; empty where there is nothing."""
    if active is None or collection is None:
        return ""
    if active == collection.levitor.background:
        return f"'{active.name}' stays as it was lifted. To move a part of it, pick that part."
    handle = handle_of(active)
    if handle is None:
        return ""
    hidden = "" if handle.visible_get() else ", which is hidden: show it in the Outliner"
    return f"'{active.name}' is locked, since it is moved by '{handle.name}'{hidden}."


def _choose_in_list(scene: Scene, layer: ViewLayer) -> None:
    """Choose the instance in the list whose handle is selected and active."""
    collection, active = scene.levitor.lift, layer.objects.active
    if collection is None or active is None or not active.select_get(view_layer=layer):
        return
    lift = collection.levitor
    for index, item in enumerate(lift.instances):
        if item.handle == active and lift.active_instance != index and collection.is_editable:
            lift.active_instance = index


@persistent
def _selected(scene: Scene, graph: Depsgraph) -> None:
    # Selecting tags the scene; transforming an object and playback do not.
    if graph.mode != "VIEWPORT" or not graph.id_type_updated("SCENE"):
        return
    layer, history = graph.view_layer, bpy.context.window_manager.operators
    operator = history[-1].bl_idname if len(history) else ""
    hand_on(layer, _active.get(scene.session_uid, 0), operator)
    if operator:  # the artist's doing; a script that selects leaves the list alone
        _choose_in_list(scene, layer)
    now = layer.objects.active
    _active[scene.session_uid] = 0 if now is None else now.session_uid


def start() -> None:
    """Watch what is selected."""
    bpy.app.handlers.depsgraph_update_post.append(_selected)


def stop() -> None:
    """Watch no more."""
    if _selected in bpy.app.handlers.depsgraph_update_post:
        bpy.app.handlers.depsgraph_update_post.remove(_selected)
    _active.clear()
