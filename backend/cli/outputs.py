"""Checks of output paths before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.errors import ShotError

FILE_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("avi", "gif", "mkv", "mov", "mp4", "webm"),
        *("exr", "jpeg", "jpg", "png"),
        *("blend", "json", "npy", "npz", "ply", "shot", "tar", "tgz", "zip"),
    )
)
"""Endings of files, which a folder called so would be taken for."""


def check_outputs(outputs: list[Path], inputs: list[Path], endings: tuple[str, ...]) -> None:
    """Refuse paths that cannot be written, are used twice, or promise another kind of file.

    Args:
        outputs: files to write.
        inputs: files that are read.
        endings: of what is written, lower case with the dot; in a name any case will do.

    Raises:
        ShotError: a path is a folder, has another ending, is named twice, is an input, or cannot be
            written to.
    """
    seen = {path.resolve(): "is read by this command" for path in inputs}
    for path in outputs:
        if (why := seen.get(path.resolve())) is not None:
            raise ShotError("output", f"{path} {why} and would be lost.", "Name another file.")
        if path.is_dir():
            raise ShotError("output", f"{path} is a folder.", "Name a file in it.")
        if path.suffix.lower() not in endings:
            has = f"ends in {path.suffix}" if path.suffix else "has no ending"
            names = " or ".join(path.with_suffix(ending).name for ending in endings)
            raise ShotError(
                "output",
                f"{path} {has}; this command writes {' or '.join(endings)} files.",
                f"Name it {names}.",
            )
        seen[path.resolve()] = "is written twice by this command"
        folder = path.resolve().parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ShotError(
                "output",
                f"{path} cannot be written: {folder} is not a folder to write in.",
                "Name a file somewhere else.",
            )


def check_folder(folder: Path) -> None:
    """Refuse a folder to make whose name is that of a file.

    Raises:
        ShotError: it ends as files do.
    """
    if folder.suffix.lower() in FILE_ENDINGS:
        raise ShotError(
            "output",
            f"{folder} ends in {folder.suffix}; this command makes a folder.",
            f"Name it {folder.stem}.",
        )
