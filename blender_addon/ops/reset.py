"""Back to the photo: a handle at rest, the camera where it took it. Options to their defaults."""

from __future__ import annotations

from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Operator

from ..scene import camera, handles, lifts, options
from .common import NeedsInstance, NeedsLift, Outcome, allowed, reported


class LEVITOR_OT_reset_handle(NeedsInstance, Operator):
    """Put the handle back to rest; where it is keyed, it is keyed at rest on this frame"""

    bl_idname = "levitor.reset_handle"
    bl_label = "Reset Handle"
    bl_options = {"REGISTER", "UNDO"}

    instance: StringProperty(
        name="Instance",
        description="Name of the instance; empty is the selected one, or the one of the list",
        options={"SKIP_SAVE"},
    )
    clear_keys: BoolProperty(
        name="Clear Keys",
        description="Remove all its keys, too; an instance that is set to stay loses them anyway",
        default=False,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: Context) -> Outcome:
        """Put it back."""
        return reported(self, lambda: self._reset(context))

    def _reset(self, context: Context) -> str:
        scene = context.scene
        handle = handles.find(scene, self.instance)
        items = lifts.active(scene).levitor.instances
        stays = any(item.handle == handle and not item.moving for item in items)
        handles.reset(scene, handle, clear_keys=self.clear_keys or stays)
        return f"'{handle.name}' is at rest at frame {scene.frame_current}."


class LEVITOR_OT_reset_camera(NeedsLift, Operator):
    """Look through the photo's camera, put back to where it took the photo, lens and size too"""

    bl_idname = "levitor.reset_camera"
    bl_label = "Reset Camera"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> Outcome:
        """Put it back."""
        return reported(self, lambda: self._reset(context))

    def _reset(self, context: Context) -> str:
        scene = context.scene
        collection = lifts.active(scene)
        eye = collection.levitor.camera
        camera.reset(scene, eye, lifts.photo_of(collection))
        return f"'{eye.name}' is where it took the photo at frame {scene.frame_current}."


class LEVITOR_OT_reset_options(Operator):
    """Set every option of the chosen engine to its default"""

    bl_idname = "levitor.reset_options"
    bl_label = "Reset Options"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        """The engine has options."""
        return allowed(
            cls,
            bool(options.of_engine(context.scene, context.scene.levitor.engine)),
            "This engine has no options, or the backend has not said which",
        )

    def execute(self, context: Context) -> Outcome:
        """Set them."""
        count = options.reset(context.scene, context.scene.levitor.engine)
        self.report({"INFO"}, f"Options that were not at their default: {count}.")
        return {"FINISHED"}
