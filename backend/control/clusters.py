"""Pixels per instance, cluster counts, and a fast batched K-means for previews."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STRIDE = 10
"""Every tenth pixel of an instance, in raster order, is a sample."""
FAST_SAMPLES = 320
"""Approximate number of pixels of an instance that the fast K-means uses."""
FAST_RESTARTS = 6
FAST_INITIAL_STEPS = 12
FAST_CONVERGENCE_STEPS = 100
"""Most steps to converge in the first frame, so that centres of a static shot do not drift."""
FAST_STEPS = 4


@dataclass(frozen=True, slots=True)
class InstancePixels:
    """The pixels of one frame, grouped by instance id.

    Attributes:
        order: flat pixel indices sorted by id, in raster order within an id.
        ends: id ``i`` is ``order[ends[i] : ends[i + 1]]``.
        width: of the frame.
    """

    order: Array
    ends: Array
    width: int

    def area(self, item: int) -> int:
        """Number of pixels of an id; 0 if it is absent."""
        return int(self.ends[item + 1] - self.ends[item]) if item + 1 < len(self.ends) else 0

    def of(self, item: int) -> Array:
        """``(n, 2)`` int (row, col) of an id, in raster order."""
        if item + 1 >= len(self.ends):
            return np.zeros((0, 2), np.int64)
        flat = self.order[self.ends[item] : self.ends[item + 1]]
        return np.stack(np.divmod(flat, self.width), -1)


def instance_pixels(frame: Array) -> InstancePixels:
    """Sort one frame's pixels by id; ids are 0..255."""
    # numpy uses a radix sort for bytes
    flat = frame.astype(np.uint8).ravel()
    order = np.argsort(flat, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(flat))])
    return InstancePixels(order, ends, frame.shape[1])


def instance_areas(ids: Array) -> Array:
    """``(F, ids)`` pixel counts of every id from 0 in every frame of ``(F, H, W)``."""
    most = int(ids.max()) + 1
    return np.stack([np.bincount(frame.ravel(), minlength=most) for frame in ids])


def cluster_counts(
    areas: Array, size: int, moving: int, alpha: float, k_max: int
) -> dict[int, int]:
    """Number of clusters of each id, the same in all frames.

    Proportional to its largest area, 1 to ``k_max``; at least 3 for moving ids, and for those that
    vanish or change their area more than tenfold (``k_max`` where it is below 3).

    Args:
        areas: ``(F, ids)`` of :func:`instance_areas`.
        size: pixels of a frame.
        moving: ids 1..``moving`` move.
        alpha: clusters of an id that fills the frame.
        k_max: maximum.
    """
    counts: dict[int, int] = {}
    for item in range(1, areas.shape[1]):
        largest, smallest = int(areas[:, item].max()), int(areas[:, item].min())
        if largest == 0:
            continue
        count = min(max(round(alpha * largest / size), 1), k_max)
        if item <= moving or smallest == 0 or largest / smallest > 10:
            count = max(count, min(3, k_max))
        counts[item] = count
    return counts


