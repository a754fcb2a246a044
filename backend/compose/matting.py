"""Alpha matting: refines a binary mask along its outline with a guided filter in colour.

In a band around the outline, alpha is a local linear function of colour fitted to the mask, so that
hair outside the mask is included and gaps inside it are not. Where colour does not explain the
mask, alpha is the mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.compose.filters import blur, dilate, erode

BAND_RADIUS = 3
"""Pixels on either side of the outline in which alpha may differ from the mask."""
WINDOW_RADIUS = 6
"""Pixels; radius of the filter's square window."""
COLOUR_NOISE = 0.03
"""Regularisation: differences of colour in [0, 1] below it are taken for noise."""
MIN_EXPLAINED, FULL_EXPLAINED = 0.2, 0.5
"""Share of the mask's variance explained by colour: below the first, alpha is the mask; above the
second, it is the filter's."""
FIT_SHORTFALL = 0.18
"""The fit stays this much short of 0 and 1, as neither side has a single colour; rescaled."""


def alpha_matte(image: Tensor, mask: Tensor, softness: float) -> Tensor:
    """The alpha matte of a mask.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        mask: ``(H, W)`` bool.
        softness: minimum width of the edge, pixels; without contrast along the outline, alpha is
            the mask blurred by it.

    Returns:
        ``(H, W)`` in [0, 1]; the blurred mask outside the band.

    Source: the guided filter in colour (He, Sun and Tang, 2013), with windows weighted by the
    variance of the mask in them, and the result by how much of that variance colour explains.
    """
    alpha = mask.float()
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if len(rows):
        margin = BAND_RADIUS + 2 * WINDOW_RADIUS
        part = (
            slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
            slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
        )
        inside = mask[part]
        band = dilate(inside, BAND_RADIUS) & ~erode(inside, BAND_RADIUS)
        guided, explained = _guided_filter(image[:, part[0], part[1]], alpha[part])
        share = ((explained - MIN_EXPLAINED) / (FULL_EXPLAINED - MIN_EXPLAINED)).clamp(
            0.0, 1.0
        ) * band
        guided = ((guided - FIT_SHORTFALL) / (1.0 - 2.0 * FIT_SHORTFALL)).clamp(0.0, 1.0)
        alpha[part] += share * (guided - alpha[part])
    return blur(alpha, 0.7 * softness)


def _guided_filter(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The filtered mask, and the share of its variance explained by colour, both ``(H, W)``."""
    upper = [(i, j) for i in range(3) for j in range(i, 3)]
    squares = [image[i] * image[j] for i, j in upper]
    means = _box_mean(torch.stack([mask, *image, *(mask * image), *squares]))
    mean, colour, product = means[0], means[1:4], means[4:7]
    covariance = product - mean * colour
    colour_covariance = {
        (i, j): means[7 + n] - colour[i] * colour[j] + (COLOUR_NOISE**2 if i == j else 0.0)
        for n, (i, j) in enumerate(upper)
    }
    slope = _solve_symmetric(colour_covariance, covariance)
    variance = mean * (1.0 - mean)
    explained = (slope * covariance).sum(0)
    offset = mean - (slope * colour).sum(0)
    summed = _box_mean(torch.stack([variance, explained, *(variance * slope), variance * offset]))
    total = summed[0].clamp(min=1e-6)
    guided = ((summed[2:5] * image).sum(0) + summed[5]) / total
    return guided, summed[1] / total


def _solve_symmetric(matrix: dict[tuple[int, int], Tensor], right: Tensor) -> Tensor:
    """The solution of a symmetric 3 x 3 system at every pixel."""
    a, b, c = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    d, e, f = matrix[1, 1], matrix[1, 2], matrix[2, 2]
    first = d * f - e * e, c * e - b * f, b * e - c * d
    second = first[1], a * f - c * c, b * c - a * e
    third = first[2], second[2], a * d - b * b
    determinant = a * first[0] + b * first[1] + c * first[2]
    x, y, z = right
    rows = [row[0] * x + row[1] * y + row[2] * z for row in (first, second, third)]
    return torch.stack(rows) / determinant.clamp(min=1e-12)


def _box_mean(values: Tensor) -> Tensor:
    """Means over the window of every pixel, clipped at the border."""
    size = 2 * WINDOW_RADIUS + 1
    across = F.avg_pool2d(values[None], (1, size), 1, (0, WINDOW_RADIUS), count_include_pad=False)
    return F.avg_pool2d(across, (size, 1), 1, (WINDOW_RADIUS, 0), count_include_pad=False)[0]
