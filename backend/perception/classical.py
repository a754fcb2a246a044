"""Depth and segmentation without networks: flat scenes, GrabCut and Felzenszwalb.

Depth is a ground plane up to a horizon, or a fronto-parallel backdrop; a picked instance stands
upright on it (by `protocol.flat_scene`, which the extension shares). Instances are segmented by
GrabCut from clicks, automatic segments by Felzenszwalb's method. Images are numpy uint8 (H, W, 3)
sRGB, masks bool (H, W), depth float32 (H, W) z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from backend.perception import model_names
from backend.perception.base import Candidates, Embedding, check_prompts, content_key
from protocol import flat_scene
from protocol.errors import ShotError

Array = npt.NDArray[Any]

MAX_SEGMENTS = 120
"""Automatic segments kept, largest first; with the picked instances they stay below 255 ids."""
SEGMENT_SIDE = 640
SEARCH_SIDE = 720
SEARCH_ITERATIONS = 5
COLOUR_THRESHOLDS = np.geomspace(4.0, 110.0, 22)
"""Thresholds of CIE Lab distance (8-bit scale) for the region around a click."""
SIZE_WEIGHT = 0.35
MIN_REGION_SHARE, MAX_REGION_SHARE = 0.004, 0.6
"""Limits of such a region's share of the photo; the weight above prefers larger ones."""


def flat_depth(
    kind: flat_scene.SceneKind, height: int, width: int, horizon: float, near: float, far: float
) -> Array:
    """Depth of a ground or backdrop, float32 (H, W); see `protocol.flat_scene.row_depths`."""
    rows = flat_scene.row_depths(kind, height, horizon, near, far)
    return np.repeat(rows[:, None], width, 1)


def stand_upright(depth: Array, mask: Array, kind: str, near: float, far: float) -> Array:
    """Set the depth inside ``mask`` to the ground's depth at its lowest row.

    For a backdrop, see `protocol.flat_scene.standing_depth`.
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


def grabcut_instance(
    image: Array,
    points: Array,
    positive: Array,
    box: Sequence[float] | None,
) -> Array:
    """Segment an instance by GrabCut from clicks and a box.

    Args:
        image: the photo.
        points: ``(K, 2)`` clicks (x, y) in pixels.
        positive: ``(K,)`` truthy where the click is on the instance.
        box: (x0, y0, x1, y1) around the instance, or None.

    Returns:
        The mask: the connected regions with a positive click (or all, with only a box).

    Raises:
        ShotError: a click or the box lies outside, there is no positive prompt, or the mask is
            empty or full.

    Source: Rother et al., "GrabCut" (2004), as in OpenCV; initialised by `_grabcut_labels`.
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
    labels = _grabcut_labels(small, clicks, positive, scaled_box)
    initial = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if initial.all():
        raise _covers_everything()
    cv2.setRNGSeed(0)  # the Gaussian mixtures are initialised by random K-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, (0, 0, 0, 0), *models, SEARCH_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if mask.sum() < 0.2 * initial.sum():
        mask = initial  # colours too similar: the initial region is better
    mask = mask.astype(np.uint8)
    on = positive.astype(bool)
    mask = _clean_mask(mask, clicks[on], clicks[~on])
    if scale < 1.0:
        mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    return checked_mask(mask.astype(bool))


def checked_mask(mask: Array) -> Array:
    """``mask``, if it is neither empty nor full.

    Raises:
        ShotError: it is empty or full.
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


def _grabcut_labels(
    image: Array, points: Array, positive: Array, box: Sequence[float] | None
) -> npt.NDArray[np.uint8]:
    """Initial labels of GrabCut.

    Outside a box, everything is background. Without a box, the region around each positive click
    (see `_stable_region`) is probable foreground, and a margin around it is probable background, so
    that GrabCut may move its outline but not flood the photo. The region around a negative click is
    background.
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
        initial = np.zeros((height, width), bool)
        for x, y in points[on]:
            initial |= _stable_region(lab, int(x), int(y), radius, points[~on])
        labels[_dilated(initial)] = cv2.GC_PR_BGD
        labels[initial] = cv2.GC_PR_FGD
    for x, y in points[~on]:
        labels[_stable_region(lab, int(x), int(y), radius, points[on])] = cv2.GC_BGD
    for (x, y), inside in zip(points, positive, strict=True):
        label = cv2.GC_FGD if inside else cv2.GC_BGD
        cv2.circle(labels, (int(x), int(y)), radius, label, -1)
    return labels


