"""A take is measured at some of its frames and small: the numbers stay those of the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from backend.compose.draft import shot_draft
from backend.control_sources import shot_masks
from backend.evaluation.matching import find_template, shifted
from backend.evaluation.measured_take import frames_to_compare, measured
from backend.evaluation.metrics import mask_iou
from backend.evaluation.resampled_shot import at_frame_size, at_samples
from backend.evaluation.take_video import fit_of, take_of
from backend.geometry.fit import Fit
from tests.evaluation.shots import FRAMES, HEIGHT, WIDTH, crossing_shot

WHOLE = (0.0, 0.0, HEIGHT, WIDTH)


def measure(shot, frames, most=FRAMES, side=WIDTH, shown=WHOLE):
    take = take_of(frames, most, side)
    fit = fit_of((HEIGHT, WIDTH), take, [shown], "the take")
    score = measured(shot, take, fit).score
    return take, {
        item: [thing.error * take.scale for thing in found] for item, found in score.things.items()
    }


@pytest.fixture(scope="module")
def drafted():
    shot = crossing_shot(camera_step=0.05)
    draft = shot_draft(shot)
    return shot, torch.stack([draft[frame].rgb for frame in range(FRAMES)])


@pytest.mark.parametrize(
    ("source", "target", "frame"),
    [
        pytest.param((0, 0, 96, 144), (0, 0, 48, 72), (48, 72), id="all of it, at half the size"),
        pytest.param((7, 11, 70, 105), (0, 0, 42, 63), (42, 63), id="a crop by an odd factor"),
        pytest.param((0, 0, 96, 144), (0, 0, 50, 60), (50, 60), id="squashed"),
        pytest.param((0, 0, 96, 144), (6, 0, 40, 60), (52, 60), id="padded"),
    ],
)
def test_a_shot_in_the_pixels_of_a_frame_shows_there_what_the_whole_one_shows(
    source, target, frame
):
    shot = crossing_shot(camera_step=0.05)
    fit = Fit(photo=(HEIGHT, WIDTH), frame=frame, source=source, target=target)
    small, small_fit = at_frame_size(shot, fit)
    assert small.lift.image.shape[1:] == small.instance.shape == small_fit.photo
    assert small.instance.numel() < 0.5 * shot.instance.numel()
    want, got = shot_masks(shot, fit).instance, shot_masks(small, small_fit).instance
    for item in (1, 2):
        for index in range(FRAMES):
            assert mask_iou(got[index] == item, want[index] == item) > 0.8
    large, little = shot_draft(shot, fit), shot_draft(small, small_fit)
    everywhere = torch.ones(frame)
    for index in range(FRAMES):
        match = find_template(little[index].rgb, everywhere, large[index].rgb)
        assert match.shift == pytest.approx((0.0, 0.0), abs=0.06)


def test_a_shot_that_the_frame_does_not_make_smaller_stays_as_it_is():
    shot = crossing_shot()
    fit = Fit(
        photo=(HEIGHT, WIDTH), frame=(192, 288), source=(0, 0, 96, 144), target=(0, 0, 192, 288)
    )
    assert at_frame_size(shot, fit) == (shot, fit)


def test_frames_just_made_are_off_by_the_same_pixels_when_few_and_small_ones_are_compared(drafted):
    shot, frames = drafted
    moved = torch.stack([shifted(frame, (6.0, 0.0)) for frame in frames])
    take, errors = measure(shot, moved, most=3, side=72)
    assert (take.samples, take.frames.shape[2:]) == ((0, 2, 3), (48, 72))
    for found in errors.values():
        assert found == pytest.approx([6.0, 6.0], abs=0.4)
    _, errors = measure(shot, frames, most=3, side=72)
    assert max(max(found) for found in errors.values()) < 0.4


def test_a_cropped_take_is_compared_with_what_its_window_shows(drafted):
    shot, frames = drafted
    _, errors = measure(shot, frames[:, :, 8:72, 20:116], side=48, shown=(8.0, 20.0, 64.0, 96.0))
    assert max(max(found) for found in errors.values()) < 0.4


def test_a_take_that_is_squashed_by_so_little_that_its_engine_leaves_it_so_is_compared(drafted):
    shot, frames = drafted
    squashed = torch.nn.functional.interpolate(frames, (128, 195), mode="bilinear")
    _, errors = measure(shot, squashed, side=98)
    assert max(max(found) for found in errors.values()) < 0.8


@pytest.mark.parametrize(
    ("moving", "static", "frames"), [(0, 0, 8), (3, 0, 8), (2, 4, 4), (40, 9, 3)]
)
def test_where_much_was_picked_fewer_frames_are_compared(moving, static, frames):
    shot = crossing_shot()
    moved = shot.motion.moved_from_rest[:, :1].repeat(1, moving, 1, 1)
    many = replace(
        shot,
        static=tuple(range(moving + 1, moving + static + 1)),
        motion=replace(shot.motion, moved_from_rest=moved),
    )
    assert frames_to_compare(many) == frames


def test_samples_are_taken_with_the_motion_that_they_have():
    shot = crossing_shot(camera_step=0.1)
    kept = at_samples(shot, (0, 2)).motion
    assert kept.num_frames == 2
    assert torch.equal(kept.moved_from_rest[1], shot.motion.moved_from_rest[2])
    assert torch.equal(kept.camera_from_world[1], shot.motion.camera_from_world[2])
