"""Results that wait for the job store, which could not be written when they were finished.

One file each beside the blobs, which may be on another disk than the store; the blobs' clean-up
also deletes results that were never collected.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from backend.files.atomic import PRIVATE, write_atomically
from protocol import ProtocolError

from . import packing

log = logging.getLogger(__name__)


class ResultSpool:
    """The pending results of one state folder.

    Args:
        folder: created when it is needed.

    Attributes:
        pending: packed results by job id; a few kilobytes each, since blobs are files of their own.
    """

    def __init__(self, folder: Path) -> None:
        self.pending: dict[str, bytes] = {}
        self._folder = folder

    def put(self, job: str, packed: bytes) -> bool:
        """Hold the result of a job in memory and as a file; whether the file could be written."""
        self.pending[job] = packed
        try:
            write_atomically(self._folder / job, packed, mode=PRIVATE)
        except OSError as error:
            log.error("the result of job %s is kept in memory only: %s", job, error)
            return False
        return True

    def load(self, job: str) -> bytes | None:
        """The packed result that an earlier server left for a job; None if there is none."""
        try:
            packed = (self._folder / job).read_bytes()
            packing.unpack(packed)
        except (OSError, ProtocolError):
            return None
        return packed

    def discard(self, job: str) -> bool:
        """Delete the result of a job, if any; whether it was pending."""
        with contextlib.suppress(OSError):  # the clean-up deletes it later
            (self._folder / job).unlink(missing_ok=True)
        return self.pending.pop(job, None) is not None
