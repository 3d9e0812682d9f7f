"""The model of a person's thumbs: Bayesian logistic regression over what a piece is like.

    P(liked | piece) = sigmoid(b + w · x),   w ~ N(0, 1 / F),   b ~ N(0, 1),   x (F,) in standard deviations

Fitted at the maximum of the posterior, with a Gaussian around it (Laplace). A piece's score is the mean of the
sigmoid over that Gaussian (MacKay 1992): the less the ratings say about a piece, the nearer it is to 1/2. Fewer
than MIN_EACH thumbs of either kind say nothing about taste, and every score is then 1/2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqgan_music.errors import RunError
from seqgan_music.music.metrics import features
from seqgan_music.music.metrics.arrays import Floats
from seqgan_music.music.notes import Piece
from seqgan_music.preference import ratings
from seqgan_music.preference.ratings import Rating
from seqgan_music.run_folders import write_text

FILE = "preference.json"
FORMAT = 1
MIN_EACH = 2
"""Thumbs up, and thumbs down, below which nothing is learnt."""


@dataclass(frozen=True)
class Preference:
    """A fitted taste.

    mean, sigma: (F,) by which features are scaled
    weights:     (F + 1,) most likely ones, the bias last
    spread:      (F + 1, F + 1) their covariance
    up, down:    thumbs behind it
    """

    mean: Floats
    sigma: Floats
    weights: Floats
    spread: Floats
    up: int
    down: int

    @property
    def neutral(self) -> bool:
        """Whether there are too few thumbs, or too few of one kind, to tell anything."""
        return min(self.up, self.down) < MIN_EACH

    def scores(self, pieces: Sequence[Piece]) -> Floats:
        """Return the probability that each piece is liked (N,), in [0, 1]; 1/2 for all where `neutral`."""
        if self.neutral or not pieces:
            return np.full(len(pieces), 0.5)
        x = _scaled(features.feature_table(pieces), self.mean, self.sigma)
        variance = np.einsum("nf,fg,ng->n", x, self.spread, x)
        return _sigmoid(x @ self.weights / np.sqrt(1 + np.pi / 8 * variance))

    def score(self, piece: Piece) -> float:
        """Return the probability that the piece is liked, 0 to 1."""
        return float(self.scores([piece])[0])

    def describe(self) -> str:
        """Say in a line for people what it stands on."""
        thumbs = f"{self.up} up and {self.down} down"
        if self.neutral:
            return f"No taste known from {thumbs}: every piece counts the same until there are {MIN_EACH} of each."
        return f"Taste learnt from {thumbs}."


def fit(run: Path) -> Preference:
    """Fit the taste to a run's ratings and save it. Raises RunError, OutputError."""
    found = fitted(ratings.load(run))
    document = {
        "format": FORMAT,
        "features": features.VERSION,
        "up": found.up,
        "down": found.down,
        **{name: getattr(found, name).tolist() for name in ("mean", "sigma", "weights", "spread")},
    }
    write_text(run / FILE, json.dumps(document))
    return found


def load(run: Path) -> Preference | None:
    """Return the saved taste of a run, or None where none was fitted. Raises RunError."""
    path = run / FILE
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT or document["features"] != features.VERSION:
            raise ValueError("it was written by another version")
        size = len(features.NAMES)
        arrays = {
            name: np.array(document[name], dtype=np.float64).reshape(shape)
            for name, shape in {
                "mean": (size,),
                "sigma": (size,),
                "weights": (size + 1,),
                "spread": (size + 1, size + 1),
            }.items()
        }
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("a number in it is not finite")
        return Preference(**arrays, up=int(document["up"]), down=int(document["down"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}. Rate a piece again to write it anew.") from None


def fitted(rated: Sequence[Rating]) -> Preference:
    """Return the taste behind some ratings."""
    size = len(features.NAMES)
    table = features.feature_table([rating.piece for rating in rated])
    liked = np.array([rating.liked for rating in rated], dtype=np.float64)
    mean = table.mean(axis=0) if len(table) else np.zeros(size)
    sigma = np.maximum(table.std(axis=0), 0.02) if len(table) else np.ones(size)
    x = _scaled(table, mean, sigma)
    precision = np.append(np.full(size, float(size)), 1.0)
    weights, spread = _posterior(x, liked, precision)
    return Preference(mean, sigma, weights, spread, int(liked.sum()), int((1 - liked).sum()))


def _scaled(table: Floats, mean: Floats, sigma: Floats) -> Floats:
    """Return features in standard deviations, at most `features.FARTHEST`, and a 1 for the bias: (N, F + 1)."""
    x = np.clip((table - mean) / sigma, -features.FARTHEST, features.FARTHEST)
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _posterior(x: Floats, liked: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Return the most likely weights (F,) and their covariance (F, F), by Newton's method; it is convex."""
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = _sigmoid(x @ weights)
        gradient = x.T @ (p - liked) + precision * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    p = _sigmoid(x @ weights)
    hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
    return weights, np.asarray(np.linalg.inv(hessian), dtype=np.float64)


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(values / 2))
    return result
