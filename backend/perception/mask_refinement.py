"""Refines a picked instance along its outline: its mask by colour, and its depth.

A segmentation network predicts masks at about 256 x 256, so their outlines are off by a pixel or
two of the photo. A depth network is smooth across the outline, so the instance's outermost pixels
fly towards the background. Both are corrected in a narrow band along the outline only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NETWORK_CELLS = 256
"""Resolution of a network's mask along the photo's longer side."""
MAX_BAND = 12
"""Maximum half width of a band, pixels."""
COLOUR_NOISE = 8.0
"""Standard deviation of colours within one surface, of 255."""
MAX_CELLS = 320
"""Maximum number of averaging cells across a large instance, if they fit beside the band."""
MAX_RESIDUAL = 12.0
"""Maximum squared Mahalanobis distance of a colour to the line between both sides' means; the 99 %
quantile."""
MIN_SEPARATION = 1.0
"""Squared Mahalanobis distance of both sides' colours below which colour is not used."""
MIN_LOG_RATIO = 4.0
"""Minimum of twice the log likelihood ratio for a pixel to change sides."""
MAX_BAND_SHARE = 0.2
"""Maximum share of the photo in the band of :func:`refine_mask`; a larger band means a mask so
fragmented that the colours of its sides are not reliable."""
MAX_RELIEF_SHARE = 0.15
"""Share of the disparity step to the background beyond which a pixel is smeared, not relief."""
RELIEF_TOLERANCE = 0.1
"""The same as a share of the instance's own disparity, beyond its local range. The lesser of the
two limits is used: beside a near neighbour, a small share of the step is much depth."""
MIN_STEP = 0.02
"""Minimum step, as a share of the instance's disparity; smaller ones are not visible."""
MIN_STEP_TO_SLOPE = 4.0
"""Minimum step over the local range of the instance's disparity; less is a slope that continues."""


def mask_band(height: int, width: int) -> int:
    """Half width in pixels of the band in which a network's outline is uncertain, by photo size."""
    return min(MAX_BAND, max(2, math.ceil(max(height, width) / NETWORK_CELLS)))


def depth_band(height: int, width: int) -> int:
    """Width in pixels inside an outline that a depth network may have smeared."""
    return min(MAX_BAND, max(4, math.ceil(5 * min(height, width) / 518)))


