"""The draft: the photo's own pixels, hidden where they are behind, whole where they come near."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from backend import pipeline
from backend.compose.filters import blur, erode
from backend.compose.layers import layers_from_shot
from backend.compose.warp import LayerWarper
from backend.contracts import Lift, Motion
from backend.engines import registry
from protocol.errors import ShotError
from tests.geometry.scenes import (
    motion,
    scaled,
    shot_of,
    translation,
    turn_y,
    two_instances,
    wall_camera,
)

RED, BLUE, GREY = (torch.tensor(c) for c in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.5)))


def draft(path, static=(), lift=None, ids=None, **options):
    own_lift, own_ids = two_instances()
    shot = shot_of(lift or own_lift, own_ids if ids is None else ids, path, static, **options)
    return pipeline.render(shot, registry.load("draft"), lambda *step: None).frames


def thick_draft(thickness, *last, **more):
    lift, ids = two_instances()
    shot = replace(shot_of(lift, ids, paths(*last), **more), thickness=thickness)
    return pipeline.render(shot, registry.load("draft"), lambda *step: None).frames


def paths(*last, view=None):
    camera = two_instances()[0].camera
    still = [translation() for _ in last]
    return motion(camera, [still, list(last)], None if view is None else [translation(), view])


def near(frame, colour, tolerance=0.02):
    return (frame - colour[:, None, None]).abs().amax(0) < tolerance


def test_frame_zero_is_the_photo_bit_for_bit():
    lift, _ = two_instances()
    noisy = Lift(
        image=(torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(3)) * 255).round()
        / 255,
        depth=lift.depth,
        camera=lift.camera,
        near=lift.near,
        far=lift.far,
    )
    frames = draft(paths(translation(x=1.0), translation()), lift=noisy)
    assert bool((frames[0] == noisy.image).all())
    assert not bool((frames[1] == noisy.image).all())


def test_what_moves_leaves_clean_background_behind():
    frame = draft(paths(translation(y=-20.0), translation()))[1]
    _, ids = two_instances()
    assert bool(near(frame, GREY)[ids == 1].all())


def test_a_move_sideways_is_the_move_that_the_pinhole_says():
    # 1 unit at z = 5 and focal length 50 is 10 pixels
    frame = draft(paths(translation(x=-0.8), translation()))[1]
    _, ids = two_instances()
    expected = torch.roll(ids == 1, -8, dims=1)
    red = near(frame, RED, 0.1)
    assert bool(red[erode(expected, 2)].all())
    assert not bool(red[~expected].any())


def test_passing_behind_is_hidden_and_passing_before_hides():
    _, ids = two_instances()
    blue_inside = torch.zeros_like(ids, dtype=torch.bool)
    rows, columns = torch.nonzero(ids == 2, as_tuple=True)
    blue_inside[rows.min() + 2 : rows.max() - 1, columns.min() + 2 : columns.max() - 1] = True
    for static in ((), (2,)):
        last = [translation(x=2.2)] + ([] if static else [translation()])
        frame = draft(paths(*last), static=static)[1]
        assert bool(near(frame, BLUE)[blue_inside].all()), f"static {static}"
    before = draft(paths(translation(x=1.6, z=-2.5), translation()))[1]
    assert bool(near(before, RED)[blue_inside].float().mean() > 0.9)


@pytest.mark.parametrize(("z", "seen"), [(-1.1, True), (-0.9, False)])
def test_before_or_behind_a_picked_thing_that_stays_is_decided_by_the_depth_alone(z, seen):
    """Blue stays at 4. Red comes to 3.9 or to 4.1, two per cent and a half either way."""
    frame = draft(paths(translation(x=1.6, z=z)), static=(2,))[1]
    assert bool(near(frame, RED)[15:25, 37:41].all()) == seen
    assert bool(near(frame, BLUE)[15:25, 37:41].all()) != seen


@pytest.mark.parametrize(("z", "seen"), [(-1.5, True), (0.5, False)])
def test_what_was_not_picked_hides_by_its_depth_too(z, seen):
    """The blue square is only depth here. Red comes to 3.5 or to 5.5, blue is at 4."""
    lift, ids = two_instances()
    ids = torch.where(ids == 1, 1, 0).int()
    frame = draft(motion(lift.camera, [[translation()], [translation(x=1.6, z=z)]]), ids=ids)[1]
    assert bool(near(frame, RED)[15:25, 37:41].all()) == seen
    assert bool(near(frame, BLUE)[15:25, 37:41].all()) != seen


def test_a_soft_outline_in_the_photo_leaves_no_ghost_behind():
    """The red square's outline is blurred over two pixels; where it stood, the wall is clean."""
    lift, _ = two_instances()
    soft = torch.stack([blur(channel, 1.0) for channel in lift.image])
    lift = Lift(image=soft, depth=lift.depth, camera=lift.camera, near=2.0, far=12.0)
    frame = draft(paths(translation(y=-20.0), translation()), lift=lift)[1]
    assert float((frame - 0.5).abs().amax(0)[:, :28].max()) < 0.02


