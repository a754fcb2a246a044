"""The exact frame rate that a number stands for."""

from __future__ import annotations

from fractions import Fraction

SINGLE = 3e-7
"""How far off, of its size, a rate is that went through a 32-bit number."""
DIGITS = (2, 3)
"""How many people type after the point: 23.98, 23.976."""
LARGEST = 1001


def frame_rate(fps: float) -> Fraction:
    """The rate that is meant by ``fps`` frames per second.

    Blender keeps 24 / 1.001 with the 1.001 in single precision, people type 23.976 or 23.98, and
    all mean 24000/1001, the broadcast rate: only that is what every player knows, and does not
    drift. Other rates are the nearest fraction whose denominator is at most 1001.
    """
    whole = round(fps)
    if _near(whole, fps):
        return Fraction(whole)
    broadcast = Fraction(1000 * round(fps * 1.001), 1001)
    if any(round(float(broadcast), digits) == fps for digits in DIGITS):
        return broadcast
    halves = Fraction(500 * round(2 * fps * 1.001), 1001)  # 25 over a base of 2.002 is such a rate
    if _near(halves, fps):
        return halves
    return Fraction(fps).limit_denominator(LARGEST)


def _near(rate: Fraction | int, fps: float) -> bool:
    return abs(float(rate) - fps) <= SINGLE * fps
