"""Which exact rate a number stands for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from protocol.rates import frame_rate


def of_blender(fps: int, base: float) -> float:
    """Its base is a 32-bit number."""
    return fps / float(np.float32(base))


def test_blenders_broadcast_rates_are_exact():
    for whole in range(1, 1001):
        assert frame_rate(of_blender(whole, 1.001)) == Fraction(1000 * whole, 1001), whole


def test_whole_rates_stay_whole_also_over_a_base():
    for whole in range(1, 1001):
        assert frame_rate(float(whole)) == whole
        assert frame_rate(of_blender(7 * whole, 7.0)) == whole


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (47.95, Fraction(48000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (23.976023976, Fraction(24000, 1001)),
        (14.985, Fraction(15000, 1001)),
        (12.5, Fraction(25, 2)),
        (15 / 1, Fraction(15)),
        (24.5, Fraction(49, 2)),
        (23.9, Fraction(239, 10)),
        (23.975, Fraction(959, 40)),
    ],
)
def test_what_people_type_is_what_they_mean(typed, meant):
    assert frame_rate(typed) == meant


@pytest.mark.parametrize(
    ("fps", "base", "meant"),
    [
        (25, 2.0, Fraction(25, 2)),
        (25, 2.002, Fraction(12500, 1001)),
        (50, 3.0, Fraction(50, 3)),
        (25, 1.2, Fraction(125, 6)),
        (24, 0.9, Fraction(80, 3)),
        (100, 7.0, Fraction(100, 7)),
    ],
)
def test_other_bases_give_their_fraction(fps, base, meant):
    assert frame_rate(of_blender(fps, base)) == meant
