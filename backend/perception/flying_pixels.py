"""Removes flying pixels at depth discontinuities.

A depth network's output is smooth across an occlusion edge, which in a point cloud makes points
that hang between foreground and background. They are snapped to the value of the nearest pixel on
the side of the edge that is closer in disparity.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MIN_STEP = 0.04
"""Minimum disparity step of an edge, of the range [0, 1]."""
SIDE_TOLERANCE = 0.02
"""Share of a step within which a pixel belongs to one side of it."""
MAX_WINDOW_RATIO = 1.6
"""Range in a window of twice the size over that in the window: 2 for a slope, 1 for a step."""
MAX_RUN_SHARE = 0.45
"""Maximum share of the window that a step takes at its steepest gradient."""
CREST_TOLERANCE = 0.005
"""Share of a step within which a pixel is a local extremum."""
TAIL_SHARE = 0.25
"""Dilation of the detected transition by its faint ends, as a share of the reach."""
ITERATIONS = 2


def remove_flying_pixels(disparity: Array, reach: int | None = None) -> npt.NDArray[np.float32]:
    """Snap flying pixels of a disparity map to one side of their edge.

    Slopes are unchanged, to the bit: only pixels of a steep transition between two levels change,
    and only to a value that is found beside them.

    Args:
        disparity: float (H, W) in [0, 1].
        reach: maximum width of a transition in pixels; by default, five pixels of a network's
            usual input in pixels of this map.

    Raises:
        ValueError: the map is not (H, W).
    """
    if disparity.ndim != 2:
        raise ValueError(f"disparity must be (H, W), got {disparity.shape}")
    if reach is None:
        reach = max(4, math.ceil(5 * min(disparity.shape) / 518))
    cleaned = disparity.astype(np.float32)
    for _ in range(ITERATIONS):
        cleaned = _snap_to_sides(cleaned, reach)
    return cleaned


def flying_pixels(disparity: Array, reach: int) -> npt.NDArray[np.bool_]:
    """``(H, W)`` bool: pixels between the two sides of an edge."""
    low, high = _extremes(disparity, reach)
    step = high - low
    wide_low, wide_high = _extremes(disparity, 2 * reach)
    beside_low, beside_high = _extremes(disparity, 1)
    rise = beside_high - beside_low  # over two pixels
    steepest = cv2.dilate(rise, _square(reach))
    edge = (
        (step > MIN_STEP)
        & (wide_high - wide_low < MAX_WINDOW_RATIO * step)
        & (step < MAX_RUN_SHARE * reach * steepest)
    )
    run = (
        edge
        & (disparity - low > SIDE_TOLERANCE * step)
        & (high - disparity > SIDE_TOLERANCE * step)
        & (rise > SIDE_TOLERANCE * step)
    )
    # Far away, a small disparity is a large depth, so that the faint ends are visible as well
    tail = max(1, round(TAIL_SHARE * reach))
    grown = cv2.dilate(run.astype(np.uint8), _square(tail)) > 0
    # Keep local extrema: the ridge of a thin object has its true depth, as has a gap's floor
    lower, higher = _extremes(disparity, tail)
    level = (higher - disparity < CREST_TOLERANCE * step) | (
        disparity - lower < CREST_TOLERANCE * step
    )
    return edge & (run | (grown & ~level))


def _snap_to_sides(disparity: Array, reach: int) -> npt.NDArray[np.float32]:
    flying = flying_pixels(disparity, reach)
    if not flying.any():
        return disparity
    low, high = _extremes(disparity, reach)
    near = disparity > (low + high) / 2
    on_near, near_value = _nearest(disparity, ~flying & near, reach)
    on_far, far_value = _nearest(disparity, ~flying & ~near, reach)
    closer = np.abs(near_value - disparity) <= np.abs(far_value - disparity)
    value = np.where(on_near & (closer | ~on_far), near_value, far_value)
    return np.where(flying & (on_near | on_far), value, disparity)


def _nearest(disparity: Array, seeds: Array, reach: int) -> tuple[Array, Array]:
    """Whether a seed is within twice the reach, and the disparity of the nearest one."""
    if not seeds.any():
        return np.zeros(seeds.shape, bool), disparity
    distance, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(labels, np.int64)
    values = np.zeros(int(label.max()) + 1, np.float32)
    values[label[seeds]] = disparity[seeds]
    return distance <= 2 * reach, values[label]


def _extremes(disparity: Array, reach: int) -> tuple[Array, Array]:
    """Minimum and maximum over the square window around every pixel."""
    return cv2.erode(disparity, _square(reach)), cv2.dilate(disparity, _square(reach))


def _square(reach: int) -> Array:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
