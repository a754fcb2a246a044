"""Flattening an instance: its points slide along the rays of the photo's camera.

The mesh says itself how flat it is and keeps its relief, so that copies, undo and files are right
without anybody's doing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bpy.types import Collection, Object

from ..core import photo_cloud
from ..core.photo_cloud import Cloud
from ..link.wire import ShotError, shape
from . import cloud, lifts, linked

FLATTEN = "levitor_flatten"
RELIEF = "relief"
"""The attribute that keeps the depth of before; ``depth`` is where a point is shown."""


def typed(value: float) -> float:
    """A setting as the artist typed it: Blender keeps 0.3 as 0.30000001."""
    return float(f"{value:.6g}")


def flatten_of(points: Object) -> float:
    """How flat an instance is shown, 0 to 1."""
    return float(points.data.get(FLATTEN, 0.0))


def with_relief(points: Object, shown: Cloud) -> Cloud:
    """The cloud of ``points`` with the depth it was lifted with; positions are as shown."""
    relief = cloud.floats(points.data, RELIEF)
    return shown if relief is None else replace(shown, depth=relief)


def flatten(collection: Collection, item: Any) -> None:
    """Show an instance as flat as ``item.flatten`` says.

    Raises:
        ShotError: its points are being edited or have lost what they are made of.
    """
    linked.check(collection)
    points, amount = item.points, typed(item.flatten)
    if points is None or amount == flatten_of(points):
        return
    now, photo = cloud.read(points), lifts.photo_of(collection)
    relief = with_relief(points, now).depth
    depth = shape.flattened(relief, amount)
    place = photo_cloud.positions(now.pixel, depth, photo.intrinsics, photo.width)
    mesh = points.data
    cloud.set_floats(mesh, RELIEF, relief)
    cloud.place(mesh, place - lifts.rest_of(item.handle)[:3, 3], depth)
    mesh[FLATTEN] = amount


def flatten_from_field(item: Any) -> None:
    """:func:`flatten` an instance of the sidebar's; a field cannot say why it is refused.

    It shows what the points show then.
    """
    try:
        flatten(item.id_data, item)
    except ShotError:
        item.flatten = flatten_of(item.points)
