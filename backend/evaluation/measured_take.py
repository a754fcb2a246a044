"""A take measured against its shot: the same for a take's file and for frames just rendered."""

from __future__ import annotations

from dataclasses import dataclass

from backend.contracts import Shot
from backend.evaluation.expected_take import ExpectedTake, expected_take
from backend.evaluation.obedience import OnFrame, TakeScore, score_take
from backend.evaluation.resampled_shot import at_frame_size, at_samples
from backend.evaluation.take_video import TakeVideo
from backend.geometry.fit import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTake:
    """A take against its shot.

    Attributes:
        expected: what the shot asks for, a frame for each of the take's.
        score: of the take.
    """

    expected: ExpectedTake
    score: TakeScore


def measured(
    shot: Shot, take: TakeVideo, fit: Fit, on_frame: OnFrame = lambda done, total: None
) -> MeasuredTake:
    """Draw what the shot asks for in the take's pixels, and compare.

    Args:
        shot: the shot.
        take: the frames to compare; the first is the photo.
        fit: how the photo fills them.
        on_frame: called with (done, total).
    """
    small, fit = at_frame_size(at_samples(shot, take.samples), fit)
    expected = expected_take(small, fit)
    return MeasuredTake(expected=expected, score=score_take(expected, take.frames, None, on_frame))
