"""Pixels of instances, how many clusters each gets, and a fast K-means for previews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STRIDE = 10
"""Every tenth pixel of an instance, in raster order, is a sample."""
FAST_SAMPLES = 320
FAST_STARTS = 6
FAST_FIRST_STEPS = 12
FAST_STEPS = 4


@dataclass(frozen=True, slots=True)
class InstancePixels:
    """Where each id of one frame is.

    Attributes:
        order: flat pixel indices sorted by id, in raster order within an id.
        ends: ``ends[i]`` is where id ``i`` begins in ``order``, ``ends[i + 1]`` where it ends.
        width: of the frame.
    """

    order: Array
    ends: Array
    width: int

    def area(self, item: int) -> int:
        """Pixels of an id; 0 for one that is not there."""
        return int(self.ends[item + 1] - self.ends[item]) if item + 1 < len(self.ends) else 0

    def of(self, item: int) -> Array:
        """``(n, 2)`` int (row, col) of an id, in raster order."""
        if item + 1 >= len(self.ends):
            return np.zeros((0, 2), np.int64)
        flat = self.order[self.ends[item] : self.ends[item + 1]]
        return np.stack(np.divmod(flat, self.width), -1)


def instance_pixels(frame: Array) -> InstancePixels:
    """Sort one frame's pixels by id; ids are 0..255."""
    flat = frame.astype(np.uint8).ravel()
    order = np.argsort(flat, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(flat))])
    return InstancePixels(order, ends, frame.shape[1])


def cluster_counts(
    frames: Sequence[InstancePixels], size: int, moving: int, alpha: float, k_max: int
) -> dict[int, int]:
    """How many clusters each id gets, the same in all frames.

    In proportion to its largest area, 1 to ``k_max``; at least 3 for what moves, and for what
    vanishes or changes its area more than tenfold.

    Args:
        frames: where the ids are.
        size: pixels of a frame.
        moving: ids 1..``moving`` move.
        alpha: clusters of an id that fills the frame.
        k_max: the most.
    """
    counts: dict[int, int] = {}
    for item in range(1, max(len(frame.ends) for frame in frames) - 1):
        areas = [frame.area(item) for frame in frames]
        largest, smallest = max(areas), min(areas)
        if largest == 0:
            continue
        count = min(max(round(alpha * largest / size), 1), k_max)
        if item <= moving or smallest == 0 or largest / smallest > 10:
            count = max(count, 3)
        counts[item] = count
    return counts


class FastClusters:
    """K-means on few samples, warm from the frame before, all instances in one batch.

    A centre keeps its place in the order from frame to frame, so points keep their identity.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._centres: dict[int, Array] = {}

    def next_frame(self, pixels: InstancePixels, counts: dict[int, int]) -> dict[int, Array]:
        """Centres ``(k, 2)`` (row, col) of every id that has enough pixels."""
        samples: dict[int, Array] = {}
        wanted: dict[int, int] = {}
        for item, count in counts.items():
            area = pixels.area(item)
            if area < count * STRIDE:
                continue
            samples[item] = _thinned(pixels, item)
            wanted[item] = min(max(1, int(count * self._ratio)), len(samples[item]))
        fresh = [i for i in samples if len(self._centres.get(i, ())) != wanted[i]]
        self._centres.update(_first_centres({i: samples[i] for i in fresh}, wanted))
        if samples:
            items = list(samples)
            starts = [self._centres[item] for item in items]
            found, _ = _lloyd([samples[item] for item in items], starts, FAST_STEPS)
            self._centres.update(zip(items, found, strict=True))
        return {item: self._centres[item] for item in samples}


def _thinned(pixels: InstancePixels, item: int) -> Array:
    """At most ``FAST_SAMPLES`` evenly spread pixels of an id."""
    flat = pixels.order[pixels.ends[item] : pixels.ends[item + 1]]
    at = np.linspace(0, len(flat) - 1, min(FAST_SAMPLES, len(flat))).astype(np.int64)
    return np.stack(np.divmod(flat[at], pixels.width), -1).astype(np.float32)


def _first_centres(samples: dict[int, Array], wanted: dict[int, int]) -> dict[int, Array]:
    """The best of several seeded starts for every instance that has no centres yet."""
    if not samples:
        return {}
    rng = np.random.default_rng(0)
    items = [item for item in samples for _ in range(FAST_STARTS)]
    starts = [_spread(samples[item], wanted[item], rng) for item in items]
    found, inertia = _lloyd([samples[item] for item in items], starts, FAST_FIRST_STEPS)
    best: dict[int, Array] = {}
    for n, item in enumerate(samples):
        part = slice(n * FAST_STARTS, (n + 1) * FAST_STARTS)
        best[item] = found[part.start + int(np.argmin(inertia[part]))]
    return best


def _spread(samples: Array, count: int, rng: np.random.Generator) -> Array:
    """Starts far from each other (k-means++)."""
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
    """Lloyd's steps for a batch; centres and the inertia of each."""
    batch, most = len(samples), max(len(s) for s in starts)
    length = max(len(s) for s in samples)
    points = np.zeros((batch, length, 2), np.float32)
    used = np.zeros((batch, length, 1), np.float32)
    centres = np.full((batch, most, 2), 1e6, np.float32)  # a centre that nothing is near to
    for n, (sample, start) in enumerate(zip(samples, starts, strict=True)):
        points[n, : len(sample)] = sample
        used[n, : len(sample)] = 1
        centres[n, : len(start)] = start
    weighted = np.concatenate([points * used, used], -1)
    squares = (points**2).sum(-1, keepdims=True)
    inertia = np.zeros(batch)
    for step in range(steps + 1):
        distance = squares - 2 * points @ centres.transpose(0, 2, 1) + (centres**2).sum(-1)[:, None]
        nearest = distance.argmin(-1)
        if step == steps:
            least = np.take_along_axis(distance, nearest[..., None], -1)
            inertia = (least * used).sum((1, 2))
            break
        member = (nearest[..., None] == np.arange(most)).astype(np.float32)
        sums = member.transpose(0, 2, 1) @ weighted
        some = sums[..., 2:] > 0
        centres = np.where(some, sums[..., :2] / np.maximum(sums[..., 2:], 1), centres)
    return [centres[n, : len(start)] for n, start in enumerate(starts)], inertia
