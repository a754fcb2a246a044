"""Whether a video obeys its control, where everything about the scene is known. Pure functions.

In a drawn scene every thing's exact look in every frame is known, and what is behind it. So a thing
is looked for in a made frame as the place where its own look explains the pixels best, compared
with the background (a ratio of likelihoods): on the truth that is the true place, for a frame that
repeats the first one it is where the thing was, and it is some place in any picture whatever, so
that nothing that a model has dissolved is left out.

Legend: F frames, N things with ids 1..N, H x W pixels, pictures in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.evaluation.intervals import Interval, bootstrap_interval, bootstrap_statistic
from backend.evaluation.metrics import mask_iou, occlusion_order_accuracy

CHANGED = 0.1
"""A pixel has changed where a colour differs by more from the first frame's."""
LEAST_PIXELS = 12
"""A thing of which fewer pixels are seen in a frame is not looked for there."""
LEAST_SHARE = 1 / 3
"""Likewise if less of it is seen: hidden, or out of the frame."""
EVENT_PIXELS = 8
"""Two things that overlap in fewer pixels hide nothing of one another."""
FOREIGN_WEIGHT = 0.5
"""What it counts for that a place does not look like the background."""
NAN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTruth:
    """What a clip shows, and each of its things alone.

    Attributes:
        frames: ``(F, 3, H, W)``.
        background: ``(F, 3, H, W)`` without things.
        looks: ``(N, F, 3, H, W)``; means something only where it covers.
        covers: ``(N, F, H, W)`` how much of a pixel a thing covers, hidden parts included.
        ids: ``(F, H, W)`` what is seen; 0 is the background.
    """

    frames: Tensor
    background: Tensor
    looks: Tensor
    covers: Tensor
    ids: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipScores:
    """How a clip obeys.

    Attributes:
        centroid_error_px: ObjMC: mean distance of things from where they should be; NaN if none
            can be looked for.
        change_iou: pixels that change where they should, over those that do or should; NaN if
            nothing should and nothing does.
        occlusion_accuracy: share of occlusions with the right thing in front; NaN without one.
        things: so many places of things were compared.
        hidden: so many were not, since too little of the thing is to be seen.
        objects: in the clip.
    """

    centroid_error_px: float
    change_iou: float
    occlusion_accuracy: float
    things: int
    hidden: int
    objects: int


MEASURES = ("centroid_error_px", "change_iou", "occlusion_accuracy")


def score_clip(made: Tensor, truth: ClipTruth) -> ClipScores:
    """Measure a made clip.

    Args:
        made: ``(F, 3, H, W)``; its first frame is not looked at.
        truth: what it should show.
    """
    if made.shape != truth.frames.shape:
        raise ValueError(f"frames {tuple(made.shape)} and {tuple(truth.frames.shape)} differ")
    distances: list[float] = []
    hidden = 0
    for item, (look, cover) in enumerate(zip(truth.looks, truth.covers, strict=True), 1):
        seen = cover * (truth.ids == item)
        for frame in range(1, len(made)):
            whole = float((cover[frame] > 0.5).sum())
            shown = float((seen[frame] > 0.5).sum())
            if shown < max(LEAST_PIXELS, LEAST_SHARE * whole):
                hidden += 1
                continue
            place = find_thing(look[frame], seen[frame], truth.background[frame], made[frame])
            distances.append(math.hypot(*place))
    return ClipScores(
        centroid_error_px=float(np.mean(distances)) if distances else NAN,
        change_iou=mask_iou(changed(made), changed(truth.frames)),
        occlusion_accuracy=_occlusion(made, truth),
        things=len(distances),
        hidden=hidden,
        objects=len(truth.looks),
    )


