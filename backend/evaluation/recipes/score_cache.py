"""Numbers of clips that were measured already, a line of JSON each: a run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.evaluation.weights_file import checksum


class ScoreCache:
    """The numbers of one row's clips of one set.

    A line that was being written when the process was killed is not read, and measured again.

    Args:
        path: of the file.
        measured_with: networks, metrics and protocol; numbers by others are not taken.
    """

    def __init__(self, path: Path, measured_with: Mapping[str, Any]) -> None:
        self._path = path
        text = json.dumps(measured_with, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self._known: dict[str, Mapping[str, float]] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                found: dict[str, Any] = json.loads(line)
                values = found["values"].items()
                self._known[str(found["of"])] = {
                    name: math.nan if value is None else float(value) for name, value in values
                }
                self._notes[str(found["of"])] = tuple(found["notes"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue

    def of(self, name: str, video: Path) -> str:
        """What tells a clip's numbers from all others: the video's content and what measures it."""
        return hashlib.sha256(f"{self._key} {name} {checksum(video)}".encode()).hexdigest()

    def of_all(self, metric: str, videos: Mapping[str, Path]) -> str:
        """Likewise of a number that all videos have together."""
        each = " ".join(self.of(name, path) for name, path in videos.items())
        return hashlib.sha256(f"{metric} {each}".encode()).hexdigest()

    def get(self, of: str) -> Mapping[str, float] | None:
        """Numbers by metric, if they were measured."""
        return self._known.get(of)

    def notes(self, of: str) -> tuple[str, ...]:
        """What was said of the numbers."""
        return self._notes.get(of, ())

    def put(
        self, of: str, name: str, values: Mapping[str, float], notes: Sequence[str] = ()
    ) -> None:
        """Keep a clip's numbers, or those of all together."""
        kept = {metric: value if math.isfinite(value) else None for metric, value in values.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = {"of": of, "clip": name, "values": kept, "notes": list(notes)}
        line = json.dumps(content, allow_nan=False)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("\n" if self._torn else "") + line + "\n")
        self._torn = False
        self._known[of], self._notes[of] = values, tuple(notes)
