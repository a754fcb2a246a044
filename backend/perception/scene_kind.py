"""Classifies a photo's flat scene as ground or backdrop by image statistics, without a network.

A photo with a ground has horizontal layers (sky or wall above, ground below) that agree on its left
and right. A portrait or product photo has a centre and a surround, and is often out of focus in its
lower corners. If a single surface fills the photo, its texture decides: it is even for a frontal
surface, and grows finer towards the horizon on a ground (Gibson's texture gradient). The choice and
its reason are reported to the artist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from protocol import flat_scene

Array = npt.NDArray[Any]

ANALYSIS_SIDE = 384
"""Longest side of the analysed image; the scales below are in its pixels."""
GRID = 24
"""Rows and columns of mean colours in which layers are measured."""
NOISE = 4.0
"""Added to variances (CIE Lab, squared), so that flat images have no structure."""
BANDS = 8
"""Bands of rows for the texture gradient."""

MIN_EVEN = 0.6
"""Least texture of a band over the most, for one surface to fill the photo; photos of several
things have 0.05 to 0.6, textures from the front 0.8 and more, tilted ones 0.65 and more."""
MAX_GRADIENT, MAX_ORDER = -0.2, -0.85
"""Natural logarithm by which texture coarsens from the top to the bottom, and its correlation with
the band: textures from the front stay within 0.05, tilted by a few degrees they pass 0.2."""

SIDES_WEIGHT, SHARPNESS_WEIGHT, UNEVEN_WEIGHT, PORTRAIT_WEIGHT = 0.5, 0.1, 0.1, 0.1
"""Weights of the other measures relative to ``layers``. ``sides`` measures layers without the
centre; the other three only decide close cases."""
MIN_GROUND_SCORE = 0.11
"""Minimum score of a ground. A photo without structure has about 0.05."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The measures of a photo.

    Attributes:
        layers: share of all variation of colour that is between rows, less that between columns.
        sides: share of the variation in the left and right quarter that one row, which divides
            both into an upper and a lower part, explains.
        sharpness: fine detail in the lower corners over that in the sharpest quarter of the photo.
        uneven: variation of colour along the lowest sixth over all variation: little where one
            ground runs through, much where the frame cuts through something.
        portrait: whether the photo is higher than wide.
        even: least detail of a band of rows over the most.
        gradient: see :data:`MAX_GRADIENT`.
        order: see :data:`MAX_ORDER`.
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
        return self.even >= MIN_EVEN and self.gradient <= MAX_GRADIENT and self.order <= MAX_ORDER

    @property
    def score(self) -> float:
        """A ground from :data:`MIN_GROUND_SCORE` on."""
        return (
            self.layers
            + SIDES_WEIGHT * self.sides
            + SHARPNESS_WEIGHT * (self.sharpness - 0.5)
            - UNEVEN_WEIGHT * (self.uneven - 0.4)
            - PORTRAIT_WEIGHT * self.portrait
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen scene kind and the reason, in words."""

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
    """Classify a photo, uint8 (H, W, 3) sRGB."""
    found = measure(pixels)
    if found.recedes:
        reason = "one texture fills the photo and grows finer towards its top"
        return Choice(kind=flat_scene.GROUND, reason=reason)
    if found.score >= MIN_GROUND_SCORE:
        reason = (
            "both sides of the photo change alike from top to bottom"
            if SIDES_WEIGHT * found.sides > found.layers
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
    """Measure a photo, uint8 (H, W, 3) sRGB."""
    height, width = pixels.shape[:2]
    scale = min(1.0, ANALYSIS_SIDE / max(height, width))
    size = (max(GRID, round(width * scale)), max(GRID, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    grid = cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA)
    total = _variance(grid) + NOISE
    even, gradient, order = _texture(lab[..., 0])
    return Measures(
        layers=(_variance(grid.mean(1)) - _variance(grid.mean(0))) / total,
        sides=_row_split_share(np.concatenate([grid[:, : GRID // 4], grid[:, -(GRID // 4) :]], 1)),
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


def _row_split_share(sides: Array) -> float:
    """Share of the variation of (rows, columns, 3) that its best division by a row explains."""
    rows, count = sides.mean(1), len(sides)
    best = max(
        at * (count - at) / count**2 * float(np.sum((rows[:at].mean(0) - rows[at:].mean(0)) ** 2))
        for at in range(count // 8, count - count // 8 + 1)
    )
    return best / (_variance(sides) + NOISE)


def _detail(lightness: Array, sigma: float) -> Array:
    """Detail per pixel at a scale: the absolute difference of Gaussians."""
    finer, coarser = (cv2.GaussianBlur(lightness, (0, 0), s) for s in (sigma, 2 * sigma))
    return np.abs(finer - coarser)


def _sharpness(detail: Array) -> float:
    height, width = detail.shape
    low, aside = height // 4, width // 4
    corners = (detail[-low:, :aside].mean() + detail[-low:, -aside:].mean()) / 2
    cells = np.sort(cv2.resize(detail, (6, 6), interpolation=cv2.INTER_AREA).ravel())
    return float(corners / (cells[-9:].mean() + 0.05))


def _texture(lightness: Array) -> tuple[float, float, float]:
    """Evenness of detail, the slope of fine over coarse detail down the photo, its correlation."""
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
