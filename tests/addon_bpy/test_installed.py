"""The zip under another repository's name, and the checkout linked in: each in a fresh Blender."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import build_addon

ROOT = Path(build_addon.__file__).parent

ENABLE = """
import os, sys
import bpy
os.makedirs(sys.argv[2], exist_ok=True)
repos = bpy.context.preferences.extensions.repos
repos.new(name="Studio", module="studio", custom_directory=sys.argv[2])
if sys.argv[1]:
    bpy.ops.extensions.package_install_files(
        filepath=sys.argv[1], repo="studio", enable_on_install=False, overwrite=True
    )
assert bpy.ops.preferences.addon_enable(module="bl_ext.studio.levitor") == {"FINISHED"}
package = sys.modules["bl_ext.studio.levitor"]
"""

ZIPPED = """
from importlib import import_module
wire = import_module("bl_ext.studio.levitor.link.wire")
assert wire.messages.__name__ == "bl_ext.studio.levitor.protocol.messages", wire.messages.__name__
assert "protocol" not in sys.modules
prefs = import_module("bl_ext.studio.levitor.prefs")
assert prefs.get().endpoint == "tcp://127.0.0.1:5599"
assert "studio" in str(prefs.user_folder("takes"))
bpy.ops.levitor.connect(endpoint="tcp://127.0.0.1:9")
client = import_module("bl_ext.studio.levitor.link.pump").link().client
assert client.status.phase == "connecting", client.status
"""

LINKED = """
from importlib import import_module
wire = import_module("bl_ext.studio.levitor.link.wire")
assert wire.messages.__name__ == "protocol.messages", wire.messages.__name__
assert hasattr(bpy.types.Scene, "levitor")
"""

LEAVE = """
bpy.ops.preferences.addon_disable(module="bl_ext.studio.levitor")
assert not hasattr(bpy.types.Scene, "levitor")
sys.stdout.write("ENABLED AND DISABLED")
sys.stdout.flush()
os._exit(0)
"""


def in_a_fresh_blender(code: str, *arguments: str, folder: Path, path: str = "") -> str:
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(folder / "user"), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_zip_works_under_another_package_name(zip_file, tmp_path):
    said = in_a_fresh_blender(
        ENABLE + ZIPPED + LEAVE, str(zip_file), str(tmp_path / "studio"), folder=tmp_path
    )
    assert "ENABLED AND DISABLED" in said, said


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_checkout_that_is_linked_in_works_without_a_zip(tmp_path):
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "levitor").symlink_to(ROOT / "blender_addon")
    said = in_a_fresh_blender(
        ENABLE + LINKED + LEAVE, "", str(tmp_path / "studio"), folder=tmp_path, path=str(ROOT)
    )
    assert "ENABLED AND DISABLED" in said, said


BROKEN = """
from importlib import import_module
pump = import_module("bl_ext.studio.levitor.link.pump")
del bpy.types.Scene.levitor
pump.beat()  # the live preview looks for what is gone
bpy.ops.preferences.addon_disable(module="bl_ext.studio.levitor")
left = [name for name in dir(bpy.types) if name.startswith("LEVITOR")]
assert not left, left
assert not bpy.app.timers.is_registered(pump.beat)
for name in dir(bpy.app.handlers):
    if name.endswith(("_pre", "_post")):
        ours = [h for h in getattr(bpy.app.handlers, name) if "levitor" in h.__module__]
        assert not ours, (name, ours)
assert bpy.ops.preferences.addon_enable(module="bl_ext.studio.levitor") == {"FINISHED"}
pump = import_module("bl_ext.studio.levitor.link.pump")
assert bpy.app.timers.is_registered(pump.beat)
bpy.context.scene.levitor.preview_live = True
pump.beat()
assert pump.failure(import_module("bl_ext.studio.levitor.scene.live_preview").follow) == ""
"""


def test_the_extension_can_be_disabled_and_enabled_after_a_follower_failed(zip_file, tmp_path):
    said = in_a_fresh_blender(
        ENABLE + BROKEN + LEAVE, str(zip_file), str(tmp_path / "studio"), folder=tmp_path
    )
    assert "AttributeError" in said, said
    assert "ENABLED AND DISABLED" in said, said
