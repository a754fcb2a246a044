"""Alpha that follows the photo along a mask's outline: hair, fur and spokes are softly in between.

Within a few pixels of the outline, what a pixel's colour says of the mask nearby is its alpha; so
strands that the mask missed come along, and gaps that it covered stay behind. Where colour says
nothing of the mask, alpha is the mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.compose.fill import blur, dilate, erode

BAND = 3
"""Pixels on either side of the outline in which alpha may leave the mask."""
REACH = 6
"""Pixels on every side that a colour is compared with."""
NOISE = 0.03
"""Differences of colour, of 1, below which it tells nothing."""
TOLD, TOLD_ALL = 0.2, 0.5
"""Share of the mask's variance that colour explains, from which it counts and counts alone."""
LEVEL = 0.18
"""A fit by colour falls this much short of 0 and 1, since a side is never of one colour."""


def matte(image: Tensor, mask: Tensor, softness: float) -> Tensor:
    """Alpha of what ``mask`` shows.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        mask: ``(H, W)`` bool.
        softness: width of the softest edge's least blur, pixels; without contrast along the
            outline, alpha is the mask blurred by it.

    Returns:
        ``(H, W)`` in [0, 1]; the mask itself, blurred, beyond the band.

    Source: the guided filter in colour (He, Sun and Tang, 2013), with windows weighted by the
    variance of the mask in them, and the result by how much of that variance colour explains.
    """
    alpha = mask.float()
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    if len(rows):
        margin = BAND + 2 * REACH
        part = (
            slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
            slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
        )
        inside = mask[part]
        band = dilate(inside, BAND) & ~erode(inside, BAND)
        guided, told = _guided(image[:, part[0], part[1]], alpha[part])
        share = ((told - TOLD) / (TOLD_ALL - TOLD)).clamp(0.0, 1.0) * band
        guided = ((guided - LEVEL) / (1.0 - 2.0 * LEVEL)).clamp(0.0, 1.0)
        alpha[part] += share * (guided - alpha[part])
    return blur(alpha, 0.7 * softness)


def _guided(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What colours nearby say of the mask, and how much of its variance they explain, (H, W)."""
    upper = [(i, j) for i in range(3) for j in range(i, 3)]
    squares = [image[i] * image[j] for i, j in upper]
    means = _box(torch.stack([mask, *image, *(mask * image), *squares]))
    mean, colour, both = means[0], means[1:4], means[4:7]
    shared = both - mean * colour
    spread = {
        (i, j): means[7 + n] - colour[i] * colour[j] + (NOISE**2 if i == j else 0.0)
        for n, (i, j) in enumerate(upper)
    }
    slope = _solved(spread, shared)
    variance = mean * (1.0 - mean)
    explained = (slope * shared).sum(0)
    offset = mean - (slope * colour).sum(0)
    summed = _box(torch.stack([variance, explained, *(variance * slope), variance * offset]))
    total = summed[0].clamp(min=1e-6)
    guided = ((summed[2:5] * image).sum(0) + summed[5]) / total
    return guided, summed[1] / total


def _solved(matrix: dict[tuple[int, int], Tensor], right: Tensor) -> Tensor:
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


def _box(values: Tensor) -> Tensor:
    """Means over the squares around every pixel; beyond the border there is nothing."""
    size = 2 * REACH + 1
    across = F.avg_pool2d(values[None], (1, size), 1, (0, REACH), count_include_pad=False)
    return F.avg_pool2d(across, (size, 1), 1, (REACH, 0), count_include_pad=False)[0]
