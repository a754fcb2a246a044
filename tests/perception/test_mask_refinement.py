"""Outlines by colour and depth without a flying rim, on pictures whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.perception.mask_refinement import (
    clean_instance_depth,
    depth_band,
    mask_band,
    refine_mask,
)

SIDE = 200


def picture(shape, seed=0):
    """A reddish thing with some texture on green and blue stripes with noise; its edge is soft."""
    rng = np.random.default_rng(seed)
    stripes = (np.arange(SIDE) // 12 % 2)[:, None, None]
    ground = np.where(stripes, (40, 120, 60), (60, 70, 150)).repeat(SIDE, 1).astype(float)
    thing = np.full((SIDE, SIDE, 3), (190.0, 90.0, 60.0))
    thing += 15 * np.sin(np.arange(SIDE) / 3)[None, :, None]
    soft = cv2.GaussianBlur(shape.astype(np.float64), (0, 0), 0.6)[..., None]
    image = soft * thing + (1 - soft) * ground + rng.normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def disc(radius=60):
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.hypot(x - 100, y - 97) < radius


def slanted():
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return 3 * x + y < 380


def wheel(width):
    """A ring, a hub, and eight spokes of that width in pixels."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    x, y = x - 100, y - 100
    away = np.hypot(x, y)
    shape = ((away > 70) & (away < 84)) | (away < 16)
    for turn in np.arange(8) * np.pi / 8 + 0.1:
        beside = np.abs(x * np.sin(turn) - y * np.cos(turn))
        shape |= (beside < width / 2) & (away < 75)
    return shape


def shifted(mask, pixels):
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    change = cv2.dilate if pixels > 0 else cv2.erode
    return change(mask.astype(np.uint8), kernel) > 0


def wrong(mask, truth):
    return int((mask != truth).sum())


@pytest.mark.parametrize("pixels", [-2, 2])
@pytest.mark.parametrize(("name", "truth"), [("disc", disc()), ("straight edge", slanted())])
def test_a_mask_two_pixels_off_comes_back_to_a_tenth_of_its_error(name, truth, pixels):
    off = shifted(truth, pixels)
    found = refine_mask(picture(truth), off, 4)
    assert wrong(off, truth) > 350
    assert wrong(found, truth) < wrong(off, truth) / 10


@pytest.mark.parametrize("truth", [disc(), slanted(), wheel(3)], ids=["disc", "edge", "wheel"])
def test_a_mask_that_is_right_stays_right(truth):
    found = refine_mask(picture(truth), truth, 4)
    assert wrong(found, truth) < 0.004 * truth.sum()


def test_nothing_changes_beyond_the_band():
    truth = disc()
    for pixels in (-9, 9):
        off = shifted(truth, pixels)
        found = refine_mask(picture(truth), off, 3)
        square = np.ones((7, 7), np.uint8)
        beyond = cv2.dilate(off.astype(np.uint8), square) == cv2.erode(off.astype(np.uint8), square)
        assert (found[beyond] == off[beyond]).all()
        assert wrong(found, truth) < wrong(off, truth)


def test_without_contrast_the_mask_stays_to_the_bit():
    flat = np.full((SIDE, SIDE, 3), 128, np.uint8)
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    off = shifted(disc(), 2)
    assert (refine_mask(flat, off, 4) == off).all()
    assert wrong(refine_mask(noise, off, 4), off) == 0


def test_an_outline_that_is_everywhere_is_left_as_it_is():
    """Squares of 10 pixels, as random weights draw them: of each only 4 x 4 lie beyond a band."""
    y, x = np.mgrid[:SIDE, :SIDE] // 10
    ragged = (x + y) % 2 == 0
    off = np.roll(ragged, 1, 1)
    assert (refine_mask(picture(ragged), off, 3) == off).all()
    apart = (x % 10 < 3) & (y % 10 < 3)  # four squares of 30: 6 %, and these are mended
    off = shifted(apart, 2)
    assert wrong(refine_mask(picture(apart), off, 3), apart) < wrong(off, apart) / 2


def test_cells_of_the_coarser_grid_need_not_fit_the_photo():
    """511 and 509 pixels in cells of two: what is left over at the end is mended as well."""
    truth = np.zeros((511, 509), bool)
    truth[60:, 50:] = True
    image = np.where(truth[..., None], (190, 90, 60), (60, 70, 150)).astype(np.uint8)
    off = np.roll(truth, 2, (0, 1))
    off[:2], off[:, :2] = False, False
    found = refine_mask(image, off, 4)
    assert wrong(off, truth) == 2 * 451 + 2 * 459 - 4
    assert wrong(found, truth) < 20


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_thin_spokes_survive(width):
    truth = wheel(width)
    found = refine_mask(picture(truth), truth, 4)
    assert found[truth].mean() > 0.99
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    between = (np.hypot(x - 100, y - 100) > 20) & (np.hypot(x - 100, y - 100) < 66)
    assert found[truth & between].mean() > 0.98


