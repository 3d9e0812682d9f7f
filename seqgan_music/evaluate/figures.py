"""The figures of one row: each with its value in every resample of pieces, real and generated alike.

Sets of windows are compared at equal numbers. What the figures are is said in `music.metrics` and docs/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music.evaluate import c2st
from seqgan_music.evaluate.bootstrap import Measured, resample
from seqgan_music.evaluate.material import NOVELTY, Material
from seqgan_music.music.metrics import bleu
from seqgan_music.music.metrics.features import NAMES, Scaling
from seqgan_music.music.metrics.frechet import frechet
from seqgan_music.music.metrics.originality import PERCENTILE
from seqgan_music.music.metrics.overlap import overlap_areas, wasserstein
from seqgan_music.music.metrics.paper import paper_bleu, paper_mse, paper_rows
from seqgan_music.music.metrics.structure import lag_distance, mean_curve

LEAST_WINDOWS = 20
"""Of each side; distances between fewer say nothing, and are absent."""
BINS = 24
"""Of a feature's histogram."""
PLACES = {"bars_1_16": (0, 1), "bars_17_32": (1, 2), "bars_33_64": (2, 4)}
"""Where in a piece its windows stand, for drift: numbers of the windows, from and up to."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """How a figure is shown. `better` is "lower", "higher", or "real": the nearer to the real row's the better.

    No figure is below 0; `most` is the most that it can be, or None.
    """

    name: str
    title: str
    unit: str
    better: str
    format: str
    most: float | None = None


def catalogue(unit: str) -> list[Figure]:
    """Return all figures in their order; `unit` is what a tokenizer counts: "note" or "step"."""
    return [
        Figure(f"bits_per_{unit}", f"bits a {unit}", "bits", "lower", ".3f"),
        Figure("bits_per_beat", "bits a beat", "bits", "lower", ".3f"),
        Figure("frechet", "Fréchet distance", "", "lower", ".2f"),
        Figure("overlap", "mean overlap area", "", "higher", ".3f", 1.0),
        Figure("w1", "mean W1", "sigmas", "lower", ".3f"),
        Figure("c2st_auc", "AUC of a new classifier", "", "lower", ".3f", 1.0),
        Figure("bleu_4", "BLEU-4", "", "real", ".3f", 1.0),
        Figure("self_bleu_4", "self-BLEU-4", "", "real", ".3f", 1.0),
        Figure("distinct_4", "distinct-4", "", "real", ".3f", 1.0),
        Figure("lag_distance", "lag distance", "", "lower", ".3f", 1.0),
        Figure(f"novelty_{NOVELTY}", f"novelty-{NOVELTY}", "", "real", ".3f", 1.0),
        Figure("copied_share", "copied share", "", "real", ".3f", 1.0),
        Figure("valid_share", "valid share", "", "higher", ".3f", 1.0),
        Figure("ended_share", "share that ends", "", "higher", ".3f", 1.0),
        Figure("meter_share", "bars that keep the meter", "", "real", ".3f", 1.0),
        *(Figure(f"frechet_{name}", f"Fréchet distance, {_words(name)}", "", "lower", ".2f") for name in PLACES),
        Figure("entropy", "entropy", "nats a token", "real", ".3f"),
        Figure("paper_bleu_4", "BLEU-4 of the SeqGAN paper", "", "higher", ".3f", 1.0),
        Figure("paper_mse", "MSE of the SeqGAN paper", "semitones²", "lower", ".2f"),
    ]  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """The real pieces that rows are compared with.

    kept:    the same with the windows that are compared: of each row as many
    counts:  (B, P) resamples of the pieces, the same for every row
    limit:   notes of a copied run that 5% of the real windows exceed
    scaling: what the features were divided by
    """

    material: Material
    kept: Material
    counts: Ints
    limit: float
    scaling: Scaling
    seed: int

    @classmethod
    def of(cls, material: Material, most: int, resamples: int, scaling: Scaling, seed: int) -> Reference:
        """Take at most so many windows of it."""
        kept = material.first(most, np.random.default_rng(seed))
        counts = resample(material.count, resamples, np.random.default_rng(seed + 1))
        limit = float(np.percentile(material.longest, PERCENTILE)) if len(material.windows) else math.inf
        return cls(material, kept, counts, limit, scaling, seed)

    def counts_for(self, pieces: int) -> Ints:
        """Return resamples (B, P) of a row with so many pieces: rows of equally many share them."""
        return resample(pieces, len(self.counts), np.random.default_rng(self.seed + 2))


@dataclass(frozen=True)
class Row:
    """What was measured of one row."""

    figures: dict[str, Measured]
    features: dict[str, dict[str, Any]]
    """By name: overlap, w1, and, in the feature's own unit, mean, sd and histogram."""
    lag_curve: Floats
    windows: int


