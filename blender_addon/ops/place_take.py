"""Place a take in the sequencer, again or for the first time."""

from __future__ import annotations

from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..link import pump
from ..link.wire import ShotError
from ..scene import panel_state, playback, sequencer
from .common import Outcome, allowed, reported


class LEVITOR_OT_place_take(Operator):
    """Put a rendered take into the sequencer, over the frames of its shot"""

    bl_idname = "levitor.place_take"
    bl_label = "Place Take"
    bl_options = {"REGISTER", "UNDO"}

    job: StringProperty(
        name="Job",
        description="Job that made the take; empty is the last one",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """A take of this file was rendered."""
        state = panel_state.fresh(context.scene)
        found = _of_this_file() if state is None else state.takes
        return allowed(
            cls, bool(found), "Nothing of this file was rendered since Blender was started"
        )

    def execute(self, context: Context) -> Outcome:
        """Place the take."""
        return reported(self, self._place)

    def _place(self) -> str:
        takes = pump.link().takes
        job = self.job or next(reversed(_of_this_file()), "")
        if not job:
            raise ShotError("no_take", "There is no take of this file.", "Render a shot first.")
        if job not in takes:
            raise ShotError(
                "no_take",
                f"No take of job '{job}' was rendered.",
                f"There are: {', '.join(takes)}.",
            )
        strip = sequencer.place(takes[job])
        playback.show_all_channels()
        return f"Placed {strip.name} on channel {strip.channel}."


def _of_this_file() -> list[str]:
    """The jobs of this session whose takes belong to the file that is open, oldest first."""
    return [take.job for _, take in sequencer.of_this_file(pump.link().takes.values())]
