"""Distances between sets of features: against scikit-learn and SciPy, in closed form, and by laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.linalg import eigvals
from scipy.stats import gaussian_kde, norm, wasserstein_distance
from sklearn.covariance import ledoit_wolf

from seqgan_music.music.metrics.arrays import Floats
from seqgan_music.music.metrics.frechet import frechet, shrunk_covariance
from seqgan_music.music.metrics.overlap import LEAST_SIGMA, overlap_areas, wasserstein


def table(seed: int, rows: int, columns: int = 5) -> Floats:
    """Rows of skewed features that depend on each other."""
    rng = np.random.default_rng(seed)
    return np.asarray((rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))) ** 2)


seeds, counts = st.integers(0, 10_000), st.integers(2, 40)


@settings(max_examples=50, deadline=None)
@given(seeds, counts, st.integers(2, 8))
def test_the_covariance_is_scikit_learns(seed: int, rows: int, columns: int) -> None:
    values = table(seed, rows, columns)
    np.testing.assert_allclose(shrunk_covariance(values), ledoit_wolf(values)[0], rtol=1e-9, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(seeds, counts, counts)
def test_the_distance_is_its_formula(seed: int, n: int, m: int) -> None:
    a, b = table(seed, n), 2 * table(seed + 1, m) + 1
    first, second = ledoit_wolf(a)[0], ledoit_wolf(b)[0]
    apart = a.mean(axis=0) - b.mean(axis=0)
    # The eigenvalues of the root in the formula are the roots of those of the product.
    shared = np.sqrt(np.maximum(eigvals(first @ second).real, 0)).sum()
    expected = apart @ apart + np.trace(first + second) - 2 * shared
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(seeds, counts)
def test_the_same_set_is_at_0_in_any_order_and_the_distance_has_no_direction(seed: int, rows: int) -> None:
    a, b = table(seed, rows), table(seed + 1, 30)
    order = np.random.default_rng(seed).permutation(rows)
    scale = float(np.trace(shrunk_covariance(a)))
    assert frechet(a, a[order]) == pytest.approx(0, abs=1e-7 * scale)
    assert frechet(a[order], b) == pytest.approx(frechet(b, a), rel=1e-6)


def test_a_shift_is_its_square_and_a_stretch_its_difference() -> None:
    values = np.random.default_rng(1).normal(size=(20_000, 3))
    assert frechet(values, values + np.array([3, 0, 4])) == pytest.approx(25)
    # (2 - 1)² of each feature; standard error of a sum of three variances of 20,000: 0.02
    assert frechet(values, 2 * np.random.default_rng(2).normal(size=(20_000, 3))) == pytest.approx(3, abs=0.1)


def test_the_floor_of_equal_distributions_falls_with_their_number() -> None:
    values = np.random.default_rng(1).normal(size=(2, 30_000, 43))
    for n in (30, 300, 3000, 30_000):
        # Of the means alone: chi squared of 43 degrees, its standard error a share of (2 / 43)^½ of it.
        assert frechet(*values[:, :n]) * n / (2 * 43) == pytest.approx(1, abs=3 * (2 / 43) ** 0.5)


def test_no_rows_have_no_distance() -> None:
    assert math.isnan(frechet(np.zeros((0, 3)), table(1, 5, 3)))
    assert np.isnan(wasserstein(np.zeros((0, 3)), table(1, 5, 3))).all()
    assert np.isnan(overlap_areas(table(1, 5, 3), np.zeros((0, 3)))).all()
    assert frechet(np.ones((1, 3)), np.zeros((1, 3))) == pytest.approx(3)


@settings(max_examples=50, deadline=None)
@given(seeds, counts, counts)
def test_w1_is_scipys_in_standard_deviations(seed: int, n: int, m: int) -> None:
    real, generated = table(seed, n).round(1), table(seed + 1, m).round(1)
    sigmas = np.maximum(real.std(axis=0), LEAST_SIGMA)
    expected = [wasserstein_distance(r, g) / s for r, g, s in zip(real.T, generated.T, sigmas, strict=True)]
    np.testing.assert_allclose(wasserstein(real, generated), expected, atol=1e-9)


def test_w1_of_a_shift_by_one_standard_deviation_is_1_and_of_a_feature_that_never_varied_finite() -> None:
    real = table(1, 100)
    np.testing.assert_allclose(wasserstein(real, real + real.std(axis=0)), 1)
    assert wasserstein(np.zeros((9, 1)), np.full((9, 1), 0.1)).tolist() == pytest.approx([0.1 / LEAST_SIGMA])


@pytest.mark.parametrize("seed", range(5))
def test_the_overlap_is_that_of_scipys_densities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(0, 1, 200), rng.normal(rng.normal(), rng.uniform(0.3, 3), 150)
    width = real.std() * 200**-0.2
    p = gaussian_kde(real, bw_method=width / real.std(ddof=1))
    q = gaussian_kde(generated, bw_method=width / generated.std(ddof=1))
    x = np.linspace(-20, 20, 20_001)
    expected = trapezoid(np.minimum(p(x), q(x)), x)
    assert overlap_areas(real[:, None], generated[:, None]).tolist() == pytest.approx([expected], abs=2e-3)


def test_the_overlap_of_normal_distributions() -> None:
    values = np.random.default_rng(1).normal(size=100_000)
    widened = math.hypot(1, 100_000**-0.2)  # by the kernel
    shifts = np.array([0.5, 1.0, 2.0])
    found = overlap_areas(np.tile(values[:, None], 3), values[:, None] + shifts)
    np.testing.assert_allclose(found, 2 * norm.cdf(-shifts / 2 / widened), atol=0.01)
    np.testing.assert_allclose(overlap_areas(values[:, None], values[:, None]), 1, atol=1e-6)
    assert overlap_areas(values[:, None], values[:, None] + 100).tolist() == pytest.approx([0], abs=1e-9)


def test_a_feature_that_never_varied_overlaps_with_itself_alone() -> None:
    ones = np.ones((50, 1))
    assert overlap_areas(ones, ones).tolist() == pytest.approx([1], abs=1e-6)
    assert overlap_areas(ones, 2 * ones).tolist() == [0]
