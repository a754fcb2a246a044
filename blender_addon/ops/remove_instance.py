"""Remove an instance: its pixels return to the background."""

from __future__ import annotations

from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..scene import handles, lifts, removal
from .common import Outcome, has_instances, reported


class LEVITOR_OT_remove_instance(Operator):
    """Delete the instance with its handle and keys; its pixels return to the background"""

    bl_idname = "levitor.remove_instance"
    bl_label = "Remove Instance"
    bl_options = {"REGISTER", "UNDO"}

    instance: StringProperty(
        name="Instance",
        description="Name of the instance; empty is the selected one, or the one of the list",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """There is an instance."""
        return has_instances(cls, context)

    def execute(self, context: Context) -> Outcome:
        """Remove it."""
        return reported(self, lambda: self._remove(context))

    def _remove(self, context: Context) -> str:
        scene = context.scene
        collection = lifts.active(scene)
        item = handles.item_of(scene, self.instance)
        return removal.remove(scene, collection, item)
