"""Files the extension reads and writes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import bpy

from .. import prefs
from ..link.wire import ShotError

TAKES = "levitor_takes"
MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".exr": "image/x-exr",
    ".npy": "application/x-npy",
}


def read(path: str, what: str, limit: int) -> tuple[bytes, str, Path]:
    """Bytes, media type and absolute path of a file; ``what`` names it in a sentence.

    Raises:
        ShotError: it cannot be read, is empty, or has more than ``limit`` bytes.
    """
    full = Path(bpy.path.abspath(path))
    choose = f"Choose another {what}."
    try:
        size = full.stat().st_size
        if full.is_dir():
            raise ShotError("file", f"The {what} {full} is a folder.", choose)
        if not 0 < size <= limit:
            wrong = (
                "is empty" if size == 0 else f"has {size >> 20} MiB; at most {limit >> 20} travel"
            )
            raise ShotError("file", f"The {what} {full} {wrong}.", choose)
        data = full.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ShotError("file", f"The {what} {full} cannot be read: {reason}.", choose) from error
    return data, MEDIA.get(full.suffix.lower(), "application/octet-stream"), full


def write(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` either holds all of it or is what it was before.

    Raises:
        ShotError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error


def write_folder(path: Path, contents: Iterable[tuple[str, bytes]]) -> int:
    """Make the folder ``path`` with all files of ``contents``, or nothing at all.

    Args:
        path: where nothing is yet.
        contents: name and bytes of each file, made while they are written.

    Returns:
        How many files it holds.

    Raises:
        ShotError: it cannot be written.
    """
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".levitor_") as aside:
            whole = Path(aside) / "whole"
            whole.mkdir()
            for name, data in contents:
                (whole / name).write_bytes(data)
                count += 1
            whole.rename(path)
    except OSError as error:
        raise _unwritten(path, error) from error
    return count


def _unwritten(path: Path, error: OSError) -> ShotError:
    reason = (error.strerror or str(error)).lower()
    return ShotError(
        "file", f"{path} cannot be written: {reason}.", "Choose another folder, or make room."
    )


def takes_folder() -> Path:
    """Where takes go: the preference, else beside the saved .blend, else in the home folder."""
    if chosen := prefs.get().takes:
        return Path(bpy.path.abspath(chosen))
    if bpy.data.filepath:
        return Path(bpy.data.filepath).parent / TAKES
    return Path.home() / TAKES


def keep_take(folder: Path, stem: str, data: bytes) -> tuple[Path, str]:
    """Write a take that cost minutes to ``folder``, or else to where there is room for it.

    Returns:
        Its path, and a sentence where that is not in ``folder``; else an empty one.

    Raises:
        ShotError: neither ``folder`` nor the home folder nor the system's temporary one takes it.
    """
    trouble: ShotError | None = None
    for place in (folder, Path.home() / TAKES, Path(tempfile.gettempdir()) / TAKES):
        try:
            path = free_path(place, stem, ".mp4")
            write(path, data)
        except ShotError as error:
            trouble = trouble or error
        else:
            if trouble is None:
                return path, ""
            return path, f"Kept as {path}. {trouble.sentence} {trouble.fix}"
    assert trouble is not None
    raise trouble


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """A path in ``folder`` at which there is no file yet, as far as one may look."""
    path, count = folder / f"{stem}{suffix}", 1
    while os.path.lexists(path):  # no error for a folder that may not be read; writing tells
        path, count = folder / f"{stem}_{count}{suffix}", count + 1
    return path
