"""Keyframes and F-curves of an object's own channels, whatever its rotation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bpy.types import ID, FCurve, Object

from ..link.wire import ShotError

_ROTATION = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}


def rotation(ob: Object) -> str:
    """The channel that holds the object's rotation in the mode it has."""
    return _ROTATION.get(ob.rotation_mode, "rotation_euler")


def channels(ob: Object) -> tuple[str, str, str]:
    """The channels that place the object."""
    return "location", rotation(ob), "scale"


def check(owner: ID) -> None:
    """Raise :class:`ShotError` where Blender would not key ``owner``."""
    if owner.library is not None or not owner.is_editable:
        raise ShotError(
            "linked",
            f"'{owner.name}' comes from another file, so it cannot be moved or keyed here.",
            "Make it local (Object > Relations > Make Local > All).",
        )
    data = getattr(owner, "animation_data", None)
    if data is not None and data.action is not None and data.action.library is not None:
        raise ShotError(
            "linked",
            f"The keys of '{owner.name}' come from another file, so none can be set or changed.",
            "Use Make Lift Local, or make its action local.",
        )


def insert(owner: ID, channel: str, frame: float, index: int = -1) -> None:
    """Key ``channel`` as it stands; of a vector, all or the component ``index``.

    Raises:
        ShotError: Blender took no key.
    """
    if not owner.keyframe_insert(channel, index=index, frame=frame, group="LeviTor"):
        raise ShotError(
            "not_keyed",
            f"Blender took no key for '{channel}' of '{owner.name}' at frame {frame:g}.",
            "See that its action is not locked or linked, and that no driver holds the channel.",
        )


def curves(owner: ID, channel: str) -> Iterator[FCurve]:
    """The curves of the owner's action that drive ``channel``."""
    for bag in _bags(owner):
        yield from (curve for curve in bag.fcurves if curve.data_path == channel)


def is_evaluated(curve: FCurve) -> bool:
    """Whether Blender lets the curve drive anything.

    The mute of a curve's group does not count: Blender 5.0 evaluates the group's curves all the
    same unless they are muted themselves.
    """
    return curve.is_valid and not curve.is_empty and not curve.mute


def animated(owner: ID) -> Iterator[tuple[str, int]]:
    """Path and index of all that the owner's action and strips drive, in no order."""
    data = getattr(owner, "animation_data", None)
    if data is None:
        return
    strips = [strip for track in data.nla_tracks for strip in _leaves(track.strips)]
    pairs = [(data.action, data.action_slot)]
    pairs += [(strip.action, strip.action_slot) for strip in strips]
    for action, slot in pairs:
        for bag in _bags_of(action, slot):
            yield from ((curve.data_path, curve.array_index) for curve in bag.fcurves)


def _leaves(strips: Any) -> Iterator[Any]:
    for strip in strips:
        if strip.type == "META":
            yield from _leaves(strip.strips)
        else:
            yield strip


def remove(owner: ID, channel: str) -> None:
    """Remove the curves that drive ``channel``, and with them all its keys."""
    for bag in _bags(owner):
        for curve in [curve for curve in bag.fcurves if curve.data_path == channel]:
            bag.fcurves.remove(curve)


def _bags(owner: ID) -> Iterator[Any]:
    """What holds the curves of the owner's action."""
    data = owner.animation_data
    if data is not None:
        yield from _bags_of(data.action, data.action_slot)


def _bags_of(action: Any, slot: Any) -> Iterator[Any]:
    if action is None or slot is None:
        return
    for layer in action.layers:
        for strip in layer.strips:
            if (bag := strip.channelbag(slot)) is not None:
                yield bag


def unkeyed(ob: Object, channel: str, frame: float) -> list[int]:
    """The components of a vector channel that have no key at or before ``frame``."""
    begun = {
        curve.array_index
        for curve in curves(ob, channel)
        if any(point.co.x <= frame + 1e-3 for point in curve.keyframe_points)
    }
    return [index for index in range(len(getattr(ob, channel))) if index not in begun]


@contextmanager
def kept(ob: Object) -> Iterator[None]:
    """Give the object its channels' values back afterwards, whole turns included."""
    values = {channel: tuple(getattr(ob, channel)) for channel in channels(ob)}
    try:
        yield
    finally:
        for channel, value in values.items():
            setattr(ob, channel, value)
