"""Bootstrap intervals over clips: how far a mean or a distance would go with other clips.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13 (the percentile
interval).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from backend.evaluation.frechet import Array, Floats, as_floats, frechet_distance, root_of

CONFIDENCE = 0.95
RESAMPLES, LEAST_RESAMPLES = 1000, 100
WORK = RESAMPLES * 400**3
"""Of a Frechet distance's resamples: as many as of FVD's 400 features, whatever the clips."""
SMALL = 512
"""Sides of a matrix below which a thread is faster alone."""
BLOCK = 1 << 22
"""Numbers that are in memory at once where features are not."""
AT_ONCE = 1 << 20
"""Numbers of clips that are drawn together."""

Numbers = npt.NDArray[np.int64]

_threads = functools.cache(ThreadpoolController)
"""Of numpy's library; to look for it takes a while."""


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
    values: Sequence[float] | npt.NDArray[Any],
    seed: int = 0,
    resamples: int = RESAMPLES,
    weights: Sequence[float] | npt.NDArray[Any] | None = None,
) -> Interval:
    """The mean of one value a clip; NaN are left out and counted.

    Args:
        values: ``(N,)``.
        seed: of the resampling; the same seed gives the same interval.
        resamples: with replacement, each of as many clips as count.
        weights: ``(N,)``, of how many things each value is the mean, above 0 where it is a number:
            the mean is that of all of them. None for as many in each clip.
    """
    given = np.asarray(values, np.float64).reshape(-1)
    number = ~np.isnan(given)
    kept = given[number]
    left_out = len(given) - len(kept)
    if len(kept) == 0:
        return Interval(np.nan, np.nan, np.nan, 0, left_out)
    weight = None if weights is None else np.asarray(weights, np.float64).reshape(-1)[number]

    def mean(chosen: Numbers) -> Floats:
        if weight is None:
            return kept[chosen].mean(-1)
        return (kept[chosen] * weight[chosen]).sum(-1) / weight[chosen].sum(-1)

    parts = [mean(chosen) for chosen in _resampled(len(kept), seed, resamples)]
    means = np.concatenate(parts) if parts else np.zeros(0)
    return Interval(float(mean(np.arange(len(kept)))), *_limits(means), len(kept), left_out)


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


class ClipFeatures(Protocol):
    """Features of clips that need not all be in memory; an array ``(N, K, D)`` is one.

    Attributes:
        shape: ``(N, K, D)``: N clips of K samples each.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, K, D)``."""
        ...

    def __getitem__(self, clips: slice, /) -> Array:
        """``(n, K, D)`` of some."""
        ...


def bootstrap_frechet(
    real: ClipFeatures,
    generated: ClipFeatures,
    seed: int = 0,
    resamples: int | None = None,
) -> Interval:
    """The Frechet distance of clips' features; a real clip and the one made from it stay together.

    A resample holds fewer different clips than there are, so its distances are larger on the whole:
    the interval says how much depends on which clips were taken and need not hold the value.

    Args:
        real: ``(N, D)``, or ``(N, K, D)`` of clips of K frames each.
        generated: likewise, in the same order.
        seed: of the resampling.
        resamples: with replacement; None for :func:`resamples_within_reason`.

    Raises:
        ValueError: shapes that differ, or fewer than two samples.
    """
    if tuple(real.shape) != tuple(generated.shape):
        raise ValueError(
            f"features of shape {tuple(real.shape)} and {tuple(generated.shape)} are not of the "
            "same clips"
        )
    count, size = real.shape[0], real.shape[-1]
    rows = math.prod(real.shape[:-1])
    if rows < 2:
        raise ValueError(f"a covariance takes at least 2 samples, got {rows}")
    if resamples is None:
        resamples = resamples_within_reason(rows, size)
    # All that follows is of weights, not of repeated rows: a third of the clips is in no resample
    gram = _Gram(real[:], generated[:], count) if rows <= size else None

    def distance(chosen: Numbers) -> float:
        weights = np.bincount(chosen, minlength=count).astype(np.float64)
        if gram is not None:
            return gram.distance(weights)
        gaussians = (weighted_gaussian(features, weights) for features in (real, generated))
        (mean_a, cov_a), (mean_b, cov_b) = gaussians
        try:  # a factor of a covariance does as well as its root, and takes a tenth of the time
            shared = np.linalg.norm(np.linalg.cholesky(cov_a).T @ np.linalg.cholesky(cov_b), "nuc")
        except np.linalg.LinAlgError:  # so few different clips that it is singular
            return frechet_distance(mean_a, cov_a, mean_b, cov_b)
        apart = ((mean_a - mean_b) ** 2).sum()
        return max(0.0, float(apart + np.trace(cov_a) + np.trace(cov_b) - 2 * shared))

    # Threads that wait for each other take twenty times as long for such small matrices
    alone = 1 if min(rows, size) <= SMALL else None
    with _threads().limit(limits=alone, user_api="blas"):
        return bootstrap_statistic(count, distance, seed, resamples)


