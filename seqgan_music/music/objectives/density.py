"""Density: notes a beat.

    measure = notes / beats from the start of the piece to the end of its last note to end,  above 0
    score   = 2^(-|measure - target| / half),  in [0, 1]

Source: notes a beat (or a bar), as in Yang and Lerch 2020; the events per time that ORGAN's follow-ups steer by.
What fools it: chords count each of their notes, so that block chords are as dense as a run; the mean says nothing
of where the notes are.
Example: 24 notes in 16 beats are 1.5 a beat; with target 2 and half 0.5 the score is a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Floats, share
from seqgan_music.music.objectives._aim import Aim, AimOptions


@dataclass(frozen=True)
class DensityOptions(AimOptions):
    """Options of density, in notes a beat."""

    half: float = 0.5
    """How far from the target the score is a half."""

    @staticmethod
    def _most() -> float:
        return 1000.0


class Density(Aim):
    """Busy or calm."""

    Options: ClassVar[type[Any]] = DensityOptions
    unit: ClassVar[str] = "notes a beat"

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) notes a beat."""
        end = np.zeros(notes.rows, dtype=np.int64)
        np.maximum.at(end, notes.row, notes.onset + notes.duration)
        return share(notes.counts * notes.ticks_per_beat, end)
