"""The control preview."""

import torch

from backend.contracts import MaskSequence
from backend.control.preview import control_frames, palette


def stacked(frames):
    made = torch.stack([*frames])
    assert made.shape == frames.shape
    return made


def test_ids_stand_left_depth_stands_right_and_near_is_white():
    masks = MaskSequence(
        instance=torch.tensor([[[0, 1, -1]]], dtype=torch.int32),
        depth=torch.tensor([[[20.0, 2.0, torch.inf]]]),
    )
    frames = stacked(control_frames(masks, 1, near=2.0, far=20.0))
    assert frames.shape == (1, 3, 1, 6)
    torch.testing.assert_close(frames[0, :, 0, 3:], torch.tensor([[0.0, 1.0, 0.0]] * 3))
    torch.testing.assert_close(frames[0, :, 0, 1], palette(1)[2])
    assert float(frames[0, :, 0, 2].max()) == 0.0


def test_the_first_colours_are_easy_to_tell_apart():
    colours = palette(12)[1:]
    distance = torch.cdist(colours, colours) + torch.eye(13)
    assert float(distance.min()) > 0.15


def test_points_are_discs_in_their_instances_colour_on_both_halves():
    masks = MaskSequence(
        instance=torch.zeros(2, 32, 32, dtype=torch.int32), depth=torch.full((2, 32, 32), 20.0)
    )
    frames = stacked(control_frames(masks, 2, 2.0, 20.0, points=[[(10, 12, 2, 9)], []]))
    for column in (12, 12 + 32):
        torch.testing.assert_close(frames[0, :, 10, column], palette(2)[3])
    assert float((frames[0, :, 20, 20] - frames[1, :, 20, 20]).abs().max()) == 0.0
    assert float((frames[1, :, 10, 12] - palette(2)[1]).abs().max()) == 0.0


def test_a_point_of_what_was_picked_has_a_white_rim_and_one_of_what_stays_a_black_one():
    masks = MaskSequence(
        instance=torch.zeros(1, 32, 32, dtype=torch.int32), depth=torch.full((1, 32, 32), 20.0)
    )
    masks.instance[0, 0, 0] = 2
    frames = control_frames(masks, 1, 2.0, 20.0, points=[[(10, 8, 1, 9), (10, 24, 2, 9)]])
    assert frames[0][:, 10, 8 + 4].tolist() == [1, 1, 1]
    assert frames[0][:, 10, 24 + 3].tolist() == [0, 0, 0]


def test_what_was_not_picked_shows_the_photo():
    masks = MaskSequence(
        instance=torch.tensor([[[0, 1, 2]]], dtype=torch.int32), depth=torch.full((1, 1, 3), 5.0)
    )
    photo = torch.tensor([[[0.3, 0.3, 0.3]]]).expand(3, 1, 3)
    frames = stacked(control_frames(masks, 1, 2.0, 20.0, under=photo))
    assert frames[0, :, 0, 0].tolist() == frames[0, :, 0, 2].tolist()
    torch.testing.assert_close(frames[0, :, 0, 0], torch.full((3,), 0.3))
    assert float((frames[0, :, 0, 1] - 0.3).abs().max()) > 0.2


def test_what_is_not_asked_for_is_not_drawn():
    masks = MaskSequence(
        instance=torch.tensor([[[0, 1]], [[1, 0]]], dtype=torch.int32),
        depth=torch.full((2, 1, 2), 5.0),
    )
    take = torch.rand(2, 3, 1, 2, generator=torch.Generator().manual_seed(1))
    frames = stacked(control_frames(masks, 1, 2.0, 20.0, under=take, tinted=False, depth=False))
    torch.testing.assert_close(frames, take)
    tinted = stacked(control_frames(masks, 1, 2.0, 20.0, under=take, depth=False))
    assert ((tinted - take).abs().amax(1) > 0)[:, 0].tolist() == [[False, True], [True, False]]


def test_drawing_points_leaves_the_photo_as_it_was():
    masks = MaskSequence(
        instance=torch.zeros(1, 32, 32, dtype=torch.int32), depth=torch.full((1, 32, 32), 5.0)
    )
    photo = torch.full((3, 32, 32), 0.5)
    shown = control_frames(
        masks, 1, 2.0, 20.0, under=photo, points=[[(9, 9, 1, 0)]], tinted=False, depth=False
    )
    assert shown[0][:, 9, 9].tolist() == palette(1)[2].tolist()
    assert (photo == 0.5).all()
