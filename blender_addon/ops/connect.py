"""Connect to a backend, and end the connection."""

from __future__ import annotations

from bpy.props import FloatProperty, StringProperty
from bpy.types import Context, Operator

from .. import prefs
from ..link import pump
from ..link.wire import ShotError
from .common import Outcome, allowed, reported


class LEVITOR_OT_connect(Operator):
    """Connect to the backend that lifts photos and renders shots"""

    bl_idname = "levitor.connect"
    bl_label = "Connect"
    bl_options = {"REGISTER"}  # No UNDO: it changes nothing in the file

    endpoint: StringProperty(
        name="Backend",
        description="Address like tcp://127.0.0.1:5599; empty takes the preferences'",
        options={"SKIP_SAVE"},
    )
    wait: FloatProperty(
        name="Wait",
        description="Seconds to wait for the answer; 0 returns at once",
        min=0.0,
        options={"HIDDEN", "SKIP_SAVE"},  # for scripts
    )

    def execute(self, context: Context) -> Outcome:
        """Connect, and with a wait report what the backend said."""
        return reported(self, lambda: self._connect(context))

    def _connect(self, context: Context) -> str | None:
        link = pump.link()
        link.connect(self.endpoint or prefs.get(context).endpoint)
        if not self.wait:
            return None
        pump.pump_until(lambda: link.status.phase != "connecting", self.wait)
        status = link.status
        if status.phase == "connecting":
            raise ShotError(
                "time",
                f"{status.endpoint} has not answered in {self.wait:g} seconds.",
                "Start a backend there with `levitor serve`, or correct the address.",
            )
        if status.phase != "connected":
            raise ShotError(status.phase, status.reason, status.fix)
        return f"Connected to {status.endpoint}."


class LEVITOR_OT_disconnect(Operator):
    """End the connection; jobs under way are not followed any more"""

    bl_idname = "levitor.disconnect"
    bl_label = "Disconnect"
    bl_options = {"REGISTER"}  # No UNDO: it changes nothing in the file

    @classmethod
    def poll(cls, context: Context) -> bool:
        """There is a connection."""
        return allowed(cls, pump.link().client is not None, "There is no connection")

    def execute(self, context: Context) -> Outcome:
        """End the connection."""
        pump.link().disconnect()
        return {"FINISHED"}
