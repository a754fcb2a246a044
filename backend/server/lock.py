"""The lock file of a state folder; the system releases it however its process ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO


class StateInUseError(Exception):
    """Another process holds the state folder."""


def acquire(path: Path) -> IO[bytes]:
    """Lock the file at ``path`` until the returned file is closed.

    Raises:
        StateInUseError: another process holds it.
    """
    file = path.open("ab")
    try:
        _lock(file)
    except OSError as error:
        file.close()
        raise StateInUseError(str(path)) from error
    return file


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
