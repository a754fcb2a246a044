"""Depth and segments without weights: honest stand-ins that say what they are.

Depth is a flat ground up to a horizon, or one backdrop; a picked instance stands upright before it
(the numbers are `protocol.flat_scene`'s, since the extension changes from one to the other).
Instances are found by colour around the artist's clicks, static segments by even colour. Images are
numpy uint8 (H, W, 3) sRGB, masks bool (H, W), depth float32 (H, W) z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.segmentation import felzenszwalb

from backend.perception import info
from backend.perception.base import Candidates, Embedding, check_prompts, content_key
from protocol import flat_scene
from protocol.errors import ShotError

Array = npt.NDArray[Any]

MAX_SEGMENTS = 120
"""Automatic segments kept, largest first; with the artist's picks they stay below 255 ids."""
SEGMENT_SIDE = 640
SEARCH_SIDE = 720
SEARCH_ITERATIONS = 5
LEVELS = np.geomspace(4.0, 110.0, 22)
"""Differences in CIE Lab (8-bit scale) that are tried for the region around a click."""
SIZE_COUNTS = 0.35
LEAST_REGION, MOST_REGION = 0.004, 0.6
"""Share of the photo that such a region may have, and how much a larger one is preferred."""


def flat_depth(
    kind: flat_scene.SceneKind, height: int, width: int, horizon: float, near: float, far: float
) -> Array:
    """Depth of a ground or of a backdrop, float32 (H, W); see `protocol.flat_scene.row_depths`."""
    rows = flat_scene.row_depths(kind, height, horizon, near, far)
    return np.repeat(rows[:, None], width, 1)


def stand_upright(depth: Array, mask: Array, kind: str, near: float, far: float) -> Array:
    """``depth`` with what ``mask`` shows standing at the depth of its lowest row.

    Before a backdrop there is no such depth; see `protocol.flat_scene.standing_depth`.
    """
    lowest = int(np.flatnonzero(mask.any(1))[-1])
    upright = depth.copy()
    if kind == flat_scene.BACKDROP:
        upright[mask] = flat_scene.standing_depth(
            flat_scene.BACKDROP, lowest, len(depth), 0.0, near, far
        )
    else:
        upright[mask] = np.median(depth[lowest][mask[lowest]])
    return upright


def search_instance(
    image: Array,
    points: Array,
    positive: Array,
    box: Sequence[float] | None,
) -> Array:
    """The instance that the artist points at.

    Args:
        image: the photo.
        points: ``(K, 2)`` clicks (x, y) in pixels.
        positive: ``(K,)`` truthy where the click is on the instance.
        box: (x0, y0, x1, y1) around the instance, or None.

    Returns:
        The mask: the found regions that hold a positive click (or all, with a box alone).

    Raises:
        ShotError: a click or the box lies outside, nothing was asked for, or the mask came out
            empty or covers everything.

    Source: Rother et al., "GrabCut" (2004), as in OpenCV; the start is ours (see `_first_guess`).
    """
    height, width = image.shape[:2]
    check_prompts(points, positive, box, height, width)
    scale = min(1.0, SEARCH_SIDE / max(height, width))
    small = image
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    per_pixel = np.array([small.shape[1] / width, small.shape[0] / height])
    clicks = np.minimum(points * per_pixel, [small.shape[1] - 1, small.shape[0] - 1])
    scaled_box = None if box is None else [*(np.array(box).reshape(2, 2) * per_pixel).ravel()]
    labels = _first_guess(small, clicks, positive, scaled_box)
    meant = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if meant.all():
        raise _covers_everything()
    cv2.setRNGSeed(0)  # the mixture models start from a random K-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, (0, 0, 0, 0), *models, SEARCH_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if mask.sum() < 0.2 * meant.sum():
        mask = meant  # colours too alike to tell apart: the first guess is the better one
    mask = mask.astype(np.uint8)
    on = positive.astype(bool)
    mask = _tidy(mask, clicks[on], clicks[~on])
    if scale < 1.0:
        mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    return checked_mask(mask.astype(bool))


def checked_mask(mask: Array) -> Array:
    """``mask``, unless it is empty or covers everything.

    Raises:
        ShotError: it is one of these.
    """
    if not mask.any():
        raise ShotError(
            "empty_mask",
            "Nothing was found there: the mask has 0 pixels.",
            "Click nearer to the middle of the instance, add a click, or draw a box around it.",
        )
    if mask.all():
        raise _covers_everything()
    return mask


def _covers_everything() -> ShotError:
    return ShotError(
        "full_mask",
        "The mask covers the whole photo.",
        "Add a negative click on the background, or draw a smaller box around the instance.",
    )


def _first_guess(
    image: Array, points: Array, positive: Array, box: Sequence[float] | None
) -> npt.NDArray[np.uint8]:
    """Where GrabCut starts, and how far it may go.

    A box says that all outside is background. Clicks alone say less: each means the region around
    it that stands out (see `_standing_out`), and the search may move that region's outline, but not
    run away over the photo. A negative click takes the region it stands in.
    """
    height, width = image.shape[:2]
    radius = max(2, round(0.008 * max(height, width)))
    on = positive.astype(bool)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.0), cv2.COLOR_RGB2LAB).astype(np.float32)
    if box is not None:
        x0, y0, x1, y1 = (round(value) for value in box)
        labels[y0:y1, x0:x1] = cv2.GC_PR_FGD
    else:
        meant = np.zeros((height, width), bool)
        for x, y in points[on]:
            meant |= _standing_out(lab, int(x), int(y), radius, points[~on])
        labels[_grown(meant)] = cv2.GC_PR_BGD
        labels[meant] = cv2.GC_PR_FGD
    for x, y in points[~on]:
        labels[_standing_out(lab, int(x), int(y), radius, points[on])] = cv2.GC_BGD
    for (x, y), inside in zip(points, positive, strict=True):
        label = cv2.GC_FGD if inside else cv2.GC_BGD
        cv2.circle(labels, (int(x), int(y)), radius, label, -1)
    return labels


