"""Take a row away that the artist has read."""

from __future__ import annotations

from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..link import pump
from ..link.wire import ShotError
from ..scene import viewport
from .common import Outcome, reported


class LEVITOR_OT_dismiss(Operator):
    """Take this row away; what came of its job stays where it is"""

    bl_idname = "levitor.dismiss"
    bl_label = "Dismiss"
    bl_options = {"REGISTER"}  # No UNDO: the rows are not in the file

    task: StringProperty(
        name="Row",
        description="Task of the row; empty takes all away that are at their end",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: Context) -> Outcome:
        """Forget the row, or all that are at their end."""
        return reported(self, self._dismiss)

    def _dismiss(self) -> None:
        jobs = pump.link().jobs
        row = jobs.get(self.task)
        if self.task and (row is None or not row.final):
            raise ShotError(
                "no_row",
                f"The job '{self.task}' is under way or unknown.",
                "Cancel it instead." if row is not None else "Look at the rows that there are.",
            )
        for task in [self.task] if self.task else [job.task for job in jobs]:
            jobs.forget(task)
        viewport.redraw_sidebar()
