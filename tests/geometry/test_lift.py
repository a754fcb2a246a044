"""Depth, disparity, and what depth map files hold."""

from __future__ import annotations

import pytest
import torch

from backend.geometry.lift import depth_from_disparity, depth_from_map, disparity_from_depth


def test_disparity_one_is_near_and_zero_is_far():
    depth = depth_from_disparity(torch.tensor([1.0, 0.0, 0.5]), 2.0, 8.0)
    # half-way: 1/z = 1/8 + (1/2 - 1/8)/2 = 5/16
    torch.testing.assert_close(depth, torch.tensor([2.0, 8.0, 3.2]))


def test_disparity_and_depth_undo_each_other():
    disparity = torch.linspace(0, 1, 256)
    again = disparity_from_depth(depth_from_disparity(disparity, 1.5, 40.0), 1.5, 40.0)
    torch.testing.assert_close(again, disparity, atol=1e-6, rtol=0)


def test_infinitely_far_is_disparity_zero():
    assert disparity_from_depth(torch.tensor(torch.inf), 1.0, 9.0) == 0.0


@pytest.mark.parametrize(
    ("nearer_is_larger", "expected"),
    [
        pytest.param(True, [[20.0, 2.0]], id="as disparity"),
        pytest.param(False, [[2.0, 20.0]], id="as depth"),
    ],
)
def test_a_depth_map_is_stretched_from_near_to_far(nearer_is_larger, expected):
    depth = depth_from_map(torch.tensor([[100.0, 900.0]]), nearer_is_larger, 2.0, 20.0)
    torch.testing.assert_close(depth, torch.tensor(expected))


def test_a_flat_depth_map_is_refused_with_its_value():
    with pytest.raises(ValueError, match="every value of the depth map is 3"):
        depth_from_map(torch.full((2, 2), 3.0), True, 1.0, 2.0)


def test_holes_in_a_depth_map_are_counted():
    with pytest.raises(ValueError, match="1 of 4 values"):
        depth_from_map(torch.tensor([[1.0, torch.nan], [2.0, 3.0]]), True, 1.0, 2.0)
