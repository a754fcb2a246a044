"""LeviTor's control: clustering against its plain twin, stamping against the reference's maps."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from backend.control.clusters import instance_pixels, sampling_ranks
from backend.control.levitor import (
    ExactClusters,
    cluster_points,
    gaussian_template,
    points_from_masks,
    stamp_points,
)
from backend.control_sources import shot_masks
from tests.benchmarks.control import inertia_ratio
from tests.benchmarks.scene import shot, with_segments
from tests.control.reference_levitor import reference_points
from tests.control.scenes import masks_of, moving_discs, square, visible_moving
from tests.randomness import examples

GOLDEN = np.load(
    Path(__file__).parents[1] / "golden" / "levitor" / "heatmap_cases.npz", allow_pickle=False
)


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 1.0, 1.7, 6.0]))
@examples(25)
def test_the_points_are_those_of_the_plain_rule(seed, ratio):
    ids, depth = moving_discs(seed)
    moving = visible_moving(ids)
    assert cluster_points(ids, depth, moving, ratio) == reference_points(ids, depth, moving, ratio)


def test_tensors_and_arrays_give_the_same_points():
    ids, depth = moving_discs(1)
    moving = visible_moving(ids)
    tensors = cluster_points(torch.from_numpy(ids).int(), torch.from_numpy(depth), moving)
    assert tensors == cluster_points(ids, depth, moving)


@pytest.mark.parametrize(
    ("side", "moving", "count"),
    [
        pytest.param(60, 0, 8, id="large: capped at k_max"),
        pytest.param(20, 0, 5, id="50 * 400 / 4096 = 4.88"),
        pytest.param(14, 0, 2, id="50 * 196 / 4096 = 2.39"),
        pytest.param(14, 1, 3, id="what moves gets three"),
        pytest.param(5, 0, 1, id="50 * 25 / 4096 = 0.3, at least one"),
    ],
)
def test_the_number_of_points_follows_the_area(side, moving, count):
    ids = square(side=side)
    points = cluster_points(ids, np.full(ids.shape, 0.5), moving)
    assert [len(frame) for frame in points] == [count] * 3


@pytest.mark.parametrize(
    ("area", "count"),
    [
        pytest.param(320, 2, id="50 * 320 / 6400 = 2.5"),
        pytest.param(448, 4, id="3.5"),
        pytest.param(576, 4, id="4.5"),
    ],
)
def test_halves_are_rounded_to_the_even_number_of_points(area, count):
    ids = np.zeros((2, 6400), np.int64)
    ids[:, :area] = 1
    ids = ids.reshape(2, 80, 80)
    points = cluster_points(ids, np.full(ids.shape, 0.5), 0)
    assert [len(frame) for frame in points] == [count] * 2


@pytest.mark.parametrize(
    ("largest", "count"),
    [pytest.param(200, 2, id="tenfold"), pytest.param(201, 3, id="more than tenfold")],
)
def test_what_changes_its_area_more_than_tenfold_gets_three_points(largest, count):
    ids = np.zeros((2, 6400), np.int64)
    ids[0, :largest] = 1  # 50 * 200 / 6400 = 1.56
    ids[1, :20] = 1
    ids = ids.reshape(2, 80, 80)
    assert len(cluster_points(ids, np.full(ids.shape, 0.5), 0)[0]) == count


def test_what_vanishes_has_no_points_there_and_at_least_three_elsewhere():
    ids = square(side=14)
    ids[1] = 0
    points = cluster_points(ids, np.full(ids.shape, 0.5), 0)
    assert [len(frame) for frame in points] == [3, 0, 3]


def test_depth_is_read_at_the_point_and_far_away_is_zero():
    ids = square()
    depth = np.full(ids.shape, 1 / 33)
    depth[2] = 1.0
    points = cluster_points(ids, depth, 1)
    assert {p[3] for p in points[0]} == {33}
    assert {p[3] for p in points[2]} == {0}


def test_a_ratio_beyond_the_samples_is_clamped():
    ids = square(side=8)  # 64 pixels, 7 samples
    points = cluster_points(ids, np.full(ids.shape, 0.5), 1, ratio=100.0)
    assert [len(frame) for frame in points] == [7, 7, 7]


def test_the_networks_own_centres_do_not_depend_on_how_many_threads_there_are(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # or scikit-learn takes no more than there are cores
    y, x = np.mgrid[:320, :320]
    frame = 1 * ((y - 150.3) ** 2 + (x - 163.7) ** 2 < 149.9**2)  # 7060 samples, 28 pieces
    found = []
    for threads in (1, 8, 8, 8):
        with threadpool_limits(threads, user_api="openmp"):
            found.append(ExactClusters(1.0).next_frame(instance_pixels(frame), {1: 8})[1])
    for centres in found[1:]:
        np.testing.assert_array_equal(centres, found[0])


# Stamps


# Of 255, in numbers that came from another machine: an exponential's last bit, and how a resize
# rounds, are a processor's own.
ROUNDING = 1


def test_the_template_is_the_references():
    template = gaussian_template().astype(int)
    assert np.abs(template - GOLDEN["template"]).max() <= ROUNDING
    assert (template[100, 100], template[0, 0]) == (255, 0)
    assert abs(template[100, 0] - 11) <= ROUNDING  # 255 e^(-100^2 / (2 * 40^2)) = 11.2
    assert ((template > 0) == (GOLDEN["template"] > 0)).all()


def test_the_stamps_are_the_references():
    taken = 0
    for case, count in enumerate(GOLDEN["tracks"]):
        points = GOLDEN["points"][taken : taken + count].tolist()
        taken += count
        maps = stamp_points([points], 512, 288)
        assert maps.dtype == torch.float32
        heat, *labels = maps[0].numpy()
        wanted, *wanted_labels = GOLDEN["maps"][case]
        assert np.abs(heat - wanted).max() <= ROUNDING
        assert (np.stack(labels) == wanted_labels).all()  # the least heat of a stamp is 3: no doubt


def stamped(*points, height=512, width=288):
    return stamp_points([list(points)], height, width)[0].numpy()


def test_an_interior_stamp_has_the_numbers_of_the_paper_s_code():
    heat, ids, depth = stamped((100, 144, 130, 33))
    assert heat.sum() == pytest.approx(24426, abs=320 * ROUNDING)
    assert int((heat > 0).sum()) == 320  # the least of them is 3
    centre_row = [15, 26, 42, 66, 96, 132, 171, 206, 235, 251]
    assert np.abs(heat[100, 134:144] - centre_row).max() <= ROUNDING
    assert heat.max() == heat[100, 143]
    assert set(np.unique(ids)) == {0, 130}
    assert set(np.unique(depth)) == {0, 33}


@pytest.mark.parametrize(
    ("at", "rows", "columns", "peak"),
    [
        pytest.param((0, 0), (1, 9), (1, 9), 254, id="upper left"),
        pytest.param((511, 287), (501, 510), (277, 286), 240, id="lower right"),
        pytest.param((256, 3), (246, 265), (1, 12), 248, id="left edge"),
    ],
)
def test_at_borders_the_stamp_is_squeezed(at, rows, columns, peak):
    heat = stamped((*at, 1, 1))[0]
    ys, xs = np.nonzero(heat)
    assert abs(heat.max() - peak) <= ROUNDING
    assert rows[0] <= ys.min()
    assert ys.max() <= rows[1]
    assert columns[0] <= xs.min()
    assert xs.max() <= columns[1]


def test_a_later_stamp_erases_what_its_square_held():
    maps = stamped((100, 50, 1, 10), (105, 58, 2, 200))
    assert (int((maps[1] == 1).sum()), int((maps[1] == 2).sum())) == (159, 320)
    assert maps[0].sum() == pytest.approx(33279, abs=(159 + 320) * ROUNDING)


def test_points_outside_and_empty_frames_draw_nothing():
    maps = stamp_points(
        [[(-1, 5, 1, 1), (5, -1, 1, 1), (512, 5, 1, 1), (5, 288, 1, 1)], []], 512, 288
    )
    assert maps.shape == (2, 3, 512, 288)
    assert float(maps.abs().sum()) == 0.0


def test_ids_and_depths_past_eight_bits_are_clamped_with_a_warning():
    with pytest.warns(UserWarning, match="2 points have an id or a depth outside 0..255"):
        maps = stamp_points([[(30, 30, 300, 5), (80, 80, 1, 256)]], 96, 96)
    assert float(maps[0, 1].max()) == 255
    assert float(maps[0, 2].max()) == 255


# Our own depth, anchors, the fast mode


def test_our_depth_becomes_eight_bit_disparity():
    ids = square()
    # 4: (1/4 - 1/20) / (1/2 - 1/20) * 255; 19.3 and 18.7 would be 1 and 2, and 1 is "far away"
    for z, value in ((2.0, 255), (20.0, 0), (4.0, 113), (19.3, 0), (18.7, 2)):
        points = points_from_masks(masks_of(ids, np.full(ids.shape, z)), 1, 2.0, 20.0)
        assert {p[3] for p in points[0]} == {value}


def test_nothing_and_background_give_no_points_and_anchors_can_be_switched_off():
    ids = square()
    ids[:, 50:60, 50:60] = 7
    ids[:, 0] = -1
    masks = masks_of(ids, np.full(ids.shape, 5.0))
    assert {p[2] for p in points_from_masks(masks, 1, 2.0, 20.0)[0]} == {1, 7}
    assert {p[2] for p in points_from_masks(masks, 1, 2.0, 20.0, anchors=False)[0]} == {1}


def inertia(ids, points, item):
    """Sum of squared distances of an id's pixels to its nearest point, and how many they are."""
    total = 0.0
    for frame, found in zip(ids, points, strict=True):
        pixels = np.argwhere(frame == item).astype(float)
        centres = np.array([p[:2] for p in found if p[2] == item], float) + 0.5
        if len(centres) and len(pixels):
            total += ((pixels[:, None] - centres) ** 2).sum(-1).min(1).sum()
    return total


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_the_fast_points_are_nearly_as_good_as_ten_full_starts(seed):
    from sklearn.cluster import KMeans

    ids, _ = moving_discs(seed, frames=6, height=96, width=128, count=3)
    fast = cluster_points(ids, np.full(ids.shape, 0.5), 0, exact=False)
    best = []
    for frame, found in zip(ids, fast, strict=True):
        row = []
        for item in {p[2] for p in found}:
            pixels = np.argwhere(frame == item).astype(np.float32)
            count = sum(p[2] == item for p in found)
            model = KMeans(n_clusters=count, n_init=10, random_state=0).fit(pixels)
            row += [(int(r), int(c), item, 0) for r, c in model.cluster_centers_]
        best.append(row)
    for item in range(1, 4):
        wanted = inertia(ids, best, item)
        if wanted:
            assert inertia(ids, fast, item) <= 1.06 * wanted


