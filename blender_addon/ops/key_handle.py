"""Key a handle, as it stands or at a given distance from rest."""

from __future__ import annotations

import numpy as np
from bpy.props import FloatProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Context, Operator

from ..link.wire import ShotError
from ..scene import handles, keyframes
from .common import NeedsInstance, Outcome, reported

_ENDLESS = 1e30
"""Blender makes the largest float32 of infinity."""


class LEVITOR_OT_key_handle(NeedsInstance, Operator):
    """Key the handle's place, turn and size on this frame; the first frame stays the photo"""

    bl_idname = "levitor.key_handle"
    bl_label = "Key Handle"
    bl_options = {"REGISTER", "UNDO"}

    instance: StringProperty(
        name="Instance",
        description="Name of the instance; empty is the selected one, or the one of the list",
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

    def execute(self, context: Context) -> Outcome:
        """Key the handle."""
        return reported(self, lambda: self._key(context))

    def _key(self, context: Context) -> str:
        scene = context.scene
        posed = any(self.properties.is_property_set(name) for name in ("move", "turn", "scale"))
        frame = self.frame if self.properties.is_property_set("frame") else scene.frame_current
        values = np.array([*self.move, *self.turn, self.scale])
        if not (np.abs(values) < _ENDLESS).all():
            raise ShotError(
                "not_a_number",
                f"Move {tuple(self.move)}, turn {tuple(self.turn)} and scale {self.scale} "
                "are not all finite numbers.",
                "Give a number for each.",
            )
        if self.scale <= 0:
            raise ShotError(
                "scale", f"A handle cannot be scaled by {self.scale:g}.", "Give a scale above 0."
            )
        handle = handles.find(scene, self.instance)
        keyframes.check(handle)
        if frame > scene.frame_start:
            handles.key_rest(scene, handle, scene.frame_start)
        handles.key_at(scene, handle, frame, (self.move, self.turn, self.scale) if posed else None)
        return f"Keyed '{handle.name}' at frame {frame}."
