"""Where a take lies in the frame: its pixels on the photo's, whatever part an engine shows."""

import pytest

from blender_addon.core import strips

PHOTO = (854, 1280)


def pixel_in_frame(placed, frame, film, x, y):
    """Where pixel (x, y) of the film is shown in the frame; both from the top left."""
    right = (x - film[1] / 2) * placed.scale[0] + placed.offset[0]
    down = (y - film[0] / 2) * placed.scale[1] - placed.offset[1]
    return frame[1] / 2 + right, frame[0] / 2 + down


@pytest.mark.parametrize(
    ("film", "shown"),
    [
        pytest.param((854, 1280), (), id="a draft"),
        pytest.param((288, 512), (67.0, 0.0, 720.0, 1280.0), id="the middle, cropped"),
        pytest.param((288, 430), (0.0, 0.0, 854.0, 1275.1), id="padded, the last column cut"),
        pytest.param((512, 768), (0.0, 0.0, 854.0, 1280.0), id="squashed and stretched back"),
        pytest.param((512, 288), (0.0, 400.0, 853.0, 480.0), id="a part away from the middle"),
    ],
)
@pytest.mark.parametrize("frame", [PHOTO, (427, 640), (1708, 2560)])
def test_each_corner_of_a_take_lies_on_its_corner_of_the_photo(film, shown, frame):
    placed = strips.placement(frame, PHOTO, film, shown)
    top, left, height, width = shown or (0, 0, *PHOTO)
    pixel = frame[1] / PHOTO[1]
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        found = pixel_in_frame(placed, frame, film, x * film[1], y * film[0])
        wanted = (left + x * width) * pixel, (top + y * height) * pixel
        assert found == pytest.approx(wanted, abs=1e-6)


def test_a_small_take_of_the_photos_proportions_fills_the_frame():
    placed = strips.placement((720, 1280), (720, 1280), (288, 512))
    assert placed.scale == (2.5, 2.5)
    assert placed.offset == (0.0, 0.0)


def test_a_take_of_which_nobody_said_what_it_shows_keeps_its_proportions():
    placed = strips.placement((854, 1280), (854, 1280), (288, 512))
    assert placed.scale == (2.5, 2.5)


def test_a_frame_of_other_proportions_shows_all_of_the_photo():
    wide = strips.placement((1080, 1920), PHOTO, PHOTO)
    assert wide.scale == pytest.approx((1080 / 854, 1080 / 854))
