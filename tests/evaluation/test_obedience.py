"""Takes whose errors are known: the draft's own, one that stands still, one that is moved."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from backend.compose.filters import blur
from backend.evaluation.expected_take import expected_take
from backend.evaluation.matching import shifted
from backend.evaluation.obedience import score_take
from backend.evaluation.shot_report import report_of
from backend.evaluation.take_video import TakeVideo
from backend.geometry.fit import fit_photo
from tests.evaluation.shots import FAR, FOCAL, FRAMES, HEIGHT, NEAR, WIDTH, crossing_shot

WHOLE = fit_photo((HEIGHT, WIDTH), (HEIGHT, WIDTH), "crop")


def draft_of(expected):
    return torch.stack([expected.draft[frame].rgb for frame in range(len(expected.draft))])


def errors(score, item):
    return [found.error for found in score.things[item]]


@pytest.fixture(scope="module")
def still_camera():
    return expected_take(crossing_shot(), WHOLE)


def test_the_drafts_own_take_is_nearly_perfect(still_camera):
    score = score_take(still_camera, draft_of(still_camera))
    for item in (1, 2):
        assert max(errors(score, item)) < 0.1
        assert min(found.iou for found in score.things[item]) > 0.93
    assert score.occlusion_accuracy == 1
    assert sum(event[0] for event in score.events) >= 1
    assert max(score.drift) < 0.1


def test_a_take_that_stands_still_is_off_by_what_the_things_should_have_gone(still_camera):
    take = draft_of(still_camera)[:1].repeat(FRAMES, 1, 1, 1)
    score = score_take(still_camera, take)
    assert errors(score, 1) == pytest.approx([14, 28, 42], abs=0.2)
    assert errors(score, 2) == pytest.approx([4, 8, 12], abs=0.2)
    assert score.things[1][-1].iou == 0
    assert score.occlusion_accuracy == 0
    assert max(score.drift) < 0.1


@pytest.mark.parametrize("off", [(5.0, 0.0), (-3.0, 4.0), (0.0, 12.0)])
def test_a_take_that_is_moved_is_off_by_that(still_camera, off):
    take = torch.stack([shifted(frame, off) for frame in draft_of(still_camera)])
    score = score_take(still_camera, take)
    for item in (1, 2):
        assert errors(score, item) == pytest.approx([math.hypot(*off)] * 3, abs=0.2)
    assert score.drift == pytest.approx([math.hypot(*off)] * 3, abs=0.2)


def test_one_thing_that_lags_is_told_and_the_other_is_not_blamed(still_camera):
    shot = crossing_shot()
    moved = shot.motion.moved_from_rest.clone()
    moved[:, 0, 0, 3] *= 0.5
    lagging = expected_take(
        replace(shot, motion=replace(shot.motion, moved_from_rest=moved)), WHOLE
    )
    score = score_take(still_camera, draft_of(lagging))
    assert errors(score, 1) == pytest.approx([7, 14, 21], abs=0.5)
    assert errors(score, 2)[0] < 0.3


def test_things_in_the_wrong_order_are_told(still_camera):
    shot = crossing_shot()
    depth = shot.lift.depth.clone()
    depth[shot.instance == 1] = 7.0
    moved = shot.motion.moved_from_rest.clone()
    moved[:, 0, 0, 3] *= 7.0 / 4.0
    swapped = replace(
        shot,
        lift=replace(shot.lift, depth=depth),
        motion=replace(shot.motion, moved_from_rest=moved),
    )
    score = score_take(still_camera, draft_of(expected_take(swapped, WHOLE)))
    assert score.occlusion_accuracy == 0
    assert errors(score, 1)[0] < 0.3


def test_a_thing_that_a_take_left_out_has_no_mask(still_camera):
    take = torch.stack([still_camera.plate[frame].rgb for frame in range(FRAMES)])
    score = score_take(still_camera, take)
    for item in (1, 2):
        assert [found.iou for found in score.things[item]] == [0] * 3
        assert all(found.lost for found in score.things[item])
        assert errors(score, item) == pytest.approx([math.hypot(HEIGHT, WIDTH)] * 3)


def test_a_frame_that_loses_a_thing_counts_as_the_diagonal_in_the_mean(still_camera):
    samples = (0, 1, 3)
    frames = draft_of(still_camera)[list(samples)]
    frames[-1] = still_camera.plate[3].rgb
    take = TakeVideo(
        frames=frames,
        samples=samples,
        numbers=samples,
        size=(2 * HEIGHT, 2 * WIDTH),  # its frames were shrunk
        fps=12.0,
    )
    score = score_take(still_camera, frames, samples)
    content = report_of(score, take, ["Red", "Blue"], range(FRAMES)).content
    red = content["instances"][0]
    assert red["centroid_error_px"] == pytest.approx(math.hypot(HEIGHT, WIDTH), abs=0.2)
    assert red["centroid_error_percent"] == pytest.approx(50, abs=0.1)
    assert (red["frames_in_sight"], red["frames_lost"]) == (2, 1)
    assert [frame["lost"] for frame in red["frames"]] == [False, True]
    assert content["worst_frames"] == [3, 1]


def test_a_camera_that_did_not_move_shows_as_drift():
    step = 0.25
    expected = expected_take(crossing_shot(camera_step=step), WHOLE)
    own = score_take(expected, draft_of(expected))
    assert max(own.drift) < 0.3
    assert max(errors(own, 1)) < 0.3
    take = draft_of(expected)[:1].repeat(FRAMES, 1, 1, 1)
    score = score_take(expected, take)
    pixels = step * FOCAL / FAR
    assert score.drift == pytest.approx([pixels, 2 * pixels, 3 * pixels], abs=0.3)


def test_a_larger_take_is_compared_in_its_own_pixels():
    fit = fit_photo((HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH), "crop")
    expected = expected_take(crossing_shot(), fit)
    take = draft_of(expected)[:1].repeat(FRAMES, 1, 1, 1)
    assert errors(score_take(expected, take), 1) == pytest.approx([28, 56, 84], abs=0.4)


def test_another_number_of_frames_is_refused(still_camera):
    with pytest.raises(ValueError, match=r"\(3, 3, 96, 144\)"):
        score_take(still_camera, torch.zeros(3, 3, HEIGHT, WIDTH))


def test_a_thing_that_should_have_gone_behind_the_scenery_is_told():
    shot = crossing_shot()
    depth, image = shot.lift.depth.clone(), shot.lift.image.clone()
    post = (slice(20, 76), slice(68, 78))
    depth[post] = 2.5
    image[:, post[0], post[1]] = torch.tensor([0.1, 0.9, 0.1])[:, None, None]
    with_post = replace(shot, lift=replace(shot.lift, image=image, depth=depth))
    expected = expected_take(with_post, WHOLE)
    own = score_take(expected, draft_of(expected))
    assert own.occlusion_accuracy == 1
    assert sum(event[0] for event in own.events) >= 3
    depth = depth.clone()
    depth[post] = FAR
    before = replace(with_post, lift=replace(shot.lift, image=image, depth=depth))
    score = score_take(expected, draft_of(expected_take(before, WHOLE)))
    assert score.occlusion_accuracy < 0.5
    still = score_take(expected, draft_of(expected)[:1].repeat(FRAMES, 1, 1, 1))
    assert sum(event[0] for event in still.events) < sum(event[0] for event in own.events)


def test_a_take_that_a_model_has_softened_and_recoloured_is_measured_all_the_same(still_camera):
    generator = torch.Generator().manual_seed(0)
    soft = [torch.stack([blur(part, 1.0) for part in frame]) for frame in draft_of(still_camera)]
    noise = 0.03 * torch.randn(FRAMES, 3, HEIGHT, WIDTH, generator=generator)
    score = score_take(still_camera, (torch.stack(soft) * 0.85 + 0.08 + noise).clamp(0, 1))
    for item in (1, 2):
        assert max(errors(score, item)) < 0.3
        assert min(found.iou for found in score.things[item]) > 0.9
    assert score.occlusion_accuracy == 1


def test_a_thing_that_should_have_turned_is_where_it_should_be_but_not_in_its_mask(still_camera):
    shot = crossing_shot()
    moved = shot.motion.moved_from_rest.clone()
    middle = torch.tensor([-37 * NEAR / FOCAL, -6 * NEAR / FOCAL, NEAR], dtype=torch.float64)
    for frame in range(FRAMES):
        turn = math.radians(20 * frame)
        about_z = torch.eye(3, dtype=torch.float64)
        about_z[:2, :2] = torch.tensor(
            [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        )
        moved[frame, 0, :3, :3] = about_z
        moved[frame, 0, :3, 3] += middle - about_z @ middle
    turning = replace(shot, motion=replace(shot.motion, moved_from_rest=moved))
    expected = expected_take(turning, WHOLE)
    assert min(found.iou for found in score_take(expected, draft_of(expected)).things[1]) > 0.93
    score = score_take(expected, draft_of(still_camera))
    assert max(errors(score, 1)) < 0.5
    assert score.things[1][-1].iou < 0.8
