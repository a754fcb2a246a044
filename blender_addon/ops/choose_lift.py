"""Choose which of the file's lifts is worked on, and take one from another file into this one."""

from __future__ import annotations

from typing import Any

from bpy.props import EnumProperty
from bpy.types import Context, Operator

from ..link.wire import ShotError
from ..scene import active_lift, lifts, linked, panel_state
from .common import Outcome, allowed, reported

_shown: list[tuple[str, str, str]] = []
"""Blender does not keep the texts of an enumeration that a function makes."""


def _items(self: Any, context: Context | None) -> list[tuple[str, str, str]]:
    _shown[:] = [(one.name_full, one.name_full, one.levitor.photo) for one in active_lift.every()]
    return _shown


class LEVITOR_OT_choose_lift(Operator):
    """Work on another lifted photo of this file: show it and its camera, hide the former"""

    bl_idname = "levitor.choose_lift"
    bl_label = "Choose Lift"
    bl_options = {"REGISTER", "UNDO"}

    lift: EnumProperty(
        name="Lift",
        description="Which; the names are those of the collections",
        items=_items,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """The file has a lift."""
        scene = context.scene
        state = panel_state.fresh(scene)  # the button is drawn only where that found a lift
        seen = scene.levitor.lift is not None or (state is not None and state.has_lifts)
        return allowed(cls, seen or bool(active_lift.every()), "Lift a photo first")

    def execute(self, context: Context) -> Outcome:
        """Choose it."""
        return reported(self, lambda: self._choose(context))

    def _choose(self, context: Context) -> str:
        found = [one for one in active_lift.every() if one.name_full == self.lift]
        if not found:
            raise ShotError("no_lift", f"There is no lift '{self.lift}'.", "Choose another one.")
        active_lift.choose(context.scene, found[0])
        return f"Working on '{found[0].name}'."


class LEVITOR_OT_make_lift_local(Operator):
    """Take a lift that is linked from another file, or overrides one, into this file as its own"""

    bl_idname = "levitor.make_lift_local"
    bl_label = "Make Lift Local"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        """The lift comes from another file."""
        collection = context.scene.levitor.lift
        return allowed(
            cls,
            collection is not None and linked.is_foreign(collection),
            "The lift belongs to this file already",
        )

    def execute(self, context: Context) -> Outcome:
        """Take it."""
        return reported(self, lambda: self._make(context))

    def _make(self, context: Context) -> str:
        linked.make_local(lifts.active(context.scene))
        return f"'{context.scene.levitor.lift.name}' belongs to this file now."
