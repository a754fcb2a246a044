"""How many clips a second each phase of a long command does."""

from __future__ import annotations

import time
from collections.abc import Callable

OnStep = Callable[[str, int, int], None]


class PhaseTimes:
    """Passes progress on and notes the time: a phase lasts from the step before its first one.

    Args:
        on_step: called with (phase, done, total) after every step.
        clock: seconds.
    """

    def __init__(self, on_step: OnStep, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_step, self._clock = on_step, clock
        self._last = clock()
        self._phases: dict[str, tuple[int, float]] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        """After a step."""
        now = self._clock()
        count, seconds = self._phases.get(phase, (0, 0.0))
        self._phases[phase] = (count + 1, seconds + now - self._last)
        self._last = now
        self._on_step(phase, done, total)

    def table(self) -> list[tuple[str, ...]]:
        """Header and a row a phase: steps, most of them clips, seconds, steps a second."""
        rows: list[tuple[str, ...]] = [("phase", "steps", "seconds", "a second")]
        for phase, (count, seconds) in self._phases.items():
            rate = f"{count / seconds:.3g}" if seconds > 0 else "-"
            rows.append((phase, str(count), f"{seconds:.1f}", rate))
        return rows
