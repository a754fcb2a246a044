"""The blob store: files named by the SHA-256 of their bytes.

A blob appears by one rename, after its bytes are synced and its hash is checked. Paths are made
from checked hashes only; nothing else that a client sends becomes part of a path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from backend.files.atomic import PRIVATE, sync_file, sync_folder, write_atomically
from protocol import content
from protocol.errors import ShotError

RESERVE_BYTES = 256 << 20


class BlobStore:
    """The blobs of one state folder; the server's loop and its workers each open their own.

    Args:
        folder: root of the store.
        deferred_sync: whether :meth:`put` leaves fsync to :meth:`sync`. A process that dies loses
            nothing then; a power failure before :meth:`sync` may lose blobs.
    """

    def __init__(self, folder: Path, *, deferred_sync: bool = False) -> None:
        self.folder = folder
        self._deferred_sync = deferred_sync
        self._unsynced: dict[Path, int] = {}
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def get(self, sha256: str) -> bytes:
        """The bytes of a blob; raises :class:`ShotError` where it is not here."""
        path = self.path(sha256)
        try:
            data = path.read_bytes()
            os.utime(path)  # delete_unused goes by this time
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
        # A blob of the wrong size was left by a power failure
        if path.exists() and path.stat().st_size == len(data):
            os.utime(path)
            return
        sync = not self._deferred_sync
        try:
            write_atomically(path, data, mode=PRIVATE, sync=sync, temporaries=self._incoming)
        except OSError as error:
            raise disk_error(error, len(data)) from error
        if not sync:
            self._unsynced[path] = len(data)

    def sync(self) -> None:
        """Sync the blobs put since the last call; raises :class:`ShotError` if that fails."""
        paths, self._unsynced = self._unsynced, {}
        try:
            for path in paths:
                # It may be deleted by now; opened to write, as Windows syncs no read-only file
                with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
                    sync_file(file)
            for folder in {path.parent for path in paths}:
                sync_folder(folder)
        except OSError as error:
            raise disk_error(error, sum(paths.values())) from error

    def path(self, sha256: str) -> Path:
        """Path of a blob; raises :class:`ShotError` if ``sha256`` is no hash."""
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
        """Path of the bytes of an unfinished upload."""
        self.path(sha256)
        return self._incoming / f"{sha256}.part"

    def free_bytes(self) -> int:
        """Free bytes of the disk, less a reserve for the job store and the system."""
        return max(0, shutil.disk_usage(self.folder).free - RESERVE_BYTES)

    def delete_unused(self, unused_seconds: float) -> int:
        """Delete files that were not used for that long; returns how many."""
        limit, removed = time.time() - unused_seconds, 0
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(
                OSError
            ):  # one that cannot be deleted must not keep the others
                if path.is_file() and path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
        return removed


def disk_error(error: OSError, size: int) -> ShotError:
    """The user-facing error for a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ShotError(
            "disk_full",
            f"The server's disk has no room for {size / 1e6:.1f} MB.",
            "Free space on the server, or give its --state another disk.",
        )
    return ShotError(
        "disk", f"The server cannot write its files: {error.strerror}.", "Check its --state folder."
    )
