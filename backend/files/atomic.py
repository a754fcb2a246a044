"""Atomic writing of files: a temporary file, then one rename.

The extension and ``build_addon.py`` cannot import the backend, and have their own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

PUBLIC, PRIVATE = 0o644, 0o600
"""Permissions of a file that others may read, and of one for this user alone."""


def write_atomically(
    path: Path,
    data: bytes,
    *,
    mode: int = PUBLIC,
    sync: bool = True,
    temporaries: Path | None = None,
) -> None:
    """Make ``path`` hold all of ``data``, or leave it as it was.

    A process that is killed meanwhile leaves a hidden ``.part`` file behind; an error leaves
    nothing.

    Args:
        path: of the file; its folder is made.
        data: all of it.
        mode: permissions, whatever the umask.
        sync: whether the file also outlasts a power failure once this returns, where the folder's
            filesystem can promise that.
        temporaries: a folder on the same filesystem for the temporary file; else beside ``path``.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=temporaries or path.parent, prefix=f".{path.name[:40]}.", suffix=".part"
    )
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if sync:
                sync_file(file)
        temporary.chmod(mode)
        move_into_place(temporary, path, sync=sync)  # closed by now, as Windows wants it
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def move_into_place(temporary: Path, path: Path, *, sync: bool = True) -> None:
    """Rename a finished file to its final path, and sync the folder unless ``sync`` is off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    if sync:
        sync_folder(path.parent)


def sync_file(file: IO[bytes]) -> None:
    """Flush and fsync an open file."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlast a power failure; Windows has no such handle.

    A folder that cannot be synced is logged: its files are in their places already.
    """
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:  # network and FUSE mounts refuse it
        log.warning(
            "What was written to %s may not outlast a power failure: it cannot be synced (%s)",
            folder,
            error.strerror,
        )
