"""Changing a lift's field of view, and carrying handles along with any change of its points.

No photo, model or backend is asked. Every point keeps its pixel and its depth and moves along with
its pixel's ray. The camera gets the lens, so that the photo looks as before; zooms keep their ratio
to it. A handle rests where its
instance is now, and everything it does stays as far from rest as it was, in Blender units, turned
and scaled as before: a key that was (0.3, -0.4, 0.1) from rest still is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from bpy.types import Camera, Collection, FCurve, Object, Scene
from mathutils import Matrix

from ..core import coords, fov, photo_cloud
from ..core.coords import Array
from ..link.wire import ShotError
from . import cloud, keyframes, lifts, linked, point_display, sampling, viewport

BY_HAND = "set by hand"
_STANDS = 1e-4
"""How far from where it belongs a handle still counts as standing there, in Blender units."""

_VALUE = {"position": "vector"}
Steps = list[Callable[[], None]]
"""What sets things back, in the order in which they were changed."""


def set_fov(scene: Scene, collection: Collection, degrees: float) -> str:
    """Give the lift a field of view of ``degrees`` across.

    Args:
        scene: that holds the lift.
        collection: the lift.
        degrees: across the photo.

    Returns:
        What the artist should know: which handles something else than their keys holds back. Empty
        where all went along.

    Raises:
        ShotError: the field of view makes no sense, or points are gone or being edited. Nothing
            has changed then.
    """
    linked.check(collection)
    lift, photo = collection.levitor, lifts.photo_of(collection)
    old = photo.intrinsics
    try:
        new = fov.with_degrees(old, photo.width, degrees)
    except ValueError as error:
        raise ShotError(
            "fov", f"{str(error).capitalize()}.", "Ordinary lenses have 20 to 90."
        ) from error
    lifts.present(scene, collection)
    rests = {item.handle: _rest_under(item.handle, old, new) for item in lift.instances}
    parts = [(lift.background, None), *((item.points, item.handle) for item in lift.instances)]
    moved = [
        Part(ob=ob, position=_positions(ob, rests.get(handle), new, photo.width))
        for ob, handle in parts
    ]
    cameras = _cameras(scene, collection)
    lenses = [coords.lens_of(k, photo.width, photo.height).focal for k in (old, new)]
    for owner in (collection, *cameras):
        keyframes.check(owner)

    def also(back: Steps) -> None:
        for ob, _ in parts:
            _set_pixel(ob, old, new, back)
        for data in cameras:
            _zoom(data, lenses[0], lenses[1], back)
        put(collection, "levitor_intrinsics", [float(v) for v in new.ravel()], back)
        put_attribute(lift, "fov_source", BY_HAND, back)

    return carry(scene, collection, rests, moved, also)


def fov_of(collection: Collection) -> float:
    """Degrees across the photo, 0 for a collection that is no lift."""
    if "levitor_intrinsics" not in collection:
        return 0.0
    return fov.degrees_of(lifts.photo_of(collection).intrinsics, collection.levitor.width)


def set_fov_from_field(collection: Collection, degrees: float) -> None:
    """:func:`set_fov` for the sidebar's field; what there is to say is shown below it."""
    try:
        said = set_fov(lifts.scene_of(collection), collection, degrees)
    except ShotError as error:
        said = str(error)
    collection.levitor.fov_said = said


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The points of one object, as they shall be.

    Attributes:
        ob: the object.
        position: (n, 3), relative to where its handle rests then.
        values: further attributes of the mesh, (n,) float32 by name.
    """

    ob: Object
    position: Array
    values: Mapping[str, Array] = field(default_factory=dict[str, Array])


def carry(
    scene: Scene,
    collection: Collection,
    rests: Mapping[Object, Array],
    parts: Sequence[Part],
    also: Callable[[Steps], None],
) -> str:
    """Move points and where handles rest, and with these all that the handles do; all or nothing.

    Args:
        scene: that holds the lift.
        collection: the lift.
        rests: (4, 4) where each handle shall rest, in Blender's world.
        parts: the points.
        also: what else is changed; it adds to the steps back.

    Returns:
        What the artist should know, see :func:`set_fov`.

    Raises:
        ShotError: a handle comes from another file, say; nothing has changed then.
    """
    lift, handles = collection.levitor, list(rests)
    for owner in handles:
        keyframes.check(owner)
    held = [handle for handle in handles if _held(handle)]
    stood, way = _at_start(scene, held), dict[Object, Array]()
    above = [handle.parent for handle in handles if handle.parent is not None]
    under = dict(zip(above, _at_start(scene, above), strict=True))
    with _all_or_nothing() as back:
        for part in parts:
            _write(part, back)
        for handle in sorted(handles, key=_depth):
            way[handle] = rests[handle][:3, 3] - lifts.rest_of(handle)[:3, 3]
            if handle.parent is None:
                _shift(handle, lifts.rest_of(handle)[:3, 3], rests[handle][:3, 3], back)
            elif handle.parent_type == "OBJECT":
                _shift_below(scene, handle, under[handle.parent], way[handle], back)
            put(handle, lifts.REST, [float(v) for v in rests[handle].ravel()], back)
        also(back)
    viewport.layer_of(scene).update()
    stays = [
        item.name
        for handle, was, now in zip(held, stood, _at_start(scene, held), strict=True)
        for item in lift.instances
        if item.handle == handle and np.abs(now[:3, 3] - was[:3, 3] - way[handle]).max() > _STANDS
    ]
    if not stays:
        return ""
    names = ", ".join(f"'{name}'" for name in stays)
    return (
        f"What holds the handle of {names} (a constraint, driver, strip or parent) did not go "
        f"along; at frame {scene.frame_start} it is not where its instance rests now."
    )


@contextmanager
def _all_or_nothing() -> Iterator[Steps]:
    back: Steps = []
    try:
        yield back
    except BaseException:
        for step in reversed(back):
            step()
        raise


def _rest_under(handle: Object, old: Array, new: Array) -> Array:
    rest = lifts.rest_of(handle)
    rest[:3, 3] = fov.stretched(rest[:3, 3], old, new)
    return rest


def _positions(ob: Object, rest: Array | None, intrinsics: Array, width: int) -> Array:
    """(n, 3) of the object's points under ``intrinsics``, relative to its handle's rest."""
    points = cloud.read(ob)
    found = photo_cloud.positions(points.pixel, points.depth, intrinsics, width)
    return found if rest is None else found - rest[:3, 3]


def _write(part: Part, back: Steps) -> None:
    ob = part.ob
    if ob.data.users > 1:  # an object of the artist's may show it too
        shared = ob.data
        back.append(lambda: setattr(ob, "data", shared))
        ob.data = shared.copy()
    mesh = ob.data
    after = {"position": np.ascontiguousarray(part.position, np.float32).ravel()}
    after |= {name: np.ascontiguousarray(v, np.float32) for name, v in part.values.items()}
    before = {name: np.empty(values.size, np.float32) for name, values in after.items()}
    for name, values in before.items():
        mesh.attributes[name].data.foreach_get(_VALUE.get(name, "value"), values)

    def put_all(found: Mapping[str, Array]) -> None:
        for name, values in found.items():
            mesh.attributes[name].data.foreach_set(_VALUE.get(name, "value"), values)
        mesh.update()

    back.append(lambda: put_all(before))
    put_all(after)


def _set_pixel(ob: Object, old: Array, new: Array, back: Steps) -> None:
    """Each disc stays as wide as its pixel; the artist may draw the points in another way."""
    for modifier in ob.modifiers:
        if point_display.is_own(modifier):
            back.append(partial(point_display.set_input, modifier, "Pixel", 1.0 / float(old[0, 0])))
            point_display.set_input(modifier, "Pixel", 1.0 / float(new[0, 0]))
            ob.update_tag()


def _depth(ob: Object) -> int:
    return 0 if ob.parent is None else 1 + _depth(ob.parent)


def _held(handle: Object) -> bool:
    """Whether something else than its own channels and their keys may place the handle."""
    data = handle.animation_data
    return (
        handle.parent is not None
        or len(handle.constraints) > 0
        or (data is not None and (len(data.drivers) > 0 or len(data.nla_tracks) > 0))
        or any(len(curve.modifiers) for curve in keyframes.curves(handle, "location"))
    )


def _at_start(scene: Scene, objects: list[Object]) -> list[Array]:
    """(4, 4) of each object in Blender's world, at the first frame of the shot."""
    if not objects:
        return []
    found, _, _ = sampling.sample(
        scene, objects, lifts.active(scene).levitor.camera, [float(scene.frame_start)]
    )
    return list(found[0])


