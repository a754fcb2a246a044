"""Watch a take: whatever is missing on the screen for it is set up."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..link import pump
from ..link.wire import ShotError
from ..scene import panel_state, playback, sequencer
from .common import Outcome, allowed, reported


class LEVITOR_OT_watch_take(Operator):
    """Show a take: the sequencer with this scene, framed, at its first frame, playing"""

    bl_idname = "levitor.watch_take"
    bl_label = "Watch Take"
    bl_options = {"REGISTER", "UNDO"}

    job: StringProperty(
        name="Job",
        description="Job that made the take; empty is the newest one of this scene",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """There is a take of this file."""
        state, takes = panel_state.fresh(context.scene), pump.link().takes.values()
        found = (
            bool(playback.of_scene(context.scene) or sequencer.of_this_file(takes))
            if state is None
            else state.has_takes
        )
        return allowed(cls, found, "Render a shot first")

    def execute(self, context: Context) -> Outcome:
        """Place the take if it is not, and show it."""
        return reported(self, lambda: self._watch(context))

    def _watch(self, context: Context) -> str:
        window = playback.window_of(context.window)  # before anything is placed
        job = self.job or _newest(context)
        for scene in (context.scene, *(one for one in bpy.data.scenes if one != context.scene)):
            for strip in reversed(playback.of_scene(scene)):
                if strip.get("levitor_job") == job:
                    return playback.show(scene, strip, window)
        take = pump.link().takes.get(job)
        if take is None:
            raise ShotError(
                "no_take", f"No take of job '{job}' is in this file.", "Render the shot again."
            )
        return playback.show(sequencer.scene_for(take), sequencer.place(take), window)


def _newest(context: Context) -> str:
    """The job of the newest take: of the scene that is shown, else of the file.

    Raises:
        ShotError: there is none.
    """
    rendered = sequencer.of_this_file(pump.link().takes.values())
    here = [take.job for scene, take in rendered if scene == context.scene]
    placed = [strip["levitor_job"] for strip in playback.of_scene(context.scene)]
    everywhere = [take.job for _, take in rendered]
    for jobs in (here, placed, everywhere):
        if jobs:
            return jobs[-1]
    raise ShotError("no_take", "There is no take of this file.", "Render a shot first.")
