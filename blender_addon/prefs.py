"""Preferences: where the backend is, where takes go, and this installation's name."""

from __future__ import annotations

import uuid
from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import AddonPreferences, Context

PACKAGE: str = __package__ or ""
"""The extension's package, whatever the repository it was installed from is called."""


class LEVITOR_AP_preferences(AddonPreferences):
    """Preferences of the extension."""

    bl_idname = PACKAGE

    endpoint: StringProperty(
        name="Backend",
        description="Address of the backend that lifts photos and renders shots",
        default="tcp://127.0.0.1:5599",
    )
    takes: StringProperty(
        name="Takes",
        description=(
            "Folder for rendered takes. Empty: a folder 'levitor_takes' beside the saved .blend, "
            "or the extension's own folder while the file is unsaved"
        ),
        subtype="DIR_PATH",
        default="",
    )

    def draw(self, context: Context) -> None:
        """Draw the two fields."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "endpoint")
        layout.prop(self, "takes")


def get(context: Context | None = None) -> LEVITOR_AP_preferences:
    """The preferences of the extension."""
    preferences = (context or bpy.context).preferences
    return preferences.addons[PACKAGE].preferences


def user_folder(name: str) -> Path:
    """A folder of the extension's own that survives updates; made when it is not there."""
    return Path(bpy.utils.extension_path_user(PACKAGE, path=name, create=True))


def client_id() -> str:
    """The installation's name on the wire, made once and kept on disk."""
    path = user_folder("identity") / "client_id"
    if path.is_file() and (kept := path.read_text("utf-8").strip()):
        return kept
    made = uuid.uuid4().hex
    path.write_text(made, "utf-8")
    return made