@pytest.mark.slow
def test_a_camera_that_flies_over_the_ground_needs_no_more_memory_than_the_frame():
    """The nearest ground comes 20 times nearer; only what is magnified gets more samples."""
    camera = wall_camera(213, 320, focal=300.0)
    rows = (torch.arange(213) + 0.5 - 100).clamp(min=5.7) / 112.5
    depth = (2.0 / rows)[:, None].expand(213, 320).contiguous()
    image = torch.rand(3, 213, 320, generator=torch.Generator().manual_seed(0))
    lift = Lift(image=image, depth=depth, camera=camera, near=2.0, far=40.0)
    ids = torch.zeros(213, 320, dtype=torch.int32)
    cut = LayerWarper(
        layers_from_shot(
            shot_of(lift, ids, motion(camera, [[], []], [translation(), translation()]))
        ).plate
    )
    scale = torch.tensor(1.0)
    counts = [
        len(cut._subdivided(translation(z=-z).float(), scale, camera)[0]) for z in (0.0, 1.0, 1.9)
    ]
    assert max(counts) < 3 * counts[0]


def test_no_fringe_of_background_around_what_moves():
    """On a black wall, a red square with a hard outline; moved, nothing but red and its fading."""
    lift, ids = two_instances()
    image = torch.where(ids == 1, RED[:, None, None], 0.0)
    lift = Lift(image=image, depth=lift.depth, camera=lift.camera, near=2.0, far=12.0)
    ids = torch.where(ids == 1, 1, 0).int()
    moved = draft(motion(lift.camera, [[translation()], [translation(x=0.33)]]), lift=lift, ids=ids)
    white_wall = draft(
        motion(lift.camera, [[translation()], [translation(x=0.33)]]),
        lift=Lift(
            image=torch.where(ids == 1, RED[:, None, None], 1.0),
            depth=lift.depth,
            camera=lift.camera,
            near=2.0,
            far=12.0,
        ),
        ids=ids,
    )
    # The same alpha on both walls: red stays full, the other channels are the wall's share
    torch.testing.assert_close(moved[1][0], 1 - white_wall[1][1], atol=0.02, rtol=0)


@pytest.mark.parametrize("factor", [3.0, 5.0])
def test_no_cracks_when_something_comes_nearer(factor):
    camera = wall_camera(96, 96, focal=96.0)
    lift = Lift(
        image=torch.zeros(3, 96, 96), depth=torch.full((96, 96), 6.0), camera=camera, near=1, far=9
    )
    ids = torch.zeros(96, 96, dtype=torch.int32)
    ids[40:56, 40:56] = 1
    lift.image[:, ids == 1] = RED[:, None]
    lift.image[:, ids == 0] = BLUE[:, None]
    # Toward the camera along its axis: about the image's middle
    path = motion(camera, [[translation()], [translation(z=6.0 / factor - 6.0)]])
    frame = draft(path, lift=lift, ids=ids)[1]
    reach = int((8 - 2.5) * factor)  # the soft edge of 2.5 px grows with it
    inside = (slice(48 - reach, 48 + reach),) * 2
    assert bool(near(frame, RED, 0.01)[inside].all())


