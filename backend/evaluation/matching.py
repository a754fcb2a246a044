"""Finds where a picture shows a thing whose appearance is known, by masked squared differences.

The difference of mean colours counts half, so that a thing that a model has made a little lighter
is found where it is. Positions are absolute: nothing adds up over frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

COARSE_SIDE = 256
"""Pixels of the longer side of the picture that is searched as a whole."""
MEAN_WEIGHT = 0.5
"""What the difference of mean colours counts for."""
IN_FRAME = 0.5
"""Least share of the template that a place in the picture has to hold."""
FAR_PENALTY = 1.0
"""By how much a difference is raised for a place a diagonal away: of two that look alike, the near
one is meant."""
UNLIKE = 0.5
"""A best place whose difference is more than this share of the usual one is no place."""
MOST_PIXELS = 6_000
"""Of a template, when it is placed to a fraction of a pixel; more of them tell nothing new."""
STEPS = 12
"""Of Gauss-Newton, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Where a template is.

    Attributes:
        shift: (x, y) pixels from its own place, to a fraction.
        cost: mean squared difference there, summed over colours.
        found: whether the picture is more like it there than in most places.
    """

    shift: tuple[float, float]
    cost: float
    found: bool


def find_template(template: Tensor, weight: Tensor, picture: Tensor) -> Match:
    """The place in ``picture`` that looks most like a template.

    Args:
        template: ``(3, H, W)`` in [0, 1].
        weight: ``(H, W)``, 0 where it does not count; not all 0.
        picture: ``(3, H, W)`` in [0, 1].
    """
    factor = max(1, math.ceil(max(weight.shape) / COARSE_SIDE))
    costs, origin = _coarse_costs(template, weight, picture, factor)
    height, width = costs.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    far = torch.hypot((x - origin[1]).double(), (y - origin[0]).double()) * factor
    judged = costs * (1 + FAR_PENALTY * far / math.hypot(*weight.shape)) + 1e-9 * far
    best = int(judged.argmin())
    place = (best % width - origin[1]) * factor, (best // width - origin[0]) * factor
    window = _Window(template, weight, picture)
    if factor > 1:
        place = window.nearby(place, factor)
    usual = float(costs[torch.isfinite(costs)].median())
    shift, cost = window.refined(place)
    return Match(shift=shift, cost=cost, found=cost <= UNLIKE * usual or cost < 1e-4)


def shifted(picture: Tensor, shift: tuple[float, float]) -> Tensor:
    """``(C, H, W)`` moved by (x, y) pixels; what comes in repeats the border."""
    if shift == (0.0, 0.0):
        return picture
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return _sampled(picture, x.reshape(-1) - shift[0], y.reshape(-1) - shift[1]).reshape(
        -1, height, width
    )


def _coarse_costs(
    template: Tensor, weight: Tensor, picture: Tensor, factor: int
) -> tuple[Tensor, tuple[int, int]]:
    """Costs of every shift of the shrunken template, inf where too much is out of the frame.

    Returns:
        ``(h, w)`` and the index (row, column) of no shift.
    """
    w = F.avg_pool2d(weight[None].double(), factor, ceil_mode=True)[0]
    t = F.avg_pool2d((template * weight)[None].double(), factor, ceil_mode=True)[0]
    t = t / w.clamp(min=1e-12) * (w > 0)
    p = F.avg_pool2d(picture[None].double(), factor, ceil_mode=True)[0]
    rows, columns = torch.nonzero(w.any(1))[:, 0], torch.nonzero(w.any(0))[:, 0]
    part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    w, t = w[part], t[:, part[0], part[1]]
    least = [a + b - 1 for a, b in zip(p.shape[-2:], w.shape, strict=True)]
    size = tuple(_quick_length(length) for length in least)

    def spectrum(values: Tensor) -> Tensor:
        return torch.fft.rfft2(values, s=size)

    own = spectrum(torch.stack([w, (w * t.square()).sum(0), *(w * t)])).conj()
    theirs = spectrum(torch.stack([torch.ones_like(p[0]), p.square().sum(0), *p]))
    inside = torch.fft.irfft2(own[0] * theirs[0], s=size)
    squares = torch.fft.irfft2(own[1] * theirs[0] + own[0] * theirs[1], s=size)
    products = torch.fft.irfft2((own[2:] * theirs[2:]).sum(0), s=size)
    means = torch.fft.irfft2(own[2:] * theirs[0] - own[:1] * theirs[2:], s=size)
    share = inside.clamp(min=1e-9)
    cost = (squares - 2 * products) / share
    cost = cost - (1 - MEAN_WEIGHT) * (means / share).square().sum(0)
    cost = torch.where(inside >= IN_FRAME * w.sum(), cost.clamp(min=0), torch.inf)
    # Circular: the last rows and columns are shifts up and to the left of the frame's corner
    up, back = w.shape[0] - 1, w.shape[1] - 1
    cost = torch.roll(cost, (up, back), (0, 1))[: least[0], : least[1]]
    return cost, (up + part[0].start, back + part[1].start)


def _quick_length(least: int) -> int:
    """The next length with no other prime factors than 2, 3 and 5: others take twice as long."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