def measure(material: Material, reference: Reference) -> Row:
    """Measure a row against the real pieces."""
    real = reference.kept
    row = material.first(len(real.windows), np.random.default_rng(reference.seed + 3))
    counts = reference.counts_for(material.count)
    figures = _of_windows(row, counts, reference) | _of_pieces(material, counts, reference)
    features: dict[str, dict[str, Any]] = {}
    if min(len(row.windows), len(real.windows)) >= LEAST_WINDOWS:
        figures |= _between(row, counts, reference)
        features = feature_details(row, reference)
    if material.entropy is not None:
        figures["entropy"] = _alone(material.entropy, counts)
    known = {name: found for name, found in figures.items() if math.isfinite(found.value)}
    return Row(known, features, mean_curve(material.lags), len(row.windows))


def bits(nll: Floats, owners: Ints, amounts: Floats, counts: Ints) -> Measured:
    """Return total NLL (nats, (S,)) in bits, divided by total amounts (S,): of notes, or beats."""
    pieces = counts.shape[1]
    return _ratio(_by_piece(nll / math.log(2), owners, pieces), _by_piece(amounts, owners, pieces), counts)


def _of_windows(row: Material, counts: Ints, reference: Reference) -> dict[str, Measured]:
    """Means over windows: BLEU, copied share; and distinct-4."""
    if not row.windows:
        return {}
    owners, pieces = row.of_piece, counts.shape[1]

    def mean(values: npt.ArrayLike) -> Measured:
        ones = np.ones(len(owners))
        return _ratio(_by_piece(np.asarray(values, float), owners, pieces), _by_piece(ones, owners, pieces), counts)

    found = {"copied_share": mean(row.longest > reference.limit), "distinct_4": _alone(distinct(row.ids), counts)}
    references = reference.kept.ids
    if len(references):
        found["bleu_4"] = mean(bleu.bleu(row.ids, references))
    if len(row.ids) > 1:
        found["self_bleu_4"] = mean(bleu.self_bleu(row.ids))
    return found


def _of_pieces(row: Material, counts: Ints, reference: Reference) -> dict[str, Measured]:
    """Shares of sequences and notes, and the distance of the lag curve."""
    owners, pieces = row.owners, counts.shape[1]

    def share(part: Floats, whole: Floats) -> Measured:
        return _ratio(_by_piece(part, owners, pieces), _by_piece(whole, owners, pieces), counts)

    ones = np.ones(len(owners))
    # A run of so many notes can begin at each note but the last NOVELTY - 1.
    possible = np.array([max(0, len(runs) - NOVELTY + 1) for runs in row.runs], dtype=float)
    new = np.array([float((runs[: max(0, len(runs) - NOVELTY + 1)] < NOVELTY).sum()) for runs in row.runs])
    found = {
        f"novelty_{NOVELTY}": share(new, possible),
        "valid_share": share(row.valid.astype(float), ones),
        "ended_share": share(row.ended.astype(float), ones),
        "meter_share": share(row.kept_bars, row.bars),
    }
    real = reference.material
    value = lag_distance(mean_curve(real.lags), mean_curve(row.lags))
    mine = _curves(row.lags, row.owners, counts)
    others = _curves(real.lags, real.owners, reference.counts)
    resampled = [lag_distance(*pair) for pair in zip(others, mine, strict=True)]
    return {**found, "lag_distance": Measured(value, np.array(resampled))}


def _between(row: Material, counts: Ints, reference: Reference) -> dict[str, Measured]:
    """Distances between the two sets of windows."""
    real = reference.kept
    found = {
        "frechet": _compared(frechet, row, counts, real, reference.counts),
        "overlap": _compared(lambda a, b: float(overlap_areas(a, b).mean()), row, counts, real, reference.counts),
        "w1": _compared(lambda a, b: float(wasserstein(a, b).mean()), row, counts, real, reference.counts),
    }
    sides = [
        c2st.Side(some.features, some.grams, some.of_piece, of)
        for some, of in ((real, reference.counts), (row, counts))
    ]
    area = c2st.auc(sides[0], sides[1], np.random.default_rng(reference.seed + 4))
    return found if area is None else {**found, "c2st_auc": area}


