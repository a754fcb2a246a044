"""No pixel hangs between a thing and what lies behind it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from backend.geometry.lift import depth_from_disparity
from backend.perception.flying_pixels import remove_flying_pixels

NEAR, FAR = 2.0, 20.0
FRONT, BEHIND = 0.9, 0.2


def between(disparity, front=FRONT, behind=BEHIND):
    """Points that stand off both planes by more than 5 % of the way from one to the other."""
    z = depth_from_disparity(torch.from_numpy(disparity), NEAR, FAR)
    a, b = depth_from_disparity(torch.tensor([front, behind]), NEAR, FAR)
    return int(((z > a + 0.05 * (b - a)) & (z < b - 0.05 * (b - a))).sum())


def disc(height=300, width=400, radius=80):
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    return np.where(inside, FRONT, BEHIND).astype(np.float32)


@pytest.mark.parametrize("blur", [0.7, 1.5, 2.5])
def test_a_blurred_step_keeps_no_point_between_its_planes(blur):
    sharp = disc()
    blurred = cv2.GaussianBlur(sharp, (0, 0), blur)
    cleaned = remove_flying_pixels(blurred, 12)
    assert between(blurred) > 500
    assert between(cleaned) == 0
    # The edge stays where it was: half way up
    assert ((cleaned > 0.55) != (sharp > 0.55)).mean() < 0.004


def test_an_edge_enlarged_from_a_small_network_output_is_clean_at_the_default_reach():
    """1280 x 960 from 518: what the network gives is enlarged 1.85 times."""
    small = cv2.GaussianBlur(disc(518, 690, 150), (0, 0), 1.0)
    large = cv2.resize(small, (1280, 960), interpolation=cv2.INTER_LINEAR)
    assert between(large) > 5000
    assert between(remove_flying_pixels(large)) == 0


def test_a_slope_is_not_touched_to_the_bit():
    y, x = np.mgrid[:200, :300]
    slope = ((y * 2 + x) / 700).astype(np.float32)
    bowl = (((y - 100) ** 2 + (x - 150) ** 2) / 32500.0).astype(np.float32)
    assert (remove_flying_pixels(slope, 6) == slope).all()
    assert (remove_flying_pixels(bowl, 6) == bowl).all()


def test_a_slope_beside_an_edge_moves_by_less_than_its_own_rise_over_the_reach():
    y, _ = np.mgrid[:200, :300]
    ground = (0.1 + y * 0.001).astype(np.float32)
    sharp = np.where(disc(200, 300, 50) > 0.5, np.float32(FRONT), ground)
    cleaned = remove_flying_pixels(cv2.GaussianBlur(sharp, (0, 0), 1.5), 8)
    far = cleaned < 0.6
    # 0.001 a pixel and twice the reach of 8; and away from the edge it did not move at all
    assert np.abs(cleaned - ground)[far].max() < 0.016 + 0.02
    rows = cleaned[:, 10]
    np.testing.assert_allclose(rows[10:-10], ground[10:-10, 10], atol=1e-5)


@pytest.mark.parametrize("width", [3, 5])
def test_a_thin_pole_survives(width):
    """Spokes and twigs keep their width to a pixel on each side, and stay connected."""
    scene = np.full((200, 200), BEHIND, np.float32)
    scene[20:180, 100 : 100 + width] = FRONT
    cleaned = remove_flying_pixels(cv2.GaussianBlur(scene, (0, 0), 0.8), 6)
    wide = (cleaned > 0.5)[30:170].sum(1)
    assert wide.min() >= width - 2
    assert wide.max() <= width + 2
    assert cleaned.max() > 0.7


def test_noise_on_a_plane_is_left_alone():
    plane = 0.5 + np.random.default_rng(0).normal(0, 0.004, (100, 100)).astype(np.float32)
    assert (remove_flying_pixels(plane, 5) == plane).all()


def test_cleaning_twice_changes_nothing_more():
    once = remove_flying_pixels(cv2.GaussianBlur(disc(), (0, 0), 1.5), 12)
    assert (remove_flying_pixels(once, 12) == once).all()


def test_a_map_without_two_axes_is_refused():
    with pytest.raises(ValueError, match=r"must be \(H, W\), got \(3, 4, 5\)"):
        remove_flying_pixels(np.zeros((3, 4, 5), np.float32))
