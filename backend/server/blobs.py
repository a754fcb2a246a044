"""Files named by the hash of their bytes, and uploads that may break off and go on.

A blob becomes visible by one rename, after its bytes are on the disk and its hash is right. Paths
are made from checked hashes only; nothing a client says is ever part of a path.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from protocol import content
from protocol.errors import ShotError

READ_BYTES = 1 << 20
RESERVE_BYTES = 256 << 20
OPEN_UPLOADS = 64
IDLE_SECONDS = 60.0  # a sender this silent is taken to be gone, where another needs its place


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...
    def hexdigest(self) -> str: ...


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


@dataclass(slots=True, kw_only=True)
class _Upload:
    size: int
    received: int
    digest: _Hash  # of what was received
    heard: float


class Uploads:
    """Blobs on their way in. Only the server's loop has one."""

    def __init__(
        self, blobs: Blobs, blob_bytes: int, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self.blobs = blobs
        self.limit = blob_bytes
        self._idle_seconds = idle_seconds
        self._open: dict[str, _Upload] = {}

    def offer(self, sha256: str, size: int) -> int:
        """Bytes that are here already; opens the upload where some are missing.

        Raises:
            ShotError: it is too large for the server, or for what its disk has left beside the
                other uploads; too many of those are open; or the name is no hash.
        """
        have = self.blobs.size(sha256)
        if have is not None:
            os.utime(self.blobs.path(sha256))
            return have
        if not 0 <= size <= self.limit:
            raise ShotError(
                "too_large",
                f"The file has {size / 1e6:.1f} MB, this server takes {self.limit / 1e6:.1f} MB.",
                "Use a smaller file.",
            )
        received, digest = self._held(sha256)
        if received > size:
            self.blobs.partial(sha256).unlink()
            received, digest = 0, hashlib.sha256()
        self._check_room(sha256, size, size - received)
        self._open[sha256] = _Upload(
            size=size, received=received, digest=digest, heard=time.monotonic()
        )
        if received == size:
            self._finish(sha256)
        return received

    def add(self, sha256: str, offset: int, data: memoryview) -> int:
        """Append a chunk; one that does not fit on the end is left out. Returns the bytes held.

        Raises:
            ShotError: not offered, longer than offered, wrong hash at the end, or disk full. After
                a wrong hash nothing is kept.
        """
        if (have := self.blobs.size(sha256)) is not None:
            return have
        if sha256 not in self._open:
            raise ShotError(
                "not_offered", "A chunk came before its file was offered.", "Send the file again."
            )
        upload = self._open[sha256]
        upload.heard = time.monotonic()
        upload.received, upload.digest = self._held(sha256)
        if offset != upload.received or not len(data):
            return upload.received
        size, received = upload.size, upload.received + len(data)
        if received > size:
            raise ShotError(
                "too_large",
                f"The file was offered with {size} bytes, but {received} came.",
                "Send the file again.",
            )
        try:
            with self.blobs.partial(sha256).open("ab") as file:
                file.write(data)
        except OSError as error:
            self._drop(sha256)
            raise disk_error(error, size) from error
        upload.digest.update(data)
        upload.received = received
        if received == size:
            self._finish(sha256)
        return received

    def _check_room(self, sha256: str, size: int, missing: int) -> None:
        others = {name: one for name, one in self._open.items() if name != sha256}
        gone = time.monotonic() - self._idle_seconds
        active = [one for one in others.values() if one.heard > gone]
        if len(active) >= OPEN_UPLOADS:
            raise ShotError(
                "uploads",
                f"{len(active)} files are on their way to the server, more it does not take.",
                "Wait until some have arrived, then try again.",
            )
        # What was promised to others is not free, though it is not written yet either.
        if missing > self.blobs.free_bytes() - sum(one.size - one.received for one in active):
            raise disk_error(OSError(errno.ENOSPC, ""), size)
        if len(others) >= OPEN_UPLOADS:  # what it sent so far stays on the disk
            del self._open[min(others, key=lambda name: others[name].heard)]

    def _held(self, sha256: str) -> tuple[int, _Hash]:
        """Bytes on the disk and their hash; read again where clean-up took the file away."""
        upload, size = self._open.get(sha256), 0
        with contextlib.suppress(FileNotFoundError):
            size = self.blobs.partial(sha256).stat().st_size
        if upload is not None and upload.received == size:
            return upload.received, upload.digest
        digest, received = hashlib.sha256(), 0
        with contextlib.suppress(FileNotFoundError), self.blobs.partial(sha256).open("rb") as file:
            while chunk := file.read(READ_BYTES):
                digest.update(chunk)
                received += len(chunk)
        return received, digest

    def _finish(self, sha256: str) -> None:
        partial = self.blobs.partial(sha256)
        upload = self._open[sha256]
        size = upload.size
        if upload.digest.hexdigest() != sha256:
            self._drop(sha256)
            raise ShotError(
                "wrong_hash",
                f"The {size} bytes that came do not have the hash they were sent as.",
                "Send the file again.",
            )
        try:
            with partial.open("ab") as file:
                to_disk(file)
            publish(partial, self.blobs.path(sha256))
        except OSError as error:
            self._drop(sha256)
            raise disk_error(error, size) from error
        del self._open[sha256]

    def _drop(self, sha256: str) -> None:
        self.blobs.partial(sha256).unlink(missing_ok=True)
        self._open.pop(sha256, None)


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
