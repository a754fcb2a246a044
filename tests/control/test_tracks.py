"""Tracks: points that stay on their instance, hidden when something real is before them."""

from __future__ import annotations

import pytest
import torch

from backend.control.tracks import farthest_points, shot_tracks
from backend.control_sources import shot_masks
from tests.geometry.scenes import motion, shot_of, translation, two_instances


def tracks(moved, view=None, static=(), **counts):
    lift, ids = two_instances()
    shot = shot_of(lift, ids, motion(lift.camera, moved, view), static)
    return shot_tracks(shot, shot_masks(shot), **counts), ids


STILL = [translation(), translation()]


def test_seeds_lie_on_their_instances_and_each_has_its_share():
    found, ids = tracks([STILL, STILL], per_instance=5, anchors=7)
    assert found.xy.shape == (2, 17, 2)
    assert torch.bincount(found.instance).tolist() == [7, 5, 5]
    column, row = found.xy[0].floor().long().unbind(-1)
    assert bool((ids[row, column] == found.instance).all())
    assert bool(found.visible.all())


def test_points_move_with_their_instance_by_what_the_pinhole_says():
    found, _ = tracks([STILL, [translation(x=0.8), translation(z=-2.0)]])
    step = found.xy[1] - found.xy[0]
    # z = 5, focal length 50: 0.8 units are 8 pixels
    torch.testing.assert_close(step[found.instance == 1], torch.tensor([8.0, 0.0]).expand(8, 2))
    # From z = 4 to 2: twice as far from the middle of the picture (30, 20)
    blue = found.instance == 2
    middle = torch.tensor([30.0, 20.0])
    torch.testing.assert_close(found.xy[1, blue] - middle, 2 * (found.xy[0, blue] - middle))
    torch.testing.assert_close(found.depth[1, blue], torch.full((8,), 2.0))
    assert bool((step[found.instance == 0] == 0).all())


def test_a_camera_move_carries_the_anchors():
    found, _ = tracks([STILL, STILL], view=[translation(), translation(x=-0.4)])
    step = (found.xy[1] - found.xy[0])[found.instance == 0]
    torch.testing.assert_close(step, torch.tensor([-2.0, 0.0]).expand_as(step))


def test_a_point_behind_something_nearer_is_hidden_and_keeps_its_place():
    found, _ = tracks([STILL, [translation(x=2.2), translation()]])
    red = found.instance == 1
    hidden = red & ~found.visible[1]
    assert int(hidden.sum()) >= 4
    assert bool(((found.xy[1, hidden, 0] > 32) & (found.xy[1, hidden, 0] < 50)).all())
    assert bool(found.visible[1][found.instance == 2].all())


def test_points_that_leave_the_frame_or_pass_the_camera_are_hidden():
    for away in (translation(x=50.0), translation(z=-9.0)):
        found, _ = tracks([STILL, [away, translation()]])
        assert not bool(found.visible[1][found.instance == 1].any())
        assert bool(torch.isfinite(found.xy).all())


@pytest.mark.parametrize("z", [-5.0, -9.0], ids=["in the camera's plane", "behind it"])
def test_points_that_pass_the_camera_leave_the_frame_on_the_side_where_they_were(z):
    found, _ = tracks([STILL, [translation(z=z), translation()]])
    red = found.instance == 1
    rest, last = found.xy[:, red]
    assert float(found.depth[1, red].max()) <= 0.0
    assert bool(torch.isfinite(last).all())
    # Columns 10..24 are left of the middle, 30: all fly out at the left
    assert bool((rest[:, 0] < 30).all())
    assert bool((last[:, 0] < 0).all())


def test_a_picked_static_instance_has_tracks_of_its_own():
    found, _ = tracks([[translation()], [translation(x=1)]], static=(2,), anchors=0)
    assert torch.bincount(found.instance).tolist() == [0, 8, 8]
    still = found.instance == 2
    assert bool((found.xy[0, still] == found.xy[1, still]).all())


def test_farthest_points_spread_and_stop_at_what_there_is():
    line = torch.arange(11.0)[:, None]
    assert farthest_points(line, 3).tolist() == [5, 0, 10]
    assert len(farthest_points(line, 99)) == 11
    assert len(farthest_points(line[:0], 4)) == 0
