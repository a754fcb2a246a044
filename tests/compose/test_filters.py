"""Filling holes: exact where there is something, smooth where there is nothing."""

from __future__ import annotations

import pytest
import torch

from backend.compose.filters import blur, dilate, erode, pull_push


def hole(height=21, width=30):
    weight = torch.ones(height, width)
    weight[6:15, 8:20] = 0
    return weight


def test_what_has_full_weight_comes_back_exactly():
    image = torch.rand(3, 21, 30, generator=torch.Generator().manual_seed(0))
    filled = pull_push(image, hole())
    assert bool((filled == image)[:, hole() == 1].all())


def test_a_hole_in_one_colour_is_filled_with_it_whatever_lay_in_it():
    image = torch.full((1, 21, 30), 0.25)
    image[:, hole() == 0] = 9.0
    torch.testing.assert_close(pull_push(image, hole()), torch.full((1, 21, 30), 0.25))


def test_a_filled_hole_stays_between_its_surroundings():
    ramp = torch.linspace(0, 1, 30).expand(1, 21, 30).clone()
    filled = pull_push(torch.where(hole() == 1, ramp, 0.0), hole())
    assert float(filled.min()) >= 0.0
    assert float(filled.max()) <= 1.0
    assert float((filled - ramp).abs().max()) < 0.25


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (5, 3), (64, 64)])
def test_any_size_works(shape):
    weight = torch.zeros(shape)
    weight[0, 0] = 1
    filled = pull_push(torch.full((2, *shape), 0.5), weight)
    assert filled.shape == (2, *shape)
    assert bool(torch.isfinite(filled).all())
    torch.testing.assert_close(filled, torch.full((2, *shape), 0.5))


def test_nothing_known_is_zero_and_not_an_error():
    assert float(pull_push(torch.rand(1, 8, 8), torch.zeros(8, 8)).abs().max()) == 0.0


def test_dilate_and_erode_by_a_pixel():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[1:4, 1:4] = True
    assert int(dilate(mask, 1).sum()) == 25
    assert int(erode(mask, 1).sum()) == 1
    assert bool((dilate(mask, 0) == mask).all())
    assert bool(erode(torch.ones(4, 4, dtype=torch.bool), 1).all())  # the border does not eat


def test_blur_keeps_the_sum_and_softens_an_edge_to_a_half():
    step = torch.zeros(9, 40)
    step[:, 20:] = 1
    soft = blur(step, 1.5)
    torch.testing.assert_close(soft.sum(), step.sum(), rtol=1e-4, atol=0)
    torch.testing.assert_close((soft[4, 19] + soft[4, 20]) / 2, torch.tensor(0.5))
    assert blur(step, 0.0) is step
