"""Axes, lenses and motion, with numbers a reader can check."""

import numpy as np
import pytest

from blender_addon.core import coords
from blender_addon.core.coords import Lens

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
SIZES = [
    pytest.param(640, 480, 500, 500, 320, 240, id="landscape"),
    pytest.param(480, 640, 500, 500, 240, 320, id="portrait"),
    pytest.param(640, 480, 500, 500, 250, 300, id="off-centre"),
    pytest.param(640, 480, 600, 500, 310, 200, id="pixels taller than wide"),
    pytest.param(480, 640, 400, 500, 240, 330, id="portrait, pixels wider than tall"),
]


def looking_along_y() -> np.ndarray:
    """A Blender camera at the origin, turned up by 90 degrees about x."""
    return np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def test_a_point_one_right_two_down_three_ahead_is_x1_y3_z_minus_2_in_blender():
    assert coords.to_blender(np.array([1.0, 2, 3])).tolist() == [1, 3, -2]
    assert coords.to_world(np.array([1.0, 3, -2])).tolist() == [1, 2, 3]
    assert (coords.BLENDER_FROM_WORLD @ [1, 2, 3, 1]).tolist() == [1, 3, -2, 1]


def test_a_camera_at_the_origin_looking_along_y_is_the_photos_own_view():
    view = coords.camera_from_world(looking_along_y()[None])
    assert (view == np.eye(4)).all()


def test_float32_noise_of_a_resting_camera_is_snapped_to_the_identity():
    noisy = looking_along_y()
    noisy[1, 1] = noisy[2, 2] = -4.37e-8  # cos(pi/2) in float32
    assert (coords.camera_from_world(noisy[None])[0] == np.eye(4)).all()


def test_a_camera_moved_two_forward_sees_a_point_at_depth_5_at_depth_3():
    camera = looking_along_y()
    camera[:3, 3] = [0, 2, 0]
    view = coords.camera_from_world(camera[None])[0]
    np.testing.assert_allclose(view @ [0.5, -1, 5, 1], [0.5, -1, 3, 1], atol=1e-12)


def test_the_scale_of_a_camera_object_changes_nothing():
    camera = looking_along_y()
    camera[:3, :3] *= 3
    np.testing.assert_allclose(coords.camera_from_world(camera[None])[0], np.eye(4), atol=1e-12)


@pytest.mark.parametrize("broken", [0.0, float("nan")])
def test_a_camera_without_a_pose_gives_nan_and_no_warning(broken):
    camera = np.stack([looking_along_y(), looking_along_y()])
    camera[1, :3, :3] *= broken
    views = coords.camera_from_world(camera)
    assert (views[0] == np.eye(4)).all()
    assert np.isnan(views[1]).all()


def test_a_handle_that_rises_by_one_in_blender_moves_its_points_up_in_the_photo():
    rest = np.eye(4)
    rest[:3, 3] = [1, 5, 2]
    raised = rest.copy()
    raised[2, 3] += 1
    moved = coords.moved_from_rest(np.stack([rest, raised])[:, None], rest[None])
    assert (moved[0, 0] == np.eye(4)).all()
    np.testing.assert_allclose(
        moved[1, 0], [[1, 0, 0, 0], [0, 1, 0, -1], [0, 0, 1, 0], [0, 0, 0, 1]]
    )


def test_a_turned_and_doubled_handle_keeps_its_own_place():
    rest = np.eye(4)
    rest[:3, 3] = [1, 5, 2]
    turned = rest.copy()
    turned[:3, :3] = [[0, -2, 0], [2, 0, 0], [0, 0, 2]]  # 90 degrees about z, twice the size
    moved = coords.moved_from_rest(turned[None, None], rest[None])[0, 0]
    place = np.append(coords.to_world(rest[:3, 3]), 1)
    np.testing.assert_allclose(moved @ place, place, atol=1e-12)
    # One to the right of the handle comes to be two behind it (Blender +y, depth).
    np.testing.assert_allclose(
        (moved @ (place + np.array([1, 0, 0, 0])) - place)[:3], [0, 0, 2], atol=1e-12
    )


@pytest.mark.parametrize(("width", "height", "fx", "fy", "cx", "cy"), SIZES)
def test_intrinsics_survive_the_way_through_a_blender_lens(width, height, fx, fy, cx, cy):
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    lens = coords.lens_of(k, width, height)
    assert min(lens.aspect) == 1.0
    np.testing.assert_allclose(coords.intrinsics_of(lens, width, height), k, atol=1e-9)


def test_automatic_fit_measures_a_portrait_photo_by_its_height():
    lens = Lens(focal=50, sensor=(36, 24), fit="AUTO")
    k = coords.intrinsics_of(lens, 360, 720)
    assert k[0, 0] == k[1, 1] == 50 * 720 / 36
    assert k[:2, 2].tolist() == [180, 360]


def test_vertical_fit_measures_by_the_sensors_height():
    k = coords.intrinsics_of(Lens(focal=48, sensor=(36, 24), fit="VERTICAL"), 640, 480)
    assert k[0, 0] == 48 * 480 / 24


def test_intrinsics_within_float32_rounding_of_the_photos_become_the_photos():
    k = np.stack([K, K])
    k[0, 0, 0] += 1e-5
    k[1, 0, 0] += 1.0
    snapped = coords.snapped(k, K)
    assert (snapped[0] == K).all()
    assert snapped[1, 0, 0] == 501.0
