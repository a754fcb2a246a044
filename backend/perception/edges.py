"""Depth without flying pixels.

A network's depth runs smoothly from a thing's edge to what lies behind it. In a cloud of points
that is a curtain hanging in the air. Here such pixels are given the depth of the nearest place on
one side of the edge or the other, whichever is the closer in depth.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEAST_STEP = 0.04
"""Disparity, of 1 from the farthest to the nearest, that a step has at least to be an edge."""
FLAT = 0.02
"""Share of a step within which a pixel is taken to be on its side of it."""
STEEPER = 1.6
"""A slope spans twice as much in a window twice as large, a step no more than before."""
SUDDEN = 0.45
"""Share of a window that a run as steep as its steepest place takes at most, if it is a step."""
CREST = 0.005
"""Share of a step within which a pixel is the highest or lowest around."""
TAIL = 0.25
"""How far the faint ends of a run reach beyond what is taken for it, as a share of the reach."""
ROUNDS = 2


def clean_edges(disparity: Array, reach: int | None = None) -> npt.NDArray[np.float32]:
    """Disparity whose steps are steps.

    Slopes stay as they are, to the bit: only pixels on a steep run between two levels move, and
    only to a value that is found beside them.

    Args:
        disparity: float (H, W) in [0, 1].
        reach: pixels that the run from one side of an edge to the other takes at most; by default
            what five pixels of a network's usual input are in this image.

    Raises:
        ValueError: the map has not two axes.
    """
    if disparity.ndim != 2:
        raise ValueError(f"disparity must be (H, W), got {disparity.shape}")
    if reach is None:
        reach = max(4, math.ceil(5 * min(disparity.shape) / 518))
    cleaned = disparity.astype(np.float32)
    for _ in range(ROUNDS):
        cleaned = _snapped(cleaned, reach)
    return cleaned


def flying(disparity: Array, reach: int) -> npt.NDArray[np.bool_]:
    """Which pixels hang between two sides of an edge, (H, W)."""
    low, high = _extremes(disparity, reach)
    step = high - low
    wide_low, wide_high = _extremes(disparity, 2 * reach)
    beside_low, beside_high = _extremes(disparity, 1)
    rise = beside_high - beside_low  # over two pixels
    steepest = cv2.dilate(rise, _square(reach))
    edge = (
        (step > LEAST_STEP)
        & (wide_high - wide_low < STEEPER * step)
        & (step < SUDDEN * reach * steepest)
    )
    run = (
        edge
        & (disparity - low > FLAT * step)
        & (high - disparity > FLAT * step)
        & (rise > FLAT * step)
    )
    # Far away a little disparity is much depth, so that the run's faint ends show as well
    tail = max(1, round(TAIL * reach))
    grown = cv2.dilate(run.astype(np.uint8), _square(tail)) > 0
    # The ridge of a thin thing is all that tells how near it is, and a gap's floor how far
    lower, higher = _extremes(disparity, tail)
    level = (higher - disparity < CREST * step) | (disparity - lower < CREST * step)
    return edge & (run | (grown & ~level))


def _snapped(disparity: Array, reach: int) -> npt.NDArray[np.float32]:
    hanging = flying(disparity, reach)
    if not hanging.any():
        return disparity
    low, high = _extremes(disparity, reach)
    near = disparity > (low + high) / 2
    on_near, near_value = _nearest(disparity, ~hanging & near, reach)
    on_far, far_value = _nearest(disparity, ~hanging & ~near, reach)
    closer = np.abs(near_value - disparity) <= np.abs(far_value - disparity)
    value = np.where(on_near & (closer | ~on_far), near_value, far_value)
    return np.where(hanging & (on_near | on_far), value, disparity)


def _nearest(disparity: Array, seeds: Array, reach: int) -> tuple[Array, Array]:
    """(whether there is a seed within twice the reach, the disparity of the nearest one)."""
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
    """Least and largest value of the square window around every pixel."""
    return cv2.erode(disparity, _square(reach)), cv2.dilate(disparity, _square(reach))


def _square(reach: int) -> Array:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
