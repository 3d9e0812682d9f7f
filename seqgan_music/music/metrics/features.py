r"""features-v1: 43 numbers that describe a window of music; what distances between sets of music are taken in.

The list is frozen: a change needs a new VERSION, because figures of different lists cannot be compared. All are
statistics of notes, independent of the grid, in the units that FEATURES names. The line of a piece is the highest
note of each onset. Its key is the major or minor one whose profile (Krumhansl and Kessler 1982) correlates best
with how often each pitch class begins. Where a statistic is not defined (no interval in one note, no bar eight bars
earlier) it is 0, so that every window has a vector of finite numbers.

Sources: muspy (Dong et al. 2020) for pitch range to scale consistency and polyphony, mgeval (Yang and Lerch 2020)
for intervals and inter-onset intervals, MusDr (Wu and Yang 2020) for the entropy over four bars and the groove.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgan_music.music.key_finding import MAJOR, MINOR
from seqgan_music.music.metrics.arrays import Arrays, Floats, Ints, arrays
from seqgan_music.music.metrics.overlap import sigma
from seqgan_music.music.metrics.structure import lag_similarities, returning_share, slots
from seqgan_music.music.notes import Piece

VERSION = "features-v1"

FEATURES = {
    "pitch_range": "highest minus lowest pitch (semitones)",
    "pitches": "different pitches",
    "pitch_classes": "different pitch classes (1 to 12)",
    "pitch_mean": "mean pitch (MIDI number)",
    "pitch_sd": "standard deviation of the pitch (semitones)",
    "pitch_entropy": "entropy of the pitches (bits)",
    "pitch_class_entropy": "entropy of the pitch classes, mean over blocks of four bars (bits)",
    "scale_consistency": "share of notes in the diatonic scale that holds most of them",
    "interval_mean": "mean size of the line's intervals (semitones)",
    "repeated_share": "share of the line's intervals that are 0",
    "step_share": "share of the line's intervals of 1 or 2 semitones",
    "leap_share": "share of the line's intervals of more than 7 semitones",
    "interval_entropy": "entropy of the line's intervals, up and down told apart (bits)",
    "notes_per_bar": "notes that begin in a bar, mean",
    "notes_per_bar_sd": "notes that begin in a bar, standard deviation",
    "log_ioi": "time from onset to onset, mean of its logarithm (octaves of a beat)",
    "log_ioi_sd": "time from onset to onset, standard deviation of its logarithm (octaves)",
    "duration_entropy": "entropy of the durations (bits)",
    "sixteenth_share": "share of notes up to 3/8 beat long",
    "eighth_share": "share of notes above 3/8 and up to 3/4 beat long",
    "quarter_share": "share of notes above 3/4 and up to 3/2 beats long",
    "half_share": "share of notes above 3/2 and up to 3 beats long",
    "off_eighth_share": "share of notes that begin between the eighths of their bar",
    "empty_beat_share": "share of beats in which nothing sounds",
    "beat_1_share": "share of notes that begin with the bar",
    "beat_2_share": "share of notes that begin one beat later",
    "beat_3_share": "share of notes that begin two beats later",
    "beat_4_share": "share of notes that begin three beats later",
    "groove_similarity": "share of a bar's sixteenths that agree with the next bar's on whether a note begins",
    "voices": "notes that sound at once, mean over the time in which any does",
    "two_voices_share": "share of that time with two notes or more",
    "three_voices_share": "share of that time with three notes or more",
    "returning_share": "share of bars that are an earlier bar again",
    "lag_1": "similarity of neighbouring bars",
    "lag_2": "similarity of bars two apart",
    "lag_4": "similarity of bars four apart",
    "lag_8": "similarity of bars eight apart",
    "degree_1_share": "share of notes on the first degree of the key",
    "degree_2_share": "share of notes on its second degree",
    "degree_3_share": "share of notes on its third degree, major or minor as the key",
    "degree_4_share": "share of notes on its fourth degree",
    "degree_5_share": "share of notes on its fifth degree",
    "degree_6_share": "share of notes on its sixth degree, major or minor as the key",
}
"""Name of each feature and what it is."""

NAMES = tuple(FEATURES)

FARTHEST = 5.0
"""Standard deviations from the training windows' mean that a scaled feature may show."""

_SCALE = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
_DEGREES = ((0, 2, 4, 5, 7, 9), (0, 2, 3, 5, 7, 8))  # semitones above the tonic: major, minor
_ROTATIONS = (np.arange(12)[:, None] + np.arange(12)) % 12
_BLOCK = 4


def features(window: Piece) -> Floats:
    """Return the features of one window: (43,), in the order of NAMES; zeros without notes that have a pitch."""
    piece = arrays(window)
    if not len(piece.pitch):
        return np.zeros(len(NAMES))
    values = _pitch(piece) | _line(piece) | _rhythm(piece) | _texture(piece) | _form(piece)
    return np.nan_to_num(np.array([values[name] for name in NAMES], dtype=np.float64))


def feature_table(windows: Sequence[Piece]) -> Floats:
    """Return the features of each window: (N, 43)."""
    return np.array([features(window) for window in windows]).reshape(-1, len(NAMES))


@dataclass(frozen=True)
class Scaling:
    """Means and standard deviations (F,) of a set of windows, by which others are z-scored."""

    mean: Floats
    sigma: Floats

    @classmethod
    def of(cls, table: Floats) -> Scaling:
        """Take them from features (N, F), N at least 1: those of the training windows. No sigma is below 0.02."""
        return cls(table.mean(axis=0), sigma(table))

    def __call__(self, table: Floats) -> Floats:
        """Return the features (N, F) in standard deviations from the mean, at most FARTHEST.

        One odd window may lie 30 of them away and would outweigh all others in a covariance.
        """
        return np.clip((table - self.mean) / self.sigma, -FARTHEST, FARTHEST)


