"""Range: how far it is from the lowest note to the highest.

    measure = highest pitch - lowest pitch,  semitones, 0..87
    score   = 2^(-|measure - target| / half),  in [0, 1]

Source: pitch range, as in Yang and Lerch 2020; among the statistics that ORGAN's follow-ups reward.
What fools it: one stray note far away makes a range; where the range lies is not looked at.
Example: from C4 (60) to G5 (79) is 19 semitones; with target 13 and half 6 the score is a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.notes import HIGHEST_PITCH, LOWEST_PITCH
from seqgan_music.music.objectives import Floats
from seqgan_music.music.objectives._aim import Aim, AimOptions


@dataclass(frozen=True)
class RangeOptions(AimOptions):
    """Options of the range, in semitones."""

    half: float = 6.0
    """How far from the target the score is a half."""

    @staticmethod
    def _most() -> float:
        return float(HIGHEST_PITCH - LOWEST_PITCH)


class Range(Aim):
    """High and low."""

    Options: ClassVar[type[Any]] = RangeOptions
    unit: ClassVar[str] = "semitones"

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) highest minus lowest pitch, in semitones."""
        result = np.full(notes.rows, np.nan)
        heard = notes.counts > 0
        starts = np.searchsorted(notes.row, np.flatnonzero(heard))
        if len(starts):
            pitch = notes.pitch
            result[heard] = np.maximum.reduceat(pitch, starts) - np.minimum.reduceat(pitch, starts)
        return result
