"""Ground or backdrop, by what the photo shows: three measures and a weak prior, no network.

A photo with a ground has layers: sky or wall above, ground below, alike on its left and its right.
A portrait, a product or a flower before a blur has a middle and a surround instead, and is often
out of focus in its lower corners. Where a surface alone fills the photo, its texture tells: seen
from the front it is even, and on a ground it grows finer towards the horizon (Gibson's texture
gradient). None of this understands a photo; the artist is told what was taken, and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from protocol import flat_scene

Array = npt.NDArray[Any]

SIDE = 384
"""Longest side that is looked at: the scales below are in its pixels."""
GRID = 24
"""Rows and columns of mean colours in which layers are looked for."""
NOISE = 4.0
"""Added to variances (CIE Lab, squared): what is flatter has no structure to speak of."""
BANDS = 8
"""Bands of rows in which texture is compared."""

EVEN = 0.6
"""Least texture of a band over the most, for one surface to fill the photo; photos of several
things have 0.05 to 0.6, textures from the front 0.8 and more, tilted ones 0.65 and more."""
GRADIENT, ORDER = -0.2, -0.85
"""Natural logarithm by which texture coarsens from the top to the bottom, and its correlation with
the band: textures from the front stay within 0.05, tilted by a few degrees they pass 0.2."""

SIDES, SHARPNESS, UNIFORM, PORTRAIT = 0.5, 0.1, 0.1, 0.1
"""How much each measure counts beside the layers. The sides are layers again, but free of what
stands in the middle; the other three only settle what is nearly even."""
LEAST = 0.11
"""From which sum on it is a ground. A photo without any structure has about 0.05."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What was measured in a photo.

    Attributes:
        layers: share of all variation of colour that is between rows, less that between columns.
        sides: share of the variation in the left and right quarter that one row, which divides
            both into an upper and a lower part, explains.
        sharpness: fine detail in the lower corners over that in the sharpest quarter of the photo.
        uneven: variation of colour along the lowest sixth over all variation: little where one
            ground runs through, much where the frame cuts through something.
        portrait: whether the photo is higher than wide.
        even: least detail of a band of rows over the most.
        gradient: see :data:`GRADIENT`.
        order: see :data:`ORDER`.
    """

    layers: float
    sides: float
    sharpness: float
    uneven: float
    portrait: bool
    even: float
    gradient: float
    order: float

    @property
    def recedes(self) -> bool:
        """Whether one surface fills the photo and goes away from the camera towards the top."""
        return self.even >= EVEN and self.gradient <= GRADIENT and self.order <= ORDER

    @property
    def score(self) -> float:
        """From :data:`LEAST` on, the photo has the layers of a ground."""
        return (
            self.layers
            + SIDES * self.sides
            + SHARPNESS * (self.sharpness - 0.5)
            - UNIFORM * (self.uneven - 0.4)
            - PORTRAIT * self.portrait
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a photo was taken for, and why, in words."""

    kind: flat_scene.SceneKind
    reason: str

    @property
    def sentence(self) -> str:
        """A note for the artist."""
        return (
            f"Scene: Auto took {self.kind.capitalize()}, since {self.reason}. "
            "If that is wrong, choose the other Scene (on the command line, --scene)."
        )


def choose(pixels: Array) -> Choice:
    """Decide for a photo, uint8 (H, W, 3) sRGB."""
    found = measure(pixels)
    if found.recedes:
        reason = "one texture fills the photo and grows finer towards its top"
        return Choice(kind=flat_scene.GROUND, reason=reason)
    if found.score >= LEAST:
        reason = (
            "both sides of the photo change alike from top to bottom"
            if SIDES * found.sides > found.layers
            else "its rows differ more than its columns, as sky and ground do"
        )
        return Choice(kind=flat_scene.GROUND, reason=reason)
    reason = (
        "the photo is out of focus in its lower corners"
        if found.sharpness < 0.3
        else "nothing in the photo divides it into a ground and what lies behind"
    )
    return Choice(kind=flat_scene.BACKDROP, reason=reason)


def measure(pixels: Array) -> Measures:
    """Look at a photo, uint8 (H, W, 3) sRGB."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(GRID, round(width * scale)), max(GRID, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    grid = cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA)
    total = _variance(grid) + NOISE
    even, gradient, order = _texture(lab[..., 0])
    return Measures(
        layers=(_variance(grid.mean(1)) - _variance(grid.mean(0))) / total,
        sides=_divided(np.concatenate([grid[:, : GRID // 4], grid[:, -(GRID // 4) :]], 1)),
        sharpness=_sharpness(_detail(lab[..., 0], 0.7)),
        uneven=min(_variance(grid[-(GRID // 6) :].mean(0)) / total, 1.0),
        portrait=height > 1.05 * width,
        even=even,
        gradient=gradient,
        order=order,
    )


def _variance(colours: Array) -> float:
    """Of (..., 3) colours around their mean, all channels together."""
    return float(colours.reshape(-1, 3).var(0).sum())


def _divided(sides: Array) -> float:
    """Share of the variation of (rows, columns, 3) that its best division by a row explains."""
    rows, count = sides.mean(1), len(sides)
    best = max(
        at * (count - at) / count**2 * float(np.sum((rows[:at].mean(0) - rows[at:].mean(0)) ** 2))
        for at in range(count // 8, count - count // 8 + 1)
    )
    return best / (_variance(sides) + NOISE)


def _detail(lightness: Array, sigma: float) -> Array:
    """How much there is at a scale, pixel by pixel: a difference of Gaussians, without sign."""
    finer, coarser = (cv2.GaussianBlur(lightness, (0, 0), s) for s in (sigma, 2 * sigma))
    return np.abs(finer - coarser)


def _sharpness(detail: Array) -> float:
    height, width = detail.shape
    low, aside = height // 4, width // 4
    corners = (detail[-low:, :aside].mean() + detail[-low:, -aside:].mean()) / 2
    cells = np.sort(cv2.resize(detail, (6, 6), interpolation=cv2.INTER_AREA).ravel())
    return float(corners / (cells[-9:].mean() + 0.05))


def _texture(lightness: Array) -> tuple[float, float, float]:
    """How even detail is, how fine over coarse detail changes down the photo, and how orderly."""
    fine, coarse = (
        np.array([band.mean() for band in np.array_split(_detail(lightness, sigma), BANDS)])
        for sigma in (0.7, 2.8)
    )
    finer = np.log((fine + 0.02) / (coarse + 0.02))
    if np.ptp(finer) < 1e-6:
        return 1.0, 0.0, 0.0
    down = np.linspace(0.0, 1.0, BANDS)
    gradient = float(np.polyfit(down, finer, 1)[0])
    order = float(np.corrcoef(down, finer)[0, 1])
    both = fine + coarse
    return float(both.min() / (both.max() + 1e-9)), gradient, order
