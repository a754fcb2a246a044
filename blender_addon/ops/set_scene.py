"""Change the scene of the photo that is lifted already: ground or backdrop, and the horizon."""

from __future__ import annotations

from bpy.props import EnumProperty, FloatProperty
from bpy.types import Context, Event, Operator

from ..scene import ground_backdrop, horizon_line, lifts
from .common import NeedsLift, Outcome, allowed, reported


class LEVITOR_OT_set_scene(NeedsLift, Operator):
    """Move points and handles to another scene; through the photo's camera nothing changes"""

    bl_idname = "levitor.set_scene"
    bl_label = "Set Scene"
    bl_options = {"REGISTER", "UNDO"}

    scene_kind: EnumProperty(
        name="Scene",
        description="What all that was not picked is",
        items=ground_backdrop.KINDS,
        options={"SKIP_SAVE"},
    )
    horizon: FloatProperty(
        name="Horizon",
        description="Of a ground: its height, from 0 at the top of the photo to 1 at the bottom",
        default=0.35,
        soft_min=0.0,
        soft_max=0.95,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """A photo is lifted, and neither a model nor a map gave its depth."""
        if not super().poll(context):
            return False
        collection = context.scene.levitor.lift
        return allowed(
            cls,
            bool(lifts.photo_of(collection).kind),
            "The depth of this lift is neither a ground nor a backdrop",
        )

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Begin with what it is; the last operation's panel changes it."""
        self._fill(context)
        return self.execute(context)

    def execute(self, context: Context) -> Outcome:
        """Change it."""
        return reported(self, lambda: self._set(context))

    def _fill(self, context: Context) -> None:
        now = lifts.photo_of(lifts.active(context.scene))
        if not self.properties.is_property_set("scene_kind"):
            self.scene_kind = now.kind.upper()
        if not self.properties.is_property_set("horizon"):
            self.horizon = now.horizon

    def _set(self, context: Context) -> str:
        scene = context.scene
        self._fill(context)
        height = horizon_line.typed(self.horizon)
        said = ground_backdrop.set_scene(
            scene, lifts.active(scene), self.scene_kind.lower(), height
        )
        if self.scene_kind == "GROUND":
            horizon_line.show(scene)
        of_ground = f", its horizon at {height:g}" if self.scene_kind == "GROUND" else ""
        return said or f"The scene is a {self.scene_kind.lower()}{of_ground}."
