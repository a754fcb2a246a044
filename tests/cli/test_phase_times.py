"""Clips a second of the phases of a command."""

from __future__ import annotations

from backend.cli.phase_times import PhaseTimes


def test_a_phase_lasts_from_the_step_before_it_and_has_its_clips_a_second():
    clock = iter([0.0, 2.0, 4.0, 5.0]).__next__
    seen = []
    times = PhaseTimes(lambda *step: seen.append(step), clock)
    for step in (("videos", 1, 2), ("videos", 2, 2), ("measure", 1, 1)):
        times(*step)
    assert seen[-1] == ("measure", 1, 1)
    assert times.table() == [
        ("phase", "steps", "seconds", "a second"),
        ("videos", "2", "4.0", "0.5"),
        ("measure", "1", "1.0", "1"),
    ]
