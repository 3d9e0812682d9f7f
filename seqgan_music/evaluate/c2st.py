"""Classifier two-sample test: how well a new classifier tells generated windows from held-out real ones.

Lopez-Paz and Oquab 2017 (arXiv 1610.06545), with the area under the ROC curve in the place of accuracy: 0.5 where
nothing tells them apart, 1.0 where everything does; lower is better, and a little below 0.5 is chance.

The classifier is a logistic regression on the feature vector of a window (`music.metrics.features`) and on hashed
n-grams of its notes, each told as (interval to the note before, ticks since its onset, duration), which no
transposition changes. It shares nothing with the discriminator of training. Every window is scored by a classifier
that has seen no window of its piece: 5 folds of pieces; the area is taken inside each fold and averaged.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_music.evaluate.bootstrap import Measured
from seqgan_music.music.notes import Piece

FOLDS = 5
LONGEST_GRAM = 4
BUCKETS = 256
"""Columns that the n-grams of each length share."""
GRAMS_WEIGHT = 3.0
"""Of the n-grams against the features, whose columns have a standard deviation of 1."""
REGULARISATION = 0.1
"""Inverse strength of the L2 penalty (C of scikit-learn)."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FACTOR, _MODULUS = 1_000_003, 2_147_483_647


@dataclass(frozen=True)
class Side:
    """Windows of one side: features (N, F), n-grams (N, G), the piece of each (N,), and resamples (B, P)."""

    features: Floats
    grams: Floats
    owners: Ints
    counts: Ints


def grams(windows: Sequence[Piece]) -> Floats:
    """Return (N, LONGEST_GRAM * BUCKETS): logarithms of how often n-grams occur, of norm 1 a window and n."""
    table = np.zeros((len(windows), LONGEST_GRAM, BUCKETS))
    for row, window in zip(table, windows, strict=True):
        notes = np.array([(note.onset, note.pitch, note.duration) for note in window.notes], dtype=np.int64)
        if len(notes) < 2:
            continue
        steps, intervals = np.diff(notes[:, 0]), np.diff(notes[:, 1])
        symbols = ((intervals + 128) * 4096 + np.minimum(steps, 4095)) * 4096 + np.minimum(notes[1:, 2], 4095)
        symbols %= _MODULUS
        hashed = np.zeros(len(symbols), dtype=np.int64)
        for n in range(min(LONGEST_GRAM, len(symbols))):
            hashed = (hashed[: len(symbols) - n] * _FACTOR + symbols[n:]) % _MODULUS
            row[n] = np.log1p(np.bincount(hashed * 48271 % _MODULUS % BUCKETS, minlength=BUCKETS))
    norms = np.linalg.norm(table, axis=2, keepdims=True)
    flat: Floats = (table / np.maximum(norms, 1e-12)).reshape(len(windows), LONGEST_GRAM * BUCKETS)
    return flat


def auc(real: Side, generated: Side, rng: np.random.Generator) -> Measured | None:
    """Return the cross-validated area under the curve, or None where a side has fewer pieces than two folds need.

    The resamples weight the windows' scores; the classifiers are not fitted again.
    """
    from sklearn.linear_model import LogisticRegression

    pieces = [np.unique(side.owners) for side in (real, generated)]
    if min(map(len, pieces)) < 2 * FOLDS:
        return None
    folds = [_folds(side, some, rng) for side, some in zip((real, generated), pieces, strict=True)]
    table = np.concatenate([real.features, generated.features])
    hashed = np.concatenate([real.grams, generated.grams])
    truth = np.repeat([0, 1], [len(real.owners), len(generated.owners)])
    fold = np.concatenate(folds)
    areas, resampled = [], []
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        mean, sd = table[train].mean(0), table[train].std(0)
        scaled = np.clip((table - mean) / np.where(sd > 0, sd, 1.0), -5.0, 5.0)
        inputs = np.concatenate([scaled, GRAMS_WEIGHT * hashed], 1)
        classifier = LogisticRegression(C=REGULARISATION, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that stops early is still a classifier
            classifier.fit(inputs[train], truth[train])
        scores = classifier.decision_function(inputs[test])
        is_generated = truth[test] == 1
        above = _above(scores[~is_generated], scores[is_generated])
        weights = [
            side.counts[:, side.owners[of_side == number]].astype(np.float64)
            for side, of_side in zip((real, generated), folds, strict=True)
        ]
        totals = weights[0].sum(1) * weights[1].sum(1)
        pairs = ((weights[0] @ above) * weights[1]).sum(1)
        areas.append(float(above.mean()))
        resampled.append(np.divide(pairs, totals, out=np.full(len(totals), np.nan), where=totals > 0))
    return Measured(float(np.mean(areas)), np.nanmean(np.array(resampled), axis=0))


def _folds(side: Side, pieces: Ints, rng: np.random.Generator) -> Ints:
    """The fold of each window, (N,): pieces are dealt out in random order."""
    of_piece = np.zeros(int(side.owners.max()) + 1, dtype=np.int64)
    of_piece[rng.permutation(pieces)] = np.arange(len(pieces)) % FOLDS
    return of_piece[side.owners]


def _above(real: Floats, generated: Floats) -> Floats:
    """(R, G): 1 where the generated window has the higher score, 0.5 where both have the same."""
    difference = generated[None, :] - real[:, None]
    found: Floats = (difference > 0) + 0.5 * (difference == 0)
    return found
