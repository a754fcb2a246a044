"""Set the scene's end frame to where the last motion of the shot ends; a button of a notice."""

from __future__ import annotations

from bpy.props import IntProperty
from bpy.types import Context, Operator

from ..link.wire import ShotError
from .common import Outcome, reported


class LEVITOR_OT_set_end(Operator):
    """Let the scene end where the last motion of the shot does"""

    bl_idname = "levitor.set_end"
    bl_label = "Set End Frame"
    bl_options = {"REGISTER", "UNDO"}

    frame: IntProperty(name="Frame", description="The last frame", options={"SKIP_SAVE"})

    def execute(self, context: Context) -> Outcome:
        """Set it."""
        return reported(self, lambda: self._set(context))

    def _set(self, context: Context) -> str:
        scene = context.scene
        if self.frame <= scene.frame_start:
            raise ShotError(
                "frame_range",
                f"Frame {self.frame} does not come after the start frame {scene.frame_start}.",
                "Give a later one.",
            )
        scene.frame_end = self.frame
        return f"The scene ends at frame {self.frame}."
