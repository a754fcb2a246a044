"""The outline of a picked instance: which pixels are its own, and how far away these are.

A network draws its masks on a grid of some 256 cells, so their outlines are off by a pixel or two
of the photo; the photo itself shows where a thing ends. A depth network smears there as well, so
that the outermost pixels of a thing fly towards what lies behind it. Both are mended here in a
narrow band along the outline and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CELLS = 256
"""Cells of a network's mask along the photo's longer side."""
WIDEST = 12
"""Pixels on either side of an outline that a band has at most."""
NOISE = 8.0
"""Levels of 255 by which a colour may differ within one even surface."""
ACROSS = 320
"""Cells that colours are averaged in across something large, where they fit beside the band."""
ALIKE = 12.0
"""Squared deviations, summed over the three channels, within which a colour may be a mix of those
of both sides; one of a hundred lies beyond."""
APART = 1.0
"""Squared distance of both sides' colours, in deviations, below which colour tells nothing."""
SURER = 4.0
"""By how much a colour has to be likelier on the other side, as twice a difference of logarithms,
before its pixel changes sides."""
MOST_BAND = 0.2
"""Share of the photo that the band of :func:`refined_mask` covers at most: an outline that is
everywhere, as that of a confused network, has no sides whose colours could tell anything."""
SMEARED = 0.15
"""Share of the way from an instance's disparity to the one beside it, beyond which a pixel is no
relief of the instance but smeared."""
RELIEF = 0.1
"""Likewise of the instance's own disparity and above its change nearby, whichever is less: what is
far away flies far in front of a near neighbour by little of the way."""
LEAST_STEP = 0.02
"""Of the instance's disparity; across a smaller step nothing is seen to fly."""
SLOPE = 4.0
"""How many times as large as the change of the instance's own disparity nearby a step is at least:
a slope goes on evenly into what lies beside."""


def mask_band(height: int, width: int) -> int:
    """Pixels on either side in which a network's outline of a photo of that size is unsure."""
    return min(WIDEST, max(2, math.ceil(max(height, width) / CELLS)))


def depth_band(height: int, width: int) -> int:
    """Pixels inside an outline that a depth network may have smeared."""
    return min(WIDEST, max(4, math.ceil(5 * min(height, width) / 518)))