def bootstrap_frechet_to(
    mean: Floats,
    covariance: Floats,
    generated: ClipFeatures,
    seed: int = 0,
    resamples: int | None = None,
) -> Interval:
    """The Frechet distance of clips' features from a Gaussian that is not resampled.

    Args:
        mean: ``(D,)``.
        covariance: ``(D, D)``.
        generated: ``(N, D)``, or ``(N, K, D)`` of clips of K frames each.
        seed: of the resampling.
        resamples: with replacement; None for :func:`resamples_within_reason`.
    """
    count, size = generated.shape[0], generated.shape[-1]
    each = math.prod(generated.shape[1:-1])
    if resamples is None:
        resamples = resamples_within_reason(count * each, size)
    rows = as_floats(generated[:]).reshape(-1, size) - mean
    turned = rows @ root_of(covariance)
    lengths, trace = (rows**2).sum(1), float(np.trace(covariance))

    def distance(chosen: Numbers) -> float:
        weight = np.repeat(np.bincount(chosen, minlength=count).astype(np.float64), each)
        own = np.flatnonzero(weight)
        weight = weight[own]
        total = weight.sum()
        share = weight / total
        apart = ((share @ rows[own]) ** 2).sum()
        spread = (weight @ lengths[own] - total * apart) / (total - 1)
        centred = (turned[own] - share @ turned[own]) * np.sqrt(weight / (total - 1))[:, None]
        shared = np.linalg.svd(centred, compute_uv=False).sum()
        return max(0.0, float(apart + trace + spread - 2 * shared))

    alone = 1 if min(count * each, size) <= SMALL else None
    with _threads().limit(limits=alone, user_api="blas"):
        return bootstrap_statistic(count, distance, seed, resamples)


def resamples_within_reason(rows: int, size: int) -> int:
    """1000, or fewer where each takes seconds: work grows with the third power of a matrix' side.

    Args:
        rows: samples of each set, N K.
        size: D.
    """
    return int(np.clip(WORK / min(rows, size) ** 3, LEAST_RESAMPLES, RESAMPLES))


def weighted_gaussian(features: ClipFeatures, weights: Floats) -> tuple[Floats, Floats]:
    """Mean and sample covariance of clips of which each counts ``weights`` times, in blocks.

    Args:
        features: ``(N, D)`` or ``(N, K, D)``.
        weights: ``(N,)``, whole numbers.
    """
    count, size = features.shape[0], features.shape[-1]
    each = math.prod(features.shape[1:-1])
    block = max(1, BLOCK // (each * size))
    blocks = range(0, count, block)
    total = weights.sum() * each
    mean, scatter = np.zeros(size), np.zeros((size, size))
    about: Floats | None = None
    for start in blocks:
        own = weights[start : start + block]
        rows = as_floats(features[start : start + block])[own > 0].reshape(-1, size)
        if about is None and len(rows):
            about = rows.mean(0)  # near the mean, so that little cancels
        if about is None:
            continue
        rows = rows - about
        factor = np.repeat(own[own > 0], each)[:, None]
        mean += (rows * factor).sum(0)
        rows *= np.sqrt(factor)
        scatter += rows.T @ rows
    mean /= total
    covariance = (scatter - total * np.outer(mean, mean)) / (total - 1)
    return mean + (about if about is not None else 0.0), covariance


class _Gram:
    """Distances of resamples where samples are no more than dimensions, of products alone.

    With centred samples X the covariance is ``X^T X / (N - 1)``, and the trace of the root is the
    sum of the singular values of ``X_a X_b^T / (N - 1)``. Products of samples are the same for
    every resample.
    """

    def __init__(self, real: Array, generated: Array, count: int) -> None:
        a, b = as_floats(real), as_floats(generated)
        size = a.shape[-1]
        a, b = a.reshape(-1, size), b.reshape(-1, size)
        self._each = len(a) // count
        centre = (a.mean(0) + b.mean(0)) / 2  # near both means, so that little cancels
        a, b = a - centre, b - centre
        self._aa, self._bb, self._ab = a @ a.T, b @ b.T, a @ b.T

    def distance(self, weights: Floats) -> float:
        weight = np.repeat(weights, self._each)
        own = np.flatnonzero(weight)
        weight = weight[own]
        total = weight.sum()
        share = weight / total
        aa, bb, ab = (part[np.ix_(own, own)] for part in (self._aa, self._bb, self._ab))
        mean_aa, mean_bb, mean_ab = (share @ part @ share for part in (aa, bb, ab))
        traces = weight @ (aa.diagonal() + bb.diagonal()) - total * (mean_aa + mean_bb)
        centred = ab - (share @ ab)[None] - (ab @ share)[:, None] + mean_ab
        root = np.sqrt(weight)
        shared = np.linalg.svd(centred * root * root[:, None], compute_uv=False).sum()
        apart = mean_aa + mean_bb - 2 * mean_ab
        return max(0.0, float(apart + (traces - 2 * shared) / (total - 1)))


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
