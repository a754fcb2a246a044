"""Removing instances: their pixels return to the background, as if never picked.

So a later pick, and a shot, are the same as without the instance. What the artist deletes by hand
goes the same way: a photo has each of its pixels once, whatever happened to an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Mesh, Object, Scene

from ..core import photo_cloud
from ..core.coords import Array
from ..core.photo_cloud import Cloud
from ..link.wire import ShotError
from . import cloud, flattening, lifts, linked, viewport


def remove(scene: Scene, collection: Collection, item: Any) -> str:
    """Delete an instance, its handle and its keys; its pixels return to the background.

    Args:
        scene: that holds the lift.
        collection: the lift.
        item: the instance, one of the lift's.

    Returns:
        What was done, in a sentence.

    Raises:
        ShotError: points are being edited or have lost what they are made of. Nothing has changed.
    """
    linked.check(collection)
    name, index = item.name, list(collection.levitor.instances).index(item)
    count, exact = _give_back(scene, collection, [index])
    if not count:
        return f"Removed '{name}'. Its points were deleted before, so no pixel of it came back."
    said = f"Removed '{name}'; its {count} pixels are back in the background."
    if not exact:
        said += " It was made by an older LeviTor, so they keep the depth that it was picked at."
    return said


def broken(scene: Scene, collection: Collection) -> list[int]:
    """Which instances of the list lack their handle or points, but not the pixels of these."""
    lift = collection.levitor
    if linked.is_foreign(collection) or not lifts.in_scene(lift.background, scene):
        return []
    found = [
        index
        for index, item in enumerate(lift.instances)
        if not all(lifts.in_scene(ob, scene) for ob in (item.handle, item.points))
    ]
    if any(lift.instances[index].points is None for index in found) and not _orphans(collection):
        return [index for index in found if lift.instances[index].points is not None]
    return found


def heal(scene: Scene) -> str:
    """Finish what a deletion by hand began; says what was done, or nothing.

    It is an undo step of its own, since the artist's is made already.
    """
    collection = scene.levitor.lift
    if collection is None or not (gone := broken(scene, collection)):
        return ""
    names = ", ".join(f"'{collection.levitor.instances[index].name}'" for index in gone)
    try:
        count, _ = _give_back(scene, collection, gone)
    except ShotError:
        return ""  # points in edit mode, say; who reads the lift tells
    bpy.ops.ed.undo_push(message=f"Remove {names}")
    verb = "was" if len(gone) == 1 else "were"
    return f"{names} {verb} deleted; {count} pixels are back in the background."


def lifted() -> set[Object]:
    """Cameras, handles and points of every lift of the file."""
    return {
        ob
        for collection in bpy.data.collections
        if collection.levitor.uid
        for ob in _objects_of(collection)
        if ob is not None
    }


def copies(scene: Scene) -> list[Object]:
    """What is seen in the scene and is a copy of an instance's handle or of a photo's points."""
    known, layer = lifted(), viewport.layer_of(scene)
    return [
        ob
        for ob in scene.objects
        if ob not in known
        and (lifts.is_handle(ob) or cloud.is_cloud(ob))
        and ob.visible_get(view_layer=layer)
    ]


def refusal(found: Sequence[Object]) -> ShotError:
    """What to say about copies; there is at least one."""
    names = ", ".join(f"'{ob.name}'" for ob in found)
    one = len(found) == 1
    return ShotError(
        "copies",
        f"{names} {'is a copy' if one else 'are copies'}, but a photo has each of its pixels once: "
        f"{'it is' if one else 'they are'} in no list and in no take.",
        f"Delete or hide {'it' if one else 'them'}; move the instance itself instead.",
    )


def _objects_of(collection: Collection) -> list[Object | None]:
    lift = collection.levitor
    return [
        lift.camera,
        lift.background,
        *(ob for item in lift.instances for ob in (item.handle, item.points)),
    ]


def _orphans(collection: Collection) -> list[Mesh]:
    """Meshes with the lift's missing pixels, left behind where a script removed their objects.

    A mesh says which lift it is of, since another photo of that size has the same numbers. One of
    an older LeviTor does not: it is taken only where no other could be meant for its pixels.
    """
    lift = collection.levitor
    size = lift.width * lift.height
    held = np.zeros(size, bool)
    for ob in (lift.background, *(item.points for item in lift.instances)):
        if ob is not None and (pixel := cloud.pixels_of(ob.data)) is not None:
            held[pixel] = True
    found, unsigned = list[Mesh](), list[tuple[Mesh, Array]]()
    for mesh in bpy.data.meshes:
        pixel = cloud.pixels_of(mesh) if mesh.users == 0 else None
        if pixel is None or not len(pixel) or pixel.min() < 0 or pixel.max() >= size:
            continue
        if held[pixel].any():
            continue
        owner = mesh.get(lifts.LIFT, "")
        if not owner:
            unsigned.append((mesh, pixel))
        elif owner == lift.uid:
            held[pixel] = True
            found.append(mesh)
    unsigned = [(mesh, pixel) for mesh, pixel in unsigned if not held[pixel].any()]
    claims = np.zeros(size, np.int32)
    for _, pixel in unsigned:
        claims[pixel] += 1
    return found + [mesh for mesh, pixel in unsigned if claims[pixel].max() == 1]


def _give_back(scene: Scene, collection: Collection, indices: Sequence[int]) -> tuple[int, bool]:
    """Take instances off the list and put their points into the background.

    Returns:
        How many pixels returned, and whether all have the depth that they were lifted with.
    """
    lift, photo = collection.levitor, lifts.photo_of(collection)
    background = lift.background
    items = [lift.instances[index] for index in indices]
    parts = [item.points for item in items if item.points is not None]
    handles = [item.handle for item in items if item.handle is not None]
    returned, exact = list[Cloud](), True
    found = list[Object]()
    try:
        if len(parts) < len(items):
            found = [bpy.data.objects.new(mesh.name, mesh) for mesh in _orphans(collection)]
        for ob in (*parts, *found):
            now, lifted = cloud.read(ob), cloud.floats(ob.data, cloud.LIFTED)
            if lifted is None:
                lifted, exact = flattening.with_relief(ob, now).depth, False
            returned.append(photo_cloud.at_depth(now, lifted, photo.intrinsics, photo.width))
        whole = cloud.joined(background, returned, lifts.BACKGROUND)
    except BaseException:
        bpy.data.batch_remove(found)
        raise
    parts += found
    meshes = dict.fromkeys([background.data, *(ob.data for ob in parts)])
    background.data = whole
    for index in sorted(indices, reverse=True):
        lift.instances.remove(index)
    lift.active_instance = min(lift.active_instance, max(len(lift.instances) - 1, 0))
    # Objects linked to another scene only are the artist's own use of them.
    going = [ob for ob in (*handles, *parts) if lifts.in_scene(ob, scene) or not ob.users_scene]
    bpy.data.batch_remove(going)
    bpy.data.batch_remove([mesh for mesh in meshes if mesh.users == 0])
    return sum(map(len, returned)), exact
