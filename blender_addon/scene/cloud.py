"""Clouds as vertex meshes: written once, read back bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from bpy.types import Mesh, Object

from ..core.coords import Array
from ..core.photo_cloud import Cloud, rows
from ..link.wire import ShotError
from . import colour_management

PICK = "Pick"
PICK_DEPTH = "pick_depth"
LIFTED = "lifted_depth"
"""The attribute of an instance's points that keeps their depth in the background."""
_FIELDS = {
    # attribute: (field of the cloud, type, name of the value, numpy type, components)
    "position": ("position", "FLOAT_VECTOR", "vector", np.float32, 3),
    "Col": ("colour", "FLOAT_COLOR", "color", np.float32, 4),
    "pixel": ("pixel", "INT", "value", np.int32, 1),
    "depth": ("depth", "FLOAT", "value", np.float32, 1),
    "segment": ("segment", "INT", "value", np.int32, 1),
}


def make(name: str, cloud: Cloud, offset: Array | None = None) -> Mesh:
    """A mesh of ``cloud``'s points, relative to ``offset`` (3,), which is where a handle rests."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(cloud))
    for attribute, (field, kind, value, dtype, _) in _FIELDS.items():
        data = getattr(cloud, field)
        if field == "position" and offset is not None:
            data = data - offset
        if attribute == "Col":
            data = colour_management.to_working(data)
        target = mesh.attributes.get(attribute) or mesh.attributes.new(attribute, kind, "POINT")
        target.data.foreach_set(value, np.ascontiguousarray(data, dtype).ravel())
    mesh.update()
    return mesh


def read(ob: Object) -> Cloud:
    """The cloud in the mesh of ``ob``; positions are relative to the object.

    Raises:
        ShotError: an attribute is gone, or the mesh is being edited.
    """
    found = {}
    for attribute, (field, _, value, dtype, parts) in _FIELDS.items():
        data = np.empty(len(ob.data.vertices) * parts, dtype)
        _source(ob, attribute).data.foreach_get(value, data)
        found[field] = data.reshape(-1, parts) if parts > 1 else data
    found["colour"] = colour_management.from_stored(found["colour"])
    return Cloud(**found)


def pixels(ob: Object) -> Array:
    """Which pixel of the photo each point in the mesh of ``ob`` is, (n,) int32.

    Raises:
        ShotError: the attribute is gone, or the mesh is being edited.
    """
    return _pixels(_source(ob, "pixel"))


def depths(ob: Object) -> Array:
    """The depth at which each point in the mesh of ``ob`` is shown, (n,) float32; raises alike."""
    found = np.empty(len(ob.data.vertices), np.float32)
    _source(ob, "depth").data.foreach_get("value", found)
    return found


def pixels_of(mesh: Mesh) -> Array | None:
    """The same of a mesh, whether or not an object shows it; None where it is no photo's points."""
    return _pixels(mesh.attributes["pixel"]) if _is_cloud(mesh) else None


def _pixels(source: Any) -> Array:
    found = np.empty(len(source.data), np.int32)
    source.data.foreach_get("value", found)
    return found


def split(ob: Object, chosen: Array, name: str) -> tuple[Cloud, Mesh]:
    """The points of ``ob`` that ``chosen``, (n,) bool, names, and a mesh of the others.

    One attribute after the other goes through the same memory: fresh memory for millions of points
    takes longer than what is done to them.

    Raises:
        ShotError: an attribute is gone, or the mesh is being edited.
    """
    going, staying = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    sources = {attribute: _source(ob, attribute) for attribute in _FIELDS}
    most = max(parts for *_, parts in _FIELDS.values())
    whole, left = (np.empty(len(index) * most, np.float32) for index in (chosen, staying))
    found = {}
    mesh = bpy.data.meshes.new(name)
    try:
        mesh.vertices.add(len(staying))
        for attribute, (field, kind, value, dtype, parts) in _FIELDS.items():
            data = whole[: len(chosen) * parts].view(dtype)
            sources[attribute].data.foreach_get(value, data)
            rest = left[: len(staying) * parts].view(dtype)
            if parts > 1:
                values = data.reshape(-1, parts)
                rows(values, staying, rest.reshape(-1, parts))
            else:
                values = data
                rows(values, staying, rest)
            found[field] = rows(values, going)
            target = mesh.attributes.get(attribute) or mesh.attributes.new(attribute, kind, "POINT")
            target.data.foreach_set(value, rest)
        found["colour"] = colour_management.from_stored(found["colour"])
        mesh.update()
    except BaseException:
        bpy.data.meshes.remove(mesh)
        raise
    return Cloud(**found), mesh


