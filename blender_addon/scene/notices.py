"""What a shot makes of settings that it does not follow: no fault, but the artist should know.

Found when a shot is read, since that knows what moves; shown until it is mended or another shot of
the scene is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bpy.types import Scene

from ..core import shot as core_shot
from ..link.wire import messages
from . import handles, lifts, point_checks, viewport

_STILL_SHARE = 0.1
"""An end without motion counts as meant where it is a smaller share of the shot."""

_SAME_SHAPE = 0.005
"""So much of its height a scale of the photo may be off: a lift cuts odd rows and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A sentence, and the button that mends it.

    Attributes:
        text: what is so, and what to do where no button does it.
        holds: whether it still is so.
        operator: mends it; empty where the artist does.
        arguments: of the operator.
    """

    text: str
    holds: Callable[[Scene], bool]
    operator: str = ""
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


_latest: dict[int, list[Notice]] = {}


def note(scene: Scene, shot: messages.ShotMessage) -> list[Notice]:
    """Find what there is to say of ``shot``, which was just read from ``scene``, and keep it."""
    found = [*_still_end(scene, shot), *_other_size(scene), *_out_of_sight(scene)]
    _latest[scene.session_uid] = found
    return found


def of(scene: Scene) -> list[Notice]:
    """What was found last and still holds."""
    return [one for one in _latest.get(scene.session_uid, ()) if one.holds(scene)]


def off_rest(scene: Scene) -> list[Notice]:
    """Handles that their keys do not have at rest on the first frame, without reading a shot.

    One that something else than its keys may place is left to the shot, which is refused then.
    """
    collection, start = scene.levitor.lift, scene.frame_start
    if collection is None:
        return []
    return [
        Notice(
            text=f"'{item.name}' is not at rest at the first frame {start}, which is the photo "
            "itself. Go to that frame, use Reset Handle and key it there.",
            holds=_always,
        )
        for item in collection.levitor.instances
        if item.moving and item.handle is not None and handles.keyed_off_rest(item.handle, start)
    ]


def _always(scene: Scene) -> bool:
    del scene
    return True


def forget() -> None:
    """Keep nothing."""
    _latest.clear()


def _still_end(scene: Scene, shot: messages.ShotMessage) -> list[Notice]:
    start, end, last = shot.frame_start, shot.frame_end, core_shot.last_motion(shot)
    if end - last <= max(1, _STILL_SHARE * (end - start)):
        return []
    return [
        Notice(
            text=f"The shot goes on to frame {end}, but nothing moves after frame {last}.",
            holds=lambda scene: (scene.frame_start, scene.frame_end) == (start, end),
            operator="levitor.set_end",
            arguments={"frame": last},
        )
    ]


def _other_size(scene: Scene) -> list[Notice]:
    lift = lifts.active(scene).levitor
    width, height = lift.width, lift.height

    def differs(scene: Scene) -> bool:
        x, y = scene.render.resolution_x, scene.render.resolution_y
        rounding = (width + height) / 2 + _SAME_SHAPE * y * width
        return abs(x * height - y * width) > rounding

    if not differs(scene):
        return []
    x, y = scene.render.resolution_x, scene.render.resolution_y
    return [
        Notice(
            text=f"The scene renders {x} x {y} pixels, another shape than the photo's {width} x "
            f"{height}; a take has the photo's.",
            holds=differs,
            operator="levitor.use_photo_size",
        )
    ]


def _out_of_sight(scene: Scene) -> list[Notice]:
    lift = lifts.active(scene).levitor
    names = [(item.name, item.points.name) for item in lift.instances]
    return [
        notice
        for name, points in (*names, ("background", lift.background.name))
        if (notice := _hidden_notice(name, points)).holds(scene)
    ]


def _hidden_notice(name: str, points: str) -> Notice:
    def hidden(scene: Scene) -> bool:
        ob = scene.objects.get(points)
        return ob is not None and point_checks.eyes_closed(viewport.layer_of(scene), ob)

    return Notice(
        text=f"'{name}' is hidden with the eye icon, but a shot shows it all the same: "
        "it cannot leave out what the photo holds.",
        holds=hidden,
    )
