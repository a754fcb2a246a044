"""What operators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.types import Context, Operator

from .. import prefs
from ..link import pump
from ..link.wire import ShotError
from ..scene import instance_removal

Outcome = set[str]
MOMENT_SECONDS, ANSWER_SECONDS = 1.0, 10.0
"""How long the backend has to answer: Blender stands still for it, longer only in scripts."""


def reported(operator: Operator, action: Callable[[], str | None]) -> Outcome:
    """Do ``action`` and report its sentence, or what the artist can mend.

    What was deleted by hand goes first, so that no action meets half an instance; a live preview
    leaves that to others, since an undo step that nobody asked for would be in the way.
    """
    if not getattr(operator, "live", False) and (
        healed := instance_removal.heal(bpy.context.scene)
    ):
        operator.report({"INFO"}, healed)
    try:
        sentence = action()
    except ShotError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    if sentence:
        operator.report({"INFO"}, sentence)
    return {"FINISHED"}


def connect_lazily(context: Context) -> None:
    """Connect to the backend of the preferences, unless there is a connection already.

    A lost one is left to come back by itself: ending it would give up the tasks it carries.
    """
    link = pump.link()
    if link.client is None or link.status.phase == "refused":
        link.connect(prefs.get(context).endpoint)


def meet(context: Context, wait: float) -> None:
    """Connect, and wait a moment for the backend: its engines decide how many frames go.

    Raises:
        ShotError: nobody answers.
    """
    link = pump.link()
    connect_lazily(context)
    if link.status.phase == "lost":
        link.connect(link.status.endpoint)
    if link.welcome is not None:
        return
    pump.pump_until(
        lambda: link.welcome is not None or link.status.phase in ("lost", "refused"),
        min(wait or MOMENT_SECONDS, ANSWER_SECONDS),
    )
    if link.welcome is None:
        raise ShotError(
            "not_connected",
            link.status.reason or f"{link.status.endpoint} has not answered yet.",
            link.status.fix or "Start it with `levitor serve`, or ask again in a moment.",
        )


def fill_from_scene(
    operator: Operator, settings: Any, names: tuple[str, ...], prefix: str = ""
) -> None:
    """Take every argument that was not given from the scene's settings of that name."""
    for name in names:
        if not operator.properties.is_property_set(name):
            setattr(operator, name, getattr(settings, prefix + name))


def allowed(operator: type[Any], ok: bool, otherwise: str) -> bool:
    """For ``poll``: ``ok``; where it is not, the grey button's tooltip says ``otherwise``."""
    if not ok:
        operator.poll_message_set(otherwise)
    return ok


class NeedsLift:
    """Of operators that need a lifted photo in the scene."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        """A photo is lifted."""
        return allowed(cls, context.scene.levitor.lift is not None, "Lift a photo first")


class NeedsInstance:
    """Of operators that need an instance of the lift that is worked on."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        """There is an instance."""
        collection = context.scene.levitor.lift
        made = collection is not None and bool(collection.levitor.instances)
        return allowed(cls, made, "Make an instance first")
