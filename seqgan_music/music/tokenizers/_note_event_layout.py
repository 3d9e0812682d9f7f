"""The ids of `note_event`: where each kind of token begins, every token's name, and what it does to the bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DEFAULT_VELOCITY, PITCHES, Meter
from seqgan_music.music.tokenizers._ids import Ids
from seqgan_music.tokenset import Effect

METERS = (
    *((beats, 4) for beats in (4, 3, 2, 6, 5, 7, 1, 8)),
    *((halves, 2) for halves in (2, 3, 4, 1)),
    *((eighths, 8) for eighths in (6, 3, 9, 12, 5, 7, 4, 2, 8, 10, 11, 15, 1)),
    *((sixteenths, 16) for sixteenths in (3, 6, 9, 12, 1, 5, 7)),
)
"""Meters that have a token, no bar longer than 8 beats; the shortest are for incomplete bars."""
LONGEST_BAR_BEATS = 8

KEYS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
"""Key signatures by their major tonics."""
HIGHEST_KEY = 6
"""A piece in a key up to this is written in C by moving it down, in a later one by moving it up."""

_EFFECTS = {
    "BAR": Effect.NEXT,
    "HOLD": Effect.HOLD,
    "METER": Effect.PERIOD,
    "PITCH": Effect.BEGIN,
    "VELOCITY": Effect.BEGIN,
    "AT": Effect.AT,
    "END": Effect.END,
    "RETURN": Effect.RETURN,
    "PROGRAM": Effect.VOICE,
    "DRUM": Effect.BEGIN,
}


class Layout(Ids):
    """The ids of one grid and number of loudness levels, with or without keys and bars that return."""

    def __init__(self, ticks_per_beat: int, velocities: int, *, keys: bool = False, returns: int = 0) -> None:
        super().__init__()
        positions = self.positions = LONGEST_BAR_BEATS * ticks_per_beat
        self.velocities = velocities
        self.unsaid = (DEFAULT_VELOCITY - 1) * velocities // 127
        """Loudness level of notes before the first VELOCITY."""
        self.bar_ticks = [Meter(0, *meter).bar_ticks(ticks_per_beat) for meter in METERS]
        place = self.place

        self.end_of_piece = place("END_OF_PIECE")
        self.bar = place("BAR")
        self.hold = place("HOLD")
        self.meter = place("METER", (f"{numerator}/{denominator}" for numerator, denominator in METERS))
        self.pitch = place("PITCH", PITCHES)
        self.position = place("AT", range(positions))
        self.end = place("END", range(1, positions + 1))
        self.velocity = place("VELOCITY", range(velocities))
        self.returns = returns
        self.returned = place("RETURN", range(1, returns + 1))
        self.keys = len(KEYS) * keys
        self.key = place("KEY", KEYS[: self.keys])

    def key_shift(self, key: int) -> int:
        """Return the semitones by which what is written in C sounds higher in a key, -5 to 6."""
        return key if key <= HIGHEST_KEY else key - len(KEYS)

    def effects(self) -> npt.NDArray[np.int32]:
        """(2, V) an `Effect` and its value in ticks of each id; what is not among them does nothing."""
        table = np.zeros((2, len(self.kinds)), dtype=np.int32)
        table[0] = [_EFFECTS.get(kind, Effect.NOTHING) for kind in self.kinds]
        table[1, self.meter : self.meter + len(METERS)] = self.bar_ticks
        table[1, self.position : self.position + self.positions] = np.arange(self.positions)
        table[1, self.end : self.end + self.positions] = np.arange(1, self.positions + 1)
        table[1, self.returned : self.returned + self.returns] = np.arange(1, self.returns + 1)
        return table

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose by each number of semitones; see the tokenizers."""
        if not self.keys:
            return super().shifts(semitones)
        at, size = self, len(self.names)
        maps = np.tile(np.arange(size, dtype=np.int32), (len(semitones), 1))
        first, last = at.pitch, at.pitch + len(PITCHES)
        by = np.asarray(semitones, dtype=np.int32).reshape(-1, 1)
        shifts = np.array([at.key_shift(key) for key in range(at.keys)])
        there = np.isin(shifts + by, shifts)
        maps[:, at.key : at.key + at.keys] = np.where(there, at.key + (shifts + by) % at.keys, -1)
        edge = np.arange(first, last)[None]
        unsafe = (by != 0) & ((edge < first + at.keys) | (edge >= last - at.keys))
        maps[:, first:last] = np.where(unsafe, -1, maps[:, first:last])
        return maps
