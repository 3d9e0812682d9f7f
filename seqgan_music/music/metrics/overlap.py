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
    """Return the overlap area of each column of `real` (N, F) and `generated` (M, F): (F,)."""
    if not len(real) or not len(generated):
        return np.full(real.shape[1], np.nan)
    columns = zip(real.T, generated.T, sigma(real) * len(real) ** -0.2, strict=True)
    return np.array([_overlap(r, g, width) for r, g, width in columns])


def _overlap(real: Floats, generated: Floats, width: float) -> float:
    """Return the overlap of two sets of values on a grid over the real ones; beyond it, p and so min(p, q) is 0."""
    low, high = real.min() - _WIDTHS * width, real.max() + _WIDTHS * width
    step = (high - low) / (_STEPS - 1)
    reach = int(np.ceil(_WIDTHS * width / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    kernel /= kernel.sum()
    p, q = (np.convolve(_on_grid(values, low, step), kernel, "same") for values in (real, generated))
    return float(np.minimum(p, q).sum())


def _on_grid(values: Floats, low: float, step: float) -> Floats:
    """Return each value's share on the grid, divided between its two neighbours: (_STEPS,)."""
    place = (values - low) / step
    place = place[(place >= 0) & (place < _STEPS - 1)]
    below = place.astype(np.int64)
    part = place - below
    lower = np.bincount(below, 1 - part, _STEPS)
    upper = np.bincount(below + 1, part, _STEPS)
    return (lower + upper) / len(values)
