"""Save the shot to a file that renders without Blender."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..link.wire import ShotError, content
from ..scene import files
from .common import Outcome, fill_from_scene, reported
from .render import SETTINGS, ShotSettings

SUFFIX = ".shot"


class LEVITOR_OT_save_shot(ShotSettings, Operator):
    """Save the shot as a .shot file, which `levitor render` renders without Blender"""

    bl_idname = "levitor.save_shot"
    bl_label = "Save Shot"
    bl_options = {"REGISTER"}  # No UNDO: it writes a file only

    filepath: StringProperty(
        name="File", description="Where to save", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    check_existing: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.shot", options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Ask where to save."""
        fill_from_scene(self, context.scene.levitor, SETTINGS)
        if not self.filepath:
            stem = Path(bpy.data.filepath).with_suffix("").as_posix() if bpy.data.filepath else ""
            self.filepath = f"{stem or 'untitled'}{SUFFIX}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: Context) -> bool:
        """Show the name as it will be, so that Blender warns of a file that is there already."""
        named = bpy.path.ensure_ext(self.filepath, SUFFIX)
        changed = named != self.filepath
        self.filepath = named
        return changed

    def execute(self, context: Context) -> Outcome:
        """Write the file."""
        return reported(self, lambda: self._save(context))

    def _save(self, context: Context) -> str:
        fill_from_scene(self, context.scene.levitor, SETTINGS)
        path = files.absolute(self.filepath)
        if not path.name or path.is_dir():
            raise ShotError(
                "no_file",
                f"'{self.filepath}' is no name of a file."
                if self.filepath
                else "No file is named.",
                f"Give a name like flower{SUFFIX}.",
            )
        path = Path(bpy.path.ensure_ext(str(path), SUFFIX))
        shot, blobs = self.read_shot(context)
        files.write(path, content.pack_shot(shot, blobs))
        return f"Saved {path.name}: {len(shot.moved_from_rest)} frames."
