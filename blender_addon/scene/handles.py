"""Instances: points of their own under an Empty, and the keys of that Empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Object, Scene
from mathutils import Euler, Matrix, Quaternion, Vector

from ..core import names, photo_cloud
from ..core.coords import Array
from ..link.wire import ShotError, rules
from . import cloud, keyframes, lifts, linked, point_display, viewport


def make_instance(scene: Scene, collection: Collection, name: str, moving: bool) -> str:
    """Take the picked points out of the background, into an object under an Empty.

    Returns:
        The instance's name, which may have got a number.

    Raises:
        ShotError: nothing is picked, or everything is.
    """
    linked.check(collection)
    lift, photo = collection.levitor, lifts.photo_of(collection)
    background = lift.background
    cloud.check(background)
    total = len(background.data.vertices)
    pick = cloud.floats(background.data, cloud.PICK)
    depth = cloud.floats(background.data, cloud.PICK_DEPTH)
    chosen = np.zeros(total, bool) if pick is None else pick > 0.5
    if depth is None or not chosen.any():
        raise ShotError(
            "nothing_picked", "No pixel of the photo is picked.", "Pick something first."
        )
    if chosen.all():
        raise ShotError(
            "all_picked",
            f"All {total} points of the background are picked, so nothing would stay.",
            "Pick again, with a negative click on what shall stay.",
        )
    taken, left = cloud.split(background, chosen, lifts.BACKGROUND)
    made: list[Any] = [left]
    try:
        mine = photo_cloud.at_depth(taken, depth[chosen], photo.intrinsics, photo.width)
        rest = np.eye(4)
        # Blender keeps the Empty's location as float32; the points must be relative to just that.
        rest[:3, 3] = mine.position.mean(axis=0, dtype=np.float64).astype(np.float32)
        name = names.unique(name, [item.name for item in lift.instances])
        mesh = cloud.make(name, mine, offset=rest[:3, 3])
        made.append(mesh)
        cloud.set_floats(mesh, cloud.LIFTED, taken.depth)
        mesh[lifts.LIFT] = lift.uid
        ob = bpy.data.objects.new(name, mesh)
        made.append(ob)
        handle = _empty(f"{name} Handle", rest, np.ptp(mine.position, axis=0))
        made.append(handle)
        ob.parent = handle
        point_display.show(ob, 1.0 / float(photo.intrinsics[0, 0]))
        lifts.lock(ob)
        for one in (handle, ob):
            collection.objects.link(one)
    except BaseException:
        bpy.data.batch_remove(made)
        raise
    old, background.data = background.data, left
    if old.users == 0:  # an object of the artist's may show it too
        bpy.data.meshes.remove(old)
    item = lift.instances.add()
    item.name, item.moving, item.handle, item.points = name, moving, handle, ob
    lift.active_instance = len(lift.instances) - 1
    lift.clicks.clear()
    lift.box = (0.0,) * 4
    lift.picked = 0
    select(scene, handle)
    return name


def select(scene: Scene, handle: Object) -> None:
    """Make ``handle`` the selected and active object, where the artist is free to select."""
    layer = viewport.layer_of(scene)
    now = layer.objects.active
    if handle.name not in layer.objects or (now is not None and now.mode != "OBJECT"):
        return
    for ob in layer.objects.selected:
        ob.select_set(False, view_layer=layer)
    handle.select_set(True, view_layer=layer)
    layer.objects.active = handle


def select_listed(scene: Scene, lift: Any) -> None:
    """Select the handle of the instance that is chosen in the list, unless it is already."""
    if 0 <= lift.active_instance < len(lift.instances):
        handle = lift.instances[lift.active_instance].handle
        if handle is not None and not is_chosen(scene, handle):
            select(scene, handle)


def keep_name_unique(item: Any) -> None:
    """Give an instance's name a number where another instance of its lift has that name."""
    others = [other.name for other in item.id_data.levitor.instances if other != item]
    if (unique := names.unique(item.name, others)) != item.name:
        item.name = unique  # its callback calls this again, with nothing left to do


