"""Each metric on videos, tracks and masks whose answer can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from backend.evaluation.intervals import bootstrap_frechet_to, resamples_within_reason
from backend.evaluation.metrics import (
    bootstrap_frechet,
    bootstrap_interval,
    bootstrap_statistic,
    box_centre_error,
    camera_motion_error,
    endpoint_error,
    frechet_distance,
    gaussian_of,
    mask_iou,
    motion_diff,
    occlusion_order_accuracy,
    psnr,
    ssim,
    trajectory_error,
    yaw_error,
    yaw_of,
)


def tracks(frames: int = 5, points: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 40, (frames, points, 2))


def shifted(target: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    moved = target.copy()
    moved[1:] += by
    return moved


def test_equal_tracks_have_no_error():
    target = tracks()
    seen = np.ones(target.shape[:2], bool)
    assert trajectory_error(target, target, seen) == 0
    assert trajectory_error(target, target, seen, published=True) == 0


def test_a_shift_is_the_error_and_as_published_the_frame_where_tracks_begin_counts():
    target = tracks()
    generated = torch.from_numpy(shifted(target, (3, 4)))
    seen = torch.ones(target.shape[:2], dtype=torch.bool)
    assert trajectory_error(generated, torch.from_numpy(target), seen) == pytest.approx(5, abs=1e-6)
    published = trajectory_error(generated, torch.from_numpy(target), seen, published=True)
    assert published == pytest.approx(5 * 4 / 5, abs=1e-6)


def test_hidden_points_count_only_as_published():
    target = tracks(frames=3, points=2)
    generated = target.copy()
    generated[1, 0] += (6, 8)
    seen = np.array([[True, True], [False, True], [True, True]])
    assert trajectory_error(generated, target, seen) == 0
    assert trajectory_error(generated, target, seen, published=True) == pytest.approx(10 / 6)


def test_points_outside_of_the_image_do_not_count():
    target = np.array([[[5.0, 5], [5, 5]], [[5, 5], [40, 5]]])
    generated = target + 1
    seen = np.ones((2, 2), bool)
    generated[1, 1] += 100
    inside = trajectory_error(generated, target, seen, size=(20, 40))
    assert inside == pytest.approx(math.sqrt(2))


def test_where_nothing_is_to_be_seen_there_is_no_number():
    target = tracks()
    hidden = np.zeros(target.shape[:2], bool)
    assert math.isnan(trajectory_error(target, target, hidden))
    assert math.isnan(trajectory_error(target[:1], target[:1], hidden[:1]))
    assert math.isnan(trajectory_error(target[:, :0], target[:, :0], hidden[:, :0], published=True))


def test_lost_positions_are_refused_only_where_they_count():
    target = tracks(frames=3, points=1)
    generated = target.copy()
    generated[1] = np.nan
    seen = np.array([[True], [False], [True]])
    assert trajectory_error(generated, target, seen) == 0
    with pytest.raises(ValueError, match="not a number"):
        trajectory_error(generated, target, seen, published=True)


def test_tracks_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 3, 2\) and \(5, 3, 2\)"):
        trajectory_error(tracks(4), tracks(5), np.ones((4, 3), bool))


def test_the_camera_is_measured_on_the_background_alone():
    target = tracks(points=3)
    generated = target.copy()
    generated[1:, 1] += (0, 2)
    generated[1:, 0] += (50, 0)
    seen = np.ones(target.shape[:2], bool)
    instance = np.array([1, 0, 0])
    assert camera_motion_error(generated, target, seen, instance) == pytest.approx(1, abs=1e-6)


def test_masks_that_share_a_third_of_their_pixels():
    a, b = np.zeros((4, 4), bool), torch.zeros(4, 4, dtype=torch.bool)
    a[0, :2] = True
    b[0, 1:3] = True
    assert mask_iou(a, b) == pytest.approx(1 / 3)
    assert mask_iou(a, a) == 1
    assert mask_iou(a, ~a) == 0
    assert math.isnan(mask_iou(a & False, b & False))
    with pytest.raises(ValueError, match="shape"):
        mask_iou(a, b[:2])


@pytest.mark.parametrize("axis", [-1, 0], ids=["as OpenCV gives it", "as RAFT gives it"])
def test_a_flow_that_is_off_by_a_vector(axis):
    truth = np.moveaxis(np.random.default_rng(0).normal(size=(6, 20, 2)), -1, axis)
    flow = truth + np.array([3.0, -4.0]).reshape((1, 1, 2) if axis == -1 else (2, 1, 1))
    assert endpoint_error(flow, truth) == pytest.approx(5, abs=1e-6)
    assert motion_diff(torch.from_numpy(flow), truth) == pytest.approx(5 / 20, abs=1e-6)


def test_unknown_flow_does_not_count():
    truth = np.zeros((4, 4, 2))
    flow = truth + np.array([1.0, 0])
    flow[0] = 100
    truth[0] = np.nan
    assert endpoint_error(flow, truth) == 1
    assert math.isnan(endpoint_error(flow, np.full_like(truth, np.nan)))
    assert math.isnan(motion_diff(flow, np.full_like(truth, np.nan)))


def test_ssim_is_that_of_wang():
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 24, 17)), rng.random((2, 3, 24, 17))
    expected = structural_similarity(
        a.reshape(6, 24, 17),
        b.reshape(6, 24, 17),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    assert ssim(torch.from_numpy(a), np.moveaxis(b, 1, -1)) == pytest.approx(expected, abs=1e-9)
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_ssim_of_flat_pictures_is_that_of_their_means():
    a, b = np.full((3, 12, 12), 0.5), np.full((3, 12, 12), 0.25)
    expected = (2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(a[:, :10], b[:, :10])


def test_psnr_is_averaged_over_frames_and_bytes_are_divided():
    a = np.zeros((2, 3, 4, 4))
    b = a.copy()
    b[0] += 0.1
    b[1] += 0.01
    assert psnr(a, b) == pytest.approx((20 + 40) / 2, abs=1e-6)
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(0, abs=1e-9)
    assert psnr(a, a) == math.inf


def test_boxes_are_apart_by_their_centres():
    truth = np.array([[[0.0, 0, 10, 10], [0, 0, 10, 10]]])
    found = truth + np.array([[2, 0, 4, 8], [99, 99, 99, 99]])
    visible = np.array([[True, False]])
    assert box_centre_error(found, truth, visible) == pytest.approx(5, abs=1e-6)
    assert math.isnan(box_centre_error(found, truth, visible & False))


def test_yaws_are_compared_around_the_circle():
    assert yaw_error(np.array([359.0, 10]), np.array([1.0, 10])) == pytest.approx(1, abs=1e-6)
    assert yaw_error(np.array([0.0, np.nan]), np.array([180.0, 3])) == pytest.approx(180)
    assert math.isnan(yaw_error(np.array([np.nan]), np.array([3.0])))
    turn = math.radians(30)
    about_y = np.array(
        [[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]]
    )
    assert yaw_of(about_y) == pytest.approx(30, abs=1e-9)


def test_who_is_in_front_is_judged_where_things_overlap():
    covered = np.zeros((2, 2, 8, 12), bool)
    covered[0, :, :, :8] = True
    covered[1, :, :, 4:] = True
    truth = np.ones((2, 8, 12))
    truth[:, :, 8:] = 2
    ids = np.array([1, 2])
    swapped = truth.copy()
    swapped[1, :, 4:] = 2
    assert occlusion_order_accuracy(truth, covered, truth, ids) == 1
    assert occlusion_order_accuracy(swapped, covered, truth, ids) == 0.5
    apart = covered.copy()
    apart[1, :, :, :8] = False
    assert math.isnan(occlusion_order_accuracy(truth, apart, truth, ids))


def test_an_interval_is_the_same_for_a_seed_and_says_what_it_left_out():
    values = [1.0, 2, 3, 4, float("nan"), 10]
    found = bootstrap_interval(values, seed=3)
    assert found == bootstrap_interval(values, seed=3)
    assert found[1:3] != bootstrap_interval(values, seed=4)[1:3]
    assert (found.mean, found.count, found.left_out) == (4.0, 5, 1)
    assert found.low < 4 < found.high
    assert "N = 5, 1 left out" in str(found)


def test_an_interval_is_as_wide_as_the_theory_says():
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_no_interval_is_told_of_one_clip_or_none():
    assert math.isnan(bootstrap_interval([7.0]).low)
    assert bootstrap_interval([7.0]).mean == 7
    assert math.isnan(bootstrap_interval([]).mean)
    assert bootstrap_interval([float("nan")] * 2)[3:] == (0, 2)


def test_a_statistic_is_resampled_by_clips():
    values = np.array([1.0, 2, 3, 4, 10])
    found = bootstrap_statistic(5, lambda chosen: float(values[chosen].mean()), seed=2)
    assert found == bootstrap_interval(values, seed=2)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((6, 2, 20), id="fewer samples than dimensions"),
        pytest.param((40, 3, 5), id="more"),
        pytest.param((9, 1, 8), id="more, and fewer in a resample"),
    ],
)
def test_a_frechet_distance_has_the_interval_of_resampled_clips_and_their_pairs(shape):
    rng = np.random.default_rng(0)
    real = rng.normal(size=shape) + 100  # far from 0, where products lose their digits
    generated = real * 1.1 + rng.normal(size=shape)

    def distance(chosen):
        sides = (side[chosen].reshape(-1, shape[-1]) for side in (real, generated))
        return frechet_distance(*(part for side in sides for part in gaussian_of(side)))

    found = bootstrap_frechet(real, generated, seed=3, resamples=20)
    wanted = bootstrap_statistic(shape[0], distance, seed=3, resamples=20)
    assert found[:3] == pytest.approx(wanted[:3], rel=1e-7)
    assert found == bootstrap_frechet(real, generated, seed=3, resamples=20)
    assert 0 < found.low < found.high
    assert bootstrap_frechet(real, real, resamples=5).high < 1e-6

    fixed = gaussian_of(np.random.default_rng(1).normal(size=(60, shape[-1])))

    def to_fixed(chosen):
        return frechet_distance(*fixed, *gaussian_of(generated[chosen].reshape(-1, shape[-1])))

    found = bootstrap_frechet_to(*fixed, generated, seed=3, resamples=20)
    wanted = bootstrap_statistic(shape[0], to_fixed, seed=3, resamples=20)
    assert found[:3] == pytest.approx(wanted[:3], rel=1e-7)


def test_what_is_drawn_again_of_a_few_clips_is_not_reckoned_again():
    values, asked = np.array([1.0, 2.0, 6.0]), []

    def mean(chosen):
        asked.append(tuple(chosen))
        return float(values[chosen].mean())

    found = bootstrap_statistic(3, mean, seed=2)
    assert found == bootstrap_interval(values, seed=2)
    assert len(asked) <= 3**3 + 1


def test_an_interval_that_would_take_hours_is_of_fewer_resamples():
    assert resamples_within_reason(368, 2048) == 1000  # DAVIS
    assert resamples_within_reason(10_000, 400) == 1000
    assert resamples_within_reason(16_000, 2048) == 100


def test_a_mean_of_clips_may_be_that_of_all_their_points():
    values, weights = [1.0, 4.0, math.nan, 10.0], [3.0, 1.0, 0.0, 2.0]
    found = bootstrap_interval(values, weights=weights)
    assert found.mean == pytest.approx((3 + 4 + 20) / 6, abs=1e-12)
    assert (found.count, found.left_out) == (3, 1)
    same = bootstrap_interval(values, weights=[2.0] * 4)
    assert same[:3] == pytest.approx(bootstrap_interval(values)[:3])
