"""Uploads of blobs, which may break off and go on.

What comes is hashed as it comes. Only two things take long, the hash of what an earlier server had
received and the wait for the disk at the end; they are done elsewhere, and who waits for them is
answered when they are done.
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

from protocol.errors import ShotError

from .background import Later, at_once
from .blobs import Blobs, disk_error, publish, to_disk
from .internal import internal

READ_BYTES = 1 << 20
OPEN_UPLOADS = 64
IDLE_SECONDS = 60.0  # a sender this silent is taken to be gone, where another needs its place


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(slots=True, kw_only=True)
class _Upload:
    size: int
    received: int = 0
    digest: _Hash = field(default_factory=hashlib.sha256)  # of what was received
    heard: float = field(default_factory=time.monotonic)
    busy: bool = False  # its hash is being read, or it is on its way to the disk


class Uploads:
    """Blobs on their way in. Only the server's loop has one.

    Args:
        later: does what takes long; whoever waits for that gets ``None`` first, and is told by
            :meth:`done`.
    """

    def __init__(
        self,
        blobs: Blobs,
        blob_bytes: int,
        *,
        idle_seconds: float = IDLE_SECONDS,
        later: Later = at_once,
    ) -> None:
        self.blobs = blobs
        self.limit = blob_bytes
        self._idle_seconds = idle_seconds
        self._later = later
        self._open: dict[str, _Upload] = {}
        self._done: dict[str, ShotError | None] = {}

    def offer(self, sha256: str, size: int) -> int | None:
        """Bytes that are here already; opens the upload where some are missing.

        Returns:
            ``None`` where that takes a while: see :meth:`done`.

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
        upload = self._open.get(sha256)
        if upload is not None and upload.busy:
            upload.heard = time.monotonic()
            return None
        received = self._on_disk(sha256)
        if received > size:
            self.blobs.partial(sha256).unlink()
            received, upload = 0, None
        self._check_room(sha256, size, size - received)
        if upload is None or upload.received != received:
            upload = _Upload(size=size)
        upload.size, upload.heard = size, time.monotonic()
        self._open[sha256] = upload
        return self._go_on(sha256, upload, received)

    def add(self, sha256: str, offset: int, data: memoryview) -> int | None:
        """Append a chunk; one that does not fit on the end is left out.

        Returns:
            The bytes held; ``None`` where that takes a while: see :meth:`done`.

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
        if upload.busy:
            return None
        if (held := self._on_disk(sha256)) != upload.received:  # clean-up took it away
            upload.received, upload.digest = 0, hashlib.sha256()
            return self._go_on(sha256, upload, held)
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
        return self._go_on(sha256, upload, received)

    def done(self) -> list[tuple[str, ShotError | None]]:
        """What took a while and is done since the last call: its name, and why it failed if so."""
        done, self._done = self._done, {}
        return list(done.items())

    def received(self, sha256: str) -> int:
        """Bytes held of a blob, all of it or a part."""
        if (have := self.blobs.size(sha256)) is not None:
            return have
        return self._open[sha256].received if sha256 in self._open else 0

    def _go_on(self, sha256: str, upload: _Upload, held: int) -> int | None:
        """Hash what is held and unknown, bring what is whole to the disk; say how far it is."""
        partial, path = self.blobs.partial(sha256), self.blobs.path(sha256)

        def hashed(value: Any, error: Exception | None) -> None:
            upload.busy = False
            if error is not None:
                self._end(sha256, upload, error)
                return
            upload.received, upload.digest = value
            if upload.received < upload.size:
                self._done[sha256] = None
            else:
                settle()

        def settle() -> None:
            if upload.digest.hexdigest() != sha256:
                self._end(sha256, upload, _wrong_hash(upload.size))
                return
            upload.busy = True
            self._later(lambda: _to_blob(partial, path), settled)

        def settled(_: Any, error: Exception | None) -> None:
            upload.busy = False
            self._end(sha256, upload, error)

        if held != upload.received:
            upload.busy = True
            self._later(lambda: _digest_of(partial), hashed)
        elif held == upload.size:
            settle()
        if upload.busy:
            return None
        if (failed := self._done.pop(sha256, None)) is not None:
            raise failed
        return upload.received

    def _end(self, sha256: str, upload: _Upload, error: Exception | None) -> None:
        told: ShotError | None = None
        if isinstance(error, ShotError):
            told = error
        elif isinstance(error, OSError):
            told = disk_error(error, upload.size)
        elif error is not None:
            told = internal(error, f"storing the file {sha256[:12]}")
        if told is not None:
            with contextlib.suppress(OSError):
                self.blobs.partial(sha256).unlink(missing_ok=True)
        self._open.pop(sha256, None)
        self._done[sha256] = told

    def _check_room(self, sha256: str, size: int, missing: int) -> None:
        others = {name: one for name, one in self._open.items() if name != sha256}
        gone = time.monotonic() - self._idle_seconds
        active = [one for one in others.values() if one.busy or one.heard > gone]
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
            idle = [name for name, one in others.items() if not one.busy]
            del self._open[min(idle, key=lambda name: others[name].heard)]

    def _on_disk(self, sha256: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.blobs.partial(sha256).stat().st_size
        return 0

    def _drop(self, sha256: str) -> None:
        self.blobs.partial(sha256).unlink(missing_ok=True)
        self._open.pop(sha256, None)


def _digest_of(path: Path) -> tuple[int, _Hash]:
    """Bytes of a file, none where it is gone, and their hash."""
    digest, received = hashlib.sha256(), 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
            received += len(chunk)
    return received, digest


def _to_blob(partial: Path, path: Path) -> None:
    with partial.open("ab") as file:
        to_disk(file)
    publish(partial, path)


def _wrong_hash(size: int) -> ShotError:
    return ShotError(
        "wrong_hash",
        f"The {size} bytes that came do not have the hash they were sent as.",
        "Send the file again.",
    )
