"""Export the shot's tracks, boxes or masks for other tools; needs no backend."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..core import strips
from ..link.wire import ShotError, export, tracks
from ..scene import files, lifts
from .common import Outcome, fill_from_scene, reported
from .render import SETTINGS, ShotSettings

LENGTHS = {"TOOL": -1, "SHOT": 0, "81": 81, "121": 121}
"""Frames of tracks as ``tracks.frame_of`` is asked for them."""


class LEVITOR_OT_export_control(ShotSettings, Operator):
    """Export tracks, boxes or masks of the shot for other tools; no backend is needed"""

    bl_idname = "levitor.export_control"
    bl_label = "Export Control"
    bl_options = {"REGISTER"}  # No UNDO: it writes files only

    directory: StringProperty(
        name="Directory",
        description="Where the export's own folder is made",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )
    name: StringProperty(
        name="Folder",
        description="Name of the folder to make; without it, the photo's with the format's",
        options={"SKIP_SAVE"},
    )
    format: EnumProperty(
        name="Format",
        description="What to export",
        items=(
            ("WAN_MOVE", "Wan-Move", "Tracks, whether each is seen, and their depth, as .npy"),
            ("ATI", "ATI", "Tracks as spline JSON, and whether each is seen"),
            ("BOXES", "Boxes", "The box around each instance in every frame, as .npy"),
            ("MASKS", "Masks", "Which instance is where as PNG, and depth as EXR, every frame"),
        ),
    )
    points: IntProperty(
        name="Points",
        description="Tracks on each instance",
        default=8,
        min=1,
        soft_max=64,
        options={"SKIP_SAVE"},
    )
    rest_points: IntProperty(
        name="Points Elsewhere",
        description="Tracks on all that was not picked; they carry the camera",
        default=16,
        min=0,
        soft_max=256,
        options={"SKIP_SAVE"},
    )
    size: EnumProperty(
        name="Size",
        description="Of the frame that the tool works in",
        items=(
            ("AUTO", "Automatic", "832 x 480, or 480 x 832 for a photo higher than wide"),
            ("832X480", "832 x 480", "Landscape"),
            ("480X832", "480 x 832", "Portrait"),
            ("PHOTO", "The Photo's", "The photo's own pixels; the tools are not made for others"),
        ),
        options={"SKIP_SAVE"},
    )
    length: EnumProperty(
        name="Length",
        description="Frames of the tracks; the shot is spread over them",
        items=(
            ("TOOL", "The Tool's", "81 for Wan-Move, 121 for ATI"),
            ("81", "81 Frames", "5 seconds at 16 frames a second"),
            ("121", "121 Frames", "5 seconds at 24 frames a second"),
            ("SHOT", "The Shot's", "As many as the shot has samples"),
        ),
        options={"SKIP_SAVE"},
    )
    fit: EnumProperty(
        name="Fit",
        description="What happens where the photo has another shape than the frame",
        items=(
            ("CROP", "Crop", "Its middle fills the frame; no track begins outside of that"),
            ("PAD", "Pad", "All of it is in the frame, with black bars"),
        ),
        options={"SKIP_SAVE"},
    )
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Ask where to."""
        fill_from_scene(self, context.scene.levitor, SETTINGS)
        if not self.directory and bpy.data.filepath:
            self.directory = str(Path(bpy.data.filepath).parent)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: Context) -> None:
        """Draw what matters beside the folders."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "format")
        layout.prop(self, "name")
        if self.format in ("WAN_MOVE", "ATI"):
            layout.prop(self, "points")
            layout.prop(self, "rest_points")
            for name in ("size", "length", "fit"):
                layout.prop(self, name)

    def execute(self, context: Context) -> Outcome:
        """Write the folder, whole or not at all."""
        return reported(self, lambda: self._export(context))

    def _export(self, context: Context) -> str:
        fill_from_scene(self, context.scene.levitor, SETTINGS)
        kind = self.format.lower().replace("_", "-")
        path = self._path(lifts.active(context.scene).name.removeprefix("LeviTor "), kind)
        shot, blobs = self.read_shot(context)
        frame, said = None, []
        if kind in tracks.TOOLS:
            height, width = shot.scene.depth.shape
            frame = tracks.frame_of(
                kind,
                width,
                height,
                self.size.lower(),
                self.fit.lower(),
                LENGTHS[self.length],
            )
        manager = context.window_manager
        manager.progress_begin(0, 1)
        try:
            count = files.write_folder(
                path,
                export.files(
                    shot,
                    blobs,
                    kind,
                    lambda done, total: manager.progress_update(done / total),
                    self.points,
                    self.rest_points,
                    frame,
                    said,
                ),
            )
        finally:
            manager.progress_end()
        frames = len(shot.moved_from_rest)
        if not said:
            return f"Exported {frames} frames as {count} files to {path}."
        return " ".join([f"Exported {said[0]}, to {path}.", *said[1:]])

    def _path(self, photo: str, kind: str) -> Path:
        """The folder to make."""
        if not self.directory:
            raise ShotError("no_folder", "No folder is named.", "Choose where to export to.")
        directory = files.absolute(self.directory)
        if not self.name:
            return files.free_path(directory, strips.export_name(photo, kind), "")
        if Path(self.name).name != self.name or self.name == "..":
            raise ShotError(
                "folder", f"'{self.name}' is no name of a folder.", "Give one without slashes."
            )
        if (directory / self.name).exists():
            raise ShotError(
                "folder", f"{directory / self.name} exists already.", "Name a new folder."
            )
        return directory / self.name