def _shift(handle: Object, old: Array, new: Array, back: Steps) -> None:
    """Move the handle, and all its keys, from rest at ``old`` to rest at ``new``."""
    before = tuple(handle.location)
    back.append(lambda: setattr(handle, "location", before))
    handle.location = [
        fov.carried(*values) for values in zip(before, old.tolist(), new.tolist(), strict=True)
    ]
    for curve in keyframes.curves(handle, "location"):
        start, end = (float(place[curve.array_index]) for place in (old, new))
        _change(curve, lambda value, a=start, b=end: fov.carried(value, a, b), back)


def _shift_below(scene: Scene, handle: Object, parent: Array, way: Array, back: Steps) -> None:
    """Move a handle that has a parent by ``way`` at the first frame, and along with it from there.

    What stands between the two takes the way, so that the handle's channels and curves stay.

    Args:
        scene: where they are.
        handle: the handle.
        parent: (4, 4) the parent at the first frame, before anything was moved.
        way: (3,) in Blender's world.
        back: see :data:`Steps`.
    """
    before = handle.matrix_parent_inverse.copy()
    (now,) = _at_start(scene, [handle.parent])
    step = np.eye(4)
    step[:3, 3] = way
    after = np.linalg.inv(now) @ step @ parent @ np.array(before)
    back.append(lambda: setattr(handle, "matrix_parent_inverse", before))
    handle.matrix_parent_inverse = Matrix(after.tolist())


