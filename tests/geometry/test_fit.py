"""A photo in an engine's frame: what is shown where, and that geometry follows the pixels."""

from __future__ import annotations

import pytest
import torch

from backend.geometry.camera import intrinsics_from_focal
from backend.geometry.fit import fit_photo, render_fitted
from tests.geometry.scenes import motion, shot_of, translation, two_instances


@pytest.mark.parametrize(
    ("kind", "photo", "frame", "source", "target"),
    [
        pytest.param(
            "crop", (426, 640), (288, 512), (33, 0, 360, 640), (0, 0, 288, 512), id="wide"
        ),
        pytest.param(
            "crop", (640, 426), (288, 512), (200, 0, 240, 426), (0, 0, 288, 512), id="tall"
        ),
        pytest.param(
            "pad", (400, 400), (288, 512), (0, 0, 400, 400), (0, 112, 288, 288), id="square"
        ),
        pytest.param(
            "squash", (426, 640), (512, 288), (0, 0, 426, 640), (0, 0, 512, 288), id="turned"
        ),
        pytest.param("crop", (288, 512), (288, 512), (0, 0, 288, 512), (0, 0, 288, 512), id="same"),
    ],
)
def test_a_fit_shows_this_part_there(kind, photo, frame, source, target):
    fit = fit_photo(photo, frame, kind)
    assert (fit.source, fit.target) == (source, target)


@pytest.mark.parametrize("kind", ["crop", "pad", "squash"])
def test_a_point_of_the_photo_lands_where_its_pixel_lands(kind):
    photo = torch.zeros(3, 120, 200)
    photo[:, 50:54, 90:94] = 1.0  # its middle is at (92, 52)
    fit = fit_photo((120, 200), (96, 96), kind)
    shown = fit.image(photo)[0]
    assert shown.shape == (96, 96)
    weight = shown / shown.sum()
    middle = (
        float((weight.sum(0) * (torch.arange(96) + 0.5)).sum()),
        float((weight.sum(1) * (torch.arange(96) + 0.5)).sum()),
    )
    # A camera with its principal point on that pixel has it there after the fit as well
    moved = fit.intrinsics(intrinsics_from_focal(100.0, 100.0, 92.0, 52.0))
    assert middle == pytest.approx((float(moved[0, 2]), float(moved[1, 2])), abs=0.1)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        pytest.param("crop", (288, 512), id="a crop is what the engine made"),
        pytest.param("pad", (288, 432), id="padding is cut off"),
        pytest.param("squash", (342, 512), id="a squash is stretched back to 3 : 2"),
    ],
)
def test_frames_come_back_in_the_photos_proportions(kind, size):
    fit = fit_photo((400, 600), (288, 512), kind)
    assert fit.frames(torch.rand(2, 3, 288, 512)).shape[-2:] == size


def test_a_fit_of_the_photos_own_size_renders_the_same_masks():
    lift, ids = two_instances()
    path = [[translation(x=0.1 * i), translation(z=-0.2 * i)] for i in range(3)]
    shot = shot_of(lift, ids, motion(lift.camera, path))
    fit = fit_photo(tuple(ids.shape), tuple(ids.shape), "crop")
    for (ids_, depth), (own_ids, own_depth) in zip(
        render_fitted(shot), render_fitted(shot, fit), strict=True
    ):
        assert bool((ids_ == own_ids).all())
        assert bool((depth == own_depth).all())


def test_twice_the_size_has_no_holes_and_four_times_the_area():
    lift, ids = two_instances()
    shot = shot_of(lift, ids, motion(lift.camera, [[translation(), translation()]] * 2))
    height, width = ids.shape
    fit = fit_photo((height, width), (2 * height, 2 * width), "crop")
    first, _ = next(iter(render_fitted(shot, fit)))
    assert bool((first >= 0).all())
    for item in (1, 2):
        assert int((first == item).sum()) == 4 * int((ids == item).sum())


def test_what_a_crop_leaves_out_comes_in_when_the_camera_turns_to_it():
    lift, ids = two_instances()
    height, width = ids.shape
    fit = fit_photo((height, width), (height, height), "crop")
    sideways = motion(lift.camera, [[translation(), translation()]] * 2)
    sideways.camera_from_world[1, 0, 3] = 0.5  # everything moves right by half a unit
    shot = shot_of(lift, ids, sideways)
    _, moved = [ids for ids, _ in render_fitted(shot, fit)]
    assert bool((moved[:, 0] >= 0).all())


def test_an_unknown_fit_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="one of crop, pad, squash, got 'stretch'"):
        fit_photo((10, 10), (8, 8), "stretch")
