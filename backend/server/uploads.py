"""Resumable uploads of blobs in chunks.

Chunks are hashed as they arrive. Two things are slow: hashing what an earlier server had received,
and fsync at the end. They are scheduled on the disk thread, and the reply is sent once they are
complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from backend.files.atomic import move_into_place, sync_file
from protocol.errors import ShotError

from .blobs import BlobStore, disk_error
from .disk_thread import Schedule, run_now
from .errors import internal_error

READ_BYTES = 1 << 20
MAX_OPEN_UPLOADS = 64
IDLE_SECONDS = 60.0  # an upload this silent may be dropped for a new one


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(slots=True, kw_only=True)
class _Upload:
    size: int
    received: int = 0
    digest: _Hash = field(default_factory=hashlib.sha256)  # of the bytes received
    active_at: float = field(default_factory=time.monotonic)
    busy: bool = False  # a call for it runs in the disk thread


class Uploads:
    """The uploads in progress; used by the server's loop only.

    Args:
        schedule: runs slow calls. Methods that need one return ``None``, and :meth:`completed`
            gives the outcome.
    """

    def __init__(
        self,
        blobs: BlobStore,
        blob_bytes: int,
        *,
        idle_seconds: float = IDLE_SECONDS,
        schedule: Schedule = run_now,
    ) -> None:
        self.blobs = blobs
        self.limit = blob_bytes
        self._idle_seconds = idle_seconds
        self._schedule = schedule
        self._open: dict[str, _Upload] = {}
        self._done: dict[str, ShotError | None] = {}

    def offer(self, sha256: str, size: int) -> int | None:
        """Open an upload, unless the blob is complete.

        Returns:
            The bytes held already; ``None`` if :meth:`completed` will tell.

        Raises:
            ShotError: larger than the limit or than the free space beside the other uploads, too
                many open uploads, or an invalid hash.
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
        upload = self._open.get(sha256)
        if upload is not None and upload.busy:
            upload.active_at = time.monotonic()
            return None
        received = self._partial_size(sha256)
        if received > size:
            self.blobs.partial(sha256).unlink()
            received, upload = 0, None
        self._check_space(sha256, size, size - received)
        if upload is None or upload.received != received:
            upload = _Upload(size=size)
        upload.size, upload.active_at = size, time.monotonic()
        self._open[sha256] = upload
        return self._advance(sha256, upload, received)

    def add(self, sha256: str, offset: int, data: memoryview) -> int | None:
        """Append a chunk; one that does not start where the last ended is ignored.

        Returns:
            The bytes held; ``None`` if :meth:`completed` will tell.

        Raises:
            ShotError: not offered, longer than offered, wrong hash at the end, or disk full. After
                a wrong hash the bytes are deleted.
        """
        if (have := self.blobs.size(sha256)) is not None:
            return have
        if sha256 not in self._open:
            raise ShotError(
                "not_offered", "A chunk came before its file was offered.", "Send the file again."
            )
        upload = self._open[sha256]
        upload.active_at = time.monotonic()
        if upload.busy:
            return None
        if (held := self._partial_size(sha256)) != upload.received:  # the clean-up deleted it
            upload.received, upload.digest = 0, hashlib.sha256()
            return self._advance(sha256, upload, held)
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
        return self._advance(sha256, upload, received)

    def completed(self) -> list[tuple[str, ShotError | None]]:
        """Uploads whose scheduled call ended since the last time: hash, and the error if any."""
        done, self._done = self._done, {}
        return list(done.items())

    def received(self, sha256: str) -> int:
        """Bytes held of a blob, complete or partial."""
        if (have := self.blobs.size(sha256)) is not None:
            return have
        return self._open[sha256].received if sha256 in self._open else 0

    def _advance(self, sha256: str, upload: _Upload, held: int) -> int | None:
        """Hash what is not hashed yet and store a complete upload; returns the bytes held."""
        partial, path = self.blobs.partial(sha256), self.blobs.path(sha256)

        def on_hashed(value: Any, error: Exception | None) -> None:
            upload.busy = False
            if error is not None:
                self._finish(sha256, upload, error)
                return
            upload.received, upload.digest = value
            if upload.received < upload.size:
                self._done[sha256] = None
            else:
                store()

        def store() -> None:
            if upload.digest.hexdigest() != sha256:
                self._finish(sha256, upload, _wrong_hash(upload.size))
                return
            upload.busy = True
            self._schedule(lambda: _store_file(partial, path), on_stored)

        def on_stored(_: Any, error: Exception | None) -> None:
            upload.busy = False
            self._finish(sha256, upload, error)

        if held != upload.received:
            upload.busy = True
            self._schedule(lambda: _digest_of(partial), on_hashed)
        elif held == upload.size:
            store()
        if upload.busy:
            return None
        if (failed := self._done.pop(sha256, None)) is not None:
            raise failed
        return upload.received

    def _finish(self, sha256: str, upload: _Upload, error: Exception | None) -> None:
        failure: ShotError | None = None
        if isinstance(error, ShotError):
            failure = error
        elif isinstance(error, OSError):
            failure = disk_error(error, upload.size)
        elif error is not None:
            failure = internal_error(error, f"storing the file {sha256[:12]}")
        if failure is not None:
            with contextlib.suppress(OSError):
                self.blobs.partial(sha256).unlink(missing_ok=True)
        self._open.pop(sha256, None)
        self._done[sha256] = failure

    def _check_space(self, sha256: str, size: int, missing: int) -> None:
        others = {name: one for name, one in self._open.items() if name != sha256}
        idle_since = time.monotonic() - self._idle_seconds
        active = [one for one in others.values() if one.busy or one.active_at > idle_since]
        if len(active) >= MAX_OPEN_UPLOADS:
            raise ShotError(
                "uploads",
                f"{len(active)} files are on their way to the server, more it does not take.",
                "Wait until some have arrived, then try again.",
            )
        # Space offered to other uploads is reserved, though not written yet.
        if missing > self.blobs.free_bytes() - sum(one.size - one.received for one in active):
            raise disk_error(OSError(errno.ENOSPC, ""), size)
        if len(others) >= MAX_OPEN_UPLOADS:  # the bytes of a dropped upload stay on the disk
            idle = [name for name, one in others.items() if not one.busy]
            del self._open[min(idle, key=lambda name: others[name].active_at)]

    def _partial_size(self, sha256: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.blobs.partial(sha256).stat().st_size
        return 0

    def _drop(self, sha256: str) -> None:
        self.blobs.partial(sha256).unlink(missing_ok=True)
        self._open.pop(sha256, None)


def _digest_of(path: Path) -> tuple[int, _Hash]:
    """Size of a file (0 if it is missing) and its hash."""
    digest, received = hashlib.sha256(), 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
            received += len(chunk)
    return received, digest


def _store_file(partial: Path, path: Path) -> None:
    with partial.open("ab") as file:
        sync_file(file)
    move_into_place(partial, path)


def _wrong_hash(size: int) -> ShotError:
    return ShotError(
        "wrong_hash",
        f"The {size} bytes that came do not have the hash they were sent as.",
        "Send the file again.",
    )
