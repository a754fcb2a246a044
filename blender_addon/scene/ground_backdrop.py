"""Switching a lift between ground and backdrop, without models and without a new pick.

Every point keeps its pixel and goes along its ray to the depth that it has in the other scene, so
the photo's camera sees no difference. Handles, and what they do, go along as in :mod:`lift_edits`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bpy.types import Collection, Object, Scene

from ..core import photo_cloud
from ..core.coords import Array
from ..core.shot import PhotoCamera
from ..link.wire import ShotError, flat_scene, shape
from . import cloud, flattening, horizon_line, lift_edits, lifts, linked

KINDS = (
    ("GROUND", "Ground", "A flat ground up to the horizon; what is picked stands on it"),
    ("BACKDROP", "Backdrop", "All that is not picked stands at the far distance"),
)
"""As an enum shows them; in lower case they are the protocol's."""
CHOICES = (
    ("AUTO", "Auto", "Let the photo decide; the lift says what it took, and why"),
    *KINDS,
)
"""Before a photo is lifted."""
NOTE = "Scene: "
"""How notes on it begin, which a change of it makes untrue."""
_FLAT = 1e-5
"""Relative difference up to which depths are the same, since they are float32."""


def set_scene(scene: Scene, collection: Collection, kind: str, height: float) -> str:
    """Make the lift's scene a ground or a backdrop.

    Args:
        scene: that holds the lift.
        collection: the lift.
        kind: ``ground`` or ``backdrop``.
        height: of a ground's horizon, as a fraction of the height from the top.

    Returns:
        What the artist should know, see :func:`lift_edits.set_fov`. Empty where all went along.

    Raises:
        ShotError: the depth is not such a scene's, the horizon makes no sense, or points are gone
            or being edited. Nothing has changed then.
    """
    linked.check(collection)
    lift, photo = collection.levitor, lifts.photo_of(collection)
    if not photo.kind:
        raise _no_choice(collection)
    try:
        flat_scene.check_horizon(height)
    except ValueError as error:
        raise ShotError(
            "horizon", f"{str(error).capitalize()}.", "0 is the top of the photo, 0.5 its middle."
        ) from error
    kind = flat_scene.BACKDROP if kind == flat_scene.BACKDROP else flat_scene.GROUND
    if (kind, height) == (photo.kind, photo.horizon):
        return ""
    _check_points(scene, collection)
    after = PhotoCamera(
        height=photo.height,
        width=photo.width,
        intrinsics=photo.intrinsics,
        near=photo.near,
        far=photo.far,
        kind=kind,
        horizon=height,
    )
    rests: dict[Object, Array] = {}
    parts = [_background(lift.background, photo, after)]
    larger: dict[Object, float] = {}
    for item in lift.instances:
        part, rest = _instance(item, photo, after)
        larger[item.handle] = rest[1, 3] / lifts.rest_of(item.handle)[1, 3]
        rests[item.handle] = rest
        parts.append(part)

    def also(back: lift_edits.Steps) -> None:
        lift_edits.put(collection, lifts.KIND, kind, back)
        lift_edits.put(collection, lifts.HORIZON, height, back)
        lift_edits.put_attribute(lift, "depth_model", flat_scene.DEPTH_NAMES[kind], back)
        said = [line for line in lift.notes.split("\n") if not line.startswith(NOTE)]
        lift_edits.put_attribute(lift, "notes", "\n".join(said), back)
        for handle, times in larger.items():
            size = handle.empty_display_size * times
            lift_edits.put_attribute(handle, "empty_display_size", size, back)

    return lift_edits.carry(scene, collection, rests, parts, also)


def kind_of(collection: Collection) -> int:
    """Which of :data:`KINDS` the lift's scene is, by its place there; 0 where it is neither."""
    kind = lifts.photo_of(collection).kind
    return next((n for n, (name, *_) in enumerate(KINDS) if name.lower() == kind), 0)


def set_from_field(
    collection: Collection, kind: int | None = None, height: float | None = None
) -> None:
    """:func:`set_scene` for the sidebar's fields; what there is to say is shown below them.

    Args:
        collection: the lift.
        kind: place in :data:`KINDS`; None keeps the one it is.
        height: of the horizon; None keeps the one it is.
    """
    now = lifts.photo_of(collection)
    name = now.kind if kind is None else KINDS[kind][0].lower()
    height = now.horizon if height is None else horizon_line.typed(height)
    try:
        scene = lifts.scene_of(collection)
        collection.levitor.scene_said = set_scene(scene, collection, name, height)
        horizon_line.show(scene)
    except ShotError as error:
        collection.levitor.scene_said = str(error)