@pytest.mark.parametrize("angle", [0.5, math.pi / 2, math.pi])
def test_rolling_about_the_optical_axis_is_a_turn_of_the_picture(angle):
    """Turned by a right angle or two, every pixel lands on a pixel: the photo, turned."""
    camera = wall_camera(64, 64, focal=64.0)
    generator = torch.Generator().manual_seed(1)
    photo = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 8, generator=generator), size=(64, 64), mode="bilinear"
    )[0]
    lift = Lift(image=photo, depth=torch.full((64, 64), 4.0), camera=camera, near=1, far=9)
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    ids = (x**2 + y**2 < 20**2).int()
    roll = torch.eye(4, dtype=torch.float64)
    c, s = math.cos(angle), math.sin(angle)
    roll[:2, :2] = torch.tensor([[c, -s], [s, c]])
    frame = draft(motion(camera, [[translation()], [roll]]), lift=lift, ids=ids)[1]
    source = torch.stack([(c * x + s * y), (-s * x + c * y)], -1) / 32
    expected = torch.nn.functional.grid_sample(photo[None], source[None], align_corners=False)[0]
    inside = x**2 + y**2 < 15**2
    difference = (frame - expected).abs().amax(0)[inside]
    assert float(difference.max()) < 0.03


def test_turning_keeps_it_whole():
    frame = draft(paths(turn_y(1.0, (-1.4, 0.0, 5.0)), translation()))[1]
    rows, columns = torch.nonzero(near(frame, RED, 0.1), as_tuple=True)
    part = near(frame, RED, 0.1)[rows.min() + 2 : rows.max() - 1, columns.min() + 1 : columns.max()]
    assert bool(part.float().mean() > 0.95)
    assert columns.max() - columns.min() < 12  # 15 wide at rest, cos(1) = 0.54


def test_a_camera_move_has_parallax_the_pinhole_gives():
    """The camera steps 0.4 to the right: z = 4 shifts 5 px left, z = 10 shifts 2."""
    lift, ids = two_instances()
    image = lift.image.clone()
    image[:, :, 0:3] = 1.0  # a white post on the wall
    lift = Lift(image=image, depth=lift.depth, camera=lift.camera, near=2.0, far=12.0)
    path = paths(translation(), translation(), view=translation(x=-0.4))
    frame = draft(path, lift=lift)[1]
    blue = torch.nonzero(near(frame, BLUE, 0.1))[:, 1]
    rest = torch.nonzero(ids == 2)[:, 1]
    assert abs(float(blue.float().mean() - rest.float().mean()) + 5.0) < 0.6
    white = near(frame, torch.ones(3), 0.1)
    assert bool(white[20, 0])
    assert not bool(white[20, 2:].any())


def test_zooming_in_fills_the_frame():
    lift, ids = two_instances()
    zoomed = lift.camera.intrinsics.clone()
    zoomed[0, 0] *= 2
    zoomed[1, 1] *= 2
    path = Motion(
        moved_from_rest=torch.eye(4).double().expand(2, 2, 4, 4),
        camera_from_world=torch.eye(4).double().expand(2, 4, 4),
        intrinsics=torch.stack([lift.camera.intrinsics, zoomed]),
    )
    frame = draft(path)[1]
    assert bool((near(frame, GREY) | near(frame, RED, 1.0) | near(frame, BLUE, 1.0)).all())
    assert int(near(frame, BLUE, 0.1).sum()) > 2.5 * int((ids == 2).sum())


