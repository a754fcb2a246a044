"""What a model found in a photo, kept on disk so that it need not look twice.

A file a result, named by a hash of what was asked. A file appears whole or not at all, so several
processes may share a folder; whatever cannot be read is no result, and is removed. When the folder
outgrows its limit, what was not used for the longest time goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Option = str | int | float | bool | None

FORMAT = 1
"""Raised when results of older versions must not be used any more."""
LIMIT = 2_000_000_000
SUFFIX = ".npz"
ASKED = "asked"
STALE = 3600.0
"""Seconds after which a half-written file was left by a process that is gone."""


class ResultCache:
    """Results in a folder.

    Args:
        folder: is made when the first result is kept.
        limit: bytes that the results may take together.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def get(self, photo: str, model: str, options: Mapping[str, Option]) -> dict[str, Array] | None:
        """What was kept for this question, or ``None``.

        Args:
            photo: its content hash.
            model: names the very weights, not only what they are called.
            options: what else the answer depends on.
        """
        asked = _asked(photo, model, options)
        path = self._path(asked)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            if str(found.pop(ASKED)) != asked:
                raise ValueError("it answers another question")
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s is no result and is removed: %s", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now; what was not used for the longest time goes first
        return found

    def put(
        self, photo: str, model: str, options: Mapping[str, Option], arrays: Mapping[str, Array]
    ) -> None:
        """Keep a result; a full disk is noted in the log and no harm."""
        asked = _asked(photo, model, options)
        buffer = io.BytesIO()
        named: dict[str, Any] = {ASKED: np.array(asked), **arrays}
        np.savez_compressed(buffer, **named)
        data = buffer.getvalue()
        if len(data) > self._limit:
            return
        try:
            self._make_room(len(data))
            self._write(self._path(asked), data)
        except OSError:
            log.warning("a result of %d bytes could not be kept", len(data), exc_info=True)

    def size(self) -> int:
        """Bytes that the results take now."""
        return sum(size for _, size, _ in self._files())

    def _path(self, asked: str) -> Path:
        return self._folder / (hashlib.sha256(asked.encode()).hexdigest() + SUFFIX)

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as handle:
            temporary = Path(handle.name)
            try:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        # Closed by now: Windows does not rename an open file
        temporary.replace(path)

    def _make_room(self, needed: int) -> None:
        files = sorted(self._files())
        now = max((time for time, _, _ in files), default=0.0)
        total = needed + sum(size for _, size, _ in files)
        for time, size, path in files:
            left_over = path.suffix != SUFFIX and now - time > STALE
            if total <= self._limit and not left_over:
                continue
            if path.suffix != SUFFIX and not left_over:
                continue  # another process is writing it
            with contextlib.suppress(OSError):  # the other process was faster
                path.unlink()
            total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of all that lies in the folder."""
        found: list[tuple[float, int, Path]] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, Path(entry.path)))
        return found


def _asked(photo: str, model: str, options: Mapping[str, Option]) -> str:
    return json.dumps([FORMAT, photo, model, dict(options)], sort_keys=True)
