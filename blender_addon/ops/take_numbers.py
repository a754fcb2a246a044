"""Say how well a take obeyed its shot: the numbers of its row with their units."""

from __future__ import annotations

from typing import Any

from bpy.props import StringProperty
from bpy.types import Context, Event, Operator

from ..core import obedience
from ..link.wire import ShotError
from ..scene import panel_state
from .common import Outcome, reported


class LEVITOR_OT_take_numbers(Operator):
    """How well this take obeyed its shot"""

    bl_idname = "levitor.take_numbers"
    bl_label = "How It Obeyed"
    bl_options = {"INTERNAL"}  # it changes nothing

    job: StringProperty(
        name="Job",
        description="Job that made the take",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: Context, properties: Any) -> str:
        """The tooltip: all there is to say of this take."""
        found = obedience.said(panel_state.numbers(context.scene).get(properties.job, ""))
        return "\n".join(found.details) if found is not None else cls.__doc__ or ""

    def invoke(self, context: Context, event: Event) -> Outcome:
        """Show what the tooltip says, for as long as the mouse stays there."""
        del event
        return reported(self, lambda: self._show(context))

    def execute(self, context: Context) -> Outcome:
        """Report it."""
        return reported(self, lambda: " ".join(self._details(context)))

    def _show(self, context: Context) -> None:
        details = self._details(context)

        def draw(menu: Any, _: Context) -> None:
            for line in details:
                menu.layout.label(text=line)

        context.window_manager.popup_menu(draw, title=self.bl_label, icon="INFO")

    def _details(self, context: Context) -> tuple[str, ...]:
        found = obedience.said(panel_state.numbers(context.scene).get(self.job, ""))
        if found is None:
            raise ShotError(
                "no_numbers",
                f"No numbers are known of a take of job '{self.job}'.",
                "A draft has none, nor has a take of an older backend.",
            )
        return found.details
