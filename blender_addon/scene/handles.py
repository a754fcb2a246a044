"""Instances: points of their own under an Empty, and the keys of that Empty."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Collection, Object, Scene

from ..core import lift as pure
from ..core import names
from ..core.coords import Array
from ..link.wire import ShotError
from . import cloud, display, lifts

CHANNELS = ("location", "rotation_euler", "scale")


def make_instance(scene: Scene, collection: Collection, name: str, moving: bool) -> str:
    """Take the picked points out of the background, into an object under an Empty.

    Returns:
        The instance's name, which may have got a number.

    Raises:
        ShotError: nothing is picked, or everything is.
    """
    lift, photo = collection.levitor, lifts.photo_of(collection)
    background = lift.background
    points = cloud.read(background)
    pick = cloud.floats(background.data, cloud.PICK)
    depth = cloud.floats(background.data, cloud.PICK_DEPTH)
    chosen = np.zeros(len(points), bool) if pick is None else pick > 0.5
    if depth is None or not chosen.any():
        raise ShotError("nothing_picked", "No pixel of the photo is picked.", "Pick one first.")
    if chosen.all():
        raise ShotError(
            "all_picked",
            f"All {len(points)} points of the background are picked, so nothing would stay.",
            "Pick again, with a negative click on what shall stay.",
        )
    mine = pure.at_depth(points.take(chosen), depth[chosen], photo.intrinsics, photo.width)
    rest = np.eye(4)
    # Blender keeps the Empty's location as float32; the points must be relative to just that.
    rest[:3, 3] = mine.position.mean(axis=0, dtype=np.float64).astype(np.float32)
    name = names.unique(name, [item.name for item in lift.instances])
    made = []
    try:
        mesh = cloud.make(name, mine, offset=rest[:3, 3])
        made.append(mesh)
        left = cloud.make(lifts.BACKGROUND, points.take(~chosen))
        made.append(left)
        ob = bpy.data.objects.new(name, mesh)
        made.append(ob)
        handle = _empty(f"{name} Handle", rest, np.ptp(mine.position, axis=0))
        made.append(handle)
        ob.parent = handle
        display.show(ob, 1.0 / float(photo.intrinsics[0, 0]))
        lifts.lock(ob)
        for one in (handle, ob):
            collection.objects.link(one)
    except BaseException:
        bpy.data.batch_remove(made)
        raise
    old, background.data = background.data, left
    bpy.data.meshes.remove(old)
    item = lift.instances.add()
    item.name, item.moving, item.handle, item.points = name, moving, handle, ob
    lift.active_instance = len(lift.instances) - 1
    lift.clicks.clear()
    lift.box = (0.0,) * 4
    lift.picked = 0
    return name


def _empty(name: str, rest: Array, extent: Array) -> Object:
    handle = bpy.data.objects.new(name, None)
    handle.empty_display_type = "ARROWS"
    handle.empty_display_size = max(1e-3, float(extent.max()) * 0.25)
    handle.show_in_front = True
    handle.location = rest[:3, 3]
    handle["levitor_rest"] = [float(v) for v in rest.ravel()]
    return handle


def find(collection: Collection, name: str) -> Object:
    """The handle of the instance called ``name``, or of the one chosen in the list if empty.

    Raises:
        ShotError: there is no such instance.
    """
    lift = collection.levitor
    if not lift.instances:
        raise ShotError("no_instance", "There is no instance yet.", "Pick one and make it first.")
    if name:
        item = lift.instances.get(name)
    else:
        item = lift.instances[min(max(lift.active_instance, 0), len(lift.instances) - 1)]
    if item is None:
        known = ", ".join(f"'{other.name}'" for other in lift.instances)
        raise ShotError("no_instance", f"There is no instance '{name}'; there are {known}.")
    if item.handle is None:
        raise ShotError(
            "deleted", f"The handle of '{item.name}' was deleted.", "Undo its deletion."
        )
    return item.handle


def pose(handle: Object, move: Array, turn: Array, scale: float) -> None:
    """Set the handle ``move`` world units from rest, turned and scaled as given."""
    handle.rotation_mode = "XYZ"
    handle.location = lifts.rest_of(handle)[:3, 3] + np.asarray(move, np.float64)
    handle.rotation_euler = turn
    handle.scale = (scale, scale, scale)


def key(handle: Object, frame: int) -> None:
    """Key the handle as it stands."""
    if handle.rotation_mode != "XYZ":
        handle.rotation_mode = "XYZ"  # keeps the orientation
    for channel in CHANNELS:
        handle.keyframe_insert(channel, frame=frame, group="LeviTor")


def is_keyed(handle: Object) -> bool:
    """Whether an action drives the handle."""
    data = handle.animation_data
    return data is not None and data.action is not None and data.action_slot is not None


def key_rest(handle: Object, frame: int) -> None:
    """Key the handle at rest on ``frame``; how it stands now is not changed."""
    now = handle.location.copy(), handle.rotation_euler.copy(), handle.scale.copy()
    pose(handle, np.zeros(3), np.zeros(3), 1.0)
    key(handle, frame)
    handle.location, handle.rotation_euler, handle.scale = now