def _stable_region(lab: Array, x: int, y: int, radius: int, others: Array) -> Array:
    """The connected region around a click that is most stable in its colour threshold.

    The region grows with the threshold; where it hardly grows over a range of thresholds, it has a
    sharp outline. It never contains one of ``others``, the clicks of the opposite sign.

    Source: the stability of maximally stable extremal regions (Matas et al., 2002), on the
    distance in CIE Lab from the click's colours instead of on intensity.
    """
    patch = lab[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
    colours = patch.reshape(-1, 3)
    # The distance to the nearest of several colours at the click, for textured instances
    samples = colours[:: max(1, len(colours) // 12)]
    distance = np.min([np.linalg.norm(lab - colour, axis=2) for colour in samples], 0)
    areas = np.empty(len(COLOUR_THRESHOLDS))
    regions: list[Array] = []
    for n, level in enumerate(COLOUR_THRESHOLDS):
        near = (distance <= level).astype(np.uint8)
        near[y, x] = 1
        _, components = cv2.connectedComponents(near)
        regions.append(components == components[y, x])
        areas[n] = regions[-1].sum()
    possible = areas <= MAX_REGION_SHARE * distance.size
    for other_x, other_y in others:
        possible &= [not region[int(other_y), int(other_x)] for region in regions]
    best, score = int(np.flatnonzero(possible)[-1]) if possible.any() else 0, -np.inf
    for n in range(1, len(COLOUR_THRESHOLDS) - 1):
        share = areas[n] / distance.size
        if not possible[n] or share < MIN_REGION_SHARE:
            continue
        growth = np.log(areas[n + 1] / areas[n - 1]) / (
            COLOUR_THRESHOLDS[n + 1] - COLOUR_THRESHOLDS[n - 1]
        )
        # Larger regions are preferred at equal stability
        value = SIZE_WEIGHT * np.log(share) - np.log(growth + 2e-3)
        if value > score:
            best, score = n, value
    return regions[best]


def _dilated(mask: Array) -> Array:
    """The mask dilated by a quarter of its size, which limits GrabCut's outline."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    reach = max(3, round(0.25 * max(np.ptp(rows), np.ptp(columns))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _clean_mask(mask: Array, clicks: Array, negative: Array) -> Array:
    """Keep components with a click (without clicks, all large ones), fill small holes.

    Holes with a negative click are kept.
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
    clicked_holes = {int(labels[int(y), int(x)]) for x, y in negative}
    small = [
        i
        for i in range(1, holes)
        if i not in clicked_holes and stats[i, cv2.CC_STAT_AREA] < 0.002 * mask.size
    ]
    mask[np.isin(labels, small)] = 1
    return mask


def static_segments(image: Array) -> Array:
    """Automatic segments by colour, int32 (H, W): 1..S by descending area, 0 for none.

    Source: Felzenszwalb and Huttenlocher (2004), as in scikit-image.
    """
    from skimage.segmentation import felzenszwalb  # with scipy a quarter of a process's start

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
    """GrabCut and Felzenszwalb's method as a ``backend.perception.base.SegmentModel``."""

    name = model_names.GRABCUT
    automatic_name = model_names.FELZENSZWALB
    fingerprint = ""

    def encode(self, pixels: Array, key: str = "") -> Embedding:
        """The photo itself; there is no encoder."""
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
        """One candidate; ``previous`` is ignored."""
        mask = grabcut_instance(embedding.features, points, positive, box)
        return Candidates(masks=mask[None], scores=np.ones(1, np.float32), logits=None)

    def segments(self, embedding: Embedding) -> npt.NDArray[np.int32]:
        """See :func:`static_segments`."""
        return static_segments(embedding.features)
