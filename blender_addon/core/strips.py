"""Where a take goes in the sequencer: a free channel, and the names of its file and strip."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass

CHANNELS = 128
PHOTO_BYTES, ENGINE_BYTES = 100, 40
"""How much of those names goes into a file's; file systems take 143 bytes or more for the whole."""


@dataclass(frozen=True, slots=True)
class Span:
    """A strip's place: it covers frames ``start`` up to but not including ``end``."""

    channel: int
    start: int
    end: int


def free_channel(
    taken: Iterable[Span],
    start: int,
    end: int,
    closed: Container[int] = (),
    hides: Iterable[Span] = (),
) -> int | None:
    """The lowest channel on which nothing overlaps ``start`` to ``end``; None when there is none.

    Args:
        taken: what stands in the sequencer.
        start: first frame.
        end: the frame after the last.
        closed: channels that are not to be used, because they are locked or muted.
        hides: what should lie below, where there is room above it.
    """
    used = {span.channel for span in taken if span.start < end and span.end > start}
    below = max((s.channel for s in hides if s.start < end and s.end > start), default=0)
    free = [n for n in range(1, CHANNELS + 1) if n not in used and n not in closed]
    return next((n for n in free if n > below), next(iter(free), None))


def span_of(frame_start: int, frame_end: int) -> tuple[int, int]:
    """The half-open span of a take that shows ``frame_start`` and ``frame_end`` both."""
    return frame_start, frame_end + 1


def take_name(photo: str, engine: str, seed: int, job: str) -> str:
    """A file name's stem for a take: letters, digits, dots, dashes and underscores only.

    Long names are cut, so that every file system takes it.
    """
    return _joined(photo, _cut(engine, ENGINE_BYTES), f"seed{seed}", job[:8])


def export_name(photo: str, kind: str) -> str:
    """The same for the folder of an export."""
    return _joined(photo, kind)


def _joined(photo: str, *words: str) -> str:
    photo = _cut(photo or "take", PHOTO_BYTES)
    return "_".join(re.sub(r"[^\w.-]+", "-", word).strip("-.") or "x" for word in (photo, *words))


def _cut(word: str, size: int) -> str:
    """As much of ``word`` as fits in ``size`` bytes of UTF-8, whole characters only."""
    return word.encode("utf-8", "ignore")[:size].decode("utf-8", "ignore")
