"""A piece as NumPy arrays: what the metrics count over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import Piece

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arrays:
    """Notes (N,), no drums, in order of (onset, pitch) and bars (M,) up to the last onset's. Times in ticks.

    bar:      number of the bar in which each note begins, from 0
    position: ticks from the start of that bar to the note
    starts, lengths: first tick and ticks of each bar
    """

    onset: Ints
    pitch: Ints
    duration: Ints
    bar: Ints
    position: Ints
    starts: Ints
    lengths: Ints
    ticks_per_beat: int

    @property
    def end(self) -> int:
        """First tick after the last bar; 0 without notes."""
        return int(self.starts[-1] + self.lengths[-1]) if len(self.starts) else 0


def arrays(piece: Piece) -> Arrays:
    """Return the piece as arrays."""
    notes = np.array([(note.onset, note.pitch, note.duration) for note in piece.tuned.notes], dtype=np.int64)
    onset, pitch, duration = notes.reshape(-1, 3).T
    bars = np.array([(bar.start, bar.length) for bar in piece.bars()], dtype=np.int64)
    starts, lengths = bars.reshape(-1, 2).T
    bar = np.searchsorted(starts, onset, side="right") - 1
    position = onset - starts[bar]
    return Arrays(onset, pitch, duration, bar, position, starts, lengths, piece.ticks_per_beat)