class _Window:
    """A template's pixels that count, to be compared with a picture at any shift."""

    def __init__(self, template: Tensor, weight: Tensor, picture: Tensor) -> None:
        row, column = torch.nonzero(weight > 0, as_tuple=True)
        if len(row) > MOST_PIXELS:
            chosen = torch.linspace(0, len(row) - 1, MOST_PIXELS).long()
            row, column = row[chosen], column[chosen]
        self._x, self._y = column.double(), row.double()
        self._colour = template[:, row, column].double()
        self._weight = weight[row, column].double()
        self._picture = picture.double()
        padded = F.pad(self._picture[None], (1, 1, 1, 1), mode="replicate")[0]
        across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
        down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
        self._slopes = torch.cat([across, down])

    def nearby(self, place: tuple[int, int], reach: int) -> tuple[int, int]:
        """The best whole shift within ``reach`` of one."""
        steps = range(-reach, reach + 1)
        around = [(place[0] + dx, place[1] + dy) for dy in steps for dx in steps]
        return min(around, key=lambda at: self._cost(*at))

    def refined(self, place: tuple[int, int]) -> tuple[tuple[float, float], float]:
        """A shift to a fraction of a pixel, by Gauss-Newton from a whole one, and its cost."""
        shift = torch.tensor(place, dtype=torch.float64)
        best, least = shift, self._cost(*place)
        for _ in range(STEPS):
            x, y = self._x + shift[0], self._y + shift[1]
            inside = self._inside(x, y) * self._weight
            off = (_sampled(self._picture, x, y) - self._colour) * inside
            slopes = _sampled(self._slopes, x, y).reshape(2, 3, -1)
            normal = torch.einsum("ijn,kjn,n->ik", slopes, slopes, inside)
            right = torch.einsum("ijn,jn->i", slopes, off)
            if float(torch.linalg.det(normal)) < 1e-9:
                break
            step = torch.linalg.solve(normal, right)
            shift = shift - step
            if float((shift - torch.tensor(place)).abs().max()) > 1.5:
                break
            cost = self._cost(float(shift[0]), float(shift[1]))
            if cost < least:
                best, least = shift, cost
            if float(step.abs().max()) < 1e-3:
                break
        return (float(best[0]), float(best[1])), least

    def _cost(self, dx: float, dy: float) -> float:
        x, y = self._x + dx, self._y + dy
        weight = self._inside(x, y) * self._weight
        total = weight.sum()
        if float(total) < IN_FRAME * float(self._weight.sum()):
            return math.inf
        off = _sampled(self._picture, x, y) - self._colour
        mean = (off * weight).sum(1) / total
        spread = (off.square() * weight).sum() / total
        return float(spread - (1 - MEAN_WEIGHT) * mean.square().sum())

    def _inside(self, x: Tensor, y: Tensor) -> Tensor:
        height, width = self._picture.shape[1:]
        return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).double()


def _sampled(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """``(C, n)``, bilinear; (0, 0) is the centre of the first pixel, the border is repeated."""
    height, width = picture.shape[1:]
    x, y = x.to(picture).clamp(0, width - 1), y.to(picture).clamp(0, height - 1)
    left, top = x.floor().clamp(max=max(width - 2, 0)), y.floor().clamp(max=max(height - 2, 0))
    fx, fy = x - left, y - top
    column, row = left.long(), top.long()
    right, below = (column + 1).clamp(max=width - 1), (row + 1).clamp(max=height - 1)
    above_line = picture[:, row, column] * (1 - fx) + picture[:, row, right] * fx
    below_line = picture[:, below, column] * (1 - fx) + picture[:, below, right] * fx
    return above_line * (1 - fy) + below_line * fy
