"""Change the field of view of the photo that is lifted already."""

from __future__ import annotations

from bpy.props import FloatProperty
from bpy.types import Context, Event, Operator

from ..core import fov
from ..scene import lift_edits, lifts
from .common import NeedsLift, Outcome, reported


class LEVITOR_OT_set_fov(NeedsLift, Operator):
    """Move points, handles and lens to another field of view; through the camera nothing changes"""

    bl_idname = "levitor.set_fov"
    bl_label = "Set Field Of View"
    bl_options = {"REGISTER", "UNDO"}

    horizontal_fov: FloatProperty(
        name="Field Of View",
        description="Horizontal field of view of the photo in degrees",
        default=50.0,
        soft_min=fov.LEAST,
        soft_max=fov.MOST,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Begin with what it is; the last operation's panel changes it."""
        if not self.properties.is_property_set("horizontal_fov"):
            self.horizontal_fov = context.scene.levitor.lift.levitor.horizontal_fov
        return self.execute(context)

    def execute(self, context: Context) -> Outcome:
        """Change it."""
        return reported(self, lambda: self._set(context))

    def _set(self, context: Context) -> str:
        scene = context.scene
        said = lift_edits.set_fov(scene, lifts.active(scene), self.horizontal_fov)
        return said or f"The field of view is {self.horizontal_fov:.4g} degrees."
