"""Alpha that follows the photo, on spokes and hairs whose true alpha is known."""

import math

import pytest
import torch

from backend.compose.filters import blur, dilate, erode
from backend.compose.matting import BAND_RADIUS, alpha_matte

SIDE = 160


def spokes(width):
    """A disc with eight spokes of that width in pixels; bool."""
    y, x = torch.meshgrid(torch.arange(SIDE) - 79.5, torch.arange(SIDE) - 79.5, indexing="ij")
    away = torch.hypot(x, y)
    shape = away < 20
    for n in range(8):
        turn = n * math.pi / 8 + 0.1
        beside = (x * math.sin(turn) - y * math.cos(turn)).abs()
        shape |= (beside < width / 2) & (away < 70)
    return shape


def photo(shape, contrast=1.0):
    """Something reddish on stripes of two greens, both a little noisy; and its true alpha."""
    generator = torch.Generator().manual_seed(1)
    alpha = blur(shape.float(), 0.6)
    stripes = (torch.arange(SIDE) // 9 % 2).float()[:, None].expand(SIDE, SIDE)
    ground = torch.stack([0.2 + 0 * stripes, 0.5 + 0.1 * stripes, 0.3 + 0.05 * stripes])
    thing = ground + contrast * (torch.tensor([0.8, 0.3, 0.2])[:, None, None] - ground)
    image = alpha * thing + (1 - alpha) * ground
    return (image + 0.03 * torch.randn(image.shape, generator=generator)).clamp(0, 1), alpha


@pytest.mark.parametrize("width", [1.5, 3.0])
def test_spokes_in_a_mask_one_pixel_too_large_come_nearer_to_their_own_alpha(width):
    shape = spokes(width)
    image, truth = photo(shape)
    mask = dilate(shape, 1)
    before, after = (
        (a - truth).abs().mean() for a in (blur(mask.float(), 0.7), alpha_matte(image, mask, 1))
    )
    assert before > 0.06
    assert after < 0.6 * before


def test_hairs_that_the_mask_missed_come_along_as_far_as_the_band_goes():
    shape = spokes(2.0)
    image, truth = photo(shape)
    disc = dilate(erode(shape, 3), 3)
    ring = dilate(disc, BAND_RADIUS - 1) & ~dilate(disc, 1)
    hair = ring & (truth > 0.6)
    alpha = alpha_matte(image, disc, 0.0)
    assert hair.sum() > 20
    assert alpha[hair].mean() > 0.3
    assert alpha[ring & (truth < 0.05)].mean() < 0.05
    assert (alpha[~dilate(disc, BAND_RADIUS)] == 0).all()


@pytest.mark.parametrize("softness", [0.0, 1.0, 3.0])
def test_without_contrast_alpha_is_the_blurred_mask_to_the_bit(softness):
    mask = spokes(3.0)
    for image in (torch.full((3, SIDE, SIDE), 0.4), photo(mask, contrast=0.0)[0]):
        assert (alpha_matte(image, mask, softness) == blur(mask.float(), 0.7 * softness)).all()


def test_noise_moves_alpha_nowhere():
    noise = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    mask = spokes(3.0)
    assert (alpha_matte(noise, mask, 1.0) == blur(mask.float(), 0.7)).all()


def test_softness_is_the_least_width_of_an_edge_however_sharp_the_photo_is():
    mask = torch.zeros(40, 60, dtype=torch.bool)
    mask[:, 30:] = True
    image = mask.float().expand(3, 40, 60)
    for softness in (0.0, 1.0, 4.0):
        torch.testing.assert_close(
            alpha_matte(image, mask, softness),
            blur(mask.float(), 0.7 * softness),
            atol=1e-3,
            rtol=0,
        )


def test_beyond_the_band_alpha_is_the_mask():
    image, _ = photo(spokes(3.0))
    other = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    other[30:120, 20:100] = True
    alpha = alpha_matte(image, other, 0.0)
    beyond = ~(dilate(other, BAND_RADIUS) & ~erode(other, BAND_RADIUS))
    assert (alpha[beyond] == other.float()[beyond]).all()


@pytest.mark.parametrize("fill", [True, False])
def test_an_empty_and_a_full_mask_are_themselves(fill):
    mask = torch.full((20, 30), fill)
    assert (alpha_matte(torch.rand(3, 20, 30), mask, 1.0) == mask.float()).all()
