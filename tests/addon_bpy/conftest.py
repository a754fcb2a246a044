"""A Blender without a window, the extension from its zip, and a real backend in another process."""

import atexit
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.home import folder as home_folder

os.environ["BLENDER_USER_RESOURCES"] = str(home_folder() / "blender")  # before bpy

import bpy
import numpy as np
import pytest

import build_addon

from .backend import READY, ROOT, backend_python, environment, in_backend

PACKAGE = "bl_ext.user_default.levitor"
WAIT = 240.0  # seconds; there to end a hang, so it is long
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


@contextmanager
def _serving(state: Path, *arguments: str) -> Iterator[str]:
    """``python -m`` something that serves with that folder; gives its address."""
    with (
        (state / "stderr.log").open("wb") as log,
        subprocess.Popen(
            [backend_python(), "-m", *arguments, "--state", str(state)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(state),
        ) as server,
    ):
        assert server.stdout is not None
        try:
            match = None
            while match is None:
                line = server.stdout.readline()
                assert line, f"the backend ended: {(state / 'stderr.log').read_text()[-2000:]}"
                match = READY.search(line)
            yield match[1]
        finally:
            server.terminate()
            server.wait(WAIT)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """A backend that runs until the tests are over."""
    with _serving(tmp_path_factory.mktemp("state"), "backend", "serve", "--port", "0") as address:
        yield address


@pytest.fixture(scope="session")
def richer_endpoint(tmp_path_factory):
    """Another one, with the toy engine and a tiny SAM: its masks are arbitrary, but several."""
    state = tmp_path_factory.mktemp("richer")
    make = "import sys; from backend.perception import tiny; tiny.make_tiny_sam(sys.argv[1])"
    in_backend(make, state / "sam")
    sam = f"sam-vit-base={state / 'sam'}"
    with _serving(state, "tests.toy.serve", "--network", sam) as address:
        yield address


@pytest.fixture
def connected(scene, addon, endpoint):
    assert bpy.ops.levitor.connect(endpoint=endpoint, wait=WAIT) == {"FINISHED"}
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_empty=True)


@pytest.fixture(scope="session")
def flower() -> Path:
    """scikit-learn's flower.jpg, 640 x 427 pixels; it lies in the backend's Python."""
    package = in_backend("import importlib.util as u; answer = u.find_spec('sklearn').origin")
    path = Path(package).parent / "datasets" / "images" / "flower.jpg"
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


