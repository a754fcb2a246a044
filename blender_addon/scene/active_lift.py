"""Which of the file's lifts is worked on: it is shown, and looked at through its own camera."""

from __future__ import annotations

import bpy
from bpy.types import Collection, Scene

from ..link.wire import ShotError
from . import camera, lifts, viewport
from .rollback import Rollback


def every() -> list[Collection]:
    """All lifts of the file, of every scene and of none, by name."""
    return [collection for collection in bpy.data.collections if collection.levitor.uid]


def choose(scene: Scene, collection: Collection) -> None:
    """Work on ``collection``: show it, hide the former, look through its camera at its size.

    One that is in another scene, or in none, is put into this one as well.

    Raises:
        ShotError: its background or camera is gone. Nothing has changed.
    """
    lift, photo = collection.levitor, lifts.photo_of(collection)
    held = set(collection.all_objects)
    for what, ob in (("background", lift.background), ("camera", lift.camera)):
        if ob is None or not (ob in held or lifts.in_scene(ob, scene)):
            raise ShotError(
                "deleted",
                f"The {what} of '{collection.name}' is not in it any more.",
                "Undo its deletion, or choose another lift.",
            )
    rollback, former = Rollback(), scene.levitor.lift
    linked = collection not in scene.collection.children_recursive
    try:
        if linked:
            scene.collection.children.link(collection)
        if former is not None and former != collection:
            viewport.show_collection(scene, former, False, rollback)
        viewport.show_collection(scene, collection, True, rollback)
        rollback.keep(scene, "camera")
        rollback.keep(scene.render, *camera.USED)
        rollback.keep(scene.levitor, "lift")
        scene.levitor.lift = collection
        camera.use(scene, lift.camera, photo.intrinsics, photo.width, photo.height)
    except BaseException:
        rollback.undo()
        if linked and collection in scene.collection.children.values():
            scene.collection.children.unlink(collection)
        raise