def refined_mask(image: Array, mask: Array, band: int) -> npt.NDArray[np.bool_]:
    """``mask`` with an outline that follows the photo's colours.

    Beyond the band, and where the colours of both sides are alike, the mask stays as it is. A pixel
    changes sides if its colour is the other side's or a mix with more than half of it, is clearly
    likelier there, and the pixels between it and that side change too. A third colour changes
    nothing. Thin parts stay: those of up to two pixels, and those far from anything wider than
    twice the band, since nobody knows which colours are theirs.

    Args:
        image: uint8 (H, W, 3).
        mask: bool (H, W).
        band: pixels on either side of the outline that may change.

    Raises:
        ValueError: the sizes differ.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"an image of {image.shape[:2]} has no mask of {mask.shape}")
    refined = mask.astype(bool)
    if band < 1 or refined.all() or not refined.any():
        return refined
    reach = 3 * band + 4
    part = _around(refined, reach + band)
    inside, colours = refined[part].astype(np.uint8), np.ascontiguousarray(image[part])
    shifted = _square(band)
    sure = cv2.erode(inside, shifted)
    possible = cv2.dilate(inside, shifted)
    rows, columns = _places(possible - sure)
    if not len(rows) or len(rows) > MOST_BAND * mask.size:
        return refined
    step = min(band, max(1, band // 2, math.ceil(max(inside.shape) / ACROSS)), *inside.shape)
    small = _coarse(colours, step)
    height, width = small.shape[:2]
    cell = np.minimum(rows // step, height - 1) * width + np.minimum(columns // step, width - 1)
    place = rows * inside.shape[1] + columns
    seen = _at(colours, place).astype(np.float32)
    radius = max(1, round(reach / step))
    own = _side(small, _whole_cells(sure, step), radius, cell)
    other = _side(small, _whole_cells(1 - possible, step), radius, cell)
    leaves, joins = _changes(seen, own, other)
    within = inside.take(place) > 0
    thick = cv2.morphologyEx(inside, cv2.MORPH_OPEN, _square(1)).take(place) > 0
    leaves, joins = leaves & within & thick, joins & ~within
    grown = inside
    if joins.any():
        allowed = inside.copy()
        allowed.put(place[joins], 1)
        grown = _reached(inside, allowed, band)
    result = grown
    if leaves.any():
        kept = grown.copy()
        kept.put(place[leaves], 0)
        # What leaves must hang together with what lies outside, likewise
        result = 1 - _reached(1 - grown, 1 - kept, band)
    refined[part] = result > 0
    return refined


def own_depth(depth: Array, mask: Array, band: int) -> npt.NDArray[np.float32]:
    """``depth`` in which the instance has no rim that flies to what lies beside it.

    Of the pixels within the band inside the outline, those whose depth has left the instance's
    towards that beside it take the depth of the nearest pixel further inside. All others keep
    theirs to the bit, and so does everything outside the mask.

    Args:
        depth: float (H, W), z, positive.
        mask: bool (H, W), the instance.
        band: pixels inside the outline that may be smeared.

    Raises:
        ValueError: the sizes differ.
    """
    if depth.shape != mask.shape:
        raise ValueError(f"a depth of {depth.shape} has no mask of {mask.shape}")
    mended = depth.astype(np.float32)
    if band < 1 or mask.all() or not mask.any():
        return mended
    part = _around(mask, 3 * band + 2)
    inside = mask[part].astype(np.uint8)
    disparity = 1.0 / np.maximum(mended[part], 1e-9)
    core = _core(inside, band)
    rows, columns = _places(inside & ~core)
    # What is asked of a neighbourhood is asked of every few pixels of it
    step = max(1, (band + 1) // 3)
    deep = np.ascontiguousarray(core[::step, ::step])
    if not len(rows) or not deep.any():
        return mended
    sparse = np.ascontiguousarray(disparity[::step, ::step])
    cell = rows // step * sparse.shape[1] + columns // step
    place = rows * inside.shape[1] + columns
    outer = _core(np.ascontiguousarray(1 - inside[::step, ::step]), band / step)
    beside, known = _mean(sparse, outer, 3 * band // step, cell)
    change = _range(sparse, deep, 2 * band // step, cell)
    own, there = _nearest(sparse, deep, cell), disparity.take(place)
    step_there = beside - own
    least = np.maximum(LEAST_STEP * own, SLOPE * change)
    away = (there - own) * np.sign(step_there)
    relief = np.minimum(SMEARED * np.abs(step_there), RELIEF * own + change)
    smeared = known & (np.abs(step_there) > least) & (away > relief)
    mended[part][rows[smeared], columns[smeared]] = 1.0 / own[smeared]
    return mended


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """Colours of the instance, or of what lies beside it, around each of n places.

    Attributes:
        mean: (3, n).
        variance: (3, n).
        known: (n,) whether there is any of it around.
    """

    mean: Array
    variance: Array
    known: Array

    def unlikely(self, seen: Array) -> Array:
        """Twice the negative logarithm of the likelihood of (3, n) colours, up to a constant."""
        return ((seen - self.mean) ** 2 / self.variance).sum(0) + np.log(self.variance.prod(0))


def _around(mask: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the mask and a margin."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )


def _square(reach: int) -> Array:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _places(where: Array) -> tuple[Array, Array]:
    """(n,) rows and (n,) columns at which a uint8 map is not 0."""
    found = cv2.findNonZero(where)
    if found is None:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    columns, rows = np.asarray(found).reshape(-1, 2).T
    return rows, columns


def _at(values: Array, place: Array) -> Array:
    """``(3, n)`` of contiguous ``(h, w, 3)`` at flat places."""
    return np.ascontiguousarray(values.reshape(-1, 3).take(place, 0).T)


def _coarse(values: Array, step: int) -> Array:
    """Means of whole cells of ``step`` x ``step``; what is left over at the end is left out."""
    height, width = values.shape[0] // step, values.shape[1] // step
    cut = values[: height * step, : width * step]
    # A whole number of pixels a cell is ten times as fast as any other
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))


def _whole_cells(where: Array, step: int) -> npt.NDArray[np.uint8]:
    """255 where a cell of the coarser grid lies wholly within ``where``, else 0."""
    share = _coarse(where * np.uint8(255), step)
    return cv2.threshold(share, 254, 255, cv2.THRESH_BINARY)[1].astype(np.uint8, copy=False)


def _side(small: Array, where: Array, radius: int, cell: Array) -> _Side:
    """The colours of one side around some places.

    Args:
        small: uint8 (h, w, 3) the photo on a coarser grid.
        where: uint8 (h, w) 255 where that is the side's, else 0.
        radius: cells to look around.
        cell: (n,) flat places on that grid.
    """
    around: dict[str, Any] = {
        "ddepth": cv2.CV_32F,
        "ksize": (2 * radius + 1, 2 * radius + 1),
        "normalize": False,
        "borderType": cv2.BORDER_CONSTANT,
    }
    theirs = cv2.bitwise_and(small, small, mask=where)
    count = np.asarray(cv2.boxFilter(where, **around)).take(cell) / 255.0
    there = np.maximum(count, 1.0)
    mean = _at(np.asarray(cv2.boxFilter(theirs, **around)), cell) / there
    square = _at(np.asarray(cv2.sqrBoxFilter(theirs, **around)), cell) / there
    variance = np.maximum(square - mean * mean, 0.0) + NOISE**2
    return _Side(mean=mean, variance=variance, known=count >= 1.0)


def _changes(seen: Array, own: _Side, other: _Side) -> tuple[Array, Array]:
    """Which (n,) pixels would leave the instance, and which would join it, by their colours."""
    between = own.mean - other.mean
    spread = between / (own.variance + other.variance)
    apart = (between * spread).sum(0)
    share = ((seen - other.mean) * spread).sum(0) / np.maximum(apart, 1e-9)
    mix = np.clip(share, 0.0, 1.0)
    expected = other.mean + mix * between
    variance = other.variance + mix * (own.variance - other.variance)
    told = own.known & other.known & (apart > APART)
    told &= ((seen - expected) ** 2 / variance).sum(0) < ALIKE
    surer = other.unlikely(seen) - own.unlikely(seen)
    return told & (share < 0.5) & (surer < -SURER), told & (share > 0.5) & (surer > SURER)


def _reached(start: Array, allowed: Array, steps: int) -> Array:
    """``start`` grown inside ``allowed`` by as many pixels as there are steps."""
    reached: Array = start & allowed
    for _ in range(steps):
        reached = np.minimum(cv2.dilate(reached, _square(1)), allowed)
    return reached


def _core(inside: Array, band: float) -> npt.NDArray[np.bool_]:
    """Where a side's depth is surely its own: beyond the band, or in the middle of thin parts."""
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    ridge = deep >= cv2.dilate(deep, _square(1)) - 1e-3
    return (deep > band) | (ridge & (inside > 0))


