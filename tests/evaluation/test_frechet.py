"""The Frechet distance on Gaussians whose distance is known, and what it is fed with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.evaluation.metrics import (
    GaussianStatistics,
    frechet_distance,
    gaussian_of,
)


def samples(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


def test_the_covariance_is_the_one_of_a_sample():
    features = samples(20, 3)
    mean, covariance = gaussian_of(torch.from_numpy(features))
    np.testing.assert_allclose(mean, features.mean(0), atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features, rowvar=False), atol=1e-12)


def test_equal_covariances_are_as_far_apart_as_their_means_squared():
    covariance = np.cov(samples(50, 4), rowvar=False)
    distance = frechet_distance(np.zeros(4), covariance, np.array([3.0, 0, 4, 0]), covariance)
    assert distance == pytest.approx(25.0, abs=1e-6)


def test_diagonal_covariances_are_apart_by_their_roots():
    a, b = np.array([1.0, 4, 9, 0]), np.array([4.0, 4, 0.25, 2])
    zero = np.zeros(4)
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(zero, np.diag(a), zero, np.diag(b)) == pytest.approx(expected, abs=1e-6)


def test_covariances_that_do_not_commute_give_what_scipy_gives():
    from scipy.linalg import sqrtm

    a, b = np.cov(samples(40, 6), rowvar=False), np.cov(samples(40, 6, 1), rowvar=False)
    expected = np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b)).real
    zero = np.zeros(6)
    assert frechet_distance(zero, a, zero, b) == pytest.approx(expected, abs=1e-9)
    assert frechet_distance(zero, b, zero, a) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("count", "size"),
    [
        pytest.param(500, 8, id="more samples than dimensions"),
        pytest.param(12, 300, id="a singular covariance"),
    ],
)
def test_a_set_has_no_distance_from_itself_in_any_order(count, size):
    features = samples(count, size) * np.linspace(1, 100, size)
    turned = features[::-1]
    assert frechet_distance(*gaussian_of(features), *gaussian_of(turned)) < 1e-6


@pytest.mark.parametrize("count", [15, 16, 17, 31, 32])
def test_every_sample_counts_whatever_the_batch(count):
    """DragAnything's script drops a remainder, and everything if there is none."""
    features = samples(count, 5) + 1e4  # far from 0, where sums of squares lose their digits
    statistics = GaussianStatistics()
    for start in range(0, count, 16):
        statistics.add(torch.from_numpy(features[start : start + 16]))
    statistics.add(np.zeros((0, 5)))
    mean, covariance = statistics.gaussian()
    assert statistics.count == count
    np.testing.assert_allclose(mean, features.mean(0), atol=1e-8)
    np.testing.assert_allclose(covariance, np.cov(features, rowvar=False), atol=1e-8)


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        pytest.param(np.zeros((1, 3)), "at least 2 samples, got 1", id="one sample"),
        pytest.param(np.zeros(3), r"\(N, D\)", id="no samples' axis"),
        pytest.param(np.array([[1.0, 2], [np.nan, 0]]), r"1 \(number 1\) of 2", id="NaN"),
    ],
)
def test_what_has_no_gaussian_is_refused(features, sentence):
    with pytest.raises(ValueError, match=sentence):
        gaussian_of(features)


def test_features_of_different_networks_are_not_compared():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)|3, 3|covariances must"):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
