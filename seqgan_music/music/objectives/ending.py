"""Ending: whether a piece ends on its tonic.

    measure = 1 where the lowest of the notes that begin last is on the tonic, else 0
    score   = measure,  0 or 1

The tonic is that of the major or minor key whose profile (Krumhansl and Kessler 1982) correlates best with how
often each pitch class begins. Music that was cut off has no ending: in training, rows that reach T before their end
are left alone.
Source: ours; "ends on the tonic" is among the music-theory rules of Jaques et al. 2017 (arXiv 1611.02796).
What fools it: the tonic is estimated, and a piece on one note ends on it; where in its bar is not looked at.
Example: C D E F G E D C ends on the tonic of C major: 1. The same without its last note ends on D: 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Floats

_PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)  # major, minor
_SHAPES = (_PROFILES - _PROFILES.mean(axis=1, keepdims=True)) / _PROFILES.std(axis=1, keepdims=True)
_TURNED = np.array([np.roll(shape, tonic) for shape in _SHAPES for tonic in range(12)])  # (24, 12)


@dataclass(frozen=True)
class EndingOptions:
    """The ending has no options."""


class Ending:
    """Home."""

    Options: ClassVar[type[Any]] = EndingOptions
    unit: ClassVar[str] = "1 or 0"
    of_whole_pieces: ClassVar[bool] = True

    def __init__(self, options: EndingOptions) -> None:
        self.options = options

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) 1 where the row ends on its tonic, else 0; NaN where it was cut off."""
        counts = np.bincount(notes.row * 12 + notes.pitch % 12, minlength=12 * notes.rows).reshape(-1, 12)
        # Equal correlations are told apart by rounding, so that the lowest number wins on every machine.
        tonic = np.round(counts @ _TURNED.T, 9).argmax(axis=1) % 12  # (N,)
        first = np.ones(len(notes.row), dtype=np.bool_)  # of its onset: the lowest
        first[1:] = (notes.row[1:] != notes.row[:-1]) | (notes.onset[1:] != notes.onset[:-1])
        final = np.zeros(notes.rows, dtype=np.int64)
        final[notes.row[first]] = notes.pitch[first]  # of several, the last is kept
        home = np.where(final % 12 == tonic, 1.0, 0.0)
        return np.where((notes.counts > 0) & notes.whole, home, np.nan)

    def score(self, measure: Floats) -> Floats:
        """Return the measure itself."""
        return measure
