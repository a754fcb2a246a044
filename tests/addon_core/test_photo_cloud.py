"""A photo as points and back."""

import numpy as np
import pytest

from blender_addon.core import coords, photo_cloud

K = np.array([[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]])


def photo(height=3, width=4, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    depth = rng.uniform(1, 9, (height, width)).astype(np.float32)
    return image, depth, rng.integers(0, 3, (height, width), dtype=np.int32)


def test_every_srgb_byte_survives_scene_linear():
    bytes_ = np.arange(256, dtype=np.uint8)
    linear = photo_cloud.to_linear(bytes_)
    assert linear.dtype == np.float32
    assert (photo_cloud.to_bytes(linear) == bytes_).all()
    assert (linear[0], linear[255]) == (0, 1)
    assert linear[128] == pytest.approx(0.2158605, abs=1e-6)


def test_colours_between_two_bytes_go_to_the_nearer_and_those_outside_to_the_ends():
    between = photo_cloud.LINEAR[100] * 0.9 + photo_cloud.LINEAR[101] * 0.1
    assert photo_cloud.to_bytes(np.float32([between, -1, 7])).tolist() == [100, 0, 255]


def test_the_centre_of_the_first_pixel_lies_where_the_pinhole_camera_says():
    # (0.5 - 2) / 4 * 8 = -3 to the left, (0.5 - 1.5) / 4 * 8 = -2 down: 2 up in Blender.
    position = photo_cloud.positions(np.array([0]), np.float32([8]), K, 4)
    assert position.tolist() == [[-3, 8, 2]]


def test_image_and_depth_come_back_bit_for_bit_from_split_clouds():
    image, depth, segments = photo(30, 40)
    cloud = photo_cloud.cloud_of(image, depth, segments, K)
    mine = np.arange(1200) % 3 == 0
    back, z = photo_cloud.photo_of([cloud.take(~mine), cloud.take(mine)], 30, 40)
    assert (back == image).all()
    assert (z == depth).all()


def test_points_moved_along_their_rays_stay_on_their_pixels():
    cloud = photo_cloud.cloud_of(*photo(), K)
    moved = photo_cloud.at_depth(cloud, cloud.depth * 2, K, 4)
    for points in (cloud, moved):
        x, y, z = coords.to_world(points.position.astype(float)).T
        np.testing.assert_allclose(4 * x / z + 2, np.arange(12) % 4 + 0.5, atol=1e-5)
        np.testing.assert_allclose(4 * y / z + 1.5, np.arange(12) // 4 + 0.5, atol=1e-5)
    assert (moved.depth == 2 * cloud.depth).all()


def test_missing_and_doubled_points_are_counted():
    cloud = photo_cloud.cloud_of(*photo(), K)
    assert photo_cloud.missing_points([cloud], 3, 4) == 0
    few = cloud.take(np.arange(12) >= 5)
    assert photo_cloud.missing_points([few], 3, 4) == 5
    assert photo_cloud.missing_points([cloud, cloud.take(np.arange(12) < 2)], 3, 4) == 2
    with pytest.raises(ValueError, match="5 of 12 pixels"):
        photo_cloud.photo_of([few], 3, 4)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def plain_positions(pixel, depth, intrinsics, width):
    """What positions() says, one step after the other in doubles."""
    row, column = np.divmod(pixel.astype(np.int64), width)
    z = depth.astype(np.float64)
    x = (column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1] * z
    return coords.to_blender(np.stack([x, y, z], axis=-1)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 700 * 500])
def test_positions_have_the_bits_of_the_plain_sum_for_pixels_in_any_order(count):
    rng = np.random.default_rng(3)
    pixel = rng.permutation(700 * 500)[:count].astype(np.int32)
    depth = rng.uniform(0.1, 90, count).astype(np.float32)
    k = np.array([[611.3, 0, 349.7], [0, 612.9, 251.2], [0, 0, 1]])
    assert same_bits(
        photo_cloud.positions(pixel, depth, k, 700), plain_positions(pixel, depth, k, 700)
    )


def test_bytes_of_any_float_are_those_of_a_search_between_the_256_values():
    rng = np.random.default_rng(4)
    halfway = (photo_cloud.LINEAR[1:] + photo_cloud.LINEAR[:-1]) / 2
    near = [np.nextafter(photo_cloud.LINEAR, np.float32(side)) for side in (-1, 2)]
    odd = np.float32([-0.0, -5, 9, np.inf, -np.inf, np.nan, 1e-40])
    values = np.concatenate(
        [photo_cloud.LINEAR, halfway, *near, odd, rng.uniform(-0.1, 1.1, 300_000)]
    )
    values = values.astype(np.float32)
    assert same_bits(
        photo_cloud.to_bytes(values), np.searchsorted(halfway, values).astype(np.uint8)
    )
    rows = values[: values.size // 4 * 4].reshape(-1, 4)
    assert (photo_cloud.to_bytes(rows[:, :3]) == photo_cloud.to_bytes(rows)[:, :3]).all()


def test_a_photo_of_millions_of_points_comes_back_to_the_byte():
    height, width = 1365, 2048  # how long it takes is a row of `make bench`
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    depth = rng.uniform(2, 20, (height, width)).astype(np.float32)
    cloud = photo_cloud.cloud_of(image, depth, np.zeros((height, width), np.int32), K)
    back, _ = photo_cloud.photo_of([cloud], height, width)
    assert (back == image).all()


def test_points_off_their_rays_are_counted_and_those_without_a_place_too():
    cloud = photo_cloud.cloud_of(*photo(30, 40), K)
    offset = np.array([0.5, -3.0, 1.25])
    cloud.position[:] -= offset.astype(np.float32)
    assert photo_cloud.moved_points(cloud, K, 40, offset, 1e-5) == 0
    cloud.position[[3, 500, 1199], [0, 1, 2]] += 0.01
    cloud.position[7, 0] = np.nan
    assert photo_cloud.moved_points(cloud, K, 40, offset, 1e-5) == 4