def is_chosen(scene: Scene, handle: Object) -> bool:
    """Whether ``handle`` is selected and active, others beside it or not."""
    layer = viewport.layer_of(scene)
    return layer.objects.active == handle and handle.select_get(view_layer=layer)


def _empty(name: str, rest: Array, extent: Array) -> Object:
    handle = bpy.data.objects.new(name, None)
    handle.empty_display_type = "ARROWS"
    handle.empty_display_size = max(1e-3, float(extent.max()) * 0.25)
    handle.show_in_front = True
    handle.location = rest[:3, 3]
    lifts.set_rest(handle, rest)
    return handle


def find(scene: Scene, name: str) -> Object:
    """A handle of the lift that is worked on.

    Args:
        scene: where it must be.
        name: of the instance; empty is the one whose handle or points are selected and active,
            else the one chosen in the list.

    Raises:
        ShotError: there is no such instance, or its handle was deleted.
    """
    item = item_of(scene, name)
    if not lifts.in_scene(item.handle, scene):
        raise ShotError("deleted", f"The handle of '{item.name}' was deleted.", lifts.DELETED)
    return item.handle


def item_of(scene: Scene, name: str) -> Any:
    """An instance of the lift that is worked on; for ``name`` see :func:`find`.

    Raises:
        ShotError: there is no such instance.
    """
    lift = lifts.active(scene).levitor
    if not lift.instances:
        raise ShotError("no_instance", "There is no instance yet.", "Pick one and make it first.")
    item = lift.instances.get(name) if name else _chosen(scene, lift)
    if item is None:
        known = ", ".join(f"'{other.name}'" for other in lift.instances)
        raise ShotError("no_instance", f"There is no instance '{name}'; there are {known}.")
    return item


def _chosen(scene: Scene, lift: Any) -> Any:
    layer = viewport.layer_of(scene)
    now = layer.objects.active
    if now is not None and now.select_get(view_layer=layer):
        for item in lift.instances:
            if now in (item.handle, item.points):
                return item
    return lift.instances[min(max(lift.active_instance, 0), len(lift.instances) - 1)]


def pose(handle: Object, move: Array, turn: Array, scale: float) -> None:
    """Set the handle ``move`` world units from rest, turned about X, Y, Z and scaled as given."""
    rest = lifts.rest_of(handle)
    place = rest[:3, 3] + np.asarray(move, np.float64)
    turned, size = Euler(turn), (scale, scale, scale)
    if not _is_plain(handle):
        linear = Matrix(rest.tolist())
        linear.translation = (0, 0, 0)
        # Blender works out the channels that, below parent and deltas, come out there.
        handle.matrix_world = Matrix.LocRotScale(Vector(place), turned, Vector(size)) @ linear
        return
    handle.location, handle.scale = place, size
    mode = handle.rotation_mode
    if mode == "XYZ":
        handle.rotation_euler = turned  # as it is: a matrix would forget whole turns
    elif mode == "QUATERNION":
        now = turned.to_quaternion()
        now.make_compatible(handle.rotation_quaternion)
        handle.rotation_quaternion = now
    elif mode == "AXIS_ANGLE":
        axis, angle = turned.to_quaternion().to_axis_angle()
        handle.rotation_axis_angle = (angle, *axis)
    else:
        handle.rotation_euler = turned.to_matrix().to_euler(mode)


def _is_plain(handle: Object) -> bool:
    """Whether the handle's channels are its place in the world: no parent, no deltas."""
    quaternion = handle.rotation_mode in ("QUATERNION", "AXIS_ANGLE")
    delta = handle.delta_rotation_quaternion if quaternion else handle.delta_rotation_euler
    return (
        handle.parent is None
        and not any(handle.delta_location)
        and tuple(delta) == ((1, 0, 0, 0) if quaternion else (0, 0, 0))
        and tuple(handle.delta_scale) == (1, 1, 1)
        and bool((lifts.rest_of(handle)[:3, :3] == np.eye(3)).all())
    )


