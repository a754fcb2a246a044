"""Where a control preview goes: above everything in the sequencer, into a file that is free."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from .strips import CHANNELS, Span

PHOTO_LETTERS = 40


def top_channel(
    taken: Iterable[Span], start: int, end: int, closed: Container[int] = ()
) -> int | None:
    """The lowest channel above all that overlaps ``start`` to ``end``; None when there is none.

    Args:
        closed: channels that are not to be used, because they are locked or muted.
    """
    above = max((s.channel for s in taken if s.start < end and s.end > start), default=0)
    return next((n for n in range(above + 1, CHANNELS + 1) if n not in closed), None)


def preview_name(photo: str, lift: str) -> str:
    """A file name's stem: letters, digits, dashes and underscores only; one for each lift."""
    words = [photo[:PHOTO_LETTERS], "control", lift[:8]]
    return "_".join(re.sub(r"[^\w-]+", "-", word).strip("-") or "x" for word in words)


def free_name(stem: str, suffix: str, used: Container[str]) -> str:
    """The first of ``stem``, ``stem_1``, ... that nothing uses; so two of them are enough."""
    names = (f"{stem}_{n}{suffix}" if n else f"{stem}{suffix}" for n in range(1 << 20))
    return next(name for name in names if name not in used)
