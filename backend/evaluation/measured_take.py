"""A take measured against its shot: the same for a take's file and for frames just rendered."""

from __future__ import annotations

from dataclasses import dataclass

from backend.contracts import RenderedTake, Shot
from backend.evaluation.expected_take import ExpectedTake, expected_take
from backend.evaluation.obedience import OnFrame, TakeScore, score_take
from backend.evaluation.resampled_shot import at_frame_size, at_samples
from backend.evaluation.shot_report import report_of
from backend.evaluation.take_video import TakeVideo, fit_of, take_of
from backend.geometry.fit import Fit
from protocol.messages import InstanceObedience, Obedience

MOST_FRAMES, LEAST_FRAMES = 8, 3
"""Of a take that was just rendered, the first included; more tell little that is new."""
SEARCHES = 24
"""Of all things in all frames together, so that many things take hardly longer than a few."""
SIDE = 256
"""Pixels of the longer side in which such a take is compared."""


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


def frames_to_compare(shot: Shot) -> int:
    """How many frames of a take of ``shot`` are compared, the first included."""
    things = max(1, shot.motion.moved_from_rest.shape[1] + len(shot.static))
    return max(LEAST_FRAMES, min(MOST_FRAMES, SEARCHES // things))


def obedience_of(
    shot: Shot, take: RenderedTake, on_frame: OnFrame = lambda done, total: None
) -> Obedience:
    """The numbers of a take that was just rendered: of a few of its frames, in about a second.

    Args:
        shot: the shot.
        take: at least 2 frames.
        on_frame: called with (done, total).
    """
    video = take_of(take.frames, frames_to_compare(shot), SIDE)
    height, width = shot.lift.depth.shape
    fit = fit_of((height, width), video, [take.shown], "The take")
    score = measured(shot, video, fit, on_frame).score
    names = [str(item) for item in score.things]
    found = report_of(score, video, names, range(shot.motion.num_frames)).content
    return Obedience(
        frames=found["frames_compared"],
        centroid_error_px=found["centroid_error_px"],
        centroid_error_percent=found["centroid_error_percent"],
        mask_iou=found["mask_iou"],
        occlusion_accuracy=found["occlusion_accuracy"],
        occlusion_events=found["occlusion_events"],
        background_drift_px=found["background_drift_px"],
        instances=tuple(
            InstanceObedience(
                id=row["id"],
                centroid_error_px=row["centroid_error_px"],
                mask_iou=row["mask_iou"],
                in_sight=row["frames_in_sight"],
                lost=row["frames_lost"],
            )
            for row in found["instances"]
        ),
    )