def keyed_off_rest(handle: Object, frame: int) -> bool:
    """Whether keys, and nothing else, place the handle elsewhere than at rest on ``frame``."""
    data = handle.animation_data
    if data is None or data.drivers or data.nla_tracks:
        return False
    if handle.constraints or not _is_plain(handle) or data.action_influence < 1.0:
        return False
    values: dict[str, list[float]] = {}
    for channel in keyframes.channels(handle):
        for curve in filter(keyframes.is_evaluated, keyframes.curves(handle, channel)):
            values.setdefault(channel, list(getattr(handle, channel)))
            values[channel][curve.array_index] = curve.evaluate(frame)
    rest = lifts.rest_of(handle)[:3, 3]
    matrix = Matrix.LocRotScale(
        Vector(values.get("location", rest)),
        _rotation_of(handle.rotation_mode, values.get(keyframes.rotation(handle))),
        Vector(values.get("scale", (1.0, 1.0, 1.0))),
    )
    at_rest = np.eye(4)
    at_rest[:3, 3] = rest
    return bool(np.abs(np.array(matrix) - at_rest).max() > rules.STILL)


def _rotation_of(mode: str, value: list[float] | None) -> Quaternion:
    if value is None:
        return Quaternion()
    if mode == "QUATERNION":
        return Quaternion(value).normalized()
    if mode == "AXIS_ANGLE":
        return Quaternion(value[1:], value[0])
    return Euler(value, mode).to_quaternion()


def key_at(
    scene: Scene, handle: Object, frame: int, posed: tuple[Array, Array, float] | None
) -> None:
    """Key the handle on ``frame``, in the rotation mode it has.

    Args:
        scene: where it is.
        handle: the handle.
        frame: may be another one than the current.
        posed: move, turn and scale from rest; None keys it as it stands.
    """
    with _frame(scene, frame if handle.parent is not None and posed else scene.frame_current):
        if posed is not None:
            pose(handle, *posed)
        for channel in keyframes.channels(handle):
            keyframes.insert(handle, channel, frame)
    if frame != scene.frame_current:
        # Evaluates the animation, so that the handle is shown where its keys place it.
        scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)


def key_rest(scene: Scene, handle: Object, frame: int) -> None:
    """Key at rest on ``frame`` what has no key until then; how the handle stands stays."""
    missing = {name: keyframes.unkeyed(handle, name, frame) for name in keyframes.channels(handle)}
    if not any(missing.values()):
        return
    elsewhere = handle.parent is not None
    with keyframes.kept(handle), _frame(scene, frame if elsewhere else scene.frame_current):
        pose(handle, np.zeros(3), np.zeros(3), 1.0)
        for name, components in missing.items():
            for index in components:
                keyframes.insert(handle, name, frame, index)


@contextmanager
def _frame(scene: Scene, frame: int) -> Iterator[None]:
    """Be on ``frame`` for a while: a place in the world needs the parent where it is then."""
    current, part = scene.frame_current, scene.frame_subframe
    viewport.layer_of(scene).update()
    if frame != current:
        scene.frame_set(frame)
    try:
        yield
    finally:
        if frame != current:
            scene.frame_set(current, subframe=part)


def reset(scene: Scene, handle: Object, *, clear_keys: bool) -> None:
    """Put the handle back to rest.

    Args:
        scene: where it is.
        handle: the handle.
        clear_keys: whether its keys go as well; otherwise what is keyed is keyed at rest on the
            current frame, since the next change of frame would move it away again.
    """
    keyframes.check(handle)
    if clear_keys:
        handle.animation_data_clear()
    viewport.layer_of(scene).update()
    pose(handle, np.zeros(3), np.zeros(3), 1.0)
    for channel in keyframes.channels(handle):
        if next(keyframes.curves(handle, channel), None) is not None:
            keyframes.insert(handle, channel, scene.frame_current)
