"""Lifted photos in the .blend: placed whole, found again, read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Object, Scene

from ..core import photo_cloud
from ..core.coords import Array
from ..core.photo_cloud import Cloud
from ..core.shot import PhotoCamera
from ..link.wire import ShotError
from . import camera, cloud, point_display, viewport
from .rollback import Rollback

BACKGROUND = "LeviTor Background"
REST = "levitor_rest"
"""Custom property of a handle: where it rests, 16 numbers, row by row."""
LIFT = "levitor_lift"
"""Custom property of an instance's mesh: the uid of its lift, which outlives every object."""
GUARDED = "levitor_guarded"
"""Custom property of a lift whose background was made unselectable once; from then on, whether it
is stays the artist's choice."""
KIND, HORIZON = "levitor_scene_kind", "levitor_horizon"
"""Custom properties of a lift; a lift of before 1.2 of the protocol has none."""
DELETED = "Undo its deletion, or remove the instance from the list."


def place(
    scene: Scene, name: str, photo: PhotoCamera, points: Cloud, facts: dict[str, Any]
) -> None:
    """Put a lifted photo into ``scene`` and make it the one that is worked on.

    A lift that was there before is hidden, and so is, in the viewport, what stands between the
    camera and the photo. When anything goes wrong, all is as it was.

    Args:
        scene: where it goes.
        name: of the photo, for the collection's name.
        photo: size, camera and depth range.
        points: every pixel of the photo.
        facts: further properties of ``Collection.levitor``, such as ``depth_model``.
    """
    made: list[Any] = []
    rollback, shared = Rollback(), point_display.shared()
    try:
        layer = viewport.layer_of(scene)
        blockers = camera.blockers(scene, layer, photo)
        collection = bpy.data.collections.new(f"LeviTor {name}")
        made.append(collection)
        eye = camera.make(photo.intrinsics, photo.width, photo.height, photo.far)
        made += [eye.data, eye]
        mesh = cloud.make(BACKGROUND, points)
        made.append(mesh)
        background = bpy.data.objects.new(BACKGROUND, mesh)
        made.append(background)
        point_display.show(background, 1.0 / float(photo.intrinsics[0, 0]))
        lock(background)
        guard(collection, background)
        collection["levitor_intrinsics"] = [float(v) for v in photo.intrinsics.ravel()]
        collection["levitor_near"], collection["levitor_far"] = photo.near, photo.far
        collection[KIND], collection[HORIZON] = photo.kind, photo.horizon
        lift = collection.levitor
        for key, value in facts.items():
            setattr(lift, key, value)
        lift.width, lift.height = photo.width, photo.height
        lift.camera, lift.background = eye, background
        for ob in (eye, background):
            collection.objects.link(ob)
        scene.collection.children.link(collection)
        if (old := scene.levitor.lift) is not None:
            viewport.show_collection(scene, old, False, rollback)
        for ob in blockers:
            rollback.keep(ob, "hide_viewport")
            ob.hide_viewport = True
            _note(lift, f"'{ob.name}' stands before the photo and was hidden in the viewport.")
        rollback.keep(scene, "camera")
        rollback.keep(scene.render, *camera.USED)
        rollback.keep(scene.levitor, "lift")
        scene.levitor.lift = collection
        camera.use(scene, eye, photo.intrinsics, photo.width, photo.height)
        if not point_display.use_own_colours(scene, rollback):
            _note(lift, "This Blender has no view 'Standard', so colours are not the photo's own.")
    except BaseException:
        rollback.undo()
        made += [item for item in point_display.shared() if item not in shared]
        bpy.data.batch_remove(made)
        raise


def _note(lift: Any, sentence: str) -> None:
    lift.notes = f"{lift.notes}\n{sentence}".strip()


def lock(ob: Object) -> None:
    """Guard points against being moved by accident; their handle moves them."""
    ob.lock_location = ob.lock_rotation = ob.lock_scale = (True, True, True)


def guard(collection: Collection, background: Object) -> None:
    """Once per lift, let no click or box take the background: it means what is before it."""
    if not collection.get(GUARDED, False):
        background.hide_select = True
        collection[GUARDED] = True


