"""Image filters: pull-push inpainting, dilation, erosion, Gaussian blur."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

POOL_ROWS, POOL_COLUMNS = 2, 4
SATURATING_PIXELS = 2.0
"""Pixels of weight 1 that give their coarse pixel the weight 1."""


def pull_push(values: Tensor, weight: Tensor) -> Tensor:
    """Inpaint pixels of low weight with a smooth extension of those of high weight.

    Weighted averages are pulled up a pyramid until every hole is covered, then pushed down into the
    holes. Pixels of weight 1 are unchanged. Each level halves the height and quarters the width, so
    that a hole is filled from the sides rather than from above and below: pixels of one row mostly
    belong to the same surface (sky, water, ground) at the same distance.

    Args:
        values: ``(C, H, W)`` float.
        weight: ``(H, W)`` in [0, 1]; 0 is a hole.

    Returns:
        ``(C, H, W)``; all zero where no pixel has any weight.

    Source: Gortler et al., "The Lumigraph" (1996), section 3.4.2, with box filters for its
    B-spline and anisotropic levels.
    """
    weight = weight.clamp(0.0, 1.0)[None].to(values)
    if weight.numel() == 1 or bool((weight >= 1.0).all()):
        return torch.where(weight > 0, values, 0.0)
    height, width = values.shape[-2:]
    padded = (0, -width % POOL_COLUMNS, 0, -height % POOL_ROWS)
    share = POOL_ROWS * POOL_COLUMNS / SATURATING_PIXELS
    total = share * F.avg_pool2d(F.pad(weight, padded)[None], (POOL_ROWS, POOL_COLUMNS))[0]
    summed = (
        share * F.avg_pool2d(F.pad(values * weight, padded)[None], (POOL_ROWS, POOL_COLUMNS))[0]
    )
    coarse = pull_push(summed / total.clamp(min=1e-12), total[0])
    smooth = F.interpolate(
        coarse[None], size=(height + padded[3], width + padded[1]), mode="bilinear"
    )[0, :, :height, :width]
    return weight * values + (1.0 - weight) * smooth


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """``(H, W)`` bool dilated by a square of 2 ``pixels`` + 1."""
    if pixels == 0:
        return mask
    side = 2 * pixels + 1  # along rows, then along columns: a square at once takes its area
    grown = F.max_pool2d(mask[None].float(), (1, side), stride=1, padding=(0, pixels))
    grown = F.max_pool2d(grown, (side, 1), stride=1, padding=(pixels, 0))
    return grown[0] > 0


def erode(mask: Tensor, pixels: int) -> Tensor:
    """``(H, W)`` bool eroded by a square of 2 ``pixels`` + 1, but not at the image's border."""
    return ~dilate(~mask, pixels)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(H, W)`` with replicated borders; sigma 0 returns the input."""
    if sigma <= 0:
        return image
    radius = max(1, round(3 * sigma))
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[None, None], (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel[None, None, None, :])
    return F.conv2d(across, kernel[None, None, :, None])[0, 0]
