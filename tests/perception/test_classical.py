"""Depth and segments without weights, on numbers and on real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from backend.images.photo import decode_photo
from backend.perception import classical
from protocol import flat_scene
from protocol.errors import ShotError

PHOTOS = Path(sklearn.datasets.__file__).parent / "images"
NO_CLICKS = np.zeros((0, 2)), np.zeros(0, np.uint8)


@pytest.fixture(scope="module")
def flower():
    return decode_photo((PHOTOS / "flower.jpg").read_bytes(), 1280).pixels


def clicks(*points):
    array = np.array(points, float)
    return array[:, :2], array[:, 2].astype(np.uint8)


def test_the_ground_is_near_at_the_bottom_and_a_wall_above_the_horizon():
    depth = classical.flat_depth("ground", 100, 3, horizon=0.5, near=2.0, far=20.0)
    assert depth.shape == (100, 3)
    assert depth.dtype == np.float32
    assert depth[-1, 0] == pytest.approx(2.0)
    assert (depth[:50] == 20.0).all()
    assert (np.diff(depth[:, 0]) <= 0).all()


def test_the_ground_is_a_plane():
    """With the horizon in the middle of the photo, its height y is the same at every depth."""
    depth = flat_scene.row_depths("ground", 100, horizon=0.5, near=2.0, far=1000.0)[60:]
    height = (np.arange(60, 100) + 0.5 - 50) * depth
    np.testing.assert_allclose(height, height[-1], rtol=1e-5)


def test_a_picked_instance_stands_at_the_depth_of_its_lowest_row():
    depth = classical.flat_depth("ground", 10, 10, horizon=0.0, near=1.0, far=9.0)
    mask = np.zeros((10, 10), bool)
    mask[2:7, 3:5] = True
    upright = classical.stand_upright(depth, mask, "ground", 1.0, 9.0)
    assert set(upright[mask]) == {depth[6, 0]}
    assert (upright[~mask] == depth[~mask]).all()
    assert flat_scene.standing_depth("ground", 6, 10, 0.0, 1.0, 9.0) == depth[6, 0]


def test_a_backdrop_is_one_plane_at_the_far_distance():
    depth = classical.flat_depth("backdrop", 6, 4, horizon=0.5, near=2.0, far=20.0)
    assert (depth.shape, depth.dtype) == ((6, 4), np.float32)
    assert (depth == 20.0).all()


def test_what_stands_before_a_backdrop_is_nearer_the_lower_it_ends_and_can_go_both_ways():
    depth = classical.flat_depth("backdrop", 100, 10, horizon=0.5, near=2.0, far=20.0)
    found = []
    for lowest in (0, 49, 74, 99):
        mask = np.zeros((100, 10), bool)
        mask[max(lowest - 9, 0) : lowest + 1, 2:5] = True
        upright = classical.stand_upright(depth, mask, "backdrop", 2.0, 20.0)
        (z,) = set(upright[mask].tolist())
        assert (upright[~mask] == 20.0).all()
        assert z == flat_scene.standing_depth("backdrop", lowest, 100, 0.5, 2.0, 20.0)
        found.append(z)
    assert found == sorted(found, reverse=True)
    # 1/z is 1/3 and 2/3 of the way from 1/20 to 1/2: at 5 the top row, at 20/7 the bottom one
    assert found[0] == pytest.approx(5.0, rel=0.01)
    assert found[-1] == pytest.approx(20 / 7, rel=0.01)


def test_one_click_finds_the_dahlia(flower):
    mask = classical.grabcut_instance(flower, *clicks((325, 200, 1)), None)
    ys, xs = np.nonzero(mask)
    # By eye: columns 170..447, rows 85..358, about 59,000 pixels
    assert abs(xs.min() - 170) < 10
    assert abs(xs.max() - 446) < 10
    assert abs(ys.min() - 85) < 10
    assert abs(ys.max() - 358) < 10
    assert 55_000 < mask.sum() < 63_000


def test_one_click_on_a_disc_is_the_disc_although_the_background_is_a_gradient():
    y, x = np.mgrid[:360, :640]
    image = np.stack([x / 6 + 60, y / 4 + 60, 200 - x / 8], -1).astype(np.uint8)
    disc = (y - 180) ** 2 + (x - 200) ** 2 < 60**2
    image[disc] = (230, 210, 40)
    mask = classical.grabcut_instance(image, *clicks((200, 180, 1)), None)
    assert (mask ^ disc).sum() < 0.02 * disc.sum()


def test_negative_clicks_take_away_what_they_stand_in():
    y, x = np.mgrid[:200, :300]
    image = np.full((200, 300, 3), 60, np.uint8)
    left = (y - 100) ** 2 + (x - 90) ** 2 < 50**2
    right = (y - 100) ** 2 + (x - 180) ** 2 < 50**2
    image[left], image[right] = (200, 80, 60), (210, 110, 60)
    both = classical.grabcut_instance(image, *clicks((90, 100, 1), (200, 100, 1)), None)
    one = classical.grabcut_instance(image, *clicks((60, 100, 1), (200, 100, 0)), None)
    assert both[left | right].mean() > 0.97
    assert one[left & ~right].mean() > 0.95
    assert one[right & ~left].mean() < 0.05


def test_the_same_clicks_give_the_same_mask(flower):
    first, second = (
        classical.grabcut_instance(flower, *clicks((365, 400, 1)), None) for _ in range(2)
    )
    assert (first == second).all()


def test_a_negative_click_takes_its_surroundings_away(flower):
    mask = classical.grabcut_instance(flower, *clicks((325, 200, 1), (230, 200, 0)), None)
    assert not mask[200, 230]
    assert mask[200, 325]


def test_a_box_alone_is_enough_and_nothing_outside_it_is_taken(flower):
    mask = classical.grabcut_instance(flower, *NO_CLICKS, (150.0, 70.0, 470.0, 372.0))
    assert mask[200, 325]
    outside = np.ones_like(mask)
    outside[70:372, 150:470] = False
    assert not mask[outside].any()


@pytest.mark.parametrize(
    ("points", "box", "code", "says"),
    [
        pytest.param(
            [(700, 10, 1)],
            None,
            "outside",
            r"\(700, 10\) is outside the photo of 640 x 426",
            id="right of it",
        ),
        pytest.param([(5, -1, 1)], None, "outside", "outside the photo", id="above it"),
        pytest.param([(5, 5, 0)], None, "no_prompt", "1 clicks and none is on", id="only negative"),
        pytest.param(
            [(5, 5, 1)],
            (9.0, 9.0, 3.0, 20.0),
            "outside",
            r"box \(9, 9, 3, 20\)",
            id="box turned over",
        ),
        pytest.param(
            [(5, 5, 1)], (0.0, 0.0, 999.0, 20.0), "outside", "640 x 426", id="box too wide"
        ),
        pytest.param(
            [(5, 5, 1)],
            (0.0, 0.0, 640.0, 426.0),
            "full_mask",
            "covers the whole photo",
            id="all of it",
        ),
    ],
)
def test_prompts_that_cannot_work_are_refused(flower, points, box, code, says):
    with pytest.raises(ShotError, match=says) as caught:
        classical.grabcut_instance(flower, *clicks(*points), box)
    assert caught.value.code == code


def test_a_click_on_the_very_last_pixel_of_a_large_photo_is_inside_it():
    image = np.full((852, 1280, 3), 200, np.uint8)
    image[600:, 900:] = (30, 30, 200)
    mask = classical.grabcut_instance(image, *clicks((1279.7, 851.7, 1)), None)
    assert mask[700, 1000]
    assert not mask[100, 100]


def test_a_flat_photo_gives_a_sentence_and_no_crash():
    flat = np.full((40, 50, 3), 128, np.uint8)
    with pytest.raises(ShotError, match="covers the whole photo"):
        classical.grabcut_instance(flat, *clicks((25, 20, 1)), None)


def test_an_empty_and_a_full_mask_are_refused():
    with pytest.raises(ShotError, match="0 pixels"):
        classical.checked_mask(np.zeros((3, 3), bool))
    with pytest.raises(ShotError, match="covers the whole photo"):
        classical.checked_mask(np.ones((3, 3), bool))


@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 400, 3), (1000, 700, 3)])
def test_any_size_can_be_searched_and_segmented(shape):
    image = np.full(shape, 200, np.uint8)
    top, left = shape[0] // 4, shape[1] // 4
    image[top : 3 * top, left : 3 * left] = (200, 30, 30)
    mask = classical.grabcut_instance(image, *clicks((2 * left, 2 * top, 1)), None)
    assert mask.shape == shape[:2]
    assert mask[2 * top, 2 * left]
    assert not mask[0, 0]
    assert classical.static_segments(image).shape == shape[:2]


def test_static_segments_are_numbered_by_size_and_few(flower):
    segments = classical.static_segments(flower)
    areas = np.bincount(segments.ravel())[1:]
    assert segments.dtype == np.int32
    assert 5 < len(areas) <= classical.MAX_SEGMENTS
    assert (np.diff(areas) <= 0).all()