def test_on_the_benchmarks_masks_at_half_their_size_the_fast_points_are_two_percent_off():
    masks = shot_masks(with_segments(shot(height=144, width=256)))
    with threadpool_limits(1):  # so small fits only wait for each other's threads
        assert inertia_ratio(masks, every=5) <= 1.02  # frames 0, 5, 10 and 15


def test_fast_points_ride_on_a_moving_disc_while_exact_ones_change_places():
    y, x = np.mgrid[:96, :160]
    # 2 columns a frame, 30 frames: 58 columns in all, radius 30
    ids = np.stack([1 * ((y - 48) ** 2 + (x - 40 - 2 * f) ** 2 < 900) for f in range(30)])
    drift = {}
    for exact in (True, False):
        points = np.array(cluster_points(ids, np.full(ids.shape, 0.5), 1, exact=exact), float)
        assert points.shape == (30, 8, 4)
        steps = np.diff(points[..., :2], axis=0) - (0, 2)
        whole = points[-1, :, :2] - points[0, :, :2] - (0, 58)
        drift[exact] = np.linalg.norm(steps, axis=-1).mean(), np.linalg.norm(whole, axis=-1).max()
    assert drift[False][0] < 1.5
    assert drift[False][1] < 8
    assert drift[True][0] > 3
    assert drift[True][1] > 30


def test_the_pixels_below_any_rank_lie_evenly_in_rows_and_columns():
    ranks = sampling_ranks(96 * 160, 160).reshape(96, 160)
    for share in np.linspace(0.01, 1.0, 100):
        upto = np.pad((ranks < share).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        # Every square of 32 x 32, wherever it lies, has its share of them, give or take seven
        found = upto[32:, 32:] - upto[:-32, 32:] - upto[32:, :-32] + upto[:-32, :-32]
        assert np.abs(found - 1024 * share).max() <= 7


def test_fast_points_keep_their_identity_over_wandering_blobs():
    ids, _ = moving_discs(8, frames=8, height=96, width=128, count=1)
    fast = cluster_points(ids, np.full(ids.shape, 0.5), 1, exact=False)
    steps = [
        np.abs(np.array(b)[:, :2] - np.array(a)[:, :2]).max()
        for a, b in itertools.pairwise(fast)
        if a and len(a) == len(b)
    ]
    assert len(steps) >= 3
    assert max(steps) < 16
