"""Tracks and boxes in the forms of other tools."""

from __future__ import annotations

import numpy as np
import torch

from backend.contracts import Tracks
from backend.control.export import drag_trajectories, instance_boxes, splines, wan_move
from backend.pipeline import render_shot_masks
from tests.geometry.scenes import motion, shot_of, translation, two_instances

TRACKS = Tracks(
    xy=torch.tensor([[[1.5, 2.5], [3.0, 4.0]], [[1.75, 2.5], [3.0, 5.0]]]),
    depth=torch.tensor([[5.0, 6.0], [5.0, 7.0]]),
    visible=torch.tensor([[True, True], [True, False]]),
    instance=torch.tensor([1, 0], dtype=torch.int32),
)


def test_wan_move_has_a_leading_axis_and_its_dtypes():
    arrays = wan_move(TRACKS)
    assert (arrays["tracks"].shape, arrays["tracks"].dtype) == ((1, 2, 2, 2), np.float32)
    assert (arrays["visibility"].shape, arrays["visibility"].dtype) == ((1, 2, 2), np.bool_)
    assert arrays["tracks"][0, 1, 0].tolist() == [1.75, 2.5]
    assert arrays["depth"].tolist() == [[5, 6], [5, 7]]


def test_splines_are_a_list_of_points_a_track():
    assert splines(TRACKS)[1] == [{"x": 3.0, "y": 4.0}, {"x": 3.0, "y": 5.0}]


def boxes(last, static=()):
    lift, ids = two_instances()
    still = [translation() for _ in last]
    shot = shot_of(lift, ids, motion(lift.camera, [still, last]), static)
    return instance_boxes(shot, render_shot_masks(shot, lambda *step: None))


def test_a_box_is_around_the_pixels_of_its_instance():
    found, visible = boxes([translation(x=0.8), translation()])
    # Red: columns 10..24, rows 10..29; 8 pixels to the right
    assert found[0].tolist() == [[10, 10, 25, 30], [18, 10, 33, 30]]
    assert bool(visible.all())


def test_a_hidden_instance_keeps_its_box_and_one_out_of_the_frame_has_none():
    found, visible = boxes([translation(x=2.4), translation(x=90.0)])
    assert found[0, 1].tolist() == [34, 10, 49, 30]
    assert found[1, 1].tolist() == [0, 0, 0, 0]
    assert visible.tolist() == [[True, True], [True, False]]


def test_a_box_is_cut_at_the_frame():
    found, _ = boxes([translation(x=-1.5), translation()])
    assert found[0, 1].tolist() == [0, 10, 10, 30]


def test_a_picked_instance_that_stays_has_a_box_too():
    found, _ = boxes([translation(x=0.8)], static=(2,))
    assert found.shape == (2, 2, 4)
    assert found[1, 0].tolist() == found[1, 1].tolist()


def test_trajectories_are_written_only_for_boxes_of_constant_size():
    found, _ = boxes([translation(x=0.8), translation()])
    array = drag_trajectories(found)
    assert array is not None
    assert array.shape == (2, 4, 2)
    assert array[0].tolist() == [[10, 10], [25, 30], [17.5, 20], [25.5, 20]]
    assert drag_trajectories(boxes([translation(z=-1.0), translation()])[0]) is None
