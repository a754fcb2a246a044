"""Pictures and shapes out of random numbers."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def uniform(generator: Generator, low: float, high: float) -> float:
    """A number between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def texture(generator: Generator, height: int, width: int) -> Tensor:
    """``(3, H, W)`` in [0, 1]: noise of several scales between two colours, some with stripes."""
    side = max(height, width)
    level = torch.zeros(side, side)
    for octave in range(1, 5):
        cells = min(2**octave + 1, side)
        grid = torch.rand(1, 1, cells, cells, generator=generator)
        grown = F.interpolate(grid, (side, side), mode="bicubic", align_corners=True)
        level += grown[0, 0] / octave
    if float(torch.rand((), generator=generator)) < 0.4:
        angle, waves = uniform(generator, 0, math.pi), uniform(generator, 3, 9)
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        along = (x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi * waves / side)
        level += 0.8 * along.sin()
    level = level[:height, :width]
    level = (level - level.min()) / (level.max() - level.min()).clamp(min=1e-6)
    one, other = torch.rand(2, 3, 1, 1, generator=generator)
    return one + (other - one) * level


def outline(
    generator: Generator, height: int, width: int, centre: tuple[float, float], radius: float
) -> Tensor:
    """``(H, W)``: how much of a pixel a shape without holes around ``centre`` (x, y) covers.

    It is a circle with waves, so it has a side by which its turning can be seen.
    """
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    dx, dy = x - centre[0], y - centre[1]
    angle = torch.atan2(dy, dx)
    reach = torch.ones_like(angle)
    for wave in range(1, 5):
        depth, phase = uniform(generator, 0.0, 0.3 / wave), uniform(generator, 0, 2 * math.pi)
        reach += depth * torch.cos(wave * angle + phase)
    return (radius * reach - torch.hypot(dx, dy) + 0.5).clamp(0, 1)
