"""Steps against leaps: the share of the line's moves that are a tone or less.

    measure = moves of 1 or 2 semitones / moves of 1 or more,  in [0, 1]
    score   = 2^(-|measure - target| / half),  in [0, 1]

The line is the highest note of each onset; repeated notes are no moves. NaN where nothing moves.
Source: ORGAN's "ratio of steps" (Guimaraes et al. 2017), which is rewarded without a target there.
What fools it: a trill on two notes has the highest share; an accompaniment that crosses above the tune counts as
the tune; of chords only the top is heard.
Example: C D E G E (moves of 2, 2, 3, 3) has 2 of 4: 0.5; with target 0.65 and half 0.15 the score is a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Floats, per_row, share
from seqgan_music.music.objectives._aim import Aim, AimOptions

_STEP = 2  # semitones


@dataclass(frozen=True)
class StepsOptions(AimOptions):
    """Options of steps against leaps."""

    half: float = 0.15
    """How far from the target the score is a half."""


class Steps(Aim):
    """Stepwise."""

    Options: ClassVar[type[Any]] = StepsOptions
    unit: ClassVar[str] = "share of moves"

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) the share of steps among the line's moves, in [0, 1]."""
        last = np.ones(len(notes.row), dtype=np.bool_)  # of its onset: the highest
        last[:-1] = (notes.row[1:] != notes.row[:-1]) | (notes.onset[1:] != notes.onset[:-1])
        row, pitch = notes.row[last], notes.pitch[last]
        move, of = np.abs(np.diff(pitch)), row[1:]
        move[row[1:] != row[:-1]] = 0
        return share(per_row(notes, (move >= 1) & (move <= _STEP), of), per_row(notes, move >= 1, of))
