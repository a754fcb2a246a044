"""Preview the control: build the shot, send it, show what an engine would be told."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty
from bpy.types import Context, Operator

from ..core.strips import preview_name
from ..link import pump
from ..link.pump import ResultHandler
from ..link.wire import ShotError, content, messages
from ..props import PREVIEW_OVER, PREVIEW_SHOW
from ..scene import lifts, playback, preview_strips, sequencer
from .common import Outcome, fill_from_scene, meet, reported
from .render import SETTINGS, ShotSettings

KIND = "preview"
_latest: list[Any] = []
"""The last shot that was sent, and how it was to be shown."""


class LEVITOR_OT_preview_control(ShotSettings, Operator):
    """Show masks, control points and depth of the shot as the uppermost strip of the sequencer"""

    bl_idname = "levitor.preview_control"
    bl_label = "Preview Control"
    bl_options = {"REGISTER"}  # No UNDO: it sends; an undo step is made when the strip is placed

    over: EnumProperty(
        name="Over",
        description="What masks and points lie on",
        items=PREVIEW_OVER,
        default="DRAFT",
        options={"SKIP_SAVE"},
    )
    show: EnumProperty(
        name="Show",
        description="What is shown",
        items=PREVIEW_SHOW,
        default={"MASKS", "POINTS", "DEPTH"},
        options={"ENUM_FLAG", "SKIP_SAVE"},
    )
    wait: FloatProperty(
        name="Wait",
        description="Seconds to wait for the preview; 0 returns at once",
        min=0.0,
        options={"HIDDEN", "SKIP_SAVE"},  # for scripts
    )
    live: BoolProperty(
        description="Only if the shot is another one than in the last preview; no undo step",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def execute(self, context: Context) -> Outcome:
        """Send the shot; with a wait, place the preview."""
        return reported(self, lambda: self._preview(context))

    def _preview(self, context: Context) -> str | None:
        link, scene = pump.link(), context.scene
        fill_from_scene(self, scene.levitor, SETTINGS)
        fill_from_scene(self, scene.levitor, ("over", "show"), "preview_")
        meet(context, self.wait)
        link.check(messages.PreviewRequest)
        if not self.show:
            raise ShotError(
                "show", "The preview is to show nothing.", "Choose masks, points or depth."
            )
        shot, blobs = self.read_shot(context, may_play=not self.live)
        collection = lifts.active(scene)
        lift = collection.levitor.uid
        preview = messages.PreviewRequest(
            shot=shot,
            over="photo" if self.over == "PHOTO" else "draft",
            masks="MASKS" in self.show,
            points="POINTS" in self.show,
            depth="DEPTH" in self.show,
        )
        wanted = content.shot_hash(shot), self.over, frozenset(self.show)
        if self.live and _latest == [wanted] and preview_strips.formers(scene, lift):
            return None
        _latest[:] = [wanted]
        place = partial(
            _arrive,
            live=self.live,
            lift=lift,
            photo=collection.name,
            shot=shot,
            asked=lifts.Asked.in_scene(scene),
        )
        label = f"over the {preview.over}, {len(shot.moved_from_rest)} frames"
        for older in link.pending(KIND):
            link.cancel(older)  # it would be replaced at once
        handler = ResultHandler(kind=KIND, label=label, place=place, subject=lift)
        task = link.start(preview, blobs, handler)
        return link.wait(task, self.wait) if self.wait else None


def _arrive(
    result: messages.Previewed,
    blobs: Mapping[str, bytes],
    *,
    live: bool,
    lift: str,
    photo: str,
    shot: messages.ShotMessage,
    asked: lifts.Asked,
) -> str:
    """Keep the video and put it in the former one's place; returns where it is."""
    lifts.find(lift, asked)  # before anything is written: the photo may be gone
    stem = preview_name(photo.removeprefix("LeviTor "), lift)
    preview = sequencer.Film(
        job=result.job,
        lift=lift,
        path=preview_strips.keep(stem, blobs[result.video.sha256]),
        frame_start=shot.frame_start,
        frame_end=shot.frame_end,
        shot=result.shot,
        asked_in=asked,
    )
    strip = preview_strips.place(preview, muted=live)
    playback.show_all_channels()
    if not live:  # an undo is to take back the artist's last edit, not the preview of it
        bpy.ops.ed.undo_push(message="Preview Control")
    where = f"{result.points:.0f} points a frame; in the sequencer, channel {strip.channel}."
    return "\n".join((where, *result.notes))
