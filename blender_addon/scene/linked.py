"""Lifts that come from another file: looked at and rendered here, but not picked in or changed.

Blender lets a script write to linked data, and forgets it when the file is opened again; an
override of it takes some changes and no others, and its points stay linked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bpy.types import ID, Collection

from ..link.wire import ShotError


def is_foreign(collection: Collection) -> bool:
    """Whether a lift, or any of its points, is linked from another file or overrides such."""
    return any(_is_foreign(item) for item in _kept_in(collection))


def check(collection: Collection) -> None:
    """Raise :class:`ShotError` for a lift that cannot be changed in this file."""
    if is_foreign(collection):
        raise ShotError("linked", sentence(collection), "Use Make Lift Local.")


def sentence(collection: Collection) -> str:
    """What to say of a foreign lift."""
    return (
        f"The lift '{collection.name}' comes from another file, so nothing can be picked or "
        "changed in it here; it can be rendered."
    )


def make_local(collection: Collection) -> None:
    """Take a lift into this file, whole, with its keys; the other file keeps its own."""
    collection = _local(collection)
    made = [(ob, _local(ob)) for ob in list(collection.all_objects)]
    for old, new in made:
        if old != new:
            old.user_remap(new)  # what was parented to the linked one
    for ob in collection.all_objects:
        for owner in (ob, ob.data):
            data = _local(owner).animation_data if owner is not None else None
            if data is not None and data.action is not None:
                _local(data.action)


def _local(item: Any) -> Any:
    return item.make_local() if _is_foreign(item) else item


def _kept_in(collection: Collection) -> Iterator[ID]:
    """What a change of the lift writes to."""
    lift = collection.levitor
    yield collection
    for ob in (lift.background, *(item.points for item in lift.instances)):
        if ob is not None:
            yield ob
            yield ob.data


def _is_foreign(item: ID) -> bool:
    return item.library is not None or item.override_library is not None
