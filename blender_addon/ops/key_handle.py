"""Key a handle, as it stands or at a given distance from rest."""

from __future__ import annotations

from bpy.props import FloatProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Context, Operator

from ..link.wire import ShotError
from ..scene import handles, lifts
from .common import Outcome, reported


class LEVITOR_OT_key_handle(Operator):
    """Key the handle's place, turn and size on this frame; the first frame stays the photo"""

    bl_idname = "levitor.key_handle"
    bl_label = "Key Handle"
    bl_options = {"REGISTER", "UNDO"}

    instance: StringProperty(
        name="Instance",
        description="Name of the instance; empty is the one chosen in the list",
        options={"SKIP_SAVE"},
    )
    frame: IntProperty(
        name="Frame",
        description="Frame to key; without it, the current one",
        options={"SKIP_SAVE"},
    )
    move: FloatVectorProperty(
        name="Move",
        description="Distance from rest in world units",
        size=3,
        subtype="TRANSLATION",
        options={"SKIP_SAVE"},
    )
    turn: FloatVectorProperty(
        name="Turn",
        description="Rotation from rest about X, Y and Z",
        size=3,
        subtype="EULER",
        options={"SKIP_SAVE"},
    )
    scale: FloatProperty(
        name="Scale",
        description="Size relative to rest",
        default=1.0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """There is an instance."""
        collection = context.scene.levitor.lift
        if collection is None or not collection.levitor.instances:
            cls.poll_message_set("Make an instance first")
            return False
        return True

    def execute(self, context: Context) -> Outcome:
        """Key the handle."""
        return reported(self, lambda: self._key(context))

    def _key(self, context: Context) -> str:
        scene = context.scene
        given = [self.properties.is_property_set(name) for name in ("move", "turn", "scale")]
        frame = self.frame if self.properties.is_property_set("frame") else scene.frame_current
        if any(given) and self.scale <= 0:
            raise ShotError(
                "scale", f"A handle cannot be scaled by {self.scale:g}.", "Give a scale above 0."
            )
        handle = handles.find(lifts.active(scene), self.instance)
        if frame > scene.frame_start and not handles.is_keyed(handle):
            handles.key_rest(handle, scene.frame_start)
        if any(given):
            handles.pose(handle, self.move, self.turn, self.scale)
        handles.key(handle, frame)
        if frame != scene.frame_current:
            scene.frame_set(scene.frame_current)  # shows the handle where this frame has it
        return f"Keyed '{handle.name}' at frame {frame}."
