"""Remove an instance: its pixels return to the background."""

from __future__ import annotations

from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..scene import handles, instance_removal, lifts
from .common import NeedsInstance, Outcome, reported


class LEVITOR_OT_remove_instance(NeedsInstance, Operator):
    """Delete the instance with its handle and keys; its pixels return to the background"""

    bl_idname = "levitor.remove_instance"
    bl_label = "Remove Instance"
    bl_options = {"REGISTER", "UNDO"}

    instance: StringProperty(
        name="Instance",
        description="Name of the instance; empty is the selected one, or the one of the list",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: Context) -> Outcome:
        """Remove it."""
        return reported(self, lambda: self._remove(context))

    def _remove(self, context: Context) -> str:
        scene = context.scene
        collection = lifts.active(scene)
        item = handles.item_of(scene, self.instance)
        return instance_removal.remove(scene, collection, item)
