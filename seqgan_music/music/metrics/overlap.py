r"""How two sets differ in one feature: overlap of their densities, and distance in standard deviations.

    overlap area  ∫ min(p(x), q(x)) dx,  p and q Gaussian kernel densities on one grid; 0..1, higher is better
    W1            ∫ |P(x) - Q(x)| dx / σ,  P and Q distribution functions, σ of the real values; 0 and up, lower
                  is better: a shift of the whole feature by one standard deviation is 1

The kernel's width is Scott's for the real values, n^(-1/5) σ, for both sets, so that all sets are judged alike. The
overlap hardly sees a shift (by σ/2 it is still 0.80) nor how far apart two sets are that do not meet; W1 sees both.
Source: Yang and Lerch 2020, whose overlap is of distances between pieces; here it is of the feature itself.
"""

from __future__ import annotations

import numpy as np

from seqgan_music.music.metrics.arrays import Floats

LEAST_SIGMA = 0.02
"""A feature that varies less counts as varying so much: it would outweigh all others, or divide by 0."""

_STEPS = 512  # of the common grid
_WIDTHS = 5.0  # kernels reach so many widths


def sigma(values: Floats) -> Floats:
    """Return the standard deviation of each column of (N, F): (F,), at least LEAST_SIGMA."""
    return np.asarray(np.maximum(values.std(axis=0), LEAST_SIGMA))


def wasserstein(real: Floats, generated: Floats) -> Floats:
    """Return W1 of each column of `real` (N, F) and `generated` (M, F): (F,), in standard deviations of `real`."""
    n, m = len(real), len(generated)
    if not n or not m:
        return np.full(real.shape[1], np.nan)
    # Both quantile functions are constant between these shares of their sets.
    shares = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in 1 / (n m)
    widths = np.diff(shares, prepend=0) / (n * m)
    low, high = -(-shares // m) - 1, -(-shares // n) - 1
    gaps = np.abs(np.sort(real, axis=0)[low] - np.sort(generated, axis=0)[high])
    return np.asarray(widths @ gaps / sigma(real))


def overlap_areas(real: Floats, generated: Floats) -> Floats:
    """Return the overlap area of each column of `real` (N, F) and `generated` (M, F): (F,).

    On a grid over the real values: five kernel widths beyond them their density, and so the lesser one, is 0.
    """
    if not len(real) or not len(generated):
        return np.full(real.shape[1], np.nan)
    width = sigma(real) * len(real) ** -0.2
    low, high = real.min(axis=0) - _WIDTHS * width, real.max(axis=0) + _WIDTHS * width
    step = (high - low) / (_STEPS - 1)
    # A convolution with a Gaussian is a product with one in the frequencies.
    frequencies = 2 * np.pi * np.fft.rfftfreq(_STEPS)
    kernel = np.exp(-0.5 * (width / step)[:, None] ** 2 * frequencies**2)
    grids = (_on_grid((values - low) / step) for values in (real, generated))
    p, q = (np.fft.irfft(np.fft.rfft(grid) * kernel, _STEPS) for grid in grids)
    return np.asarray(np.maximum(np.minimum(p, q), 0).sum(axis=1))


def _on_grid(places: Floats) -> Floats:
    """Return the share of the values (N, F) at each step, each divided between its two neighbours: (F, _STEPS)."""
    columns = np.arange(places.shape[1]) * _STEPS
    inside = (places >= 0) & (places < _STEPS - 1)
    below = np.floor(places)
    part = (places - below)[inside]
    place = (np.where(inside, below, 0).astype(np.int64) + columns)[inside]
    size = len(columns) * _STEPS
    grid = np.bincount(place, 1 - part, size) + np.bincount(place + 1, part, size)
    return np.asarray(grid.reshape(-1, _STEPS) / len(places))
