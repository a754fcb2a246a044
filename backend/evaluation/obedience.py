"""How well a take obeyed its shot, told from its pixels.

Every thing is looked for in the take's frames by its appearance in the draft, and as it looked in
the photo, whichever is more like what is found. So no tracker drifts, a take that stands still is
off by what the thing should have gone, and one that is moved by d pixels is off by d.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.compose.filters import dilate, erode, pull_push
from backend.evaluation.expected_take import ExpectedTake
from backend.evaluation.matching import find_template, shifted
from backend.evaluation.metrics import OCCLUSION_PIXELS, mask_iou
from backend.evaluation.trackers import PROXY, LucasKanade, bytes_of

METHOD = f"appearance in the draft ({PROXY})"
RIM, RIM_WEIGHT = 2, 0.3
"""Pixels around a thing that help to place one of a single colour, and what they count for."""
LEAST_PIXELS = 12
"""Of a thing, below which it is too small or too hidden to be looked for."""
LEAST_SHARE = 0.1
"""Of a thing's pixels that has to be in sight."""
MARGIN = 0.06
"""Colour distance by which one of two appearances has to be nearer before it counts."""
GROWTH = 0.2
"""How far around a thing more of it is looked for, as a share of its size."""
TOLD_APART = 0.1
"""Colour distance at which two things can be told apart."""
AT_REST_BONUS = 0.7
"""The photo's appearance has to be so much more like the take before it counts as not moved."""
REACHED = 0.5
"""A thing that is off by more than this share of its size is not where the scenery hides it."""
CORNERS, CORNER_QUALITY, CORNER_DISTANCE = 80, 0.02, 6.0

OnFrame = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThingInFrame:
    """A thing in one frame; NaN where it is not to be seen.

    Attributes:
        error: pixels that its middle is off; the frame's diagonal if it was not found, so that a
            take that loses a thing is no better than one that misplaces it.
        iou: of the mask that it has with the one it should have; 0 if it was not found.
        expected: ``(h, w)`` bool.
        found: ``(h, w)`` bool.
        in_sight: whether it should be seen.
        lost: whether it should be seen and was not found.
    """

    error: float
    iou: float
    expected: Tensor
    found: Tensor
    in_sight: bool
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeScore:
    """A take against its shot, in the pixels that were compared.

    Attributes:
        things: by moving instance, by frame from the second on, which is at 0.
        drift: by frame, pixels that the background is off; NaN where it has no texture.
        events: by frame, occlusion events and how many of them show the right thing in front.
        size: (height, width).
    """

    things: dict[int, tuple[ThingInFrame, ...]]
    drift: tuple[float, ...]
    events: tuple[tuple[int, int], ...]
    size: tuple[int, int]

    @property
    def occlusion_accuracy(self) -> float:
        """Share of events with the right thing in front; NaN without events."""
        count = sum(event[0] for event in self.events)
        return sum(event[1] for event in self.events) / count if count else math.nan


