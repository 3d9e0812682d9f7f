"""Repetition: the share of bars that are an earlier bar again.

    measure = 1 - different bars / bars,  in [0, 1); bars are equal with the same pitches at the same places
    score   = 2^(-|measure - target| / half),  in [0, 1]

Bars in which no note begins do not count. The measure grows with the length of a piece, so the target is taken from
music of the same length: openings of T tokens in training, pieces cut to the candidates' bars in ranking.
Source: ours; returning bars as in Wu and Yang 2020. ORGAN (Guimaraes et al. 2017) has a penalty on repetition only.
What fools it: which bars return is not looked at, so A A A A B C counts as A B A B A C does. A transposed or varied
bar is another bar. Without a target, a loop would be the optimum: so there is no maximum to ask for but target = 1.
Example: bars A B A C have 3 different of 4: 0.25; with target 0.45 and half 0.2 the score is a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Floats, per_row, share
from seqgan_music.music.objectives._aim import Aim, AimOptions


@dataclass(frozen=True)
class RepetitionOptions(AimOptions):
    """Options of repetition."""

    half: float = 0.2
    """How far from the target the score is a half."""


class Repetition(Aim):
    """Bars that return."""

    Options: ClassVar[type[Any]] = RepetitionOptions
    unit: ClassVar[str] = "share of bars"

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) the share of bars that were there before, in [0, 1)."""
        first = np.ones(len(notes.row), dtype=np.bool_)  # of its bar
        first[1:] = (notes.row[1:] != notes.row[:-1]) | (notes.bar[1:] != notes.bar[:-1])
        starts = np.flatnonzero(first)
        of = notes.row[starts]
        # A bar is the sum of hashes of its notes (mod 2^64): two different ones would agree once in 10^19.
        hashes = _mixed(notes.position * 128 + notes.pitch)
        content = np.add.reduceat(hashes, starts) if len(starts) else hashes
        order = np.lexsort((content, of))
        content, of = content[order], of[order]
        new = np.ones(len(of), dtype=np.bool_)
        new[1:] = (of[1:] != of[:-1]) | (content[1:] != content[:-1])
        return share(per_row(notes, ~new, of), per_row(notes, np.ones(len(of)), of))


def _mixed(values: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.uint64]:
    """Scatter whole numbers over 64 bits (the finaliser of splitmix64)."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.typing.NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
