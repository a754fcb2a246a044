"""Another field of view: numbers to check by hand, and nothing lost on the way back."""

import numpy as np
import pytest

from blender_addon.core import coords, fov, photo_cloud

K = np.array([[200.0, 0, 180], [0, 210.0, 150], [0, 0, 1]])


def test_ninety_degrees_are_a_focal_length_of_half_the_width():
    assert fov.degrees_of(K, 400) == pytest.approx(90.0)
    wide = fov.with_degrees(K, 400, 2 * np.degrees(np.arctan(2)))
    np.testing.assert_allclose(wide, [[100, 0, 180], [0, 105, 150], [0, 0, 1]])


@pytest.mark.parametrize("degrees", [0.0, -3.0, 0.9, 171.0, float("nan")])
def test_what_no_lens_has_is_refused_with_the_number(degrees):
    with pytest.raises(ValueError, match=f"{degrees:g} degrees is not between 1 and 170"):
        fov.with_degrees(K, 400, degrees)


def test_points_lifted_again_are_where_the_stretched_world_has_them():
    pixel = np.arange(400 * 300, dtype=np.int32)[::7]
    depth = np.random.default_rng(0).uniform(2, 20, len(pixel)).astype(np.float32)
    new = fov.with_degrees(K, 400, 30.0)
    old_points, new_points = (photo_cloud.positions(pixel, depth, k, 400) for k in (K, new))
    np.testing.assert_allclose(fov.stretched(old_points, K, new), new_points, rtol=2e-6)
    assert (new_points[:, 1] == old_points[:, 1]).all()


def test_a_key_at_rest_is_exactly_at_the_new_rest_and_another_as_far_from_it():
    old, new = (float(np.float32(v)) for v in (0.1, 0.7))
    assert fov.carried(old, old, new) == pytest.approx(new, abs=1e-15)
    assert np.float32(fov.carried(old, old, new)) == np.float32(new)
    assert fov.carried(1.1, 0.1, 0.7) == pytest.approx(1.7)


def test_a_zoom_keeps_its_ratio_and_the_photos_own_lens_becomes_the_new_one_exactly():
    old = coords.lens_of(K, 400, 300).focal
    assert fov.zoomed(float(np.float32(old)), old, 35.0) == 35.0
    assert fov.zoomed(2 * old, old, 35.0) == pytest.approx(70.0)


def test_a_thousand_changes_end_where_they_began():
    k = K
    for degrees in np.random.default_rng(0).uniform(20, 100, 1000):
        k = fov.with_degrees(k, 400, float(degrees))
    np.testing.assert_allclose(fov.with_degrees(k, 400, 90.0), K, rtol=1e-12)