def score_take(
    expected: ExpectedTake,
    take: Tensor,
    samples: Sequence[int] | None = None,
    on_frame: OnFrame = lambda done, total: None,
) -> TakeScore:
    """Measure every frame but the first, which is the photo itself.

    Args:
        expected: what the shot asks for.
        take: ``(K, 3, h, w)`` in [0, 1].
        samples: ``K`` numbers of the shot's samples that the frames show, of which the first is
            0; None if they show all.
        on_frame: called with (done, total).

    Raises:
        ValueError: the take has another number of frames, or another size.
    """
    samples = range(len(expected.draft)) if samples is None else samples
    if take.shape != (len(samples), 3, *expected.ids.shape[1:]):
        raise ValueError(f"a take of {tuple(take.shape)} for ids of {tuple(expected.ids.shape)}")
    things: dict[int, list[ThingInFrame]] = {
        thing.id: [] for thing in expected.things[: expected.moving]
    }
    drift, events = list[float](), list[tuple[int, int]]()
    photo, plate_at_rest = expected.draft[0].rgb, expected.plate[0].rgb
    for done in range(1, len(samples)):
        frame, shown = samples[done], take[done]
        draft, plate = expected.draft[frame], expected.plate[frame].rgb
        background = expected.background(frame) & (draft.trust > 0.99)
        off = background_shift(draft.rgb, background, shown)
        drift.append(math.hypot(*off))
        camera = (0.0, 0.0) if math.isnan(off[0]) else off
        for thing in expected.things[: expected.moving]:
            here = _Appearance(
                draft.rgb, expected.visible(thing.id, frame), shifted(plate, camera), (0.0, 0.0)
            )
            rest = _Appearance(
                photo,
                expected.visible(thing.id, 0),
                plate_at_rest,
                (float(thing.displacement[frame, 0]), float(thing.displacement[frame, 1])),
            )
            others = ~background & ~here.mask & (expected.ids[frame] >= 0)
            whole = thing.whole[frame]
            things[thing.id].append(_found(here, rest, whole, others, shown))
        undone = shifted(shown, (-camera[0], -camera[1]))
        errors = {item: found[-1].error for item, found in things.items()}
        events.append(_occlusions(expected, frame, (draft.rgb, plate, undone), errors))
        on_frame(done, len(samples) - 1)
    return TakeScore(
        things={item: tuple(found) for item, found in things.items()},
        drift=tuple(drift),
        events=tuple(events),
        size=(take.shape[2], take.shape[3]),
    )


def background_shift(draft: Tensor, background: Tensor, take: Tensor) -> tuple[float, float]:
    """The median (x, y) that the background's corners are off; NaN without texture.

    Args:
        draft: ``(3, h, w)``.
        background: ``(h, w)`` bool.
        take: ``(3, h, w)``.
    """
    nowhere = (math.nan, math.nan)
    inner = erode(background, 3)
    if int(inner.sum()) < LEAST_PIXELS:
        return nowhere
    before, after = bytes_of(draft), bytes_of(take)
    found = cv2.goodFeaturesToTrack(
        cv2.cvtColor(before, cv2.COLOR_RGB2GRAY),
        CORNERS,
        CORNER_QUALITY,
        CORNER_DISTANCE,
        mask=inner.numpy().astype(np.uint8),
    )
    if found is None:
        return nowhere
    corners = found.reshape(-1, 2).astype(np.float32) + 0.5
    whole = find_template(draft, background.float(), take)
    guess = np.asarray(whole.shift if whole.found else (0.0, 0.0), np.float32)
    at, ok = LucasKanade().step(before, after, corners, corners + guess)
    if ok.sum() < 3:
        return whole.shift if whole.found else nowhere
    off = np.median((at - corners)[ok], axis=0)
    return float(off[0]), float(off[1])


class _Appearance:
    """How a thing may look in a frame.

    Args:
        picture: ``(3, h, w)`` that shows it.
        mask: ``(h, w)`` bool, where.
        plate: ``(3, h, w)`` behind it.
        goal: (x, y) that it has to move from there to be where it should be.
    """

    def __init__(
        self, picture: Tensor, mask: Tensor, plate: Tensor, goal: tuple[float, float]
    ) -> None:
        self.picture, self.mask, self.plate, self.goal = picture, mask, plate, goal

    @property
    def weight(self) -> Tensor:
        """``(h, w)`` for the search."""
        return torch.where(self.mask, 1.0, RIM_WEIGHT * dilate(self.mask, RIM))


def _found(
    here: _Appearance, rest: _Appearance, whole: Tensor, others: Tensor, take: Tensor
) -> ThingInFrame:
    pixels = int(here.mask.sum())
    nothing = torch.zeros_like(here.mask)
    if pixels < max(LEAST_PIXELS, LEAST_SHARE * int(whole.sum())):
        return ThingInFrame(
            error=math.nan, iou=math.nan, expected=here.mask, found=nothing, in_sight=False
        )
    best, match = here, find_template(here.picture, here.weight, take)
    if int(rest.mask.sum()) >= LEAST_PIXELS and math.hypot(*rest.goal) > 0.5:
        other = find_template(rest.picture, rest.weight, take)
        if other.cost < AT_REST_BONUS * match.cost:
            best, match = rest, other
    if not match.found:
        diagonal = math.hypot(*here.mask.shape)
        return ThingInFrame(
            error=diagonal, iou=0.0, expected=here.mask, found=nothing, in_sight=True, lost=True
        )
    error = math.hypot(match.shift[0] - best.goal[0], match.shift[1] - best.goal[1])
    found = _mask_in(take, best, match.shift, others)
    return ThingInFrame(
        error=error,
        iou=mask_iou(found, here.mask),
        expected=here.mask,
        found=found,
        in_sight=True,
    )


