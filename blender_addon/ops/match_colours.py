"""Match colours: the camera and the sequencer show the photo as it is."""

from __future__ import annotations

from bpy.types import Context, Operator

from ..link.wire import ShotError
from ..scene import cloud, colour_management
from ..scene.rollback import Rollback
from .common import NeedsLift, Outcome, reported


class LEVITOR_OT_match_colours(NeedsLift, Operator):
    """Show the photo's own colours: a plain view of this scene, and points in the working space"""

    bl_idname = "levitor.match_colours"
    bl_label = "Match Colours"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> Outcome:
        """Set the view, and bring the points of this scene's lifts into the working space."""
        return reported(self, lambda: self._match(context))

    def _match(self, context: Context) -> str:
        scene = context.scene
        before = colour_management.differences(scene)
        clouds = {ob.data for ob in scene.objects if cloud.is_cloud(ob)}
        for ob in scene.objects:
            if ob.data in clouds:
                cloud.check(ob)
        for mesh in clouds:
            if mesh.library is None and not colour_management.fits(mesh):
                colour_management.rewrite(mesh)
        colour_management.settle(scene, Rollback())
        if left := colour_management.differences(scene):
            raise ShotError(
                "colours",
                f"Colours are still not the photo's: {', '.join(left)}.",
                "Set that in the render properties, under Color Management.",
            )
        return f"Set back: {', '.join(before)}." if before else "Colours were the photo's already."