def _cameras(scene: Scene, collection: Collection) -> list[Camera]:
    """Whose lens is the photo's: the lift's camera, and the one that looks at it."""
    eyes = [collection.levitor.camera]
    if scene.levitor.lift == collection:
        eyes.append(scene.camera)
    found = {eye.data: None for eye in eyes if eye is not None and eye.type == "CAMERA"}
    return [data for data in found if data.type == "PERSP"]


def _zoom(data: Camera, old: float, new: float, back: Steps) -> None:
    before = data.lens
    back.append(lambda: setattr(data, "lens", before))
    data.lens = fov.zoomed(before, old, new)
    for curve in keyframes.curves(data, "lens"):
        _change(curve, lambda value: fov.zoomed(value, old, new), back)


def _change(curve: FCurve, change: Callable[[float], float], back: Steps) -> None:
    """Give every key of ``curve`` another value, its handles too."""
    points = curve.keyframe_points
    names = ("co", "handle_left", "handle_right")
    before = [[tuple(getattr(point, name)) for name in names] for point in points]

    def put(values: list[list[tuple[float, float]]]) -> None:
        for point, three in zip(points, values, strict=True):
            for name, value in zip(names, three, strict=True):
                setattr(point, name, value)
        curve.update()

    back.append(lambda: put(before))
    put([[(at, change(value)) for at, value in three] for three in before])


def put(owner: Any, name: str, value: Any, back: Steps) -> None:
    """Set a custom property: a number, a text or a list of numbers."""
    before = owner[name]
    before = before if isinstance(before, int | float | str) else list(before)
    back.append(lambda: owner.__setitem__(name, before))
    owner[name] = value


def put_attribute(owner: Any, name: str, value: Any, back: Steps) -> None:
    """Set a declared property."""
    before = getattr(owner, name)
    back.append(lambda: setattr(owner, name, before))
    setattr(owner, name, value)