class FastClusters:
    """K-means on few samples, initialised from the previous frame, all instances in one batch.

    Centres keep their order from frame to frame, so that points keep their identity.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._centres: dict[int, Array] = {}
        self._ranks = np.zeros(0, np.float32)

    def next_frame(self, pixels: InstancePixels, counts: dict[int, int]) -> dict[int, Array]:
        """Centres ``(k, 2)`` (row, col) of every id that has enough pixels."""
        if len(self._ranks) != len(pixels.order):
            self._ranks = sampling_ranks(len(pixels.order), pixels.width)
        samples: dict[int, Array] = {}
        wanted: dict[int, int] = {}
        for item, count in counts.items():
            area = pixels.area(item)
            if math.ceil(area / STRIDE) < count:  # the rule of ExactClusters
                continue
            samples[item] = _subsampled(pixels, item, self._ranks)
            wanted[item] = max(1, int(min(count * self._ratio, len(samples[item]))))
        fresh = [i for i in samples if len(self._centres.get(i, ())) != wanted[i]]
        self._centres.update(_initial_centres({i: samples[i] for i in fresh}, wanted))
        if samples:
            items = list(samples)
            starts = [self._centres[item] for item in items]
            found, _ = _lloyd([samples[item] for item in items], starts, FAST_STEPS)
            self._centres.update(zip(items, found, strict=True))
        return {item: self._centres[item] for item in samples}


def sampling_ranks(size: int, width: int) -> Array:
    """``(size,)`` float32 in [0, 1): the pixels below a threshold are evenly distributed.

    A low-discrepancy sequence over pixel positions, so that samples change little from frame to
    frame. Every n-th pixel of an instance would move to other columns if one row grows by a pixel.

    Source: Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences" (2018), R2.
    """
    row, column = np.divmod(np.arange(size), width)
    return ((0.7548776662466927 * row + 0.5698402909980532 * column) % 1.0).astype(np.float32)


def _subsampled(pixels: InstancePixels, item: int, ranks: Array) -> Array:
    """About ``FAST_SAMPLES`` evenly distributed pixels of an id, all if it has fewer."""
    flat = pixels.order[pixels.ends[item] : pixels.ends[item + 1]]
    if len(flat) > FAST_SAMPLES:
        flat = flat[ranks[flat] < FAST_SAMPLES / len(flat)]
    return np.stack(np.divmod(flat, pixels.width), -1).astype(np.float32)


def _initial_centres(samples: dict[int, Array], wanted: dict[int, int]) -> dict[int, Array]:
    """The best of several seeded restarts for every instance without centres."""
    if not samples:
        return {}
    items, starts = list[int](), list[Array]()
    for item in samples:
        rng = np.random.default_rng(0)  # one each, so that instances do not depend on each other
        items += [item] * FAST_RESTARTS
        starts += [
            _kmeans_plus_plus(samples[item], wanted[item], rng) for _ in range(FAST_RESTARTS)
        ]
    found, inertia = _lloyd([samples[item] for item in items], starts, FAST_INITIAL_STEPS)
    best: list[int] = inertia.reshape(-1, FAST_RESTARTS).argmin(1).tolist()
    starts = [found[n * FAST_RESTARTS + start] for n, start in enumerate(best)]
    converged, _ = _lloyd(list(samples.values()), starts, FAST_CONVERGENCE_STEPS)
    return dict(zip(samples, converged, strict=True))


def _kmeans_plus_plus(samples: Array, count: int, rng: np.random.Generator) -> Array:
    """Initial centres by k-means++."""
    chosen = [samples[rng.integers(len(samples))]]
    distance = ((samples - chosen[0]) ** 2).sum(1)
    for _ in range(count - 1):
        total = distance.sum()
        share = distance / total if total > 0 else None
        chosen.append(samples[rng.choice(len(samples), p=share)])
        distance = np.minimum(distance, ((samples - chosen[-1]) ** 2).sum(1))
    return np.stack(chosen)


def _lloyd(
    samples: Sequence[Array], starts: Sequence[Array], steps: int
) -> tuple[list[Array], Array]:
    """At most ``steps`` of Lloyd's algorithm for a batch; centres and inertia of each item."""
    batch, most = len(samples), max(len(s) for s in starts)
    length = max(len(s) for s in samples)
    points = np.zeros((batch, length, 2), np.float32)
    valid = np.zeros((batch, length, 1), np.float32)
    centres = np.full((batch, most, 2), 1e6, np.float32)  # padding, far from every sample
    for n, (sample, start) in enumerate(zip(samples, starts, strict=True)):
        points[n, : len(sample)] = sample
        valid[n, : len(sample)] = 1
        centres[n, : len(start)] = start
    weighted = np.concatenate([points * valid, valid], -1)
    squares = (points**2).sum(-1, keepdims=True)
    step = 0
    while True:
        distance = squares - 2 * points @ centres.transpose(0, 2, 1) + (centres**2).sum(-1)[:, None]
        nearest = distance.argmin(-1)
        if step == steps:
            break
        step += 1
        member = (nearest[..., None] == np.arange(most)).astype(np.float32)
        sums = member.transpose(0, 2, 1) @ weighted
        occupied = sums[..., 2:] > 0
        moved = np.where(occupied, sums[..., :2] / np.maximum(sums[..., 2:], 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    least = np.take_along_axis(distance, nearest[..., None], -1)
    inertia = (least * valid).sum((1, 2))
    return [centres[n, : len(start)] for n, start in enumerate(starts)], inertia