def test_growing_makes_it_larger_where_it_stands():
    frame = draft(paths(scaled(2.0, (-1.35, 0.0, 5.0)), translation()))[1]
    _, ids = two_instances()
    assert int(near(frame, RED, 0.1).sum()) > 2.0 * int((ids == 1).sum())


def test_a_hard_edge_is_to_be_had():
    frame = draft(paths(translation(y=-0.2), translation()), softness=0.0)[1]
    assert bool((near(frame, GREY) | near(frame, RED) | near(frame, BLUE)).all())


def test_softness_out_of_range_is_refused_with_the_range():
    with pytest.raises(ShotError, match="'softness' is 9, allowed 0 to 4"):
        draft(paths(translation(x=1.0), translation()), softness=9.0)


def test_something_that_leaves_the_frame_or_passes_the_camera_is_simply_not_seen():
    for away in (translation(x=100.0), translation(z=-50.0)):
        frame = draft(paths(away, translation()))[1]
        assert not bool(near(frame, RED, 0.3).any())


RED_MIDDLE = (-1.25, 0.0, 5.0)


def test_a_body_shows_at_the_side_when_its_instance_turns_and_more_of_a_thicker_one():
    turned = turn_y(math.pi / 3, RED_MIDDLE), translation()
    areas = [int(near(thick_draft({1: t}, *turned)[1], RED, 0.2).sum()) for t in (0.0, 0.5, 1.0)]
    assert areas[0] < 0.8 * areas[1] < 0.8 * areas[2]


def test_with_a_body_frame_zero_is_the_photo_and_a_slide_past_the_camera_is_as_without():
    lift, _ = two_instances()
    frames = thick_draft({1: 1.0}, turn_y(math.pi / 3, RED_MIDDLE), translation())
    assert bool((frames[0] == lift.image).all())
    # Moved by a pixel or scaled from the camera, the front hides all that is behind it
    for moved in (scaled(0.8, (0.0, 0.0, 0.0)), translation()):
        last = moved, translation(x=0.08)
        assert bool((thick_draft({1: 1.0}, *last) == thick_draft({}, *last)).all())


def test_a_soft_outline_does_not_harden_as_soon_as_a_thick_instance_begins_to_turn():
    last = turn_y(0.02, RED_MIDDLE), translation()
    thin, thick = thick_draft({}, *last)[1], thick_draft({1: 0.5}, *last)[1]
    assert float((thin - thick).abs().max()) < 0.25


def test_a_picked_static_instance_shows_its_side_when_the_camera_goes_round_it():
    lift, ids = two_instances()
    path = motion(
        lift.camera, [[translation()]] * 2, [translation(), turn_y(0.6, (0.65, 0.0, 4.0))]
    )
    areas = []
    for thickness in (0.0, 1.0):
        shot = replace(shot_of(lift, ids, path, (2,)), thickness={2: thickness})
        frames = pipeline.render(shot, registry.load("draft"), lambda *step: None).frames
        areas.append(int(near(frames[1], BLUE, 0.2).sum()))
    assert areas[0] < 0.8 * areas[1]


@pytest.mark.parametrize("degrees", [75, 90, 100, 180])
@pytest.mark.parametrize("nearer", [0.0, -2.5])
def test_a_body_has_no_holes_from_any_side_and_none_when_it_comes_near(degrees, nearer):
    lift, ids = two_instances()
    turned = turn_y(math.radians(degrees), RED_MIDDLE)
    path = paths(translation(x=1.25 * (nearer < 0), z=nearer) @ turned, translation(x=20.0))
    shot = replace(shot_of(lift, ids, path), thickness={1: 0.8})
    frames = pipeline.render(shot, registry.load("draft"), lambda *step: None).frames
    red = near(frames[1], RED, 0.35).int()
    around = 1 - red
    for axis in (0, 1):
        around *= red.cummax(axis).values * red.flip(axis).cummax(axis).values.flip(axis)
    assert int(red.sum()) > 100
    assert int(around.sum()) == 0
