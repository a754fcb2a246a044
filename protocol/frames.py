"""How many frames an engine makes: one rule for the specification, the wire and the panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ShotError

if TYPE_CHECKING:
    from .messages import EngineInfo

LEAST = 2
"""Frames of a shot: with fewer it is no video, whatever an engine makes."""
NO_LIMIT = 2**31 - 1
"""What a client before 1.3 is told where a rule has no greatest number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRule:
    """The numbers of frames that an engine makes: ``min``, ``min + step``, and so on.

    With a ``min`` of 1 and a ``step`` of 4 these are 1, 5, 9, 13 ... (4k + 1).

    Attributes:
        min: the fewest, 1 or more.
        max: none is above it; None is no limit but the server's.
        step: from one number to the next.
        default: unless another is asked for; None is one a Blender frame, or the nearest to it.

    Raises:
        ValueError: no number, or not the default, keeps to it.
    """

    min: int = 1
    max: int | None = None
    step: int = 1
    default: int | None = None

    def __post_init__(self) -> None:
        if self.min < 1 or self.step < 1:
            raise ValueError(f"frames begin at {self.min} in steps of {self.step}, both from 1 on")
        if self.max is not None and self.max < self.min:
            raise ValueError(f"frames end at {self.max}, below the least, {self.min}")
        if self.default is not None and not self.allows(self.default):
            raise ValueError(f"the default of {self.default} frames is not among {self.in_words}")

    def allows(self, frames: int) -> bool:
        """Whether an engine of this rule makes so many."""
        above = self.max is not None and frames > self.max
        return frames >= self.min and not above and (frames - self.min) % self.step == 0

    def nearest(self, frames: int, limit: int | None = None) -> int:
        """The allowed number from ``LEAST`` on that is nearest to ``frames``, the smaller of two.

        Args:
            frames: any number.
            limit: of the server; nothing above it is given while something below it is allowed.
        """
        return min(self._around(frames, limit), key=lambda one: (abs(one - frames), one))

    def count(self, wanted: int, limit: int | None = None) -> int:
        """How many are made unless somebody asks for another number.

        Args:
            wanted: one a Blender frame.
            limit: likewise.
        """
        return self.nearest(wanted, limit) if self.default is None else self.nearest(self.default)

    def refusal(self, engine: str, frames: int) -> ShotError | None:
        """Why the engine called ``engine`` does not make so many, and what to do; None if it does.

        Args:
            engine: its name.
            frames: of the shot.
        """
        if self.allows(frames):
            return None
        nearest = " or ".join(map(str, self._around(frames)))
        return ShotError(
            "frames",
            f"The engine '{engine}' makes {self.in_words} frames, the shot has {frames}.",
            f"Sample the shot in {nearest} frames.",
        )

    @property
    def in_words(self) -> str:
        """The allowed numbers in words, to be put before "frames"."""
        last = self._last(self.max)
        if last == self.min:
            return f"{self.min}"
        if self.step == 1:
            return f"{self.min} or more" if last is None else f"{self.min} to {last}"
        first = [self.min + k * self.step for k in range(3)]
        if last is None:
            return f"{', '.join(map(str, first))} ..."
        if last <= first[-1]:
            first = [one for one in first if one < last]
            return f"{', '.join(map(str, first))} or {last}"
        return f"{', '.join(map(str, first))} ... {last}"

    @property
    def _first(self) -> int:
        """The fewest that a shot may have, or ``min`` where no allowed number is enough."""
        above = self.min + self.step
        if self.min >= LEAST or (self.max is not None and above > self.max):
            return self.min
        return above

    def _last(self, top: int | None) -> int | None:
        """The greatest allowed number up to ``top``."""
        return None if top is None else top - (top - self.min) % self.step

    def _around(self, frames: int, limit: int | None = None) -> list[int]:
        """The allowed numbers next to ``frames``, from ``LEAST`` on: itself, or one or two."""
        tops = [max(top, self._first) for top in (self.max, limit) if top is not None]
        last = self._last(min(tops, default=None))
        if frames <= self._first:
            return [self._first]
        if last is not None and frames >= last:
            return [last]
        below = frames - (frames - self._first) % self.step
        return [below] if below == frames else [below, below + self.step]


ANY_NUMBER = FrameRule()
"""One frame a Blender frame, however many there are."""


def rule_of(engine: EngineInfo) -> FrameRule:
    """The rule of an engine as a welcome lists it; servers before 1.3 sent three integers.

    There a ``num_frames`` of 0 was any number, and beside another one a ``least_frames`` or
    ``most_frames`` of 0 was that number.
    """
    if engine.frames is not None:
        return engine.frames
    told = engine.num_frames
    if told < 1:
        return ANY_NUMBER
    least = engine.least_frames if engine.least_frames > 0 else told
    return FrameRule(min=min(least, told), max=max(engine.most_frames, told), default=told)


def integers_of(rule: FrameRule) -> tuple[int, int, int]:
    """``num_frames``, ``least_frames`` and ``most_frames`` for a client before 1.3.

    Of a step they say nothing: such a client is answered when it asks for a number in between.
    """
    if rule.default is None:
        return 0, 0, 0
    return rule.default, rule.min, NO_LIMIT if rule.max is None else rule.max
