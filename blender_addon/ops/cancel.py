"""Cancel a job."""

from __future__ import annotations

from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..link import pump
from ..link.wire import ShotError
from .common import Outcome, reported


class LEVITOR_OT_cancel(Operator):
    """Stop a job that is under way; never another one"""

    bl_idname = "levitor.cancel"
    bl_label = "Cancel"
    bl_options = {"REGISTER"}  # No UNDO: it only sends

    job: StringProperty(
        name="Job",
        description="Job to stop; empty is the one that was started last",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: Context) -> Outcome:
        """Ask the backend to stop it."""
        return reported(self, self._cancel)

    def _cancel(self) -> None:
        link = pump.link()
        under_way = link.under_way()
        if not under_way:
            raise ShotError(
                "no_job",
                "No job is under way.",
                "Only one that waits or runs can be cancelled.",
            )
        if not self.job:
            link.cancel(under_way[-1])
            return
        named = [task for task in under_way if self.job in (task, link.names.get(task))]
        if not named:
            raise ShotError(
                "no_job",
                f"Job '{self.job}' is not under way.",
                f"Under way: {', '.join(link.names.get(task, task) for task in under_way)}.",
            )
        link.cancel(named[0])
