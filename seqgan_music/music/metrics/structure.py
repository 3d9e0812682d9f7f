r"""Form: how much a bar is like the one `lag` bars before it, and which bars return.

A bar is a vector f of 28 numbers: how many notes begin on each of the 12 pitch classes, and how many on each
sixteenth of the bar's length. Each half has length 1, so that f_a · f_b is the mean of two cosines, in [0, 1].

    lag curve  s(l) = mean over pieces of (mean over bars b of f_b · f_(b+l)),  l = 1 .. 32
    distance   mean over l of |s_real(l) - s_generated(l)|

Range 0..1. The curve of real music is the aim, not a high one: repeating one bar for ever gives 1 at every lag.
Source: self-similarity matrices (Foote 1999), bar by bar as in Wu and Yang 2020 (the Jazz Transformer).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from seqgan_music.music.metrics.arrays import Arrays, Floats, Ints, arrays
from seqgan_music.music.notes import Piece

LAGS = 32
SLOTS = 16


def slots(piece: Arrays) -> Floats:
    """Return how many notes begin on each sixteenth of each bar's length: (M, 16)."""
    slot = SLOTS * piece.position // piece.lengths[piece.bar]
    return _counts(piece, slot, SLOTS)


def bar_vectors(piece: Arrays) -> Floats:
    """Return f of each bar: (M, 28), of length 1; zeros where no note begins."""
    return np.concatenate([_unit(_counts(piece, piece.pitch % 12, 12)), _unit(slots(piece))], axis=1) / 2**0.5


def lag_similarities(piece: Arrays, lags: Sequence[int]) -> Floats:
    """Return the mean similarity of bars `lag` apart, for each lag: (len(lags),), in [0, 1].

    Pairs with an empty bar are left out; NaN where no pair is left, as in a piece that is not longer than the lag.
    """
    vectors = bar_vectors(piece)
    heard = np.bincount(piece.bar, minlength=len(piece.starts)) > 0
    found = np.full(len(lags), np.nan)
    for index, lag in enumerate(lags):
        both = heard[lag:] & heard[: max(0, len(heard) - lag)]
        if both.any():
            products = (vectors[:-lag] * vectors[lag:]).sum(axis=1)
            found[index] = products[both].mean()
    return found


def lag_curve(pieces: Sequence[Piece], lags: int = LAGS) -> Floats:
    """Return s(1) .. s(lags): (lags,); NaN at lags that no piece is long enough for."""
    rows = [lag_similarities(arrays(piece), range(1, lags + 1)) for piece in pieces]
    return mean_curve(np.array(rows).reshape(-1, lags))


def mean_curve(rows: Floats) -> Floats:
    """Return the lag curve of pieces from their own `lag_similarities` (N, lags): (lags,)."""
    known = (~np.isnan(rows)).sum(axis=0)
    return np.where(known, np.nansum(rows, axis=0) / np.maximum(known, 1), np.nan)


def lag_distance(real: Floats, generated: Floats) -> float:
    """Return the mean absolute difference of two lag curves, over the lags that both have; NaN without any."""
    differences = np.abs(real - generated)
    known = ~np.isnan(differences)
    return float(differences[known].mean()) if known.any() else float("nan")


def returning_share(piece: Arrays) -> float:
    """Return the share of bars that are an earlier bar again: the same pitches at the same places; 0..1.

    Durations may differ, and empty bars do not count. NaN without notes. Real music's value is the aim.
    """
    bounds = np.searchsorted(piece.bar, np.arange(len(piece.starts) + 1)).tolist()
    content = np.stack([piece.position, piece.pitch], axis=1)
    bars = [content[begin:end].tobytes() for begin, end in pairwise(bounds) if end > begin]
    return 1.0 - len(set(bars)) / len(bars) if bars else float("nan")


def _counts(piece: Arrays, kind: Ints, kinds: int) -> Floats:
    """Return how many notes of each kind begin in each bar: (M, kinds)."""
    bars = len(piece.starts)
    return np.bincount(piece.bar * kinds + kind, minlength=bars * kinds).reshape(bars, kinds).astype(np.float64)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
