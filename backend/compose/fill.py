"""Filling holes in images from what surrounds them, at all scales at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DOWN, ACROSS = 2, 4
SURE = 2.0
"""Certain pixels that make a coarse pixel certain."""


def pull_push(values: Tensor, weight: Tensor) -> Tensor:
    """Replace what has little weight by a smooth continuation of what has much.

    Averages are pulled up a pyramid until every hole is covered, then pushed down again into the
    holes. Pixels of weight 1 come back exactly. Each level halves the height and quarters the
    width, so a hole is filled from beside rather than from above and below: in a photo the same
    row is mostly the same thing (sky, water, ground), and at the same distance.

    Args:
        values: ``(C, H, W)`` float.
        weight: ``(H, W)`` in [0, 1]; 0 is a hole.

    Returns:
        ``(C, H, W)``; all zero where no pixel has any weight.

    Source: Gortler et al., "The Lumigraph" (1996), section 3.4.2, with box filters for its
    B-spline and the oblong levels.
    """
    weight = weight.clamp(0.0, 1.0)[None].to(values)
    if weight.numel() == 1 or bool((weight >= 1.0).all()):
        return torch.where(weight > 0, values, 0.0)
    height, width = values.shape[-2:]
    padded = (0, -width % ACROSS, 0, -height % DOWN)
    share = DOWN * ACROSS / SURE
    total = share * F.avg_pool2d(F.pad(weight, padded)[None], (DOWN, ACROSS))[0]
    summed = share * F.avg_pool2d(F.pad(values * weight, padded)[None], (DOWN, ACROSS))[0]
    coarse = pull_push(summed / total.clamp(min=1e-12), total[0])
    smooth = F.interpolate(
        coarse[None], size=(height + padded[3], width + padded[1]), mode="bilinear"
    )[0, :, :height, :width]
    return weight * values + (1.0 - weight) * smooth


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """``(H, W)`` bool grown by ``pixels`` in every direction, diagonals included."""
    if pixels == 0:
        return mask
    grown = F.max_pool2d(mask[None].float(), 2 * pixels + 1, stride=1, padding=pixels)
    return grown[0] > 0


def erode(mask: Tensor, pixels: int) -> Tensor:
    """``(H, W)`` bool shrunk by ``pixels``; the image's border does not eat into it."""
    return ~dilate(~mask, pixels)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(H, W)`` with replicated borders; sigma 0 returns the input."""
    if sigma <= 0:
        return image
    reach = max(1, round(3 * sigma))
    offset = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[None, None], (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel[None, None, None, :])
    return F.conv2d(across, kernel[None, None, :, None])[0, 0]