def drift(material: Material, reference: Reference) -> dict[str, Measured]:
    """Return the Fréchet distance of windows at each place of a piece from real windows of the same place."""
    counts = reference.counts_for(material.count)
    found = {}
    for name, (first, last) in PLACES.items():
        both = [
            side.select(np.flatnonzero((side.place >= first) & (side.place < last)))
            for side in (material, reference.material)
        ]
        most = min(len(side.windows) for side in both)
        if most >= LEAST_WINDOWS:
            row, real = (side.first(most, np.random.default_rng(reference.seed + 5)) for side in both)
            found[f"frechet_{name}"] = _compared(frechet, row, counts, real, reference.counts)
    return found


def feature_details(row: Material, reference: Reference) -> dict[str, dict[str, Any]]:
    """Return by feature how a row's windows differ from the real ones; all rows have the same bins.

    The bins span the real values and a standard deviation more; what lies outside is in the first and last.
    """
    real, scaling = reference.kept.features, reference.scaling
    areas, distances = overlap_areas(real, row.features), wasserstein(real, row.features)
    table = {}
    for column, name in enumerate(NAMES):
        edges = np.linspace(real[:, column].min() - 1.0, real[:, column].max() + 1.0, BINS + 1)
        values = row.features[:, column]
        mean, sigma = float(scaling.mean[column]), float(scaling.sigma[column])
        histogram = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        table[name] = {
            "overlap": float(areas[column]),
            "w1": float(distances[column]),
            "mean": float(values.mean() * sigma + mean),
            "sd": float(values.std() * sigma),
            "histogram": {"edges": (edges * sigma + mean).tolist(), "counts": histogram.tolist()},
        }
    return table


def paper(material: Material, reference: Reference) -> dict[str, Measured]:
    """Return the SeqGAN paper's own figures for music, against all real rows of 32 steps."""
    sides = [[paper_rows(piece) for piece in side.pieces] for side in (material, reference.material)]
    rows, real = (np.concatenate(side) for side in sides)
    if not len(rows) or not len(real):
        return {}
    counts, pieces = reference.counts_for(material.count), material.count
    owners = np.repeat(material.owners, [len(some) for some in sides[0]])
    scores, ones = paper_bleu(rows, real), np.ones(len(rows))
    mean = _ratio(_by_piece(scores, owners, pieces), _by_piece(ones, owners, pieces), counts)
    return {"paper_bleu_4": mean, "paper_mse": _alone(paper_mse(rows, real), counts)}


def distinct(rows: Sequence[Ints], n: int = 4) -> float:
    """Return the share of different ones among all n-grams of the rows; NaN without any."""
    grams = [np.lib.stride_tricks.sliding_window_view(row, n) for row in rows if len(row) >= n]
    if not grams:
        return math.nan
    whole = np.concatenate(grams)
    return len(np.unique(whole, axis=0)) / len(whole)


def _compared(
    distance: Callable[[Floats, Floats], float], row: Material, counts: Ints, real: Material, real_counts: Ints
) -> Measured:
    resampled = [
        distance(real.features[_drawn(real, of_real)], row.features[_drawn(row, of_row)])
        for of_real, of_row in zip(real_counts, counts, strict=True)
    ]
    return Measured(distance(real.features, row.features), np.array(resampled))


def _drawn(material: Material, counts: Ints) -> Ints:
    """The windows of a resample: those of a piece as often as it was drawn."""
    owners = material.of_piece
    return np.repeat(np.arange(len(owners)), counts[owners])


def _curves(lags: Floats, owners: Ints, counts: Ints) -> Floats:
    """The lag curve of each resample: (B, LAGS)."""
    weights = counts[:, owners].astype(np.float64)
    known = ~np.isnan(lags)
    totals = weights @ known
    sums = weights @ np.where(known, lags, 0.0)
    return np.asarray(np.divide(sums, totals, out=np.full(sums.shape, np.nan), where=totals > 0))


def _by_piece(values: Floats, owners: Ints, pieces: int) -> Floats:
    return np.asarray(np.bincount(owners, weights=values, minlength=pieces), dtype=np.float64)


def _words(place: str) -> str:
    return place.replace("_", " ", 1).replace("_", "–")


def _ratio(part: Floats, whole: Floats, counts: Ints) -> Measured:
    """Total of one over total of the other, both (P,)."""
    totals = counts @ whole
    resampled = np.divide(counts @ part, totals, out=np.full(len(counts), np.nan), where=totals > 0)
    return Measured(float(part.sum() / whole.sum()) if whole.sum() > 0 else math.nan, resampled)


def _alone(value: float, counts: Ints) -> Measured:
    """A figure without an interval."""
    return Measured(value, np.full(len(counts), np.nan))
