"""A photo as points and back."""

import numpy as np
import pytest

from blender_addon.core import coords, lift

K = np.array([[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]])


def photo(height=3, width=4, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    depth = rng.uniform(1, 9, (height, width)).astype(np.float32)
    return image, depth, rng.integers(0, 3, (height, width), dtype=np.int32)


def test_every_srgb_byte_survives_scene_linear():
    bytes_ = np.arange(256, dtype=np.uint8)
    linear = lift.to_linear(bytes_)
    assert linear.dtype == np.float32
    assert (lift.to_bytes(linear) == bytes_).all()
    assert (linear[0], linear[255]) == (0, 1)
    assert linear[128] == pytest.approx(0.2158605, abs=1e-6)


def test_colours_between_two_bytes_go_to_the_nearer_and_those_outside_to_the_ends():
    between = lift.LINEAR[100] * 0.9 + lift.LINEAR[101] * 0.1
    assert lift.to_bytes(np.float32([between, -1, 7])).tolist() == [100, 0, 255]


def test_the_centre_of_the_first_pixel_lies_where_the_pinhole_camera_says():
    # (0.5 - 2) / 4 * 8 = -3 to the left, (0.5 - 1.5) / 4 * 8 = -2 down: 2 up in Blender.
    position = lift.positions(np.array([0]), np.float32([8]), K, 4)
    assert position.tolist() == [[-3, 8, 2]]


def test_image_and_depth_come_back_bit_for_bit_from_split_clouds():
    image, depth, segments = photo(30, 40)
    cloud = lift.cloud_of(image, depth, segments, K)
    mine = np.arange(1200) % 3 == 0
    back, z = lift.photo_of([cloud.take(~mine), cloud.take(mine)], 30, 40)
    assert (back == image).all()
    assert (z == depth).all()


def test_points_moved_along_their_rays_stay_on_their_pixels():
    cloud = lift.cloud_of(*photo(), K)
    moved = lift.at_depth(cloud, cloud.depth * 2, K, 4)
    for points in (cloud, moved):
        x, y, z = coords.to_world(points.position.astype(float)).T
        np.testing.assert_allclose(4 * x / z + 2, np.arange(12) % 4 + 0.5, atol=1e-5)
        np.testing.assert_allclose(4 * y / z + 1.5, np.arange(12) // 4 + 0.5, atol=1e-5)
    assert (moved.depth == 2 * cloud.depth).all()


def test_missing_and_doubled_points_are_counted():
    cloud = lift.cloud_of(*photo(), K)
    assert lift.missing_points([cloud], 3, 4) == 0
    few = cloud.take(np.arange(12) >= 5)
    assert lift.missing_points([few], 3, 4) == 5
    assert lift.missing_points([cloud, cloud.take(np.arange(12) < 2)], 3, 4) == 2
    with pytest.raises(ValueError, match="5 of 12 pixels"):
        lift.photo_of([few], 3, 4)