def picked_depth(lift: Any, photo: PhotoCamera, pixel: Array, chosen: Array) -> float | None:
    """Z at which picked pixels stand; None where they have a depth of their own.

    Args:
        lift: their lift.
        photo: what it fixed.
        pixel: (n,) row * width + column.
        chosen: (n,) bool.
    """
    if not (photo.kind and lift.upright and chosen.any()):
        return None
    return _standing(photo, pixel[chosen])


def _check_points(scene: Scene, collection: Collection) -> None:
    """Raise :class:`ShotError` where an instance has no points: its handle would rest nowhere."""
    lifts.present(scene, collection)
    if not all(len(item.points.data.vertices) for item in collection.levitor.instances):
        lifts.clouds_of(scene, collection)  # says it as a shot does


def _standing(photo: PhotoCamera, pixel: Array) -> float:
    lowest = int(pixel.max()) // photo.width
    assert photo.kind  # the callers have asked
    return flat_scene.standing_depth(
        photo.kind, lowest, photo.height, photo.horizon, photo.near, photo.far
    )


def _rows(photo: PhotoCamera, pixel: Array) -> Array:
    """(n,) float32 of what was not picked."""
    assert photo.kind
    rows = flat_scene.row_depths(photo.kind, photo.height, photo.horizon, photo.near, photo.far)
    return rows[pixel // photo.width]


def _background(ob: Object, before: PhotoCamera, photo: PhotoCamera) -> lift_edits.Part:
    """Where its points go, and what is picked of them."""
    points = cloud.read(ob)
    depth = _rows(photo, points.pixel)
    values = {"depth": depth}
    pick, picked = (cloud.floats(ob.data, name) for name in (cloud.PICK, cloud.PICK_DEPTH))
    if pick is not None and picked is not None and (chosen := pick > 0.5).any():
        stands = _stands(before, points.pixel[chosen], picked[chosen])
        values[cloud.PICK_DEPTH] = np.where(
            chosen, _standing(photo, points.pixel[chosen]) if stands else depth, picked
        )
    position = photo_cloud.positions(points.pixel, depth, photo.intrinsics, photo.width)
    return lift_edits.Part(ob=ob, position=position, values=values)


def _instance(item: Any, before: PhotoCamera, photo: PhotoCamera) -> tuple[lift_edits.Part, Array]:
    """Where an instance's points go, and where its handle rests then, (4, 4)."""
    points = cloud.read(item.points)
    had = flattening.with_relief(item.points, points).depth
    relief = _rows(photo, points.pixel)
    if _stands(before, points.pixel, had):
        relief = np.full(len(points), _standing(photo, points.pixel), np.float32)
    mesh, amount = item.points.data, flattening.flatten_of(item.points)
    shown = shape.flattened(relief, amount)
    values = {"depth": shown}
    if flattening.RELIEF in mesh.attributes:
        values[flattening.RELIEF] = relief
    if cloud.LIFTED in mesh.attributes:
        values[cloud.LIFTED] = _rows(photo, points.pixel)
    rest = lifts.rest_of(item.handle)
    # As in handles.make_instance: the mean of the points, rounded to float32 as Blender stores it
    middle = photo_cloud.positions(points.pixel, relief, photo.intrinsics, photo.width)
    rest[:3, 3] = middle.mean(axis=0, dtype=np.float64).astype(np.float32)
    position = (
        photo_cloud.positions(points.pixel, shown, photo.intrinsics, photo.width) - rest[:3, 3]
    )
    return lift_edits.Part(ob=item.points, position=position, values=values), rest


def _stands(before: PhotoCamera, pixel: Array, depth: Array) -> bool:
    """Whether something stands upright; else it lies where the scene is, row by row.

    On the wall of a ground both are the same; things that stand are what is mostly picked.
    """
    lies = np.abs(depth / _rows(before, pixel) - 1.0).max() <= _FLAT
    return not lies or (before.kind == flat_scene.GROUND and np.ptp(depth) <= _FLAT * depth.max())


def _no_choice(collection: Collection) -> ShotError:
    lift = collection.levitor
    if lift.upright:
        return ShotError(
            "scene",
            f"'{collection.name}' was lifted by an older LeviTor, which did not keep its horizon.",
            "Lift the photo again.",
        )
    return ShotError(
        "scene",
        f"The depth of '{collection.name}' is from {lift.depth_model}, so it is neither a ground "
        "nor a backdrop.",
        "To have one, lift the photo again with Depth Model 'offline' and no depth map.",
    )
