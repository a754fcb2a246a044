"""Results that the job store could not take when they came, a file each, until it can.

They lie with the blobs, which may be on another disk than the store, and whose clean-up removes
what nobody came back for.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path

from protocol import ProtocolError

from . import frames
from .blobs import publish, to_disk

log = logging.getLogger(__name__)


class Spool:
    """The waiting results of one state folder.

    Args:
        folder: made when it is needed.

    Attributes:
        waiting: packed results by job; messages of a few kilobytes, their blobs are files anyway.
    """

    def __init__(self, folder: Path) -> None:
        self.waiting: dict[str, bytes] = {}
        self._folder = folder

    def put(self, job: str, packed: bytes) -> bool:
        """Keep the result of a job; whether it outlasts the server, since a file could be made."""
        self.waiting[job] = packed
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(packed)
                to_disk(file)
            publish(Path(file.name), self._folder / job)
        except OSError as error:
            log.error("the result of job %s is kept in memory alone: %s", job, error)
            return False
        return True

    def found(self, job: str) -> bytes | None:
        """The result that an earlier server left for a job; None where there is none."""
        try:
            packed = (self._folder / job).read_bytes()
            frames.unpack(packed)
        except (OSError, ProtocolError):
            return None
        return packed

    def drop(self, job: str) -> bool:
        """The store has the result now, or nobody wants it; whether there was one."""
        with contextlib.suppress(OSError):  # clean-up finds what stays
            (self._folder / job).unlink(missing_ok=True)
        return self.waiting.pop(job, None) is not None
