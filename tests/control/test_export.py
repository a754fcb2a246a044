"""Boxes in the forms of other tools."""

from __future__ import annotations

from backend.control.boxes import shot_boxes
from backend.control_sources import shot_masks
from protocol.export import drag_trajectories
from tests.geometry.scenes import motion, shot_of, translation, two_instances


def boxes(last, static=()):
    lift, ids = two_instances()
    still = [translation() for _ in last]
    shot = shot_of(lift, ids, motion(lift.camera, [still, last]), static)
    found = shot_boxes(shot, shot_masks(shot))
    return found.xyxy, found.visible


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
    array = drag_trajectories(found.numpy())
    assert array is not None
    assert array.shape == (2, 4, 2)
    assert array[0].tolist() == [[10, 10], [25, 30], [17.5, 20], [25.5, 20]]
    assert drag_trajectories(boxes([translation(z=-1.0), translation()])[0].numpy()) is None
