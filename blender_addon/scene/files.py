"""Files the extension reads and writes."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

import bpy

from .. import prefs
from ..link.wire import ShotError

TAKES = "levitor_takes"
PATHS = ("photo", "depth_path")
"""Properties of a scene's settings that name files."""
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
        ShotError: it is relative to a .blend that is not saved, cannot be read, is empty, or has
            more than ``limit`` bytes.
    """
    full = absolute(path)
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

    As the backend's ``files.atomic``, which cannot be imported here, but with the permissions that
    the umask says: artists share folders.

    Raises:
        ShotError: it cannot be written.
    """
    part = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` outlast a power failure, where its file system does that.

    Network mounts refuse it, and Windows has no such handle; the file is in its place all the same.
    """
    if os.name == "posix":
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


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


def absolute(path: str) -> Path:
    """The absolute form of a path that may be relative to the .blend.

    Raises:
        ShotError: it is relative to a .blend that is not saved yet.
    """
    if path.startswith("//") and not bpy.data.filepath:
        raise ShotError(
            "unsaved",
            f"'{path}' is relative to the .blend, which is not saved yet.",
            "Save it first, or give the whole path.",
        )
    return Path(bpy.path.abspath(path))


def relative(path: Path, blend: Path) -> str:
    """``path`` relative to ``blend``, as Blender writes it; whole where that cannot be."""
    try:
        return bpy.path.relpath(str(path), start=str(blend.parent))
    except ValueError:  # on another drive of Windows
        return str(path)


def stored(path: Path, given: str) -> str:
    """How the file is to name ``path``: relative where the artist's ``given`` form of it is."""
    if given.startswith("//") and bpy.data.filepath:
        return relative(path, Path(bpy.data.filepath))
    return str(path)


def takes_folder(blend: Path | None = None) -> Path:
    """Where takes go: the preference, else beside the .blend, else in the home folder.

    In the home folder they wait, too, where the preference is relative to a file that has no place
    yet; with its first save they land there.

    Args:
        blend: the file; by default the one that is open.
    """
    if blend is None and bpy.data.filepath:
        blend = Path(bpy.data.filepath)
    chosen = prefs.get().takes
    if chosen and not chosen.startswith("//"):
        return Path(bpy.path.abspath(chosen))
    if blend is None:
        return Path.home() / TAKES
    return Path(bpy.path.abspath(chosen or f"//{TAKES}", start=str(blend.parent)))


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
            return path, f"Kept as {path}. {trouble}"
    assert trouble is not None
    raise trouble


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """A path in ``folder`` at which there is no file yet, as far as one may look."""
    path, count = folder / f"{stem}{suffix}", 1
    while os.path.lexists(path):  # no error for a folder that may not be read; writing tells
        path, count = folder / f"{stem}_{count}{suffix}", count + 1
    return path
