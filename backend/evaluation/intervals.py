"""Bootstrap intervals over clips: how far a mean or a distance would go with other clips.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13 (the percentile
interval).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backend.evaluation.frechet import Array, Floats, as_floats, frechet_of

CONFIDENCE = 0.95
RESAMPLES = 1000
AT_ONCE = 1 << 20
"""Numbers of clips that are drawn together."""

Numbers = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A value over clips and its 95 % interval.

    Attributes:
        mean: over the clips that count; NaN with none.
        low: NaN with fewer than two clips, of which no interval can be told.
        high: likewise.
        count: clips that count.
        left_out: clips whose value is NaN.
    """

    mean: float
    low: float
    high: float
    count: int
    left_out: int

    def __str__(self) -> str:
        """As in a table: ``1.23 [1.10, 1.40] (N = 20, 1 left out)``."""
        left_out = f", {self.left_out} left out" if self.left_out else ""
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] (N = {self.count}{left_out})"


def bootstrap_interval(
    values: Sequence[float] | npt.NDArray[Any], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The mean of one value a clip; NaN are left out and counted.

    Args:
        values: ``(N,)``.
        seed: of the resampling; the same seed gives the same interval.
        resamples: with replacement, each of as many clips as count.
    """
    given = np.asarray(values, np.float64).reshape(-1)
    kept = given[~np.isnan(given)]
    left_out = len(given) - len(kept)
    if len(kept) == 0:
        return Interval(np.nan, np.nan, np.nan, 0, left_out)
    parts = [kept[chosen].mean(1) for chosen in _resampled(len(kept), seed, resamples)]
    means = np.concatenate(parts) if parts else np.zeros(0)
    return Interval(float(kept.mean()), *_limits(means), len(kept), left_out)


def bootstrap_statistic(
    count: int,
    statistic: Callable[[Numbers], float],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """A statistic of clips that is not a mean.

    Args:
        count: clips.
        statistic: its value for the clips of these numbers, some of which come more than once.
        seed: of the resampling.
        resamples: with replacement.
    """
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    drawn = (one for part in _resampled(count, seed, resamples) for one in part)
    if count < 5:  # in 256 ways at most, again and again
        known = functools.cache(lambda numbers: statistic(np.array(numbers)))
        found = [known(tuple(one.tolist())) for one in drawn]
    else:
        found = [statistic(one) for one in drawn]
    return Interval(statistic(np.arange(count)), *_limits(found), count, 0)


def bootstrap_frechet(
    real: Array, generated: Array, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The Frechet distance of clips' features; a real clip and the one made from it stay together.

    A resample holds fewer different clips than there are, so its distances are larger on the whole:
    the interval says how much depends on which clips were taken and need not hold the value.

    Args:
        real: ``(N, D)``, or ``(N, K, D)`` of clips of K frames each.
        generated: likewise, in the same order.

    Raises:
        ValueError: shapes that differ, or fewer than two samples.
    """
    a, b = as_floats(real), as_floats(generated)
    if a.shape != b.shape:
        raise ValueError(f"features of shape {a.shape} and {b.shape} are not of the same clips")
    size = a.shape[-1]

    def distance(chosen: Numbers) -> float:
        return frechet_of(a[chosen].reshape(-1, size), b[chosen].reshape(-1, size))

    return bootstrap_statistic(len(a), distance, seed, resamples)


def _resampled(count: int, seed: int, resamples: int) -> Iterator[Numbers]:
    """``(K, count)`` numbers of clips, as many at once as fit; none of fewer than two clips."""
    generator = np.random.default_rng(seed)
    at_once = max(1, AT_ONCE // max(1, count))
    for start in range(0, resamples if count > 1 else 0, at_once):
        yield generator.integers(count, size=(min(at_once, resamples - start), count))


def _limits(values: Sequence[float] | Floats) -> tuple[float, float]:
    if len(values) == 0:
        return np.nan, np.nan
    tail = (1 - CONFIDENCE) / 2
    with np.errstate(invalid="ignore"):  # PSNR of equal pictures is infinite
        low, high = np.quantile(np.asarray(values), [tail, 1 - tail])
    return float(low), float(high)
