"""Checks before a shot is read: points hidden, deformed, moved or shown twice are refused.

A shot holds the lifted points and how their handles move. What else is done to points, it cannot
hold; it is named, with the way to take it back, rather than left out without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from bpy.types import Collection, LayerCollection, Object, Scene, ViewLayer

from ..core import photo_cloud
from ..core.coords import Array
from ..core.photo_cloud import Cloud
from ..link.wire import ShotError
from . import instance_removal, keyframes, lifts, point_display, viewport

MOVED = 1e-5
"""How far a point may be off, relative to its depth: Blender keeps it as float32."""
_VISIBILITY = ("hide_viewport", "hide_render")


def check(scene: Scene, collection: Collection, clouds: Sequence[Cloud]) -> None:
    """Raise :class:`ShotError` for the first thing done to points that a shot cannot hold.

    Args:
        scene: that holds the lift.
        collection: the lift.
        clouds: the background's points, then those of the instances in their order.
    """
    lift, photo, layer = collection.levitor, lifts.photo_of(collection), viewport.layer_of(scene)
    layer.update()
    for item in lift.instances:
        _check_handle(item)
    parts = [(lift.background, None), *((item.points, item.handle) for item in lift.instances)]
    for (ob, handle), cloud in zip(parts, clouds, strict=True):
        _check_place(ob, handle)
        if (how := _hidden(layer, ob)) is not None:
            raise ShotError(
                "hidden",
                f"The points '{ob.name}' are {how[0]}, but a shot shows the whole photo.",
                f"Show them again ({how[1]}).",
            )
        if (what := _deformed(ob)) is not None:
            raise ShotError(
                "points_deformed",
                f"The points '{ob.name}' have {what}, which no shot can hold.",
                "Remove it, or switch it off for viewport and render, and move their handle.",
            )
        rest = np.zeros(3) if handle is None else lifts.rest_of(handle)[:3, 3]
        if count := photo_cloud.moved_points(cloud, photo.intrinsics, photo.width, rest, MOVED):
            raise ShotError(
                "points_moved",
                f"{count} of the {len(cloud)} points of '{ob.name}' were moved in edit mode.",
                "Undo that edit, or lift the photo again.",
            )
        _check_drawn(ob, cloud, layer)
    for ob, source in _copies(scene, layer):
        raise ShotError(
            "points_copied",
            f"'{ob.name}' shows {source} a second time, but a shot holds each point once.",
            "Delete or hide it.",
        )


def _check_handle(item: Any) -> None:
    if item.handle.hide_viewport:
        raise ShotError(
            "hidden",
            f"The handle of '{item.name}' is disabled in viewports, so it does not move.",
            "Enable it in the Outliner (monitor icon); hide it with the eye icon instead.",
        )
    data = item.handle.animation_data
    driven = {curve.data_path for curve in data.drivers} if data is not None else set[str]()
    driven |= {path for path, _ in keyframes.animated(item.handle)}
    if driven.intersection(_VISIBILITY):
        raise ShotError(
            "hidden",
            f"The visibility of the handle of '{item.name}' is keyed or driven, but a shot shows "
            "an instance from its first frame to its last.",
            "Clear those keys; to make it vanish, move it out of the picture.",
        )


def _check_place(ob: Object, handle: Object | None) -> None:
    local = np.array(ob.matrix_parent_inverse) @ np.array(ob.matrix_basis)
    if ob.parent != handle or np.abs(local - np.eye(4)).max() > MOVED:
        raise ShotError(
            "points_moved",
            f"The points '{ob.name}' were moved or re-parented themselves.",
            "Clear their transform (Alt G, Alt R, Alt S) and move their handle instead.",
        )
    if (what := _driven(ob)) is not None:
        raise ShotError(
            "points_moved",
            f"The points '{ob.name}' have {what} of their own, which no shot can hold.",
            "Remove it from the points and move their handle instead.",
        )


def _driven(ob: Object) -> str | None:
    """What else than its handle moves an object, in words."""
    active = [constraint for constraint in ob.constraints if not constraint.mute]
    if active:
        return f"a constraint '{active[0].name}'"
    if ob.rigid_body is not None:
        return "a rigid body"
    for owner in (ob, ob.data):
        data = owner.animation_data
        if data is not None and (data.action is not None or data.drivers or data.nla_tracks):
            return "an animation"
    return None


def _deformed(ob: Object) -> str | None:
    """What gives the points another shape, in words."""
    for modifier in ob.modifiers:
        if (modifier.show_viewport or modifier.show_render) and not point_display.is_own(modifier):
            return f"a modifier '{modifier.name}' of their own"
    shapes = ob.data.shape_keys
    if shapes is not None and len(shapes.key_blocks) > 1:
        return f"a shape key '{shapes.key_blocks[1].name}'"
    return None


def _check_drawn(ob: Object, cloud: Cloud, layer: ViewLayer) -> None:
    """The node group that draws the points can be edited, too."""
    shown = _drawn(ob, layer)
    if shown is None:
        return
    size = np.abs(cloud.depth).max(initial=1.0)
    if shown.shape != cloud.position.shape or np.abs(shown - cloud.position).max() > MOVED * size:
        raise ShotError(
            "points_deformed",
            f"The node group '{point_display.NAME}' draws the points '{ob.name}' elsewhere than "
            "they are, which no shot can hold.",
            "Undo that edit of the node group, and move their handle instead.",
        )


def _drawn(ob: Object, layer: ViewLayer) -> Array | None:
    """(n, 3) where the points are drawn, relative to the object; None where they are not."""
    seen = ob.evaluated_get(layer.depsgraph)
    if not seen.is_evaluated:
        return None
    shape = seen.evaluated_geometry()
    drawn = shape.pointcloud
    if drawn is None:
        return None
    found = np.empty(len(drawn.points) * 3, np.float32)
    drawn.attributes["position"].data.foreach_get("vector", found)
    return found.reshape(-1, 3)


# Visibility


def _hidden(layer: ViewLayer, ob: Object) -> tuple[str, str] | None:
    """What keeps an object out of a render or off the viewport for good, and where to undo it."""
    ways = (
        (ob.hide_render, "disabled in renders", "camera icon in the Outliner"),
        (ob.hide_viewport, "disabled in viewports", "monitor icon in the Outliner"),
        (not ob.visible_camera, "invisible to cameras", "Object > Visibility > Camera"),
        (ob.is_holdout, "a holdout", "Object > Visibility > Holdout"),
    )
    for is_so, how, where in ways:
        if is_so:
            return how, where
    homes = [_off(home) for home in _homes(layer.layer_collection, ob)]
    return homes[0] if homes and all(homes) else None


def eyes_closed(layer: ViewLayer, ob: Object) -> bool:
    """Whether an object is only out of sight for now: the eye icon, its own or its collections'."""
    homes = list(_homes(layer.layer_collection, ob))
    closed = [any(one.hide_viewport for one in home) for home in homes]
    return ob.hide_get(view_layer=layer) or (bool(closed) and all(closed))