def _nearest(values: Array, seeds: Array, place: Array) -> Array:
    """The value of the seed that is nearest to each flat place."""
    _, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Whole numbers already, which OpenCV's stubs do not tell
    label = np.asarray(labels, np.int32)
    found = np.zeros(int(label.max()) + 1, np.float32)
    found[label[seeds]] = values[seeds]
    return found[label.take(place)]


def _range(values: Array, where: Array, reach: int, cell: Array) -> Array:
    """By how much the values differ within reach of each place, as far as they count."""
    lowest = cv2.erode(np.where(where, values, np.float32(np.inf)), _square(reach))
    highest = cv2.dilate(np.where(where, values, np.float32(0.0)), _square(reach))
    return np.maximum(np.asarray(highest).take(cell) - np.asarray(lowest).take(cell), 0.0)


def _mean(values: Array, where: Array, reach: int, cell: Array) -> tuple[Array, Array]:
    """The mean of the values that count within reach of each place, and whether there are any."""
    window, weight = (2 * reach + 1, 2 * reach + 1), where.astype(np.float32)

    def summed(layer: Array) -> Array:
        found = cv2.boxFilter(layer, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(found).take(cell)

    count = summed(weight)
    return summed(values * weight) / np.maximum(count, 1.0), count >= 1.0
