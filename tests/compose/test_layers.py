"""Decomposing a photo into a plate and layers."""

from __future__ import annotations

import torch

from backend.compose.layers import layers_from_shot
from tests.geometry.scenes import motion, shot_of, translation, two_instances

STILL = [translation(), translation()]


def layers_of(moved, view=None, static=(), instance=None):
    lift, ids = two_instances()
    path = motion(lift.camera, moved, view)
    shot = shot_of(lift, ids if instance is None else instance, path, static)
    return layers_from_shot(shot), lift, ids


def test_the_plate_holds_no_colour_of_what_moves():
    cut, lift, ids = layers_of([STILL, [translation(x=1), translation()]])
    torch.testing.assert_close(cut.plate.rgb, torch.full_like(lift.image, 0.5))
    torch.testing.assert_close(cut.plate_depth, torch.full_like(lift.depth, 10.0))
    assert [layer.matrix_index for layer in cut.layers] == [1, 2]
    assert bool((ids > 0).any())


def test_a_layer_is_opaque_inside_half_at_its_outline_and_gone_three_pixels_out():
    cut, _, ids = layers_of([STILL, [translation(x=1), translation()]])
    layer = cut.layers[0]
    rows, columns = torch.nonzero(ids == 1, as_tuple=True)
    middle, left = int(rows.min() + rows.max()) // 2 - layer.top, int(columns.min()) - layer.left
    across = layer.alpha[middle, left - 3 : left + 4]
    assert across[0] < 1e-3
    assert across[-1] > 0.99
    torch.testing.assert_close(across[2] + across[3], torch.tensor(1.0), atol=0.02, rtol=0)


def test_a_layers_colour_goes_on_past_its_outline_so_no_background_shines_through():
    cut, _, _ = layers_of([STILL, [translation(x=1), translation()]])
    layer = cut.layers[0]
    seen = layer.rgb[:, layer.alpha > 0.01]
    torch.testing.assert_close(seen, torch.tensor([[1.0], [0], [0]]).expand_as(seen))
    assert float((layer.xyz[2][layer.support] - 5.0).abs().max()) < 1e-4


def test_a_picked_static_instance_is_in_the_plate_until_the_camera_moves():
    still, lift, ids = layers_of([[translation()], [translation(x=1)]], static=(2,))
    assert (len(still.layers), len(still.occluders)) == (1, 1)
    assert bool((still.plate.rgb[:, ids == 2] == lift.image[:, ids == 2]).all())
    view = [translation(), translation(x=0.5)]
    moving, _, _ = layers_of([[translation()], [translation(x=1)]], view, static=(2,))
    assert (len(moving.layers), len(moving.occluders)) == (2, 0)
    assert [layer.matrix_index for layer in moving.layers] == [1, 0]
    torch.testing.assert_close(moving.plate.rgb, torch.full_like(lift.image, 0.5))


def test_automatic_segments_are_background():
    lift, ids = two_instances()
    with_segments = torch.where(ids == 0, 3, ids)
    cut, _, _ = layers_of([STILL, [translation(x=1), translation()]], instance=with_segments)
    torch.testing.assert_close(cut.plate.rgb, torch.full_like(lift.image, 0.5))


def test_frames_at_rest_are_known():
    cut, _, _ = layers_of([STILL, [translation(x=1), translation()], STILL])
    assert cut.at_rest.tolist() == [True, False, True]


def test_everything_picked_leaves_the_photo_as_the_plate():
    lift, ids = two_instances()
    cut, _, _ = layers_of([STILL, [translation(x=1), translation()]], instance=torch.ones_like(ids))
    torch.testing.assert_close(cut.plate.rgb, lift.image)


def test_an_instance_without_pixels_is_no_layer():
    _, ids = two_instances()
    cut, _, _ = layers_of(
        [STILL, [translation(x=1), translation()]], instance=torch.where(ids == 2, 0, ids)
    )
    assert [layer.matrix_index for layer in cut.layers] == [1]
