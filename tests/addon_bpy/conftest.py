"""A Blender without a window, the extension from its zip, and a real backend in another process."""

import atexit
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["BLENDER_USER_RESOURCES"] = tempfile.mkdtemp(prefix="levitor_bpy_")  # before bpy

import bpy
import build_addon
import pytest

ROOT = Path(build_addon.__file__).parent
PACKAGE = "bl_ext.user_default.levitor"
READY = re.compile(r"LeviTor backend ready at (tcp://\S+)")
_status = [0]


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status[0])


# Registered after bpy's own exit code, so run before it: that one may hang (Blender 4.5).
atexit.register(_leave)


def pytest_sessionfinish(session, exitstatus) -> None:
    _status[0] = int(exitstatus)


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.blender)


def backend_python() -> str:
    """The Python that has torch; another one than Blender's."""
    return os.environ.get("LEVITOR_BACKEND_PYTHON") or str(ROOT / ".venv" / "bin" / "python")


@pytest.fixture(scope="session")
def zip_file(tmp_path_factory) -> Path:
    return build_addon.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def addon(zip_file):
    bpy.ops.extensions.package_install_files(
        filepath=str(zip_file), repo="user_default", enable_on_install=False, overwrite=True
    )
    assert bpy.ops.preferences.addon_enable(module=PACKAGE) == {"FINISHED"}
    return sys.modules[PACKAGE]


@pytest.fixture
def scene(addon):
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.ed.undo_push(message="Empty file")
    link(addon).takes.clear()
    return bpy.context.scene


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """A backend that runs until the tests are over."""
    state = tmp_path_factory.mktemp("state")
    log = (state / "stderr.log").open("wb")
    server = subprocess.Popen(
        [backend_python(), "-m", "backend", "serve", "--port", "0", "--state", str(state)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    try:
        match = None
        while match is None:
            line = server.stdout.readline()
            assert line, f"the backend ended: {(state / 'stderr.log').read_text()[-2000:]}"
            match = READY.search(line)
        yield match[1]
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()
        log.close()


@pytest.fixture
def connected(scene, addon, endpoint):
    assert bpy.ops.levitor.connect(endpoint=endpoint, wait=30.0) == {"FINISHED"}
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_empty=True)


@pytest.fixture(scope="session")
def flower() -> Path:
    """scikit-learn's flower.jpg, 640 x 427 pixels; it lies in the backend's Python."""
    code = "import sklearn, pathlib; print(pathlib.Path(sklearn.__file__).parent)"
    done = subprocess.run(
        [backend_python(), "-c", code], capture_output=True, text=True, check=True
    )
    path = Path(done.stdout.strip()) / "datasets" / "images" / "flower.jpg"
    assert path.is_file()
    return path


def module(addon, name: str):
    """A module of the installed extension."""
    return sys.modules.get(f"{addon.__name__}.{name}") or __import__(
        f"{addon.__name__}.{name}", fromlist=["_"]
    )


def link(addon):
    """The extension's link to the backend."""
    return module(addon, "link.pump").link()
