"""The control preview."""

import torch

from backend.contracts import MaskSequence
from backend.control.preview import control_frames, palette


def test_ids_stand_left_depth_stands_right_and_near_is_white():
    masks = MaskSequence(
        instance=torch.tensor([[[0, 1, -1]]], dtype=torch.int32),
        depth=torch.tensor([[[20.0, 2.0, torch.inf]]]),
    )
    frames = control_frames(masks, 1, near=2.0, far=20.0)
    assert frames.shape == (1, 3, 1, 6)
    torch.testing.assert_close(frames[0, :, 0, 3:], torch.tensor([[0.0, 1.0, 0.0]] * 3))
    torch.testing.assert_close(frames[0, :, 0, 1], palette(1)[2])
    assert float(frames[0, :, 0, 2].max()) == 0.0


def test_the_first_colours_are_easy_to_tell_apart():
    colours = palette(12)[1:]
    distance = torch.cdist(colours, colours) + torch.eye(13)
    assert float(distance.min()) > 0.15
