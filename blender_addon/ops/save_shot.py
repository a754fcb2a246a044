"""Save the shot to a file that renders without Blender."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event, Operator

from ..link.wire import content
from ..scene import files
from .common import Outcome, fill_from_scene, reported
from .render import SETTINGS, ShotSettings


class LEVITOR_OT_save_shot(ShotSettings, Operator):
    """Save the shot as a .shot file, which `levitor render` renders without Blender"""

    bl_idname = "levitor.save_shot"
    bl_label = "Save Shot"
    bl_options = {"REGISTER"}  # No UNDO: it writes a file only

    filepath: StringProperty(
        name="File", description="Where to save", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.shot", options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Ask where to save."""
        fill_from_scene(self, context.scene.levitor, SETTINGS)
        if not self.filepath:
            stem = Path(bpy.data.filepath).with_suffix("").as_posix() if bpy.data.filepath else ""
            self.filepath = f"{stem or 'untitled'}.shot"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Context) -> Outcome:
        """Write the file."""
        return reported(self, lambda: self._save(context))

    def _save(self, context: Context) -> str:
        shot, blobs = self.read_shot(context)
        path = Path(bpy.path.abspath(self.filepath))
        files.write(path, content.pack_shot(shot, blobs))
        return f"Saved {path.name}: {len(shot.moved_from_rest)} frames."
