"""What the control refuses, a sentence each, and what it takes although it looks odd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.contracts import MaskSequence
from backend.control.levitor import cluster_points, points_from_masks, stamp_points
from tests.control.scenes import changed, masks_of, square

IDS = square()
D = np.full(IDS.shape, 0.5)


@pytest.mark.parametrize(
    ("ids", "depth", "moving", "ratio", "says"),
    [
        pytest.param(changed(IDS, 256), D, 1, 1.0, r"0\.\.255, got 0\.\.256", id="id above 255"),
        pytest.param(changed(IDS, -1), D, 1, 1.0, r"got -1\.\.1", id="negative id"),
        pytest.param(IDS, D, 256, 1.0, "256 moving instances; the limit is 255", id="too many"),
        pytest.param(IDS[:1], D[:1], 1, 1.0, "at least 2 frames, got 1", id="one frame"),
        pytest.param(IDS[:, :60], D[:, :60], 1, 1.0, "height 60 and width 64 must be", id="size"),
        pytest.param(IDS, changed(D, np.nan), 1, 1.0, "1 of 12288 depths", id="NaN depth"),
        pytest.param(IDS, changed(D, -0.5), 1, 1.0, "not positive", id="negative depth"),
        pytest.param(IDS, changed(D, 0.0), 1, 1.0, "1 of 12288 depths", id="depth zero"),
        pytest.param(IDS, changed(D, 1e-310), 1, 1.0, "1 of 12288", id="no number when inverted"),
        pytest.param(IDS, D[:2], 1, 1.0, r"differ", id="shapes"),
        pytest.param(IDS, D, 2, 1.0, "instance 2 is in none of the 3 frames", id="vanished"),
        pytest.param(IDS, D, 1, 0.0, "above 0 and finite, got 0.0", id="ratio zero"),
        pytest.param(IDS, D, 1, -1.0, "ratio must be above 0", id="ratio negative"),
        pytest.param(IDS, D, 1, np.inf, "above 0 and finite, got inf", id="ratio infinite"),
        pytest.param(IDS, D, 1, np.nan, "above 0 and finite, got nan", id="ratio no number"),
        pytest.param(IDS[0], D[0], 1, 1.0, r"must be \(F, H, W\) integers", id="one map"),
        pytest.param(1.0 * IDS, D, 1, 1.0, "integers, got .* float64", id="ids with fractions"),
        pytest.param(IDS[:, :0], D[:, :0], 0, 1.0, "0 x 64 hold no pixel", id="no pixel"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_a_sentence(ids, depth, moving, ratio, says):
    with pytest.raises(ValueError, match=says):
        cluster_points(ids, depth, moving, ratio)


Z = np.full(IDS.shape, 5.0)


@pytest.mark.parametrize(
    ("ids", "z", "moving", "near", "says"),
    [
        pytest.param(changed(IDS, 256), Z, 1, 2.0, r"0\.\.255, got 0\.\.256", id="id above 255"),
        pytest.param(IDS, Z, 256, 2.0, "256 moving instances; the limit is 255", id="too many"),
        pytest.param(IDS[:1], Z[:1], 1, 2.0, "at least 2 frames, got 1", id="one frame"),
        pytest.param(IDS, changed(Z, np.nan), 1, 2.0, "1 of 12288 depths are not", id="NaN depth"),
        pytest.param(IDS, changed(Z, -0.5), 1, 2.0, "positive numbers", id="negative depth"),
        pytest.param(IDS, changed(Z, 0.0), 1, 2.0, "positive numbers", id="depth zero"),
        pytest.param(IDS, Z[:2], 1, 2.0, r"\(3, 64, 64\) .* \(2, 64, 64\) differ", id="shapes"),
        pytest.param(IDS, Z, 2, 2.0, "instance 2 is in none of the 3 frames", id="vanished"),
        pytest.param(IDS, Z, 1, 0.0, "near 0 and far 20 are not 0 < near < far", id="near zero"),
        pytest.param(IDS, Z, 1, 30.0, "near 30 and far 20", id="near beyond far"),
    ],
)
def test_masks_that_cannot_be_right_are_refused_in_a_sentence(ids, z, moving, near, says):
    with pytest.raises(ValueError, match=says):
        points_from_masks(masks_of(ids, z), moving, near, 20.0)


@pytest.mark.parametrize("exact", [True, False])
def test_where_nothing_landed_no_depth_is_asked_for(exact):
    ids, z = changed(IDS, -1), changed(Z, np.inf)
    points = points_from_masks(masks_of(ids, z), 1, 2.0, 20.0, exact=exact)
    assert [len(frame) for frame in points] == [8, 8, 8]


def test_a_photo_of_any_even_size_has_a_control():
    ids = square(size=62)
    points = points_from_masks(masks_of(ids, np.full(ids.shape, 5.0)), 1, 2.0, 20.0)
    assert stamp_points(points, 62, 62).shape == (3, 3, 62, 62)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("gone", [(0,), (1,), (2,), (0, 1)])
def test_an_instance_may_vanish_in_some_frames_and_has_no_points_there(gone, exact):
    ids = square(side=14)
    ids[list(gone)] = 0
    points = points_from_masks(masks_of(ids, Z), 1, 2.0, 20.0, exact=exact)
    assert [len(frame) for frame in points] == [0 if f in gone else 3 for f in range(3)]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("width", "count"), [(20, 0), (21, 3), (29, 3)])
def test_three_points_need_three_samples_by_either_way(exact, width, count):
    ids = np.zeros((2, 8, 64), np.int64)
    ids[:, 3, :width] = 1  # every tenth of 20 pixels are two samples, of 21 three
    points = cluster_points(ids, np.full(ids.shape, 0.5), 1, exact=exact)
    assert [len(frame) for frame in points] == [count] * 2


@pytest.mark.parametrize("ratio", [1e6, 1e308])
@pytest.mark.parametrize(("exact", "count"), [(True, 7), (False, 64)])
def test_a_ratio_beyond_the_samples_is_clamped_to_them(exact, count, ratio):
    ids = square(side=8)  # 64 pixels; every tenth is 7 samples, the fast way takes all
    points = cluster_points(ids, np.full(ids.shape, 0.5), 1, ratio=ratio, exact=exact)
    assert [len(frame) for frame in points] == [count] * 3


@pytest.mark.parametrize(
    ("alpha", "k_max", "says"),
    [(0, 8, "alpha 0 must be above 0"), (50, 0, "k_max 0 at least 1")],
)
def test_the_rules_own_numbers_are_checked_too(alpha, k_max, says):
    with pytest.raises(ValueError, match=says):
        cluster_points(IDS, D, 1, alpha=alpha, k_max=k_max)


@pytest.mark.parametrize(
    ("points", "height", "radius", "says"),
    [
        pytest.param([], 64, 10, "no frames to draw points in", id="no frames"),
        pytest.param([[], [(1, 2, 3)]], 64, 10, r"frame 1: \(1, 2, 3\) is not", id="three numbers"),
        pytest.param([[(1, 2, 3, np.nan)]], 64, 10, r"frame 0: \(1, 2, 3, nan\)", id="NaN"),
        pytest.param([[7]], 64, 10, "frame 0: 7 is not", id="no point"),
        pytest.param([[]], 0, 10, "height 0, width 64", id="no height"),
        pytest.param([[]], 64, 0, "radius 0 must be at least 1", id="no radius"),
    ],
)
def test_what_cannot_be_stamped_is_refused_in_a_sentence(points, height, radius, says):
    with pytest.raises(ValueError, match=says):
        stamp_points(points, height, 64, radius)


def test_frames_without_points_are_zero():
    maps = stamp_points([[], [(30, 30, 1, 9)], []], 64, 64)
    assert maps.flatten(1).amax(1).tolist() == [0.0, 251.0, 0.0]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(np.array([[3, 60, 1, 9]], np.uint8), id="narrow integers"),
        pytest.param(np.array([[3, 60, 1, 9]], np.float32), id="floats that are whole"),
        pytest.param(torch.tensor([[3, 60, 1, 9]]), id="a tensor"),
        pytest.param([np.array([3, 60, 1, 9])], id="a list of arrays"),
    ],
)
def test_points_are_drawn_whatever_their_numbers_are_kept_in(frame):
    wanted = stamp_points([[(3, 60, 1, 9)]], 64, 64)
    torch.testing.assert_close(stamp_points([frame], 64, 64), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.uint16, torch.int64])
def test_ids_and_depths_of_any_width_give_the_same_points(kind):
    ids, depth = torch.from_numpy(changed(IDS, 200)).to(kind), torch.from_numpy(D)
    wanted = cluster_points(changed(IDS, 200), D, 1)
    for same in (depth.float(), depth.bfloat16(), depth.half().numpy(), depth.mT):
        assert cluster_points(ids, same, 1) == wanted


def test_masks_of_arrays_are_masks():
    arrays = MaskSequence(instance=IDS, depth=Z)  # type: ignore[arg-type]
    wanted = points_from_masks(masks_of(IDS, Z), 1, 2.0, 20.0)
    assert points_from_masks(arrays, 1, 2.0, 20.0) == wanted