def _pitch(piece: Arrays) -> dict[str, float]:
    pitches = np.bincount(piece.pitch - piece.pitch.min())
    classes = piece.pitch % 12
    histogram = np.bincount(classes, minlength=12)
    blocks = np.bincount(piece.bar // _BLOCK * 12 + classes)
    blocks = np.pad(blocks, (0, -len(blocks) % 12)).reshape(-1, 12)
    rotated = histogram[_ROTATIONS]  # row k begins at pitch class k
    return {
        "pitch_range": float(np.ptp(piece.pitch)),
        "pitches": float((pitches > 0).sum()),
        "pitch_classes": float((histogram > 0).sum()),
        "pitch_mean": float(piece.pitch.mean()),
        "pitch_sd": float(piece.pitch.std()),
        "pitch_entropy": entropy(pitches),
        "pitch_class_entropy": float(np.mean([entropy(block) for block in blocks if block.any()])),
        "scale_consistency": float((rotated @ _SCALE).max() / len(classes)),
        **_degrees(rotated),
    }


def _degrees(rotated: Ints) -> dict[str, float]:
    """Return the share of each degree of the key, from the pitch classes counted from each possible tonic (12, 12).

    Keys that fit equally well are told apart by the counts alone, so that the result is the same in every key.
    """
    centred = rotated - rotated.mean(axis=1, keepdims=True)
    best: tuple[float, list[int]] = (-np.inf, [])
    degrees = _DEGREES[0]
    for profile, of_mode in zip((MAJOR, MINOR), _DEGREES, strict=True):
        shape = (profile - profile.mean()) / profile.std()
        for tonic, fit in enumerate((centred * shape).sum(axis=1)):
            candidate = (round(float(fit), 9), rotated[tonic].tolist())
            if candidate > best:
                best, degrees = candidate, of_mode
    counts = best[1]
    return {f"degree_{n}_share": counts[degree] / sum(counts) for n, degree in enumerate(degrees, start=1)}


def _line(piece: Arrays) -> dict[str, float]:
    last = np.append(piece.onset[1:] != piece.onset[:-1], True)  # notes of one onset ascend
    intervals = np.diff(piece.pitch[last])
    if not len(intervals):
        names = ("interval_mean", "repeated_share", "step_share", "leap_share", "interval_entropy")
        return dict.fromkeys(names, np.nan)
    sizes = np.abs(intervals)
    return {
        "interval_mean": float(sizes.mean()),
        "repeated_share": float((sizes == 0).mean()),
        "step_share": float(((sizes >= 1) & (sizes <= 2)).mean()),
        "leap_share": float((sizes > 7).mean()),
        "interval_entropy": entropy(np.bincount(intervals - intervals.min())),
    }


def _rhythm(piece: Arrays) -> dict[str, float]:
    beat = piece.ticks_per_beat
    per_bar = np.bincount(piece.bar, minlength=len(piece.starts))
    between = np.diff(np.unique(piece.onset)) / beat
    octaves = np.log2(between) if len(between) else np.full(1, np.nan)
    longest = np.array([0, 3, 6, 12, 24]) * beat / 8  # ticks
    lengths = (piece.duration[:, None] > longest[:-1]) & (piece.duration[:, None] <= longest[1:])
    begun = slots(piece) > 0
    names = ("sixteenth_share", "eighth_share", "quarter_share", "half_share")
    return {
        "notes_per_bar": float(per_bar.mean()),
        "notes_per_bar_sd": float(per_bar.std()),
        "log_ioi": float(octaves.mean()),
        "log_ioi_sd": float(octaves.std()),
        "duration_entropy": entropy(np.unique(piece.duration, return_counts=True)[1]),
        **dict(zip(names, lengths.mean(axis=0).tolist(), strict=True)),
        "off_eighth_share": float((2 * piece.position % beat != 0).mean()),
        **{f"beat_{n}_share": float((piece.position == (n - 1) * beat).mean()) for n in range(1, 5)},
        "groove_similarity": float((begun[1:] == begun[:-1]).mean()) if len(begun) > 1 else np.nan,
    }


def _texture(piece: Arrays) -> dict[str, float]:
    begin = np.bincount(piece.onset, minlength=piece.end + 1)
    end = np.bincount(np.minimum(piece.onset + piece.duration, piece.end), minlength=piece.end + 1)
    voices = np.cumsum(begin - end)[: piece.end]  # of each tick
    sounding = voices[voices > 0]
    beats = np.arange(0, piece.end, piece.ticks_per_beat)
    return {
        "empty_beat_share": float((np.maximum.reduceat(voices, beats) == 0).mean()),
        "voices": float(sounding.mean()),
        "two_voices_share": float((sounding >= 2).mean()),
        "three_voices_share": float((sounding >= 3).mean()),
    }


def _form(piece: Arrays) -> dict[str, float]:
    lags = (1, 2, 4, 8)
    similar = {f"lag_{lag}": float(value) for lag, value in zip(lags, lag_similarities(piece, lags), strict=True)}
    return {"returning_share": returning_share(piece), **similar}


def entropy(counts: Ints) -> float:
    """Return the Shannon entropy of counts (K,), not all 0, in bits."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