def test_a_hole_and_the_photos_own_border_are_no_trouble():
    truth = disc() & ~disc(20)
    truth[:, :60] = True
    off = shifted(truth, 2)
    assert wrong(refine_mask(picture(truth), off, 4), truth) < wrong(off, truth) / 4
    for mask in (np.zeros((SIDE, SIDE), bool), np.ones((SIDE, SIDE), bool)):
        assert (refine_mask(picture(truth), mask, 4) == mask).all()
    assert (refine_mask(picture(truth), off, 0) == off).all()


def smeared(truth, near, far, sigma):
    """Depth as a network makes it: disparity blurred across the outline."""
    disparity = np.where(truth, 1 / near, 1 / far)
    return (1 / cv2.GaussianBlur(disparity, (0, 0), sigma)).astype(np.float32)


@pytest.mark.parametrize(("near", "far"), [(3.0, 12.0), (12.0, 3.0)], ids=["before", "behind"])
def test_a_blurred_rim_gets_the_depth_of_the_inside(near, far):
    truth = disc()
    depth = smeared(truth, near, far, 2.0)
    found = clean_instance_depth(depth, truth, 6)
    before, after = (np.abs(1 / d[truth] - 1 / near) * near for d in (depth, found))
    assert (before > 0.1).sum() > 700
    assert (after > 0.1).sum() < 30
    assert (found[~truth] == depth[~truth]).all()


def test_the_instances_own_relief_stays_to_the_bit_where_nothing_is_smeared():
    truth = disc()
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    relief = 4.0 - np.sqrt(np.maximum(60**2 - (x - 100) ** 2 - (y - 97) ** 2, 0)) / 60
    depth = np.where(truth, relief, 15.0).astype(np.float32)
    assert (clean_instance_depth(depth, truth, 6) == depth).all()
    slope = (5 + 0.03 * y).astype(np.float32)  # it touches what it stands on
    assert (clean_instance_depth(slope, truth, 6) == slope).all()


def test_a_ball_keeps_its_relief_under_a_blurred_outline():
    truth = disc()
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    relief = 4.0 - np.sqrt(np.maximum(60**2 - (x - 100) ** 2 - (y - 97) ** 2, 0)) / 120
    disparity = cv2.GaussianBlur(np.where(truth, 1 / relief, 1 / 15.0), (0, 0), 2.0)
    depth = (1 / disparity).astype(np.float32)
    found = clean_instance_depth(depth, truth, 6)
    error, before = (np.abs(d / relief - 1)[truth] for d in (found, depth))
    assert before.max() > 0.5
    assert error.max() < 0.11
    assert np.quantile(error, 0.98) < 0.07


def test_spokes_keep_the_nearness_of_their_middle():
    truth = wheel(7)
    depth = smeared(truth, 3.0, 12.0, 1.5)
    found = clean_instance_depth(depth, truth, 6)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    spokes = truth & (np.hypot(x - 100, y - 100) > 24) & (np.hypot(x - 100, y - 100) < 62)
    assert depth[spokes].max() > 4.3
    assert found[spokes].max() < 3.6


def test_bands_follow_the_size_of_the_photo():
    assert [mask_band(*size) for size in ((48, 64), (853, 1280), (2700, 4000))] == [2, 5, 12]
    assert [depth_band(*size) for size in ((48, 64), (853, 1280), (2700, 4000))] == [4, 9, 12]


def test_sizes_that_differ_are_refused_with_both():
    image, mask = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 5), bool)
    with pytest.raises(ValueError, match=r"\(4, 6\) has no mask of \(4, 5\)"):
        refine_mask(image, mask, 2)
    with pytest.raises(ValueError, match=r"\(4, 6\) has no mask of \(4, 5\)"):
        clean_instance_depth(image[..., 0].astype(np.float32), mask, 2)


@pytest.mark.parametrize("band", [4, 5, 6, 9, 12])
def test_every_depth_stays_between_those_that_were_there(band):
    """Bands of 4 to 12 pixels look at every pixel, or at every second to fourth of them."""
    for seed, cells in enumerate([(5, 6), (12, 15), (40, 50)]):
        rng = np.random.default_rng(seed)
        ragged = cv2.resize(rng.normal(size=cells).astype(np.float32), (203, 157)) > 0.3
        depth = smeared(ragged, 3.0, 12.0, band / 4)
        found = clean_instance_depth(depth, ragged, band)
        assert depth.min() <= found.min()
        assert found.max() <= depth.max()
        if cells == (5, 6):  # in blobs of 30 pixels some are surely inside: the rest is mended
            flying = [((d > 3.6) & (d < 11) & ragged).sum() for d in (depth, found)]
            assert flying[1] < 0.25 * flying[0]
