"""Cluster bootstrap over pieces: how far a figure would move with other pieces of the same kind.

A resample draws as many pieces as there are, with replacement, on both sides; the windows of a piece go with it.
It is held as counts, (B, P): how often each piece was drawn. All rows of one evaluation share their counts, piece
by piece, and so do runs evaluated with one seed: a difference is taken inside each resample, so that what two rows
have in common (the real pieces, the random numbers of sampling) does not widen its interval.

Repeated pieces look like less variety, which moves Fréchet distance and W1 upward in every resample. An interval is
therefore the middle 95% of the resamples, moved so that their mean falls on the figure itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its interval; without ends (NaN) where there are no resamples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return "-0.031 [-0.040, -0.022]"."""
        ends = "" if math.isnan(self.low) else f" [{self.low:+z.3g}, {self.high:+z.3g}]"
        return f"{self.value:+z.3g}{ends}"

    def within(self, least: float, most: float | None) -> Estimate:
        """Return it with an interval that does not leave the figure's range."""
        low, high = np.clip([self.low, self.high], least, most)
        return Estimate(self.value, float(low), float(high))

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class Measured:
    """A figure with its values in the resamples (B,)."""

    value: float
    resamples: Floats

    def estimate(self) -> Estimate:
        """Return it with its interval."""
        kept = self.resamples[np.isfinite(self.resamples)]
        if not math.isfinite(self.value) or len(kept) < 2:
            return Estimate(self.value, math.nan, math.nan)
        low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        moved = self.value - float(kept.mean())
        return Estimate(self.value, float(low) + moved, float(high) + moved)

    def __sub__(self, other: Measured) -> Measured:
        """Return the difference, resample by resample."""
        return Measured(self.value - other.value, self.resamples - other.resamples)


def resample(pieces: int, count: int, rng: np.random.Generator) -> Ints:
    """Return how often each piece is drawn in each of `count` resamples: (B, P), each row sums to P."""
    drawn = rng.integers(pieces, size=(count, pieces))
    flat = drawn + pieces * np.arange(count)[:, None]
    return np.bincount(flat.ravel(), minlength=count * pieces).reshape(count, pieces)


def over_runs(runs: Sequence[Measured], rng: np.random.Generator) -> Measured:
    """Return the mean over runs; a resample draws runs too, and takes each one's value in that resample."""
    values = np.array([run.value for run in runs])
    table = np.array([run.resamples for run in runs])  # (runs, B)
    chosen = rng.integers(len(runs), size=table.shape)
    return Measured(float(values.mean()), np.take_along_axis(table, chosen, 0).mean(0))


def between_runs(runs: Sequence[Measured], rng: np.random.Generator) -> Estimate:
    """Return the mean over runs with the wider of two intervals: nested bootstrap, and Student's over the runs.

    A bootstrap of a handful of runs is too narrow (with two of them it is half the time of one alone), Student's
    interval knows nothing of the pieces that all runs share.
    """
    nested = over_runs(runs, rng).estimate()
    if len(runs) < 2:
        return nested
    half = student([run.value for run in runs])
    low, high = np.fmin(nested.low, nested.value - half), np.fmax(nested.high, nested.value + half)
    return Estimate(nested.value, float(low), float(high))


def student(values: Sequence[float]) -> float:
    """Return half the width of the t-interval of a mean; 2.776 s / sqrt 5 of five values."""
    count = len(values)
    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1) / math.sqrt(count))