def active(scene: Scene) -> Collection:
    """The lift that is worked on.

    Raises:
        ShotError: there is none, or its background is gone.
    """
    collection = scene.levitor.lift
    if collection is None or not collection.levitor.uid:
        raise ShotError("no_lift", "No photo has been lifted in this scene.", "Lift a photo first.")
    for what, ob in (
        ("background", collection.levitor.background),
        ("camera", collection.levitor.camera),
    ):
        if not in_scene(ob, scene):
            raise ShotError(
                "deleted",
                f"The {what} of '{collection.name}' is not in the scene any more.",
                "Undo its deletion, or lift the photo again.",
            )
    return collection


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The scene in which something was asked for; no reference, which an undo would break.

    Attributes:
        uid: Blender's number of the scene, the same until its file is closed.
        name: tells it in its file when that is opened again.
    """

    uid: int
    name: str

    @classmethod
    def in_scene(cls, scene: Scene) -> Asked:
        """Remember ``scene``."""
        return cls(uid=scene.session_uid, name=scene.name)

    def itself(self) -> Scene | None:
        """The very scene, whatever it is called by now; None when it or its file is gone."""
        return next((one for one in bpy.data.scenes if one.session_uid == self.uid), None)


def find(uid: str, asked: Asked | None = None) -> tuple[Scene, Collection]:
    """The lift called ``uid``, and a scene that holds it, worked on there or not.

    Of several scenes the one that ``asked`` comes first, then one that works on it.

    Raises:
        ShotError: no scene of this file holds it.
    """
    found = _held(lambda collection: collection.levitor.uid == uid)

    def claim(one: tuple[Scene, Collection]) -> tuple[bool, bool, bool]:
        scene, collection = one
        itself = asked is not None and scene.session_uid == asked.uid
        named = asked is not None and scene.name == asked.name
        return itself, named, scene.levitor.lift == collection

    return max(found, key=claim)


def scene_of(collection: Collection) -> Scene:
    """A scene that holds this very lift, and no copy of it; one that works on it comes first.

    Raises:
        ShotError: no scene of this file holds it.
    """
    found = _held(lambda one: one == collection)
    return max(found, key=lambda one: one[0].levitor.lift == collection)[0]


def _held(wanted: Callable[[Collection], bool]) -> list[tuple[Scene, Collection]]:
    found = [
        (scene, collection)
        for scene in bpy.data.scenes
        for collection in scene.collection.children_recursive
        if wanted(collection)
    ]
    if not found:
        raise ShotError(
            "other_lift",
            "The photo this was made for is not in this file any more.",
            "Open its file, or undo back to it, and try again.",
        )
    return found


def in_scene(ob: Object | None, scene: Scene) -> bool:
    """Whether ``ob`` is still there; a deleted object may live on because a property names it."""
    return ob is not None and scene in ob.users_scene


def photo_of(collection: Collection) -> PhotoCamera:
    """What the lift fixed."""
    lift = collection.levitor
    return PhotoCamera(
        height=lift.height,
        width=lift.width,
        intrinsics=np.array(collection["levitor_intrinsics"], np.float64).reshape(3, 3),
        near=float(collection["levitor_near"]),
        far=float(collection["levitor_far"]),
        kind=collection.get(KIND, ""),
        horizon=float(collection.get(HORIZON, 0.0)),
    )


def is_handle(ob: Object) -> bool:
    """Whether ``ob`` is the handle of an instance, or a copy of one."""
    return REST in ob


def shape_of(collection: Collection) -> tuple[Any, ...]:
    """What may move all points of a lift at once: they stay while this is the same."""
    photo = photo_of(collection)
    return (*photo.intrinsics.ravel().tolist(), photo.kind, photo.horizon)


def rest_of(handle: Object) -> Array:
    """(4, 4) float64 of a handle at rest, in Blender's world."""
    return np.array(handle[REST], np.float64).reshape(4, 4)


def set_rest(handle: Object, rest: Array) -> None:
    """Remember where a handle rests: (4, 4), in Blender's world."""
    handle[REST] = [float(v) for v in rest.ravel()]


def present(scene: Scene, collection: Collection) -> None:
    """Raise :class:`ShotError` unless every handle and every instance's points are there."""
    for item in collection.levitor.instances:
        for what, verb, ob in (("handle", "is", item.handle), ("points", "are", item.points)):
            if not in_scene(ob, scene):
                raise ShotError(
                    "deleted",
                    f"The {what} of '{item.name}' {verb} not in the scene any more.",
                    DELETED,
                )


def clouds_of(scene: Scene, collection: Collection) -> tuple[Cloud, list[Cloud]]:
    """The background, and the instances in their order; together they are the whole photo.

    Raises:
        ShotError: an object or some of its points are gone.
    """
    lift = collection.levitor
    present(scene, collection)
    objects = [lift.background, *(item.points for item in lift.instances)]
    clouds = [cloud.read(ob) for ob in objects]
    whole(collection, clouds)
    return clouds[0], clouds[1:]


def whole(collection: Collection, clouds: Sequence[Cloud]) -> None:
    """Raise :class:`ShotError` unless every pixel of the photo is in exactly one cloud."""
    height, width = collection.levitor.height, collection.levitor.width
    if missing := photo_cloud.missing_points(clouds, height, width):
        raise ShotError(
            "points",
            f"{missing} of the photo's {height * width} points were deleted or doubled.",
            "Undo that edit, or lift the photo again.",
        )
