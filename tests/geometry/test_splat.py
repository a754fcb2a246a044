"""The splatter: the rule point by point, a slow twin, and what must hold for every scene."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.contracts import Camera, PointCloud
from backend.geometry.camera import intrinsics_from_focal
from backend.geometry.lift import cloud_from_lift
from backend.geometry.splat import render_masks, render_motion
from tests.geometry.scenes import motion, scaled, translation, two_instances, wall_camera
from tests.randomness import examples

# Focal length 1 and principal point 0: a point (x, y, 1) lands on pixel (x, y).
FLAT = Camera(intrinsics=intrinsics_from_focal(1.0, 1.0, 0.0, 0.0), height=3, width=4)


def splat(points, ids, radius=0.75, camera=FLAT):
    xyz = torch.tensor(points, dtype=torch.float32).reshape(1, -1, 3)
    masks = render_masks(xyz, torch.tensor(ids, dtype=torch.int32), camera, radius)
    return masks.instance[0], masks.depth[0]


def reference_splat(points, instance, camera, radius):
    """The rule, pixel by pixel and point by point."""
    ids = torch.full((camera.height, camera.width), -1, dtype=torch.int32)
    depth = torch.full((camera.height, camera.width), torch.inf)
    k = camera.intrinsics.float()
    for row in range(camera.height):
        for column in range(camera.width):
            best = None
            for (x, y, z), item, r in zip(
                points.tolist(), instance.tolist(), radius.tolist(), strict=True
            ):
                if z <= 0:
                    continue
                px = torch.tensor(x) * k[0, 0] / torch.tensor(z) + k[0, 2]
                py = torch.tensor(y) * k[1, 1] / torch.tensor(z) + k[1, 2]
                dx, dy = column + 0.5 - px, row + 0.5 - py
                if dx * dx + dy * dy < torch.tensor(r) ** 2:
                    best = min(best or (torch.inf, 0), (z, item))
            if best:
                depth[row, column], ids[row, column] = best
    return ids, depth


def test_a_point_at_a_pixels_centre_covers_that_pixel_alone():
    ids, depth = splat([[1.5, 0.5, 1.0]], [3])
    assert ids.tolist() == [[-1, 3, -1, -1], [-1] * 4, [-1] * 4]
    assert depth[0, 1] == 1.0
    assert torch.isinf(depth).sum() == 11


def test_a_radius_above_one_reaches_the_four_neighbours_and_not_the_corners():
    ids, _ = splat([[1.5, 1.5, 1.0]], [0], radius=1.1)
    assert (ids == 0).tolist() == [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]


def test_a_distance_equal_to_the_radius_is_not_covered():
    ids, _ = splat([[1.5, 1.5, 1.0]], [0], radius=1.0)
    assert int((ids == 0).sum()) == 1


def test_the_nearest_point_wins_whatever_the_order():
    # (x, y) * z keeps the pixel while z changes
    near, far = [1.5, 0.5, 1.0], [3.0, 1.0, 2.0]
    for points, ids in (([near, far], [1, 2]), ([far, near], [2, 1])):
        assert splat(points, ids)[0][0, 1] == 1


def test_a_tie_goes_to_the_smaller_id():
    assert splat([[1.5, 0.5, 1.0]] * 3, [5, 2, 9])[0][0, 1] == 2


@pytest.mark.parametrize("z", [0.0, -1.0])
def test_points_at_or_behind_the_camera_are_not_seen(z):
    assert int((splat([[0.0, 0.0, z]], [1], radius=5.0)[0] >= 0).sum()) == 0


def test_no_points_is_nothing_everywhere():
    masks = render_masks(torch.zeros(2, 0, 3), torch.zeros(0, dtype=torch.int32), FLAT, 1.0)
    assert masks.instance.shape == (2, 3, 4)
    assert bool((masks.instance == -1).all())


def test_a_point_off_screen_still_covers_what_it_reaches():
    ids, _ = splat([[-0.2, 1.5, 1.0]], [4], radius=0.9)
    assert ids[1].tolist() == [4, -1, -1, -1]


def test_a_negative_id_is_refused():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        splat([[0.5, 0.5, 1.0]], [-1])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(F, P, 3\) and \(P,\)"):
        render_masks(torch.zeros(1, 2, 3), torch.zeros(3, dtype=torch.int32), FLAT, 1.0)


@pytest.mark.parametrize(
    "radius", [torch.ones(3), torch.ones(3, 1), torch.ones(3, 2), torch.ones(1)]
)
def test_a_radius_of_another_shape_is_refused(radius):
    with pytest.raises(ValueError, match=r"must be one number, \(P,\) or \(F, P\)"):
        render_masks(torch.ones(2, 4, 3), torch.zeros(4, dtype=torch.int32), FLAT, radius)


def test_an_id_past_int32_is_refused():
    with pytest.raises(ValueError, match="at most 2147483647, got 2147483648"):
        render_masks(torch.ones(1, 1, 3), torch.tensor([2**31]), FLAT, 1.0)


@pytest.mark.parametrize("radius", [60.0, 1e9, 1e30])
@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_a_radius_far_beyond_the_frame_covers_all_of_it_by_the_nearest(radius, count):
    # 200 points are more than the 12 pixels, so they go a pixel of all at a time
    points = (
        torch.tensor([[-30.0, 1.5, 1.0]]).repeat(count, 1) * torch.arange(1, count + 1)[:, None]
    )
    masks = render_masks(points[None], torch.arange(count).flip(0), FLAT, radius)
    assert bool((masks.instance == count - 1).all())
    assert bool((masks.depth == 1.0).all())


def test_few_large_points_among_many_small_ones_reach_what_the_rule_says():
    # Centres are at 0.5, 1.5 ..: from (1.5, 1.5), 2.2 px reach two pixels and one diagonal
    small = torch.tensor([[3.5, 2.5, 2.0]]) * torch.tensor([1.0, 1.0, 1.0])
    points = torch.cat([torch.tensor([[1.5, 1.5, 1.0]]), small * torch.tensor([2.0, 2.0, 1.0])])
    ids = render_masks(points[None], torch.tensor([7, 8]), FLAT, torch.tensor([2.2, 0.6])).instance[
        0
    ]
    assert ids.tolist() == [[7, 7, 7, -1], [7, 7, 7, 7], [7, 7, 7, 8]]


def test_arrays_and_other_number_types_show_the_same():
    generator = torch.Generator().manual_seed(3)
    points = (torch.rand(2, 30, 3, generator=generator) * 8).round() / 2 + 0.5
    instance = torch.randint(0, 5, (30,), generator=generator)
    wanted = render_masks(points, instance.int(), FLAT, 0.9)
    for same, ids, radius in (
        (points.double(), instance, 0.9),
        (points.numpy(), instance.numpy().astype("uint16"), torch.full((2, 30), 0.9).numpy()),
        (points.half(), instance.byte(), torch.full((30,), 0.9, dtype=torch.float64)),
        (points.movedim(1, 0).clone().movedim(0, 1), instance.short(), torch.full((2, 1), 0.9)),
    ):
        masks = render_masks(same, ids, FLAT, radius)
        assert bool((masks.instance == wanted.instance).all())
        assert bool((masks.depth == wanted.depth).all())
        assert (masks.instance.dtype, masks.depth.dtype) == (torch.int32, torch.float32)


@given(st.integers(0, 10_000))
@examples(40)
def test_the_fast_splatter_equals_its_slow_twin(seed):
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 30, (1,), generator=generator))
    camera = Camera(intrinsics=intrinsics_from_focal(5.0, 4.0, 3.2, 2.7), height=5, width=6)
    points = torch.randn(count, 3, generator=generator)
    points[:, 2] = points[:, 2] * 2 + 1.5
    # A coarse grid of depths makes ties likely
    points[:, 2] = (points[:, 2] * 4).round() / 4
    instance = torch.randint(0, 4, (count,), generator=generator, dtype=torch.int32)
    radius = torch.rand(count, generator=generator) * 2.5 + 0.2
    masks = render_masks(points[None], instance, camera, radius)
    ids, depth = reference_splat(points, instance, camera, radius)
    torch.testing.assert_close(masks.instance[0], ids, rtol=0, atol=0)
    torch.testing.assert_close(masks.depth[0], depth, rtol=0, atol=0)


@given(st.integers(0, 10_000))
@examples(20)
def test_many_points_at_a_time_show_what_few_do_also_exactly_at_their_radius(seed):
    generator = torch.Generator().manual_seed(seed)
    # Quarters of pixels and of radii: many distances are equal to a radius, to the bit
    points = torch.randint(-4, 20, (8, 3), generator=generator) / 4.0
    points[:, 2] = torch.randint(0, 3, (8,), generator=generator).float()
    points[:, :2] *= points[:, 2:]
    instance = torch.randint(0, 4, (8,), generator=generator)
    radius = torch.randint(1, 9, (8,), generator=generator) / 4.0
    few = render_masks(points[None], instance, FLAT, radius)
    # The same point a hundred times over is that point; as many go a pixel of all at a time
    many = render_masks(points.repeat(100, 1)[None], instance.repeat(100), FLAT, radius.repeat(100))
    assert bool((few.instance == many.instance).all())
    assert bool((few.depth == many.depth).all())
    ids, _ = reference_splat(points, instance, FLAT, radius)
    assert bool((few.instance[0] == ids).all())


def test_at_rest_every_pixel_shows_its_own_instance_and_depth():
    lift, instance = two_instances()
    path = motion(lift.camera, [[translation(), translation()]])
    ids, depth = next(render_motion(cloud_from_lift(lift, instance), lift.camera, path))
    assert bool((ids == instance).all())
    torch.testing.assert_close(depth, lift.depth, rtol=0, atol=0)


def area(lift, instance, matrix, item=1):
    path = motion(lift.camera, [[matrix, translation()]])
    ids, _ = next(render_motion(cloud_from_lift(lift, instance), lift.camera, path))
    return ids, int((ids == item).sum())


def test_three_times_nearer_is_nine_times_the_area_without_a_hole():
    camera = wall_camera(90, 90, focal=90.0)
    instance = torch.zeros(90, 90, dtype=torch.int32)
    instance[35:55, 35:55] = 1
    lift, _ = two_instances()
    lift = type(lift)(
        image=torch.zeros(3, 90, 90), depth=torch.full((90, 90), 6.0), camera=camera, near=1, far=9
    )
    path = motion(camera, [[translation(z=-4.0)]])
    ids, depth = next(render_motion(cloud_from_lift(lift, instance), camera, path))
    rows, columns = torch.nonzero(ids == 1, as_tuple=True)
    box = (
        slice(int(rows.min()), int(rows.max()) + 1),
        slice(int(columns.min()), int(columns.max()) + 1),
    )
    # The corners are round by one splat of 2.25 px; nothing inside is missing
    assert int((ids[box] != 1).sum()) <= 12
    assert 58**2 <= int((ids == 1).sum()) <= 64**2
    torch.testing.assert_close(depth[45, 45], torch.tensor(2.0))


def test_growing_in_place_is_as_large_as_coming_nearer():
    lift, instance = two_instances()
    rest = area(lift, instance, translation())[1]
    centre = (-1.4, 0.0, 5.0)
    grown = area(lift, instance, scaled(1.5, centre))[1]
    assert 1.5**2 * rest * 0.9 < grown < 1.5**2 * rest * 1.25


def test_what_moves_behind_is_hidden_and_what_moves_before_hides():
    lift, instance = two_instances()
    behind, _ = area(lift, instance, translation(x=2.0))
    before, _ = area(lift, instance, translation(x=1.4, z=-2.0))
    inside_blue = instance == 2
    assert bool((behind[inside_blue] == 2).all())
    assert int((before[inside_blue] == 1).sum()) > 0.5 * int(inside_blue.sum())


def test_an_empty_cloud_renders_nothing():
    camera = wall_camera(4, 6)
    cloud = PointCloud(xyz=torch.zeros(0, 3), instance=torch.zeros(0, dtype=torch.int32))
    ids, _ = next(render_motion(cloud, camera, motion(camera, [[]])))
    assert bool((ids == -1).all())
