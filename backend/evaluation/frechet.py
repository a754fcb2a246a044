"""Frechet distance between Gaussian fits of features, what FID and FVD are; in float64.

Source: Dowson and Landau 1982, eq. 16 (the distance); Heusel et al. 2017, "GANs trained by a two
time-scale update rule", eq. 6 (of Inception features: FID); Unterthiner et al. 2018, "Towards
accurate generative models of video" (of I3D features: FVD).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Array = npt.NDArray[Any] | Tensor
Floats = npt.NDArray[np.float64]


def as_floats(values: Array) -> Floats:
    """A float64 array on the CPU of a tensor or array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, np.float64)


def gaussian_of(features: Array) -> tuple[Floats, Floats]:
    """Mean and sample covariance (divided by N - 1) of features.

    Args:
        features: ``(N, D)``, one sample a row.

    Returns:
        ``(D,)`` and ``(D, D)`` float64.

    Raises:
        ValueError: fewer than two samples, another shape, or a value that is not a number.
    """
    samples = _checked(features)
    if len(samples) < 2:
        raise ValueError(f"a covariance takes at least 2 samples, got {len(samples)}")
    mean = samples.mean(0)
    centred = samples - mean
    return mean, centred.T @ centred / (len(samples) - 1)


def frechet_distance(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """``|m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2))``, never negative.

    The trace of the root is the sum of the singular values of ``S_a^(1/2) S_b^(1/2)``: the same as
    that of the roots of the eigenvalues of ``S_a^(1/2) S_b S_a^(1/2)``, without the root of a
    round-off, which of 2048 dimensions would make up a visible error.

    Args:
        mean_a: ``(D,)``.
        cov_a: ``(D, D)``, symmetric and positive semi-definite.
        mean_b: ``(D,)``.
        cov_b: ``(D, D)``, likewise.

    Raises:
        ValueError: shapes that do not belong together, or a value that is not a number.
    """
    mean_a, cov_a, mean_b, cov_b = (as_floats(part) for part in (mean_a, cov_a, mean_b, cov_b))
    size = mean_a.size
    if mean_a.shape != (size,) or mean_b.shape != (size,):
        raise ValueError(f"means of shape {mean_a.shape} and {mean_b.shape} cannot be compared")
    if cov_a.shape != (size, size) or cov_b.shape != (size, size):
        raise ValueError(f"covariances must be ({size}, {size}), got {cov_a.shape}, {cov_b.shape}")
    if not all(np.isfinite(part).all() for part in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("a mean or covariance has values that are not numbers")
    shared = np.linalg.svd(root_of(cov_a) @ root_of(cov_b), compute_uv=False).sum()
    apart = ((mean_a - mean_b) ** 2).sum()
    return max(0.0, float(apart + np.trace(cov_a) + np.trace(cov_b) - 2 * shared))


class GaussianStatistics:
    """Mean and covariance of samples that come in batches, in memory that does not grow.

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing
    sample variances": mean and scatter of two sets give those of their union without the
    cancellation that sums of squares have.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Floats = np.zeros(0)
        self._scatter: Floats = np.zeros((0, 0))

    def add(self, features: Array) -> None:
        """Take in ``(B, D)`` more samples, of which B may be 0.

        Raises:
            ValueError: another number of dimensions, or a value that is not a number.
        """
        samples = _checked(features)
        if len(samples) == 0:
            return
        mean = samples.mean(0)
        centred = samples - mean
        self._join(len(samples), mean, centred.T @ centred)

    def gaussian(self) -> tuple[Floats, Floats]:
        """As of :func:`gaussian_of` of all samples at once."""
        if self.count < 2:
            raise ValueError(f"a covariance takes at least 2 samples, got {self.count}")
        return self._mean.copy(), self._scatter / (self.count - 1)

    def _join(self, count: int, mean: Floats, scatter: Floats) -> None:
        if self.count == 0:
            self.count, self._mean, self._scatter = count, mean.copy(), scatter.copy()
            return
        if mean.shape != self._mean.shape:
            raise ValueError(f"features of {self._mean.size} dimensions, then of {mean.size}")
        total = self.count + count
        delta = mean - self._mean
        self._scatter += scatter
        self._scatter += np.outer(delta * (self.count * count / total), delta)
        self._mean += delta * (count / total)
        self.count = total


def _checked(features: Array) -> Floats:
    samples = as_floats(features)
    if samples.ndim != 2 or samples.shape[1] == 0:
        raise ValueError(f"features must be (N, D), got {samples.shape}")
    wrong = np.flatnonzero(~np.isfinite(samples).all(1))
    if len(wrong):
        raise ValueError(f"{_first(wrong)} of {len(samples)} samples are not numbers")
    return samples


def _first(rows: Sequence[int] | npt.NDArray[np.intp]) -> str:
    """The count and first few numbers of rows."""
    shown = ", ".join(str(row) for row in rows[:5])
    return f"{len(rows)} (number {shown}{', ...' if len(rows) > 5 else ''})"


def root_of(covariance: Floats) -> Floats:
    """The symmetric root; what is negative or positive by round-off alone counts as 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    least = len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    root = np.sqrt(np.where(values > least, values, 0.0))
    return (vectors * root) @ vectors.T
