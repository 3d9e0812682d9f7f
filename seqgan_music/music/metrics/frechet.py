r"""Fréchet distance between two sets of feature vectors, each seen as a normal distribution.

    F = |m_a - m_b|² + tr(C_a + C_b - 2 (C_a^½ C_b C_a^½)^½)

with means m and covariances C, these shrunk towards a multiple of the identity by Ledoit and Wolf (2004), because
few windows stand against 43 features. Of z-scored features (`features.Scaling`): 1 is one standard deviation of one
feature. Range 0 and up, lower is better; 0 only for equal means and covariances. It falls with the number of
vectors even where nothing differs, so compare equal numbers, and with the value of real against real beside it.

Source: Dowson and Landau 1982; Heusel et al. 2017 (FID). Blind to what the features do not measure, to everything
beyond mean and covariance, and to copying: training music scores best of all.
"""

from __future__ import annotations

import numpy as np

from seqgan_music.music.metrics.arrays import Floats


def frechet(a: Floats, b: Floats) -> float:
    """Return the distance between the rows of `a` (N, F) and `b` (M, F); NaN where one has no row."""
    if not len(a) or not len(b):
        return float("nan")
    shrunk_a, shrunk_b = shrunk_covariance(a), shrunk_covariance(b)
    values, vectors = np.linalg.eigh(shrunk_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ shrunk_b @ root), 0)).sum()
    apart = a.mean(axis=0) - b.mean(axis=0)
    return max(0.0, float(apart @ apart + np.trace(shrunk_a) + np.trace(shrunk_b) - 2 * shared))


def shrunk_covariance(x: Floats) -> Floats:
    r"""Return the Ledoit-Wolf estimate (F, F) of the covariance of rows (N, F).

    (1 - r) S + r m I with S the covariance (divided by N), m the mean of its diagonal and
    r = min(1, b / d): d = |S - m I|², b = (1 / N²) Σ |x_n x_nᵀ - S|², Frobenius norms (theorem 3.2, lemma 3.3).
    """
    count, size = x.shape
    centred = x - x.mean(axis=0)
    covariance: Floats = centred.T @ centred / count
    mean = np.trace(covariance) / size
    identity = np.eye(size)
    apart = float(((covariance - mean * identity) ** 2).sum())
    squared = float(((centred**2).sum(axis=1) ** 2).sum()) / count - float((covariance**2).sum())
    share = min(1.0, max(0.0, squared / count / apart)) if apart > 0 else 1.0
    return np.asarray((1 - share) * covariance + share * mean * identity)
