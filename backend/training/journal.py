"""``metrics.jsonl``: one JSON object a step, each exactly once, also after a kill and a resume."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
EDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Between the buckets of noise levels, sigma of EDM."""


class Journal:
    """Appends lines to a run's ``metrics.jsonl``.

    A line that the disk does not take is kept and written with a later one; half of it is cut off.

    Args:
        out: the run's folder; it exists.
        step: after which the run goes on; lines of later ones are cut off.
    """

    def __init__(self, out: Path, step: int) -> None:
        self.path = out / METRICS
        self._end = _end_of(self.path, step)
        self._waiting = bytearray()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, self._end)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a step's line; numbers that JSON lacks become null."""
        self._waiting += json.dumps(_finite(line), allow_nan=False).encode() + b"\n"
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            rest = bytes(self._waiting)
            while rest:  # a disk that is nearly full takes a part, and then raises
                rest = rest[os.write(self._file, rest) :]
            self._end += len(self._waiting)
            self._waiting.clear()
        except OSError as error:
            os.ftruncate(self._file, self._end)
            log.warning("%s cannot be written (%s); its lines wait.", self.path, error.strerror)

    def sync(self) -> None:
        """Make what is written outlast a power failure."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _end_of(path: Path, step: int) -> int:
    """Bytes of the file up to the line of ``step``; what is no line of a step ends it."""
    end = last = 0
    if not path.exists():
        return 0
    with path.open("rb") as file:
        for line in file:
            try:
                number = json.loads(line)["step"] if line.endswith(b"\n") else math.inf
            except (ValueError, KeyError, TypeError):
                number = math.inf
            if number > step:
                break
            end, last = end + len(line), number
    if last < step:
        log.warning("%s lacks the steps from %d to %d.", path, last + 1, step)
    return end


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def by_noise_level(losses: list[float], sigmas: list[float]) -> dict[str, float]:
    """Mean loss of the examples in each bucket of noise levels that has any, by its name."""
    found: dict[str, list[float]] = {}
    for loss, sigma in zip(losses, sigmas, strict=True):
        found.setdefault(_bucket(sigma), []).append(loss)
    return {name: math.fsum(ones) / len(ones) for name, ones in sorted(found.items())}


def _bucket(sigma: float) -> str:
    number = sum(sigma >= edge for edge in EDGES)
    low = f"{EDGES[number - 1]:g}" if number else "0"
    high = f"{EDGES[number]:g}" if number < len(EDGES) else "inf"
    return f"{low}-{high}"
