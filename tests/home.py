"""A home folder of the tests' own, also for every program that they start."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def folder() -> Path:
    """The folder; made by the first call, from when on all that leads home leads there."""
    made = Path(tempfile.mkdtemp(prefix="levitor_home_"))
    kept = Path.home() / ".gitconfig"
    if kept.is_file():  # git reads in it whose checkouts it may trust
        os.environ.setdefault("GIT_CONFIG_GLOBAL", str(kept))
    for name in [name for name in os.environ if name.startswith(("XDG_", "LEVITOR_WEIGHTS"))]:
        del os.environ[name]
    for name in ("HF_HOME", "LEVITOR_CONFIG", "BLENDER_USER_RESOURCES"):
        os.environ.pop(name, None)
    for name in ("HOME", "USERPROFILE"):
        os.environ[name] = str(made)
    return made


def remove() -> None:
    """Remove it with all that was left there."""
    shutil.rmtree(folder(), ignore_errors=True)
