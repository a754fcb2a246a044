"""Make the picked pixels an instance with a handle."""

from __future__ import annotations

from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..scene import handles, lifts
from .common import Outcome, allowed, fill_from_scene, reported


class LEVITOR_OT_make_instance(Operator):
    """Make what is picked an object of its own, under a handle that moves it"""

    bl_idname = "levitor.make_instance"
    bl_label = "Make Instance"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(
        name="Name",
        description="Name of the instance",
        default="Instance",
        options={"SKIP_SAVE"},
    )
    moving: BoolProperty(
        name="Moving",
        description="Whether the instance moves in the shot; one that stays can still hide others",
        default=True,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """A photo is lifted."""
        return allowed(
            cls,
            context.scene.levitor.lift is not None,
            "Lift a photo and pick something in it first",
        )

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Take what was not given from the scene."""
        settings = context.scene.levitor
        fill_from_scene(self, settings, ("moving",))
        if not self.properties.is_property_set("name"):
            self.name = settings.instance_name
        return self.execute(context)

    def execute(self, context: Context) -> Outcome:
        """Split the points."""
        return reported(self, lambda: self._make(context))

    def _make(self, context: Context) -> str:
        scene = context.scene
        collection = lifts.active(scene)
        name = handles.make_instance(scene, collection, self.name, self.moving)
        return f"Made '{name}'. Move its handle and key it."