def _mask_in(
    take: Tensor, thing: _Appearance, shift: tuple[float, float], others: Tensor
) -> Tensor:
    """``(h, w)`` bool, the pixels of a take that look more like a thing than like its background.

    Inside of its mask it takes clear evidence against it, around it clear evidence for it.
    """
    grown = max(3, round(GROWTH * math.sqrt(int(thing.mask.sum()))))
    around = shifted(dilate(thing.mask, grown)[None].float(), shift)[0] > 0.5
    inside = shifted(thing.mask[None].float(), shift)[0] > 0.5
    core = erode(thing.mask, 1)
    core = core if int(core.sum()) >= LEAST_PIXELS else thing.mask
    colours = shifted(pull_push(thing.picture, core.float()), shift)
    own = _distance(take, colours)
    behind = _distance(take, thing.plate)
    kept = inside & ~(own > behind + MARGIN)
    gained = around & ~inside & ~others & (own + MARGIN < behind)
    return kept | _touching(gained, kept)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """``(h, w)`` of colours; norm over the first axis takes many times as long on a CPU."""
    return (a - b).square().sum(0).sqrt()


def _touching(candidates: Tensor, seeds: Tensor) -> Tensor:
    """The connected parts of ``candidates`` that touch ``seeds``."""
    if not bool(candidates.any()) or not bool(seeds.any()):
        return torch.zeros_like(candidates)
    both = (candidates | seeds).numpy().astype(np.uint8)
    _, labels = cv2.connectedComponents(both, connectivity=4)
    parts = torch.from_numpy(labels)
    return candidates & torch.isin(parts, parts[seeds].unique())


def _occlusions(
    expected: ExpectedTake,
    frame: int,
    pictures: tuple[Tensor, Tensor, Tensor],
    errors: Mapping[int, float],
) -> tuple[int, int]:
    """Pairs of which one hides the other in a frame, and how many of them the take shows so.

    What is not picked hides things too: that counts where the thing came near enough to be hidden.

    Args:
        expected: what the shot asks for.
        frame: number of the sample.
        pictures: the draft, the plate, and the take with its camera's drift undone.
        errors: by thing, pixels that it is off; NaN where it is not to be seen.
    """
    draft, plate, take = pictures
    count = right = 0
    scenery = expected.background(frame) & (expected.ids[frame] >= 0)
    for behind in expected.things:
        whole = behind.whole[frame]
        near = not errors.get(behind.id, 0.0) > REACHED * math.sqrt(int(whole.sum()))
        fronts: list[tuple[Tensor, Tensor | None]] = [
            (expected.visible(front.id, frame) & front.whole[frame], plate)
            for front in expected.things
            if front is not behind
        ]
        if near:  # the plate is what is in front, so that it is no other answer
            fronts.append((scenery, None))
        for seen, third in fronts:
            both = erode(seen & whole, 1)
            if int(both.sum()) < OCCLUSION_PIXELS:
                continue
            shown = _shows_front(draft, behind.alone[frame].rgb, third, take, both)
            if shown is not None:
                count, right = count + 1, right + shown
    return count, right


def _shows_front(
    front: Tensor, behind: Tensor, plate: Tensor | None, take: Tensor, where: Tensor
) -> bool | None:
    """Whether most pixels look like what is in front; None if its looks do not tell."""
    told = where & (_distance(front, behind) > TOLD_APART)
    if int(told.sum()) < OCCLUSION_PIXELS // 2:
        return None
    own = _distance(take, front)[told]
    other = _distance(take, behind)[told]
    if plate is not None:  # what looks like the plate as well is no evidence against
        other = torch.minimum(other, _distance(take, plate)[told])
    return float((own <= other).double().mean()) > 0.5
