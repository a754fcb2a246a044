"""A take says what goes below its ground or behind its backdrop, on which frames, and a way out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from backend.contracts import Lift
from backend.control import scene_occlusion
from backend.geometry.camera import unproject
from protocol import flat_scene
from tests.geometry.scenes import motion, shot_of, translation, turn_y, wall_camera

HEIGHT, WIDTH, NEAR, FAR, HORIZON = 60, 80, 2.0, 20.0, 0.5
BOX = (slice(20, 46), slice(30, 50))
"""Stands on row 45."""


def flat_lift(kind="ground", box=BOX):
    """A flat scene with something that stands in it, as id 1."""
    rows = flat_scene.row_depths(kind or "ground", HEIGHT, HORIZON, NEAR, FAR)
    depth = torch.from_numpy(rows)[:, None].repeat(1, WIDTH)
    ids = torch.zeros(HEIGHT, WIDTH, dtype=torch.int32)
    ids[box] = 1
    lowest = box[0].stop - 1
    depth[box] = flat_scene.standing_depth(kind or "ground", lowest, HEIGHT, HORIZON, NEAR, FAR)
    camera = wall_camera(HEIGHT, WIDTH)
    image = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    return Lift(image=image, depth=depth, camera=camera, near=NEAR, far=FAR, kind=kind), ids


def moved(*path, kind="ground", view=None, box=BOX):
    lift, ids = flat_lift(kind, box)
    steps = [[step] for step in (translation(), *path)]
    return shot_of(lift, ids, motion(lift.camera, steps, view))


def by_hand(shot, frame):
    """The occluded share of one frame, point by point."""
    lift = shot.lift
    cx, cy = float(lift.camera.intrinsics[0, 2]), float(lift.camera.intrinsics[1, 2])
    f = float(lift.camera.intrinsics[0, 0])
    scene = flat_scene.row_depths(lift.kind, HEIGHT, HORIZON, NEAR, FAR)
    seen = below = 0
    for point in unproject(lift.depth, lift.camera.intrinsics)[shot.instance == 1].tolist():
        x, y, z, _ = shot.motion.moved_from_rest[frame, 0] @ torch.tensor([*point, 1.0]).double()
        column, row = f * x / z + cx, f * y / z + cy
        if 0 <= column < WIDTH and 0 <= row < HEIGHT:
            seen += 1
            below += bool(z > scene[int(row)] * (1 + scene_occlusion.CONTACT_TOLERANCE))
    return below / seen


def test_what_is_moved_down_into_the_ground_is_told_with_its_share_and_its_frames():
    shot = moved(*(translation(y=0.25 * k) for k in (0, 1, 2, 1, 0)))
    (found,) = scene_occlusion.scene_occlusions(shot)
    assert (found.instance, found.ranges) == (1, ((2, 4),))
    assert found.max_share == pytest.approx(by_hand(shot, 3), abs=1e-9)
    assert 0.15 < found.max_share < 0.9
    (note,) = scene_occlusion.occlusion_notes(
        shot, ["Dahlia"], [10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    )
    assert note == (
        "'Dahlia' goes below or behind the ground on frames 14 to 18, where up to "
        f"{100 * found.max_share:.0f} % of it is hidden. Set Scene to Backdrop, lower the horizon, "
        "or move it nearer."
    )


@pytest.mark.parametrize(
    "path",
    [
        pytest.param([translation(x=0.5), translation(x=-0.7)], id="sideways along the ground"),
        pytest.param([translation(z=-0.8), translation(z=3.0)], id="nearer and farther on it"),
        pytest.param([translation(y=-0.5), translation(y=-9.0)], id="up, and out of the picture"),
        pytest.param([turn_y(0.6, (0.0, 0.0, 3.9))], id="turned where it stands"),
    ],
)
def test_what_stays_on_a_level_ground_or_above_it_needs_no_word(path):
    assert scene_occlusion.occlusion_notes(moved(*path), ["Box"], [1.0] * (1 + len(path))) == ()


def test_what_goes_behind_the_wall_or_the_backdrop_is_told_of_that():
    (wall,) = scene_occlusion.occlusion_notes(
        moved(translation(z=30.0, y=-2.0)), ["Box"], [1.0, 9.0]
    )
    assert wall.startswith("'Box' goes below or behind the ground on frame 9, where up to 100 %")
    (backdrop,) = scene_occlusion.occlusion_notes(
        moved(translation(z=30.0), kind="backdrop"), ["Box"], [1.0, 9.0]
    )
    assert backdrop == (
        "'Box' goes behind the backdrop on frame 9, where up to 100 % of it is hidden. Move it "
        "nearer, or lift the photo again with a larger Far."
    )


def test_a_backdrop_hides_nothing_of_what_is_moved_down():
    """The same move that a ground cuts in two."""
    path = [translation(y=0.25 * k) for k in (1, 2, 1)]
    assert len(scene_occlusion.scene_occlusions(moved(*path))) == 1
    assert scene_occlusion.scene_occlusions(moved(*path, kind="backdrop")) == ()


def test_a_depth_that_a_photo_shows_hides_on_purpose():
    lift, ids = flat_lift("ground")
    shot = shot_of(
        replace(lift, kind=""),
        ids,
        motion(lift.camera, [[translation()], [translation(y=0.5)]]),
    )
    assert scene_occlusion.scene_occlusions(shot) == ()


def test_neither_what_is_out_of_the_picture_nor_what_a_picked_thing_hides_counts():
    assert scene_occlusion.scene_occlusions(moved(translation(y=30.0))) == ()
    lift, ids = flat_lift()
    ids[20:60, 55:75] = 2  # a picked thing that stands at the lowest row, before all else
    lift.depth[20:60, 55:75] = NEAR
    path = motion(lift.camera, [[translation()], [translation(x=2.0)]])
    assert scene_occlusion.scene_occlusions(shot_of(lift, ids, path, static=(2,))) == ()


def test_a_camera_that_moves_changes_nothing_of_what_is_below_the_ground():
    path = [translation(y=0.25 * k) for k in (1, 2)]
    still = scene_occlusion.scene_occlusions(moved(*path))
    view = [translation(), translation(x=0.1), translation(x=0.2, z=0.3)]
    (found,) = scene_occlusion.scene_occlusions(moved(*path, view=view))
    assert found.ranges == still[0].ranges
    assert found.max_share == pytest.approx(still[0].max_share, abs=0.1)


def test_stretches_are_told_apart_and_many_become_one():
    down, up = translation(y=0.5), translation()
    times = [float(k) for k in range(1, 10)]
    (two,) = scene_occlusion.occlusion_notes(moved(down, down, up, down), ["Box"], times)
    assert " on frames 2 to 3, 5, where" in two
    (many,) = scene_occlusion.occlusion_notes(
        moved(down, up, down, up, down, up, down), ["Box"], times
    )
    assert " between frames 2 and 8, where" in many


def test_rows_that_are_picked_from_edge_to_edge_are_bridged():
    """Nothing of the ground is left beside it, but the plane goes on behind it."""
    box = (slice(35, 46), slice(0, WIDTH))
    shot = moved(translation(y=0.5), box=box)
    (found,) = scene_occlusion.scene_occlusions(shot)
    assert found.max_share == pytest.approx(by_hand(shot, 1), abs=0.02)


def test_where_everything_is_picked_there_is_no_ground_to_hide_behind():
    shot = moved(translation(y=0.5), box=(slice(0, HEIGHT), slice(0, WIDTH)))
    assert scene_occlusion.scene_occlusions(shot) == ()
