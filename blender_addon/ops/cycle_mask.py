"""Go through the masks that the clicks may have meant."""

from __future__ import annotations

from bpy.props import IntProperty
from bpy.types import Context, Operator

from ..scene import lifts, picks
from .common import Outcome, allowed, reported


class LEVITOR_OT_cycle_mask(Operator):
    """Show another mask that the clicks may have meant; while picking, Tab and Shift Tab do it"""

    bl_idname = "levitor.cycle_mask"
    bl_label = "Cycle Mask"
    bl_options = {"REGISTER", "UNDO"}

    step: IntProperty(
        name="Step",
        description="How many masks to go on; negative goes back",
        default=1,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Something is picked."""
        collection = context.scene.levitor.lift
        return allowed(
            cls, collection is not None and collection.levitor.picked > 0, "Pick something first"
        )

    def execute(self, context: Context) -> Outcome:
        """Show it."""
        return reported(self, lambda: picks.cycle(lifts.active(context.scene), self.step))
