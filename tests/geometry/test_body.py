"""Flat fronts and thick bodies: along the photo's rays, so that at rest nothing changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.contracts import Lift
from backend.geometry.body import (
    MAX_SHEETS,
    cloud_from_shot,
    outline,
    sheet_scales,
)
from backend.geometry.camera import project
from backend.geometry.fit import fit_photo, render_fitted
from backend.geometry.lift import cloud_from_lift
from protocol import shape
from protocol.messages import Instance
from tests.geometry.scenes import (
    motion,
    shot_of,
    translation,
    turn_y,
    two_instances,
    wall_camera,
)
from tests.randomness import examples


def flattened(depth, mask, amount):
    """The depth that a shot with one instance, ``mask``, is converted to."""
    one = Instance(
        id=1, name="One", moving=True, handle=(0.0, 0.0, 0.0), flatten=amount, thickness=0.0
    )
    return torch.from_numpy(shape.shown_depth(depth.numpy(), mask.int().numpy(), [one]))


ROW = torch.tensor([[2.0, 4.0, 8.0, 100.0]])
MASK = torch.tensor([[True, True, True, False]])


@pytest.mark.parametrize(
    ("amount", "depths"),
    [
        pytest.param(0.0, [2, 4, 8, 100], id="relief"),
        # 1/2, 1/4, 1/8 half way to their median 1/4: 3/8, 1/4, 3/16
        pytest.param(0.5, [8 / 3, 4, 16 / 3, 100], id="half"),
        pytest.param(1.0, [4, 4, 4, 100], id="flat"),
    ],
)
def test_disparities_are_blended_with_their_median_and_nothing_else_moves(amount, depths):
    torch.testing.assert_close(flattened(ROW, MASK, amount), torch.tensor([depths]).float())


def test_of_an_even_number_the_smaller_middle_disparity_counts():
    # 1/2 and 1/4 are in the middle of 1/1, 1/2, 1/4, 1/8
    found = flattened(torch.tensor([[1.0, 2.0, 4.0, 8.0]]), torch.ones(1, 4, dtype=torch.bool), 1.0)
    assert found.tolist() == [[4, 4, 4, 4]]


def test_without_flattening_or_without_pixels_the_depth_is_the_same_to_the_bit():
    assert bool((flattened(ROW, MASK, 0.0) == ROW).all())
    assert bool((flattened(ROW, ~MASK & MASK, 1.0) == ROW).all())


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
def test_other_amounts_are_refused_with_the_range(amount):
    with pytest.raises(ValueError, match="0 to 1, got"):
        flattened(ROW, MASK, amount)


def relief(seed=0, height=24, width=32):
    """A bumpy square (id 1) before a wall."""
    generator = torch.Generator().manual_seed(seed)
    depth = torch.full((height, width), 10.0)
    ids = torch.zeros(height, width, dtype=torch.int32)
    ids[6:18, 8:24] = 1
    depth[6:18, 8:24] = 3.0 + 3.0 * torch.rand(12, 16, generator=generator)
    camera = wall_camera(height, width, 30.0)
    image = torch.rand(3, height, width, generator=generator)
    return Lift(image=image, depth=depth, camera=camera, near=2.0, far=12.0), ids


@examples(50)
@given(seed=st.integers(0, 9), amount=st.floats(0, 1), thickness=st.floats(0, 4))
def test_at_rest_the_photo_shows_the_same_ids_whatever_the_shape(seed, amount, thickness):
    lift, ids = relief(seed)
    flat = replace(lift, depth=flattened(lift.depth, ids == 1, amount))
    still = motion(lift.camera, [[translation()]])
    shot = replace(shot_of(flat, ids, still), thickness={1: thickness})
    found, depth = next(iter(render_fitted(shot)))
    assert bool((found == ids).all())
    assert bool((depth == flat.depth).all())
    # Every point, those of the body too, still projects to the pixel that it came from
    cloud = cloud_from_shot(shot)
    pixel = project(cloud.xyz, lift.camera)
    assert float((pixel - pixel.floor() - 0.5).abs().max()) < 1e-3


def test_the_front_comes_first_and_a_body_is_its_back_and_its_outline_in_between():
    lift, ids = two_instances()
    shot = shot_of(lift, ids, motion(lift.camera, [[translation(), translation()]]))
    front = cloud_from_lift(lift, ids)
    # Red: 15 x 20 pixels at depth 5, focal length 50: a pixel is 0.1 units, a sheet at most 0.08
    thick = replace(shot, thickness={1: 0.225})
    assert sheet_scales(lift, ids == 1, 0.225) == pytest.approx([1.015, 1.03, 1.045])
    cloud = cloud_from_shot(thick)
    ring = 2 * 15 + 2 * 18
    assert len(cloud.xyz) == len(front.xyz) + 2 * ring + 15 * 20
    assert bool((cloud.xyz[: len(front.xyz)] == front.xyz).all())
    assert bool((cloud.instance[len(front.xyz) :] == 1).all())
    assert float(cloud.xyz[len(front.xyz) :, 2].max()) == pytest.approx(5.225)
    assert cloud_from_shot(shot).xyz.shape == front.xyz.shape


def test_the_outline_counts_corners_and_the_photos_edge():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[0:4, 1:4] = True
    inner = torch.nonzero(mask & ~outline(mask)).tolist()
    assert inner == [[1, 2], [2, 2]]


def test_there_is_a_limit_to_the_sheets_of_a_body():
    lift, ids = two_instances()
    assert len(sheet_scales(lift, ids == 1, 1000.0)) == MAX_SHEETS


@pytest.mark.parametrize("thickness", [-1.0, float("inf"), float("nan")])
def test_other_thicknesses_are_refused(thickness):
    lift, ids = two_instances()
    with pytest.raises(ValueError, match="a thickness is a length of 0 or more"):
        sheet_scales(lift, ids == 1, thickness)


def turned_areas(degrees, thicknesses, scale=None):
    """Pixels of a square of 20 x 20 (id 1) at depth 5, turned about its middle."""
    camera = wall_camera(60, 80, 50.0)
    depth, ids = torch.full((60, 80), 30.0), torch.zeros(60, 80, dtype=torch.int32)
    ids[20:40, 30:50], depth[20:40, 30:50] = 1, 5.0
    lift = Lift(image=torch.rand(3, 60, 80), depth=depth, camera=camera, near=2.0, far=40.0)
    matrix = turn_y(torch.pi * degrees / 180, (0.0, 0.0, 5.0))
    shot = shot_of(lift, ids, motion(camera, [[translation()], [matrix]]))
    fit = scale and fit_photo((60, 80), (60 * scale, 80 * scale), "crop")
    found = []
    for thickness in thicknesses:
        shapes = render_fitted(replace(shot, thickness={1: thickness}), fit)
        found.append([ids == 1 for ids, _ in shapes][1])
    return found


def holes(mask):
    """Pixels outside ``mask`` that have some of it to the left, to the right, above and below."""
    inside = mask.int()
    around = 1 - inside
    for axis in (0, 1):
        around *= inside.cummax(axis).values
        around *= inside.flip(axis).cummax(axis).values.flip(axis)
    return int(around.sum())


def test_a_square_turned_by_a_right_angle_shows_its_side_and_nothing_else():
    thin, one, two = turned_areas(90, [0.0, 1.0, 2.0])
    assert int(thin.sum()) <= 60  # an edge
    # The near side is a trapeze. Its front edge is 1.9 units at depth 5 - 0.95: 23 pixels. A unit
    # back all is 1.2 times larger: 2.28 units at 5 - 1.14, 29 pixels, and 13 away from the front.
    assert 13 * 26 <= int(one.sum()) <= 15 * 30
    # Two back, 1.4 times larger: 2.66 units at 5 - 1.33, 36 pixels, 27 away
    assert 27 * 29 <= int(two.sum()) <= 29 * 34
    assert holes(one) == holes(two) == 0


@pytest.mark.parametrize("degrees", [30, 60, 85, 120, 180])
def test_the_thicker_the_larger_and_without_holes(degrees):
    masks = turned_areas(degrees, [0.0, 0.3, 1.0, 2.0])
    areas = [int(mask.sum()) for mask in masks]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]
    assert [holes(mask) for mask in masks[1:]] == [0, 0, 0]


def test_in_a_frame_of_three_times_the_size_a_side_has_no_holes_either():
    (small,), (large,) = turned_areas(60, [1.0]), turned_areas(60, [1.0], scale=3)
    assert holes(large) == 0
    assert int(large.sum()) == pytest.approx(9 * int(small.sum()), rel=0.06)
