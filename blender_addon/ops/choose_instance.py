"""Let an option of an engine name an instance, or no longer, or none."""

from __future__ import annotations

from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..scene import options
from .common import Outcome, reported


class LEVITOR_OT_choose_instance(Operator):
    """Let this option of the engine name the instance, or no longer; with none it means all"""

    bl_idname = "levitor.choose_instance"
    bl_label = "Choose Instance"
    bl_options = {"REGISTER", "UNDO"}

    option: StringProperty(
        name="Option",
        description="Engine and option, as in toy.which",
        options={"SKIP_SAVE"},
    )
    instance: StringProperty(
        name="Instance", description="Name of the instance", options={"SKIP_SAVE"}
    )

    def execute(self, context: Context) -> Outcome:
        """Choose it, or no longer."""
        return reported(self, lambda: self._choose(context))

    def _choose(self, context: Context) -> str:
        on = options.toggle(context.scene, self.option, self.instance)
        return f"'{self.instance}' is {'chosen' if on else 'no longer chosen'}."


class LEVITOR_OT_clear_choice(Operator):
    """Let this option of the engine name no instance, which means all that move"""

    bl_idname = "levitor.clear_choice"
    bl_label = "Clear Choice"
    bl_options = {"REGISTER", "UNDO"}

    option: StringProperty(
        name="Option",
        description="Engine and option, as in toy.which",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: Context) -> Outcome:
        """Clear it."""
        return reported(self, lambda: options.clear(context.scene, self.option))