def refine_mask(image: Array, mask: Array, band: int) -> npt.NDArray[np.bool_]:
    """Refine a mask's outline by the photo's colours, within a band.

    A pixel changes sides if its colour is clearly likelier under the other side's local colour
    model, or a mix with more than half of it, and if it is connected to that side by pixels that
    change too. Colours that fit neither side, and sides of similar colour, change nothing. Thin
    parts are kept: those of up to two pixels, and those far from anything wider than twice the
    band, since their colours are unknown.

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
    part = _crop_window(refined, reach + band)
    inside, colours = refined[part].astype(np.uint8), np.ascontiguousarray(image[part])
    shifted = _square(band)
    sure = cv2.erode(inside, shifted)
    possible = cv2.dilate(inside, shifted)
    rows, columns = _nonzero(possible - sure)
    if not len(rows) or len(rows) > MAX_BAND_SHARE * mask.size:
        return refined
    step = min(band, max(1, band // 2, math.ceil(max(inside.shape) / MAX_CELLS)), *inside.shape)
    small = _block_means(colours, step)
    height, width = small.shape[:2]
    cell = np.minimum(rows // step, height - 1) * width + np.minimum(columns // step, width - 1)
    place = rows * inside.shape[1] + columns
    seen = _take(colours, place).astype(np.float32)
    radius = max(1, round(reach / step))
    own = _local_colours(small, _whole_cells(sure, step), radius, cell)
    other = _local_colours(small, _whole_cells(1 - possible, step), radius, cell)
    leaves, joins = _side_changes(seen, own, other)
    within = inside.take(place) > 0
    thick = cv2.morphologyEx(inside, cv2.MORPH_OPEN, _square(1)).take(place) > 0
    leaves, joins = leaves & within & thick, joins & ~within
    grown = inside
    if joins.any():
        allowed = inside.copy()
        allowed.put(place[joins], 1)
        grown = _geodesic_dilation(inside, allowed, band)
    result = grown
    if leaves.any():
        kept = grown.copy()
        kept.put(place[leaves], 0)
        # Pixels that leave must be connected to the outside, likewise
        result = 1 - _geodesic_dilation(1 - grown, 1 - kept, band)
    refined[part] = result > 0
    return refined


def clean_instance_depth(depth: Array, mask: Array, band: int) -> npt.NDArray[np.float32]:
    """Remove flying pixels of an instance along the inside of its outline.

    Pixels in the band whose depth is smeared towards the surroundings take the depth of the nearest
    pixel further inside. All others, inside and outside the mask, are unchanged to the bit.

    Args:
        depth: float (H, W), z, positive.
        mask: bool (H, W), the instance.
        band: pixels inside the outline that may be smeared.

    Raises:
        ValueError: the sizes differ.
    """
    if depth.shape != mask.shape:
        raise ValueError(f"a depth of {depth.shape} has no mask of {mask.shape}")
    cleaned = depth.astype(np.float32)
    if band < 1 or mask.all() or not mask.any():
        return cleaned
    part = _crop_window(mask, 3 * band + 2)
    inside = mask[part].astype(np.uint8)
    disparity = 1.0 / np.maximum(cleaned[part], 1e-9)
    core = _reliable(inside, band)
    rows, columns = _nonzero(inside & ~core)
    # Neighbourhoods are sampled every few pixels
    step = max(1, (band + 1) // 3)
    deep = np.ascontiguousarray(core[::step, ::step])
    if not len(rows) or not deep.any():
        return cleaned
    sparse = np.ascontiguousarray(disparity[::step, ::step])
    cell = rows // step * sparse.shape[1] + columns // step
    place = rows * inside.shape[1] + columns
    outer = _reliable(np.ascontiguousarray(1 - inside[::step, ::step]), band / step)
    beside, known = _local_mean(sparse, outer, 3 * band // step, cell)
    change = _local_range(sparse, deep, 2 * band // step, cell)
    own, there = _nearest(sparse, deep, cell), disparity.take(place)
    step_there = beside - own
    least = np.maximum(MIN_STEP * own, MIN_STEP_TO_SLOPE * change)
    away = (there - own) * np.sign(step_there)
    relief = np.minimum(MAX_RELIEF_SHARE * np.abs(step_there), RELIEF_TOLERANCE * own + change)
    smeared = known & (np.abs(step_there) > least) & (away > relief)
    cleaned[part][rows[smeared], columns[smeared]] = 1.0 / own[smeared]
    return cleaned


@dataclass(frozen=True, slots=True, kw_only=True)
class _ColourModel:
    """Gaussian colour model of one side (instance or surroundings) around each of n pixels.

    Attributes:
        mean: (3, n).
        variance: (3, n).
        known: (n,) whether the side has pixels nearby.
    """

    mean: Array
    variance: Array
    known: Array

    def unlikely(self, seen: Array) -> Array:
        """Twice the negative logarithm of the likelihood of (3, n) colours, up to a constant."""
        return ((seen - self.mean) ** 2 / self.variance).sum(0) + np.log(self.variance.prod(0))


def _crop_window(mask: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the mask's bounding box and a margin."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )


def _square(reach: int) -> Array:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _nonzero(where: Array) -> tuple[Array, Array]:
    """``(n,)`` rows and ``(n,)`` columns of nonzero pixels of a uint8 map."""
    found = cv2.findNonZero(where)
    if found is None:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    columns, rows = np.asarray(found).reshape(-1, 2).T
    return rows, columns


def _take(values: Array, place: Array) -> Array:
    """``(3, n)`` of contiguous ``(h, w, 3)`` at flat indices."""
    return np.ascontiguousarray(values.reshape(-1, 3).take(place, 0).T)


def _block_means(values: Array, step: int) -> Array:
    """Means of blocks of ``step`` x ``step``; incomplete blocks are left out."""
    height, width = values.shape[0] // step, values.shape[1] // step
    cut = values[: height * step, : width * step]
    # INTER_AREA is ten times as fast with an integer factor
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))


def _whole_cells(where: Array, step: int) -> npt.NDArray[np.uint8]:
    """255 where a cell of the coarse grid lies wholly within ``where``, else 0."""
    share = _block_means(where * np.uint8(255), step)
    return cv2.threshold(share, 254, 255, cv2.THRESH_BINARY)[1].astype(np.uint8, copy=False)


def _local_colours(small: Array, where: Array, radius: int, cell: Array) -> _ColourModel:
    """The local colour model of one side.

    Args:
        small: uint8 (h, w, 3), the photo on the coarse grid.
        where: uint8 (h, w), 255 for cells of the side, else 0.
        radius: of the window, cells.
        cell: (n,) flat indices into that grid.
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
    mean = _take(np.asarray(cv2.boxFilter(theirs, **around)), cell) / there
    square = _take(np.asarray(cv2.sqrBoxFilter(theirs, **around)), cell) / there
    variance = np.maximum(square - mean * mean, 0.0) + COLOUR_NOISE**2
    return _ColourModel(mean=mean, variance=variance, known=count >= 1.0)