class Stage:
    """A synthetic photo lifted without a backend: what is behind what is known exactly."""

    def __init__(self, addon) -> None:
        self.addon = addon
        self.lifts = module(addon, "scene.lifts")
        self.handles = module(addon, "scene.handles")
        self.cloud = module(addon, "scene.cloud")
        self.pure = module(addon, "core.photo_cloud")
        self.shot = module(addon, "core.shot")

    def lift(
        self,
        width=64,
        height=48,
        fx=60.0,
        fy=60.0,
        cx=None,
        cy=None,
        name="test",
        kind="",
        horizon=0.0,
    ):
        """Place a photo of random bytes, with depths from 2 to 9; returns its collection."""
        rng = np.random.default_rng(7)
        self.image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        self.depth = rng.uniform(2, 9, (height, width)).astype(np.float32)
        if kind:
            flat = module(self.addon, "link.wire").flat_scene
            rows = flat.row_depths(kind, height, horizon, 2.0, 9.0)
            self.depth = np.repeat(rows[:, None], width, 1)
        segments = np.zeros((height, width), np.int32)
        segments[:, width // 2 :] = 1
        cx, cy = width / 2 if cx is None else cx, height / 2 if cy is None else cy
        self.k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        photo = self.shot.PhotoCamera(
            height=height,
            width=width,
            intrinsics=self.k,
            near=2.0,
            far=9.0,
            kind=kind,
            horizon=horizon,
        )
        points = self.pure.cloud_of(self.image, self.depth, segments, self.k)
        facts = {"uid": uuid.uuid4().hex, "upright": bool(kind)}
        self.lifts.place(bpy.context.scene, name, photo, points, facts)
        return bpy.context.scene.levitor.lift

    def instance(
        self, name="Box", rows=slice(10, 20), columns=slice(10, 20), depth=4.0, moving=True
    ):
        """Make an instance of a block of pixels at one depth; returns its handle."""
        scene = bpy.context.scene
        collection = scene.levitor.lift
        background = collection.levitor.background
        points = self.cloud.read(background)
        mask = np.zeros((collection.levitor.height, collection.levitor.width), bool)
        mask[rows, columns] = True
        self.cloud.set_floats(background.data, self.cloud.PICK, mask.ravel()[points.pixel])
        self.cloud.set_floats(
            background.data, self.cloud.PICK_DEPTH, np.full(len(points), depth, np.float32)
        )
        made = self.handles.make_instance(scene, collection, name, moving)
        return collection.levitor.instances[made].handle

    def read(self, frames=0):
        """The shot of the scene as it stands; raises ShotError as the operator would report."""
        scene = bpy.context.scene
        start, end = scene.frame_start, scene.frame_end
        settings = self.shot.RenderSettings(
            frame_start=start, frame_end=end, fps=24.0, engine="draft"
        )
        wire = module(self.addon, "link.wire")
        limits = wire.messages.Limits()
        count = self.shot.sample_count(frames, start, end, wire.frames.ANY_NUMBER, limits.frames)
        return module(self.addon, "scene.shots").read(scene, settings, count, limits)


@pytest.fixture
def stage(scene, addon) -> Stage:
    scene.frame_start, scene.frame_end = 1, 9
    return Stage(addon)


def contents() -> dict[str, Any]:
    """Everything that a failed operation could leave behind or change, to be compared."""
    kinds = ("collections", "objects", "meshes", "cameras", "node_groups", "materials", "actions")
    found: dict[str, Any] = {
        kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in kinds
    }
    found["hidden"] = {
        item.name: (item.hide_viewport, item.hide_render)
        for item in [*bpy.data.objects, *bpy.data.collections]
    }
    found["placed"] = {
        ob.name: (tuple(map(tuple, ob.matrix_basis)), ob.rotation_mode, _name(ob.parent))
        for ob in bpy.data.objects
    }
    found["keys"] = {action.name: _keys(action) for action in bpy.data.actions}
    found["scenes"] = {scene.name: _settings(scene) for scene in bpy.data.scenes}
    return found


def _name(item) -> str | None:
    return item.name if item is not None else None


def _keys(action) -> list[Any]:
    return [
        (curve.data_path, curve.array_index, [tuple(p.co) for p in curve.keyframe_points])
        for layer in action.layers
        for strip in layer.strips
        for bag in strip.channelbags
        for curve in bag.fcurves
    ]


def _settings(scene) -> Any:
    render, editor, lift = scene.render, scene.sequence_editor, scene.levitor.lift
    strips = []
    if editor is not None:
        strips = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all
    return {
        "camera": _name(scene.camera),
        "frame": (scene.frame_current, scene.frame_start, scene.frame_end),
        "size": (render.resolution_x, render.resolution_y, render.resolution_percentage),
        "aspect": (render.pixel_aspect_x, render.pixel_aspect_y),
        "view": scene.view_settings.view_transform,
        "lift": _name(lift),
        "photo": scene.levitor.photo,
        "instances": [item.name for item in lift.levitor.instances] if lift else [],
        "picked": lift.levitor.picked if lift else 0,
        "strips": [(strip.name, strip.channel) for strip in strips],
    }


def film_length(strip) -> int:
    """Frames of the film itself, whatever the strip shows of it; the name changed in 5.2."""
    return strip.content_duration if bpy.app.version >= (5, 2, 0) else strip.frame_duration


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder of the test's own; films of unsaved files go there."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def animated(connected, flower):
    """The flower of flower.jpg, picked, made an instance, and keyed over 8 frames."""
    scene = connected
    scene.frame_start, scene.frame_end = 5, 12
    bpy.ops.levitor.lift(filepath=str(flower), max_side=160, wait=WAIT)
    bpy.ops.levitor.pick(x=80, y=50, wait=WAIT)
    bpy.ops.levitor.make_instance(name="Flower")
    bpy.ops.levitor.key_handle(
        instance="Flower", frame=12, move=(0.3, -0.4, 0.1), turn=(0, 0.2, 0), scale=1.2
    )
    return scene


def strips(addon):
    scene = bpy.context.scene
    if scene.sequence_editor is None:
        return []
    return module(addon, "scene.sequencer").strips_of(scene)[1]


def last_job(addon, task=""):
    """The row of a task, by default the last one, once it is at its end."""
    owner = link(addon)
    task = task or list(owner.jobs)[-1].task
    assert module(addon, "link.pump").pump_until(lambda: owner.jobs.get(task).final, WAIT)
    return owner.jobs.get(task)


class Page:
    """Stands for a layout, of which there is none without a window; keeps the words on it.

    As Blender does, it calls ``poll`` of every operator whose button is drawn.
    """

    def __init__(self):
        self.words = []

    def label(self, text="", icon="NONE"):
        self.words.append(text)

    def progress(self, text="", factor=0.0, type="RING"):
        self.words.append(text)

    def operator(self, name, **_):
        _poll(name)
        return SimpleNamespace()

    def operator_menu_enum(self, name, property, **_):
        _poll(name)

    def __getattr__(self, name):
        inner = SimpleNamespace()
        return lambda *_, **__: self if name in ("row", "column", "box") else inner


def _poll(name):
    """Call ``poll`` of an operator of the extension; its error is an error of the test."""
    place, verb = name.split(".")
    kind = getattr(bpy.types, f"{place.upper()}_OT_{verb}", None)
    if place == "levitor" and hasattr(kind, "poll"):
        kind.poll(bpy.context)


def drawn(addon, panel, page=None):
    """The words of a panel, in one line, once the timer has found what it shows."""
    page = page or Page()
    state = module(addon, "scene.panel_state")
    state.refresh()
    assert state._troubles == {}
    getattr(module(addon, "ui.panels"), panel).draw(SimpleNamespace(layout=page), bpy.context)
    return " ".join(page.words)


def rendered(scene, path):
    """What the scene renders on its frame: float (H, W, 3) in [0, 1] as in the file, top first."""
    scene.render.filepath = str(path.with_suffix(".png"))
    scene.render.image_settings.file_format = "PNG"
    scene.render.dither_intensity = 0.0
    bpy.ops.render.render(write_still=True, scene=scene.name)
    image = bpy.data.images.load(scene.render.filepath)
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, :3]