def _standing_out(lab: Array, x: int, y: int, radius: int, others: Array) -> Array:
    """The connected region around a click whose outline is the sharpest.

    Regions grow as more of a difference in colour is let in. Where the region hardly grows though
    much more is let in, there is an outline; the best such place is taken. A region never holds
    one of the ``others``, the clicks of the opposite meaning.

    Source: the stability of maximally stable extremal regions (Matas et al., 2002), on the
    distance in CIE Lab from the click's own colours instead of on brightness.
    """
    patch = lab[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
    colours = patch.reshape(-1, 3)
    # The nearest of a few of the click's own colours, since a petal is not of one colour
    samples = colours[:: max(1, len(colours) // 12)]
    distance = np.min([np.linalg.norm(lab - colour, axis=2) for colour in samples], 0)
    areas = np.empty(len(LEVELS))
    regions: list[Array] = []
    for n, level in enumerate(LEVELS):
        near = (distance <= level).astype(np.uint8)
        near[y, x] = 1
        _, components = cv2.connectedComponents(near)
        regions.append(components == components[y, x])
        areas[n] = regions[-1].sum()
    possible = areas <= MOST_REGION * distance.size
    for other_x, other_y in others:
        possible &= [not region[int(other_y), int(other_x)] for region in regions]
    best, score = int(np.flatnonzero(possible)[-1]) if possible.any() else 0, -np.inf
    for n in range(1, len(LEVELS) - 1):
        share = areas[n] / distance.size
        if not possible[n] or share < LEAST_REGION:
            continue
        growth = np.log(areas[n + 1] / areas[n - 1]) / (LEVELS[n + 1] - LEVELS[n - 1])
        # A larger region is the more likely meaning of a click, other things being equal
        value = SIZE_COUNTS * np.log(share) - np.log(growth + 2e-3)
        if value > score:
            best, score = n, value
    return regions[best]


def _grown(mask: Array) -> Array:
    """The mask and a margin of a quarter of its size, in which its outline may lie."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    reach = max(3, round(0.25 * max(np.ptp(rows), np.ptp(columns))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _tidy(mask: Array, clicks: Array, negative: Array) -> Array:
    """Keep the parts with a click (all of note without clicks), drop specks, close pinholes.

    A hole that the artist clicked stays a hole.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel))
    for x, y in clicks:
        mask[int(y), int(x)] = 1
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if len(clicks):
        keep = {int(components[int(y), int(x)]) for x, y in clicks}
    else:
        areas = stats[1:, cv2.CC_STAT_AREA]
        keep = {i + 1 for i in range(count - 1) if areas[i] >= 0.05 * areas.max(initial=1)}
    mask = np.isin(components, sorted(keep)).astype(np.uint8)
    holes, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    meant = {int(labels[int(y), int(x)]) for x, y in negative}
    small = [
        i
        for i in range(1, holes)
        if i not in meant and stats[i, cv2.CC_STAT_AREA] < 0.002 * mask.size
    ]
    mask[np.isin(labels, small)] = 1
    return mask


def static_segments(image: Array) -> Array:
    """Regions of even colour, as int32 (H, W): 1..S by falling area, 0 where none was kept.

    Source: Felzenszwalb and Huttenlocher (2004), as in scikit-image.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SEGMENT_SIDE / max(height, width))
    small = image
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    least = max(16, round(0.002 * small.shape[0] * small.shape[1]))
    labels = felzenszwalb(small, scale=250, sigma=0.8, min_size=least)
    areas = np.bincount(labels.ravel())
    order = np.argsort(-areas, kind="stable")[:MAX_SEGMENTS]
    rank = np.zeros(len(areas), np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    return cv2.resize(rank[labels], (width, height), interpolation=cv2.INTER_NEAREST)


class ColourSegments:
    """Clicks by colour, segments by even colour; fits ``backend.perception.base.SegmentModel``."""

    name = info.GRABCUT
    automatic_name = info.FELZENSZWALB
    fingerprint = ""

    def encode(self, pixels: Array, key: str = "") -> Embedding:
        """The photo itself: there is no network that would have to look at it first."""
        height, width = pixels.shape[:2]
        return Embedding(
            model=self.name,
            key=key or content_key(pixels),
            height=height,
            width=width,
            features=np.array(pixels),
        )

    def segment(
        self,
        embedding: Embedding,
        points: Array,
        positive: Array,
        box: Sequence[float] | None,
        previous: Array | None = None,
    ) -> Candidates:
        """One candidate; ``previous`` is of no use to it."""
        mask = search_instance(embedding.features, points, positive, box)
        return Candidates(masks=mask[None], scores=np.ones(1, np.float32), logits=None)

    def segments(self, embedding: Embedding) -> npt.NDArray[np.int32]:
        """See :func:`static_segments`."""
        return static_segments(embedding.features)
