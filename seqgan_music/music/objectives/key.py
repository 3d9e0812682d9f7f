"""Share of the notes that lie in the key.

    measure = notes whose pitch class is in the scale / notes,  in [0, 1]
    score   = 2^(-|measure - target| / half),  in [0, 1]

The scale is that of the key given, or else, for each piece, whichever of the 12 major and 12 harmonic minor scales
holds most of its notes (natural minor is the major scale a third above).
Source: ORGAN's "tonality" (Guimaraes et al. 2017) rewards fifths; the share in a scale is its usual form since
(scale consistency, Dong et al. 2020).
What fools it: few different pitches (two notes repeated are in key), and with the key estimated any key will do, so
that it says nothing of whether a piece stays in one key by intention. With the target at 1, blue notes are faults.
Example: C D E F# G is all in G major: 1. C C# D D# E F has at most 4 of 6 in one scale: 0.667; with target 1 and
half 0.1 the score is 2^-3.33 = 0.099.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.music.keys import Key as Scale
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Floats, share
from seqgan_music.music.objectives._aim import Aim, AimOptions

_MAJOR, _HARMONIC_MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)
_SCALES = np.array(
    [
        [(pitch_class - tonic) % 12 in scale for pitch_class in range(12)]
        for scale in (_MAJOR, _HARMONIC_MINOR)
        for tonic in range(12)
    ],
    dtype=np.int64,
)  # (24, 12)


@dataclass(frozen=True)
class KeyOptions(AimOptions):
    """Options of the share in the key."""

    half: float = 0.1
    """How far from the target the score is a half."""
    key: str = ""
    """The key, as `sample --key` takes it ("D dorian"); empty: each piece's own, estimated."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if self.key:
            Scale.parse(self.key)


class Key(Aim):
    """In the key."""

    Options: ClassVar[type[Any]] = KeyOptions
    unit: ClassVar[str] = "share of notes"
    options: KeyOptions

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) the share of notes in the key, in [0, 1]."""
        counts = np.bincount(notes.row * 12 + notes.pitch % 12, minlength=12 * notes.rows).reshape(-1, 12)
        scales = _SCALES
        if self.options.key:
            inside = Scale.parse(self.options.key).pitch_classes
            scales = np.array([[pitch_class in inside for pitch_class in range(12)]], dtype=np.int64)
        return share((counts @ scales.T).max(axis=1, initial=0), notes.counts)
