"""Where a take goes in the sequencer: a free channel, and the names of its file and strip."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

CHANNELS = 128


@dataclass(frozen=True, slots=True)
class Span:
    """A strip's place: it covers frames ``start`` up to but not including ``end``."""

    channel: int
    start: int
    end: int


def free_channel(taken: Iterable[Span], start: int, end: int) -> int | None:
    """The lowest channel on which nothing overlaps ``start`` to ``end``; None when all do."""
    used = {span.channel for span in taken if span.start < end and span.end > start}
    return next((n for n in range(1, CHANNELS + 1) if n not in used), None)


def span_of(frame_start: int, frame_end: int) -> tuple[int, int]:
    """The half-open span of a take that shows ``frame_start`` and ``frame_end`` both."""
    return frame_start, frame_end + 1


def take_name(photo: str, engine: str, seed: int, job: str) -> str:
    """A file name's stem for a take: letters, digits, dots, dashes and underscores only."""
    words = [photo or "take", engine, f"seed{seed}", job[:8]]
    return "_".join(re.sub(r"[^\w.-]+", "-", word).strip("-.") or "x" for word in words)
