"""What is shared by all tests: those that cannot run here are skipped, and each says why."""

import gc
import importlib.util
import os
import random

import pytest

import backend  # noqa: F401 - how OpenMP's threads wait, before a test imports torch
from tests import home, randomness

# Before bpy or a model's library is imported, some of which look for their folders only then
home.folder()

if importlib.util.find_spec("hypothesis") is not None:  # not in Blender's Pythons
    randomness.register_profiles()


# What is imported stays until the end: nothing is to be found among it while it is collected.
gc.disable()


def pytest_collection_finish() -> None:
    """Leave out of every collection what the test files imported; each looks at all that is left.

    With torch and diffusers that are two million objects and 0.3 s, and engines collect at each
    release of a network, tests that ask what was let go do too.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    home.remove()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> None:
    randomness.restart(fixturedef.argname)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    randomness.restart(item.nodeid)


def _has_blender() -> bool:
    # Stub packages for checkers leave a folder of the same name without code in it.
    spec = importlib.util.find_spec("bpy")
    return spec is not None and spec.origin is not None


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


NEEDS = {
    "blender": (_has_blender, "no bpy in this Python; `make test` runs it in .venv-blender*"),
    "gpu": (_has_gpu, "no CUDA device here"),
    "window": (lambda: "LEVITOR_WINDOW" in os.environ, "needs a display: `make window-test`"),
}

# Its conftest imports bpy, so that without one not even collecting is possible.
collect_ignore = [] if _has_blender() else ["addon_bpy"]


def pytest_report_header() -> list[str]:
    return [f"tests/{name}: not here, {NEEDS['blender'][1]}" for name in collect_ignore]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="another order, the same for a seed: finds tests that need what others left behind",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (seed := config.getoption("shuffle")) is not None:
        random.Random(seed).shuffle(items)
    for marker, (available, reason) in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and not available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))