def _homes(root: LayerCollection, ob: Object) -> Iterator[list[LayerCollection]]:
    """Every way from the view layer down to a collection that holds the object."""
    if ob.name in root.collection.objects and root.collection.objects[ob.name] == ob:
        yield [root]
    for child in root.children:
        for home in _homes(child, ob):
            yield [root, *home]


def _off(home: Sequence[LayerCollection]) -> tuple[str, str] | None:
    for one in home:
        name, inner = one.name, one.collection
        ways = (
            (one.exclude, "the view layer leaves out", "check box in the Outliner"),
            (inner.hide_viewport, "is disabled in viewports", "monitor icon in the Outliner"),
            (inner.hide_render, "is disabled in renders", "camera icon in the Outliner"),
            (one.holdout, "is a holdout", "its icon in the Outliner"),
            (one.indirect_only, "is seen indirectly only", "its icon in the Outliner"),
        )
        for is_so, how, where in ways:
            if is_so:
                return f"in the collection '{name}', which {how}", where
    return None


# Copies


def _copies(scene: Scene, layer: ViewLayer) -> Iterator[tuple[Object, str]]:
    """What shows points again without being a copy of them: it, and what it shows, in words."""
    known, instancing = instance_removal.lifted(), False
    for ob in scene.objects:
        if ob in known or not ob.visible_get(view_layer=layer):
            continue
        nodes = any(modifier.type == "NODES" for modifier in ob.modifiers)
        instancing |= nodes or ob.instance_type != "NONE" or len(ob.particle_systems) > 0
        if nodes and (seen := ob.evaluated_get(layer.depsgraph)).is_evaluated:
            shape = seen.evaluated_geometry()
            if any(map(_is_of_points, (shape.mesh, shape.pointcloud))):
                yield ob, "points of the photo"
    if not instancing:
        return
    for one in layer.depsgraph.object_instances:
        shown = one.object.original
        if one.is_instance and shown in known and one.parent.original not in known:
            yield one.parent.original, f"'{shown.name}'"


def _is_of_points(shape: Any) -> bool:
    return shape is not None and {"pixel", "segment"} <= set(shape.attributes.keys())
