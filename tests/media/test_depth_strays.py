"""Wild pixels in maps whose larger values are nearer: none of them sets the range."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from backend.images.depth_map import decode_depth_map, fit_depth_map
from backend.images.photo import decode_photo

H, W = 48, 64
DISPARITY = np.geomspace(0.1, 30.0, H * W).astype(np.float32).reshape(H, W)


def read(values):
    """Take an array as the depth map of a photo of its size."""
    array, photo = io.BytesIO(), io.BytesIO()
    np.save(array, values)
    Image.new("RGB", (W, H), "grey").save(photo, "PNG")
    return fit_depth_map(
        decode_depth_map(array.getvalue()), decode_photo(photo.getvalue(), W), True
    )


@pytest.mark.parametrize(
    "wild",
    [
        pytest.param([1000], id="one above"),
        pytest.param([-1000], id="one below"),
        pytest.param([200, 900, 4000, 60000], id="several above, apart from each other"),
        pytest.param([-5000, -300, 200, 7000], id="on both sides"),
    ],
)
def test_few_wild_pixels_of_a_disparity_do_not_press_the_photo_flat_and_it_is_said(wild):
    values = DISPARITY.copy()
    values[20, 30 : 30 + len(wild)] = wild
    found = read(values)
    assert (found.values.min(), found.values.max()) == (DISPARITY.min(), DISPARITY.max())
    others = values == DISPARITY
    np.testing.assert_array_equal(found.values[others], DISPARITY[others])
    assert len(found.notes) == 1
    assert f"{len(wild)} of the depth map's pixels lie far from all others" in found.notes[0]
    assert "from 0.1 to 30; they were taken as the nearest of these" in found.notes[0]


def disparity_with(value, pixels):
    values = DISPARITY.copy()
    values.reshape(-1)[:pixels] = value
    return values


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(disparity_with(1000, 60), id="a thing near the lens"),
        pytest.param(disparity_with(90, 2), id="few pixels, but no wide gap"),
        pytest.param(np.where(DISPARITY > 29.9, 4, 2).astype(np.float32), id="a flat map"),
        pytest.param(disparity_with(1000, 1).astype(np.uint16), id="16 bits"),
    ],
)
def test_what_may_be_near_is_left_as_it_is(values):
    found = read(values)
    np.testing.assert_array_equal(found.values, values.astype(np.float32))
    assert found.notes == ()
