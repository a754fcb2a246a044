"""The import rules and bans of the design, over every file; and that the checker sees."""

import ast
from pathlib import Path

import pytest

from tests.layers.checker import FINDERS, broken_bans, broken_imports, zone_of
from tests.layers.rules import BANS, LONGER, LONGEST_FILE, ZONES

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "backend", "blender_addon")


def sources(*folders: str) -> dict[str, str]:
    """Text of every Python file by its path from the root, with ``/``."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


CODE = sources(*PACKAGES)
ALL = CODE | sources("tests") | {"build_addon.py": (ROOT / "build_addon.py").read_text()}
MODULES = {
    path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in CODE
} | {"blender_addon.protocol"}


def test_every_import_keeps_to_its_zone():
    found = [
        line for path, text in CODE.items() for line in broken_imports(path, text, ZONES, MODULES)
    ]
    assert not found, "\n".join(["", *found])


def test_nothing_banned_is_done():
    found = [line for path, text in CODE.items() for line in broken_bans(path, text, BANS)]
    assert not found, "\n".join(["", *found])


def test_no_file_is_longer_than_400_lines_without_a_reason():
    lengths = {path: text.count("\n") for path, text in ALL.items()}
    assert {path for path, lines in lengths.items() if lines > LONGEST_FILE} == set(LONGER)


def test_every_package_says_what_it_is_for():
    silent = [
        path
        for path, text in CODE.items()
        if path.endswith("__init__.py") and not ast.get_docstring(ast.parse(text))
    ]
    assert not silent
    folders = {Path(path).parent.as_posix() for path in CODE}
    assert not [folder for folder in folders if f"{folder}/__init__.py" not in CODE]


def test_every_zone_is_lived_in():
    lived_in = {zone_of(path, ZONES) for path in CODE}
    assert not [zone.name for zone in ZONES if zone not in lived_in]


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("protocol/codec.py", "import torch", "torch"),
        ("protocol/codec.py", "from backend import contracts", "backend.contracts"),
        ("protocol/codec.py", "import socket", "socket"),
        ("backend/geometry/lift.py", "import cv2", "cv2"),
        ("backend/geometry/lift.py", "from protocol.messages import Lift", "protocol.messages"),
        ("backend/geometry/lift.py", "def f():\n    import sklearn", "sklearn"),
        ("backend/geometry/splat.py", "import pytorch3d", "pytorch3d"),
        ("backend/control/points.py", "from ..engines import base", "backend.engines.base"),
        ("backend/engines/base.py", "import backend.server.app", "backend.server.app"),
        ("backend/cli/render.py", "from backend.server.app import Server", "backend.server.app"),
        (
            "backend/session.py",
            "from backend.server.blobs import BlobStore",
            "backend.server.blobs",
        ),
        ("backend/server/app.py", "import torch", "torch"),
        ("backend/server/app.py", "from . import handlers\nimport av", "av"),
        ("backend/server/app.py", "from backend import pipeline", "backend.pipeline"),
        ("blender_addon/core/shot.py", "import bpy", "bpy"),
        ("blender_addon/core/shot.py", "from ..scene import cloud", "blender_addon.scene.cloud"),
        ("blender_addon/link/client.py", "import bpy", "bpy"),
        ("blender_addon/scene/cloud.py", "from ..ops import pick", "blender_addon.ops.pick"),
        ("blender_addon/scene/cloud.py", "from ..ui import panels", "blender_addon.ui.panels"),
        ("blender_addon/scene/cloud.py", "from ..link import pump", "blender_addon.link.pump"),
        ("blender_addon/scene/cloud.py", "from .. import props", "blender_addon.props"),
        ("blender_addon/props_lift.py", "from .ops import pick", "blender_addon.ops.pick"),
        ("blender_addon/props.py", "from .ui import panels", "blender_addon.ui.panels"),
        ("blender_addon/ui/panels.py", "from ..ops import pick", "blender_addon.ops.pick"),
        ("blender_addon/ops/pick.py", "from ..ui import panels", "blender_addon.ui.panels"),
        ("blender_addon/ops/lift.py", "import zmq", "zmq"),
        ("blender_addon/ops/lift.py", "from ...backend import pipeline", "backend.pipeline"),
    ],
)
def test_a_planted_import_is_found(path, source, name):
    found = broken_imports(path, source, ZONES, MODULES)
    assert len(found) == 1
    assert found[0].endswith(f"may not import {name}")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("protocol/codec.py", "import json\nimport numpy as np\nfrom . import arrays"),
        ("backend/geometry/lift.py", "from torch import Tensor\nfrom .camera import unproject"),
        ("backend/control/points.py", "from sklearn.cluster import KMeans"),
        (
            "blender_addon/core/shot.py",
            "if TYPE_CHECKING:\n    import bpy\nfrom ..link import wire",
        ),
        (
            "blender_addon/link/wire.py",
            "try:\n    from ..protocol import x\nexcept E:\n    import protocol",
        ),
        ("blender_addon/ops/lift.py", "import bpy\nfrom .. import link"),
    ],
)
def test_an_import_that_is_allowed_is_left_alone(path, source):
    modules = {"protocol.arrays", "backend.geometry.camera", "blender_addon.link.wire"}
    assert broken_imports(path, source, ZONES, modules) == []


def test_a_place_that_no_zone_names_is_found():
    assert "no zone" in broken_imports("backend/odd.py", "", ZONES, set())[0]


PLANTED = {
    "print outside the command line": "def f():\n    print('x')",
    "pickle": "from pickle import loads",
    "torch.load without weights_only=True": "torch.load(p, weights_only=False)",
    "eval or exec": "eval('1')",
    "an edit of sys.path or sys.modules": "sys.path.insert(0, p)",
    "star import": "from numpy import *",
    "randomness from a hidden generator": "x = np.random.rand(3)",
    "an inference mode, whose weights can never be trained": "with torch.inference_mode(): f()",
    "a judgement of its own on what is a lack of memory": "isinstance(e, MemoryError)",
    "a Python thread or process in the extension": "from threading import Thread",
    "an absolute import of own code in the extension": "from blender_addon.core import lift",
}


@pytest.mark.parametrize("name", FINDERS)
def test_a_planted_fault_is_found(name):
    assert broken_bans("blender_addon/ops/x.py", PLANTED[name], BANS) == [
        f"blender_addon/ops/x.py:{PLANTED[name].count(chr(10)) + 1}: {name}"
    ]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("torch.load(p)", id="weights_only left to its default"),
        pytest.param("sys.path[0] = p", id="an entry of the path"),
        pytest.param("sys.path += [p]", id="the path, grown in place"),
        pytest.param("sys.modules['zmq'] = None", id="a module put in place"),
        pytest.param("del sys.modules['zmq']", id="a module taken away"),
        pytest.param("torch.manual_seed(0)", id="torch's own generator"),
        pytest.param("torch.randn(3)", id="a draw without a generator"),
        pytest.param("rng = np.random.default_rng()", id="a seed nobody knows"),
        pytest.param("random.shuffle(x)", id="Python's own generator"),
        pytest.param("isinstance(error, torch.OutOfMemoryError)", id="memory, by torch's class"),
        pytest.param("'out of memory' in str(error)", id="memory, by words"),
        pytest.param("type(error).__name__ == 'OutOfMemoryError'", id="memory, by a class's name"),
    ],
)
def test_other_ways_to_the_same_fault_are_found_too(source):
    assert len(broken_bans("backend/geometry/x.py", source, BANS)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "torch.load(p, weights_only=True)",
        "torch.randn(3, generator=g)",
        "rng = np.random.default_rng(7)",
        "here = sys.path[0]",
        "pprint(x)",
        "raise MemoryError('no room')",
        "error.code == 'out_of_memory'",
    ],
)
def test_what_only_looks_like_a_fault_is_left_alone(source):
    assert broken_bans("backend/geometry/x.py", source, BANS) == []


def test_the_command_line_may_print():
    assert broken_bans("backend/cli/lift.py", "print(1)", BANS) == []