def _side_changes(seen: Array, own: _ColourModel, other: _ColourModel) -> tuple[Array, Array]:
    """``(n,)`` pixels that would leave the instance, and those that would join it, by colour."""
    between = own.mean - other.mean
    spread = between / (own.variance + other.variance)
    apart = (between * spread).sum(0)
    share = ((seen - other.mean) * spread).sum(0) / np.maximum(apart, 1e-9)
    mix = np.clip(share, 0.0, 1.0)
    expected = other.mean + mix * between
    variance = other.variance + mix * (own.variance - other.variance)
    reliable = own.known & other.known & (apart > MIN_SEPARATION)
    reliable &= ((seen - expected) ** 2 / variance).sum(0) < MAX_RESIDUAL
    log_ratio = other.unlikely(seen) - own.unlikely(seen)
    return reliable & (share < 0.5) & (log_ratio < -MIN_LOG_RATIO), reliable & (share > 0.5) & (
        log_ratio > MIN_LOG_RATIO
    )


def _geodesic_dilation(start: Array, allowed: Array, steps: int) -> Array:
    """``start`` dilated ``steps`` times within ``allowed``."""
    reached: Array = start & allowed
    for _ in range(steps):
        reached = np.minimum(cv2.dilate(reached, _square(1)), allowed)
    return reached


def _reliable(inside: Array, band: float) -> npt.NDArray[np.bool_]:
    """Where a side's depth is reliable: beyond the band, or on the medial axis of thin parts."""
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    ridge = deep >= cv2.dilate(deep, _square(1)) - 1e-3
    return (deep > band) | (ridge & (inside > 0))


def _nearest(values: Array, seeds: Array, place: Array) -> Array:
    """The value of the seed nearest to each flat index."""
    _, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # int32 already, which OpenCV's stubs do not say
    label = np.asarray(labels, np.int32)
    found = np.zeros(int(label.max()) + 1, np.float32)
    found[label[seeds]] = values[seeds]
    return found[label.take(place)]


def _local_range(values: Array, where: Array, reach: int, cell: Array) -> Array:
    """Range of the values under ``where`` in the window of each cell."""
    lowest = cv2.erode(np.where(where, values, np.float32(np.inf)), _square(reach))
    highest = cv2.dilate(np.where(where, values, np.float32(0.0)), _square(reach))
    return np.maximum(np.asarray(highest).take(cell) - np.asarray(lowest).take(cell), 0.0)


def _local_mean(values: Array, where: Array, reach: int, cell: Array) -> tuple[Array, Array]:
    """Mean of the values under ``where`` in the window of each cell, and whether there are any."""
    window, weight = (2 * reach + 1, 2 * reach + 1), where.astype(np.float32)

    def summed(layer: Array) -> Array:
        found = cv2.boxFilter(layer, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(found).take(cell)

    count = summed(weight)
    return summed(values * weight) / np.maximum(count, 1.0), count >= 1.0
