"""Rows of features by the thousand: in memory while they are few, on the disk after that."""

from __future__ import annotations

import tempfile
import weakref

import numpy as np
from torch import Tensor

from backend.evaluation.frechet import Array, Floats, as_floats

IN_MEMORY = 1 << 25
"""Bytes: FID's 2048 features of 256 clips of 16 frames."""
WIDTH = 4
"""Bytes of a number: networks compute in single precision."""


class FeatureFile:
    """Rows in a file without a name, which is gone with this object."""

    def __init__(self) -> None:
        # A context manager would end before the rows are read
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._count, self._size = 0, 0

    def add(self, rows: Array | Tensor) -> None:
        """Append ``(B, D)``."""
        values = as_floats(rows).astype(np.float32)
        self._size = values.shape[1]
        self._count += len(values)
        self._file.write(values.tobytes())

    def clips(self, each: int) -> StoredClips:
        """All rows, ``each`` of them a clip."""
        return StoredClips(self, (self._count // each, each, self._size))

    def read(self, start: int, count: int) -> Floats:
        """Float64 ``(count, D)`` from row ``start`` on."""
        width = self._size * WIDTH
        self._file.seek(start * width)
        values = np.frombuffer(self._file.read(count * width), np.float32)
        return values.reshape(-1, self._size).astype(np.float64)


class StoredClips:
    """``(N, K, D)`` rows of a file, of which a part is read at a time.

    Args:
        file: of the rows; nothing is added any more.
        shape: ``(N, K, D)``.
    """

    def __init__(self, file: FeatureFile, shape: tuple[int, int, int]) -> None:
        self._file, self.shape = file, shape

    def __getitem__(self, clips: slice) -> Floats:
        """Float64 ``(n, K, D)`` of consecutive clips."""
        count, each, size = self.shape
        start, stop, _ = clips.indices(count)
        return self._file.read(start * each, (stop - start) * each).reshape(-1, each, size)