def find_thing(look: Tensor, seen: Tensor, background: Tensor, picture: Tensor) -> tuple[int, int]:
    """How far, (x, y) pixels, a thing is from its own place.

    The shift d with the most of ``sum over p of seen(p) (|picture - background|^2 at p + d -
    |picture(p + d) - look(p)|^2)``, at which at least half of the thing is in the frame. Of equal
    ones, the nearest.

    Args:
        look: ``(3, H, W)`` the thing at its own place.
        seen: ``(H, W)`` where it counts.
        background: ``(3, H, W)`` what is there without it.
        picture: ``(3, H, W)`` where it is looked for.
    """
    height, width = seen.shape
    weight = seen.double()
    look, picture, background = look.double(), picture.double(), background.double()
    size = (2 * height - 1, 2 * width - 1)
    contrast = ((look - background).square().sum(0) * weight).sum() / weight.sum()
    foreign = (picture - background).square().sum(0).clamp(max=float(contrast))
    gain = FOREIGN_WEIGHT * foreign - picture.square().sum(0)
    inside = torch.ones_like(weight)

    def spectrum(values: Tensor) -> Tensor:
        return torch.fft.rfft2(values, s=size)

    own = spectrum(torch.stack([weight, weight * look.square().sum(0), *(weight * look)])).conj()
    theirs = spectrum(torch.stack([gain, inside, *picture]))
    score = torch.fft.irfft2(
        own[0] * theirs[0] - own[1] * theirs[1] + 2 * (own[2:] * theirs[2:]).sum(0), s=size
    )
    held = torch.fft.irfft2(own[0] * theirs[1], s=size)
    score = torch.where(held >= weight.sum() / 2 - 1e-6, score, -torch.inf)
    score = torch.roll(score, (height - 1, width - 1), (0, 1))
    y, x = torch.meshgrid(
        torch.arange(size[0]) - (height - 1), torch.arange(size[1]) - (width - 1), indexing="ij"
    )
    near = score - 1e-9 * torch.hypot(x.double(), y.double())
    best = int(near.argmax())
    return int(x.reshape(-1)[best]), int(y.reshape(-1)[best])


def changed(frames: Tensor) -> Tensor:
    """``(F - 1, H, W)`` bool: where a frame differs from the first one."""
    return (frames[1:] - frames[:1]).abs().amax(1) > CHANGED


def _occlusion(made: Tensor, truth: ClipTruth) -> float:
    if len(truth.looks) < 2:
        return NAN
    covered = truth.covers > 0.5
    off = (truth.looks - made).abs().sum(2)
    shown = torch.where(covered, off, torch.inf).argmin(0) + 1
    shown = torch.where(covered.any(0), shown, 0)
    later = slice(1, None)  # nothing is hidden at rest
    return occlusion_order_accuracy(
        shown[later].numpy(),
        covered[:, later].numpy(),
        truth.ids[later].numpy(),
        np.arange(1, len(truth.looks) + 1),
        EVENT_PIXELS,
    )


def summary(scores: Sequence[ClipScores], diagonal: float) -> dict[str, Any]:
    """Means over clips with their 95 % intervals, over all clips and by the number of things.

    Args:
        scores: of the clips.
        diagonal: of a frame, pixels.
    """
    several = [one for one in scores if one.objects > 1]
    return {
        **_means(scores, diagonal),
        "one_object": _means([one for one in scores if one.objects == 1], diagonal),
        "several_objects": _means(several, diagonal),
    }


def ratio(above: Sequence[ClipScores], below: Sequence[ClipScores]) -> Interval:
    """Mean centroid error of some clips over that of the same clips in another row.

    Clips are resampled together; one that cannot be measured in either row is left out of both.
    """
    pairs = [(a.centroid_error_px, b.centroid_error_px) for a, b in zip(above, below, strict=True)]
    kept = np.array([pair for pair in pairs if not np.isnan(pair).any()]).reshape(-1, 2)
    found = bootstrap_statistic(
        len(kept), lambda chosen: float(kept[chosen, 0].mean() / max(kept[chosen, 1].mean(), 1e-9))
    )
    return found._replace(left_out=len(pairs) - len(kept))


def interval_values(found: Interval) -> dict[str, Any]:
    """As JSON has it: None for what is no number."""
    return {
        "mean": _number(found.mean),
        "low": _number(found.low),
        "high": _number(found.high),
        "count": found.count,
        "left_out": found.left_out,
    }


def _means(scores: Sequence[ClipScores], diagonal: float) -> dict[str, Any]:
    values: dict[str, Any] = {"clips": len(scores)}
    intervals: Mapping[str, Interval] = {
        name: bootstrap_interval([getattr(one, name) for one in scores]) for name in MEASURES
    }
    for name, found in intervals.items():
        values[name] = _number(found.mean)
    error = intervals["centroid_error_px"].mean
    values["centroid_error_percent"] = _number(100 * error / diagonal)
    values["intervals"] = {name: interval_values(found) for name, found in intervals.items()}
    values["places"] = sum(one.things for one in scores)
    values["places_left_out"] = sum(one.hidden for one in scores)
    return values


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
