"""Set the scene's render size to the photo's; a button of a notice."""

from __future__ import annotations

from bpy.types import Context, Operator

from ..scene import camera, lifts
from .common import Outcome, reported


class LEVITOR_OT_use_photo_size(Operator):
    """Render at the size of the photo, in its pixel shape"""

    bl_idname = "levitor.use_photo_size"
    bl_label = "Use Photo's Size"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> Outcome:
        """Set it."""
        return reported(self, lambda: self._set(context))

    def _set(self, context: Context) -> str:
        photo = lifts.photo_of(lifts.active(context.scene))
        camera.use_size(context.scene, photo.intrinsics, photo.width, photo.height)
        return f"The scene renders {photo.width} x {photo.height} pixels."
