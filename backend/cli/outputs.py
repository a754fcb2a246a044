"""Checks of output paths before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.errors import ShotError


def check_outputs(outputs: list[Path], inputs: list[Path]) -> None:
    """Refuse paths that cannot be written, or are used twice.

    Raises:
        ShotError: a path is a folder, is named twice, is an input, or cannot be written to.
    """
    seen = {path.resolve(): "is read by this command" for path in inputs}
    for path in outputs:
        if (why := seen.get(path.resolve())) is not None:
            raise ShotError("output", f"{path} {why} and would be lost.", "Name another file.")
        seen[path.resolve()] = "is written twice by this command"
        if path.is_dir():
            raise ShotError("output", f"{path} is a folder.", "Name a file in it.")
        folder = path.resolve().parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ShotError(
                "output",
                f"{path} cannot be written: {folder} is not a folder to write in.",
                "Name a file somewhere else.",
            )
