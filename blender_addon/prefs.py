"""Preferences: where the backend is, where takes go, and this installation's name."""

from __future__ import annotations

import uuid
from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import AddonPreferences, Context

from .link.wire import ShotError

PACKAGE: str = __package__ or ""
"""The extension's package, whatever the repository it was installed from is called."""
WRITABLE = "Make Blender's folder for extensions writable, and connect again."


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
            "Folder for rendered takes. Empty: a folder 'levitor_takes' beside the .blend. What "
            "begins with // is relative to it. Takes of an unsaved file wait in your home folder "
            "and are put there with its first save"
        ),
        subtype="DIR_PATH",
        default="",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
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
    """A folder of the extension's own that survives updates; made when it is not there.

    Raises:
        ShotError: it cannot be made.
    """
    folder = bpy.utils.extension_path_user(PACKAGE, path=name, create=True)
    if not folder:  # Blender says why in its console only
        wanted = bpy.utils.extension_path_user(PACKAGE, path=name)
        raise ShotError("user_folder", f"The folder {wanted} cannot be made.", WRITABLE)
    return Path(folder)


def client_id() -> str:
    """The installation's name on the wire, made once and kept on disk.

    Raises:
        ShotError: it cannot be kept, so that jobs would not be found again.
    """
    path = user_folder("identity") / "client_id"
    try:
        if path.is_file() and (kept := path.read_text("utf-8").strip()):
            return kept
        made = uuid.uuid4().hex
        path.write_text(made, "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ShotError(
            "user_folder", f"The file {path} cannot be read and written: {error}.", WRITABLE
        ) from error
    return made
