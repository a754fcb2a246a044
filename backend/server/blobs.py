"""Files named by the hash of their bytes.

A blob becomes visible by one rename, after its bytes are on the disk and its hash is right. Paths
are made from checked hashes only; nothing a client says is ever part of a path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from protocol import content
from protocol.errors import ShotError

RESERVE_BYTES = 256 << 20


class Blobs:
    """The blobs of one state folder; the server's loop and its workers each open their own.

    Args:
        folder: where they lie.
        settles: whether :meth:`put` leaves the wait for the disk to :meth:`settle`. A process that
            dies loses nothing then; the power that fails before :meth:`settle` may.
    """

    def __init__(self, folder: Path, *, settles: bool = False) -> None:
        self.folder = folder
        self._settles = settles
        self._unsettled: dict[Path, int] = {}
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def get(self, sha256: str) -> bytes:
        """The bytes of a blob; raises :class:`ShotError` where it is not here."""
        path = self.path(sha256)
        try:
            data = path.read_bytes()
            os.utime(path)  # what is used is kept: clean-up goes by this time
        except FileNotFoundError as error:
            raise ShotError(
                "missing_blobs",
                f"The server no longer holds the data {sha256[:12]}.",
                "Lift the photo again.",
            ) from error
        return data

    def put(self, data: bytes) -> None:
        """Store ``data`` under its hash; raises :class:`ShotError` when the disk is full."""
        path = self.path(content.sha256(data))
        # One of another size was left by a power cut
        if path.exists() and path.stat().st_size == len(data):
            os.utime(path)
            return
        handle, name = tempfile.mkstemp(dir=self._incoming, prefix="put-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                if not self._settles:
                    to_disk(file)
            if self._settles:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(path)
                self._unsettled[path] = len(data)
            else:
                publish(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise disk_error(error, len(data)) from error

    def settle(self) -> None:
        """Wait until all that was put is on the disk; raises :class:`ShotError` if it cannot."""
        paths, self._unsettled = self._unsettled, {}
        try:
            for path in paths:
                # What was cleaned up meanwhile needs no disk; Windows syncs no file opened to read
                with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
                    to_disk(file)
            for folder in {path.parent for path in paths}:
                _folder_to_disk(folder)
        except OSError as error:
            raise disk_error(error, sum(paths.values())) from error

    def path(self, sha256: str) -> Path:
        """Where a blob lies; raises :class:`ShotError` for what is no hash."""
        if not content.is_sha256(sha256):
            raise ShotError(
                "bad_hash",
                "A file is named by the 64 lower-case hexadecimal digits of its hash.",
                "Update the extension in Blender.",
            )
        return self.folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of a complete blob, None where there is none."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; raises FileNotFoundError."""
        with self.path(sha256).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def partial(self, sha256: str) -> Path:
        """Where the bytes of an unfinished upload lie."""
        self.path(sha256)
        return self._incoming / f"{sha256}.part"

    def free_bytes(self) -> int:
        """Bytes that may still be used; the reserve is left for the job store and the system."""
        return max(0, shutil.disk_usage(self.folder).free - RESERVE_BYTES)

    def clean(self, unused_seconds: float) -> int:
        """Remove what nobody used for that long; returns how many files went."""
        limit, removed = time.time() - unused_seconds, 0
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):  # one that cannot go must not keep the others
                if path.is_file() and path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
        return removed


def publish(temporary: Path, path: Path) -> None:
    """Make a finished file visible under its name, in one step that a crash cannot halve."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    _folder_to_disk(path.parent)


def _folder_to_disk(folder: Path) -> None:
    if os.name == "posix":  # a rename is in the folder; Windows has no such handle
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def disk_error(error: OSError, size: int) -> ShotError:
    """What the artist is told when a file cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ShotError(
            "disk_full",
            f"The server's disk has no room for {size / 1e6:.1f} MB.",
            "Free space on the server, or give its --state another disk.",
        )
    return ShotError(
        "disk", f"The server cannot write its files: {error.strerror}.", "Check its --state folder."
    )


def to_disk(file: Any) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())
