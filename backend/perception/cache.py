"""A least recently used cache of model outputs on disk.

One .npz file per result, named by a hash of the query. Files are written atomically, so several
processes may share a folder; unreadable files are removed. When the folder exceeds its limit, the
least recently used files are deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.files.atomic import PRIVATE, write_atomically

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Option = str | int | float | bool | None

FORMAT = 1
"""Increased when results of older versions must not be used any more."""
LIMIT_BYTES = 2_000_000_000
SUFFIX = ".npz"
QUERY = "asked"
STALE_SECONDS = 3600.0
"""Age at which a temporary file is taken to be left over from a process that died."""


class ResultCache:
    """Results in a folder.

    Args:
        folder: created with the first result.
        limit: total size of the results in bytes.
    """

    def __init__(self, folder: Path, limit: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit = limit

    def get(self, photo: str, model: str, options: Mapping[str, Option]) -> dict[str, Array] | None:
        """The stored result of a query, or ``None``.

        Args:
            photo: its content hash.
            model: name and fingerprint of the weights.
            options: everything else that the result depends on.
        """
        query = _query(photo, model, options)
        path = self._path(query)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            if str(found.pop(QUERY)) != query:
                raise ValueError("it is the result of another query")
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s is not a valid result and is removed: %s", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # eviction goes by this time
        return found

    def put(
        self, photo: str, model: str, options: Mapping[str, Option], arrays: Mapping[str, Array]
    ) -> None:
        """Store a result; a full disk is logged, not raised."""
        query = _query(photo, model, options)
        buffer = io.BytesIO()
        named: dict[str, Any] = {QUERY: np.array(query), **arrays}
        np.savez_compressed(buffer, **named)
        data = buffer.getvalue()
        if len(data) > self._limit:
            return
        try:
            self._evict(len(data))
            write_atomically(self._path(query), data, mode=PRIVATE)
        except OSError:
            log.warning("a result of %d bytes could not be cached", len(data), exc_info=True)

    def size(self) -> int:
        """Total size of the results in bytes."""
        return sum(size for _, size, _ in self._files())

    def _path(self, query: str) -> Path:
        return self._folder / (hashlib.sha256(query.encode()).hexdigest() + SUFFIX)

    def _evict(self, needed: int) -> None:
        files = sorted(self._files())
        now = max((time for time, _, _ in files), default=0.0)
        total = needed + sum(size for _, size, _ in files)
        for time, size, path in files:
            stale = path.suffix != SUFFIX and now - time > STALE_SECONDS
            if total <= self._limit and not stale:
                continue
            if path.suffix != SUFFIX and not stale:
                continue  # another process is writing it
            with contextlib.suppress(OSError):  # deleted by another process
                path.unlink()
            total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of every file in the folder."""
        found: list[tuple[float, int, Path]] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, Path(entry.path)))
        return found


def _query(photo: str, model: str, options: Mapping[str, Option]) -> str:
    return json.dumps([FORMAT, photo, model, dict(options)], sort_keys=True)
