"""Where takes and control previews go in the sequencer: a free channel, and their files' names."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

CHANNELS = 128
PHOTO_BYTES, ENGINE_BYTES = 100, 40
"""How much of those names goes into a file's; file systems take 143 bytes or more for the whole."""

PHOTO_LETTERS = 40
"""Of a preview's name."""

Size = tuple[int, int]
OTHER_PROPORTIONS = 0.02
"""Films whose proportions are as near as this to the photo's differ by rounding to even sizes."""


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


def top_channel(
    taken: Iterable[Span], start: int, end: int, closed: Container[int] = ()
) -> int | None:
    """The lowest channel above all that overlaps ``start`` to ``end``; None when there is none.

    Args:
        closed: channels that are not to be used, because they are locked or muted.
    """
    above = max((s.channel for s in taken if s.start < end and s.end > start), default=0)
    return next((n for n in range(above + 1, CHANNELS + 1) if n not in closed), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a film lies in a scene's frame.

    Attributes:
        scale: (across, up) of the film's own pixels.
        offset: (right, up) of its middle from the frame's middle, in pixels of the frame.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]


def placement(frame: Size, photo: Size, film: Size, shown: Sequence[float] = ()) -> Placement:
    """Where a film has to lie so that its pixels are where the photo's are.

    The photo lies in the middle of the frame, as large as goes in; that is all of the frame, until
    the artist changes the size she renders at.

    Args:
        frame: (height, width) that the scene renders.
        photo: (height, width) of the lifted photo.
        film: (height, width) of the film, whatever size its engine works in.
        shown: the part of the photo that the film shows: top, left, height, width in the photo's
            pixels. Empty where nobody said: all of it, or, for a film of other proportions, a
            part that is not known; such a film is as large as goes in.
    """
    if not shown:
        likeness = film[1] * photo[0] / (film[0] * photo[1])
        if abs(likeness - 1) > OTHER_PROPORTIONS:
            most = min(frame[0] / film[0], frame[1] / film[1])
            return Placement(scale=(most, most), offset=(0.0, 0.0))
        shown = (0.0, 0.0, *photo)
    top, left, height, width = shown
    pixel = min(frame[0] / photo[0], frame[1] / photo[1])
    return Placement(
        scale=(pixel * width / film[1], pixel * height / film[0]),
        offset=(
            pixel * (left + width / 2 - photo[1] / 2),
            pixel * (photo[0] / 2 - top - height / 2),
        ),
    )


def covered(own: Span, others: Iterable[Span]) -> bool:
    """Whether something lies above a strip on any of its frames."""
    return any(
        other.channel > own.channel and other.start < own.end and other.end > own.start
        for other in others
    )


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


def preview_name(photo: str, lift: str) -> str:
    """A file name's stem: letters, digits, dashes and underscores only; one for each lift."""
    words = [photo[:PHOTO_LETTERS], "control", lift[:8]]
    return "_".join(re.sub(r"[^\w-]+", "-", word).strip("-") or "x" for word in words)


def free_name(stem: str, suffix: str, used: Container[str]) -> str:
    """The first of ``stem``, ``stem_1``, ... that nothing uses; so two of them are enough."""
    names = (f"{stem}_{n}{suffix}" if n else f"{stem}{suffix}" for n in range(1 << 20))
    return next(name for name in names if name not in used)


def _joined(photo: str, *words: str) -> str:
    photo = _cut(photo or "take", PHOTO_BYTES)
    return "_".join(re.sub(r"[^\w.-]+", "-", word).strip("-.") or "x" for word in (photo, *words))


def _cut(word: str, size: int) -> str:
    """As much of ``word`` as fits in ``size`` bytes of UTF-8, whole characters only."""
    return word.encode("utf-8", "ignore")[:size].decode("utf-8", "ignore")