def joined(ob: Object, others: Sequence[Cloud], name: str) -> Mesh:
    """A mesh of the points of ``ob`` and ``others``, in the order of their pixels.

    What is picked of ``ob`` stays picked.

    Raises:
        ShotError: an attribute is gone, or the mesh is being edited.
    """
    parts = [read(ob), *others]
    order = np.argsort(np.concatenate([part.pixel for part in parts]), kind="stable")
    whole = {
        field: rows(np.concatenate([getattr(part, field) for part in parts]), order)
        for field, *_ in _FIELDS.values()
    }
    mesh = make(name, Cloud(**whole))
    for attribute in (PICK, PICK_DEPTH):
        if (values := floats(ob.data, attribute)) is not None:
            every = np.zeros(len(order), np.float32)
            every[: len(values)] = values
            set_floats(mesh, attribute, every[order])
    return mesh


def is_cloud(ob: Object) -> bool:
    """Whether ``ob`` is a mesh of a photo's points, whoever made it."""
    return ob.type == "MESH" and _is_cloud(ob.data)


def _is_cloud(mesh: Mesh) -> bool:
    found = [mesh.attributes.get(name) for name in _FIELDS]
    return all(
        one is not None and one.data_type == kind and one.domain == "POINT"
        for one, (_, kind, *_) in zip(found, _FIELDS.values(), strict=True)
    )


def check(ob: Object) -> None:
    """Raise :class:`ShotError` while the mesh of ``ob`` is being edited: it cannot be read then."""
    if ob.data.is_editmode:
        raise ShotError(
            "edit_mode", f"The points of '{ob.name}' are in edit mode.", "Leave it with Tab."
        )


def _source(ob: Object, attribute: str) -> Any:
    check(ob)
    source = ob.data.attributes.get(attribute)
    if source is None or source.data_type != _FIELDS[attribute][1] or source.domain != "POINT":
        raise ShotError(
            "points",
            f"The points of '{ob.name}' have lost their attribute '{attribute}'.",
            "Undo what removed it, or lift the photo again.",
        )
    return source


def place(mesh: Mesh, position: Array, depth: Array) -> None:
    """Move the points of ``mesh`` to (n, 3) ``position`` at (n,) ``depth``."""
    for name, values in (("position", position), ("depth", depth)):
        _, _, value, dtype, _ = _FIELDS[name]
        flat = np.ascontiguousarray(values, dtype).ravel()
        mesh.attributes[name].data.foreach_set(value, flat)
    mesh.update()


def set_floats(mesh: Mesh, name: str, values: Array) -> None:
    """Write a float for every vertex of ``mesh``."""
    target = mesh.attributes.get(name) or mesh.attributes.new(name, "FLOAT", "POINT")
    target.data.foreach_set("value", np.ascontiguousarray(values, np.float32))
    mesh.update()


def floats(mesh: Mesh, name: str) -> Array | None:
    """The float of every vertex; None where the mesh has no such attribute."""
    source = mesh.attributes.get(name)
    if source is None:
        return None
    values = np.empty(len(mesh.vertices), np.float32)
    source.data.foreach_get("value", values)
    return values
