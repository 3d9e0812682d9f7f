"""pitch_grid, the SeqGAN paper's representation of music: one pitch a time step, rows of one fixed length.

Section 5.2 of Yu et al. 2017 (arXiv 1609.05473) says: 88 numbers for the 88 pitches, "sampled every 0.4 s", rows of
32. What it leaves open is settled here so:

1. A step is an instant, not an average: step i tells what sounds at i times 0.4 s, a note that begins there
   included and one that ends there not (as the RNN-RBM tutorial does, to which the paper points).
2. Of several notes that sound, the highest is taken.
3. Silence is an id of its own, 0; pitches 21..108 are ids 1..88. With `rest = false` there are 88 ids, 0..87, as in
   the paper; the last pitch then lasts through a silence, and a silence at the start is left out.
4. A piece's rows do not overlap unless `hop` says so. The last, incomplete row is left out, but a piece shorter
   than one row is filled up with rests (its last pitch, without a rest). Rows of nothing but rests are left out.
5. A held note and a repeated one have the same ids, so equal neighbours are decoded as one note.

Steps may be counted in beats instead of seconds: `step_beats = 0.5` is an eighth note whatever the tempo.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import DEFAULT_QPM, LOWEST_PITCH, PITCHES, Note, Piece, Tempo
from seqgan_music.music.tokenizers import Decoded, WholeReader
from seqgan_music.music.tokenizers._pitch_grid_filling import PitchGridFilling
from seqgan_music.music.tokenizers._preparing import seconds_of

MOST_STEPS = 200_000
"""Steps of a piece past this are left out: a broken tempo can stretch a few notes over years."""

_BEATS_A_BAR = 4


class PitchGrid:
    """Pieces to rows of `length` ids, one a step. Decoded pieces are in 4/4, a step in seconds is an eighth."""

    @dataclass(frozen=True)
    class Options:
        """What a config may set."""

        step_seconds: float = 0.4
        """Seconds a step; the paper's 0.4."""
        step_beats: float = 0.0
        """Quarter notes a step, instead of seconds; 0 means seconds. A whole number of ticks of the grid."""
        length: int = 32
        """Steps a row; the paper's 32."""
        hop: int = 0
        """Steps from the start of one row to the start of the next; 0 means `length`, rows that do not overlap."""
        rest: bool = True
        """Whether silence is an id of its own; the paper names none."""

        def __post_init__(self) -> None:
            """Refuse values that cannot be."""
            if not 0.01 <= self.step_seconds <= 60:
                raise ConfigError(f"step_seconds must be 0.01 to 60, not {self.step_seconds:g}.")
            if not 0 <= self.step_beats <= 16:
                raise ConfigError(f"step_beats must be 0 (off) to 16, not {self.step_beats:g}.")
            if not 1 <= self.length <= MOST_STEPS:
                raise ConfigError(f"length must be 1 to {MOST_STEPS}, not {self.length}.")
            if not 0 <= self.hop <= self.length:
                raise ConfigError(f"hop must be 0 to length ({self.length}), not {self.hop}.")

    name: ClassVar[str] = "pitch_grid"
    unit_name: ClassVar[str] = "step"

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        self.options = options
        self.ticks_per_beat = ticks_per_beat
        beats = Fraction(options.step_beats).limit_denominator(960) or Fraction(1, 2)
        if options.step_beats and (beats * ticks_per_beat).denominator > 1:
            raise ConfigError(
                f"step_beats {options.step_beats:g} is no whole number of ticks, {ticks_per_beat} a beat."
            )
        self.step_ticks = max(1, int(beats * ticks_per_beat))
        seconds = self.ticks_per_beat * options.step_seconds / self.step_ticks  # a beat
        self.qpm = None if options.step_beats else 60.0 / seconds
        self.rest = 0 if options.rest else None
        """The id of silence, or None."""
        self.first = 1 if options.rest else 0
        """The id of pitch 21."""
        pitches = tuple(f"PITCH({pitch})" for pitch in PITCHES)
        self.vocabulary = ("REST", *pitches) if options.rest else pitches
        self.start_id = len(self.vocabulary)
        self.end_id: int | None = None

    def __repr__(self) -> str:
        """Return "<note_event: 315 tokens, 12 ticks a beat>"."""
        return f"<{self.name}: {len(self.vocabulary)} tokens, {self.ticks_per_beat} ticks a beat>"

    def normalise(self, piece: Piece) -> tuple[Piece, Counter[str]]:
        """Return the piece that rows without overlap hold, and what is not in it, counted by reason."""
        rows, lost = self._rows(piece, self.options.length)
        return self.decode([token for row in rows for token in row]).piece, lost

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return rows of `length` ids, in order of time."""
        return self._rows(piece, self.options.hop or self.options.length)[0]

    def decode(self, ids: Sequence[int]) -> Decoded:
        """Return the piece of any number of steps; ids outside the vocabulary are dropped, counted as "unknown".

        The tempo is that at which a step lasts `step_seconds`; for steps in beats, the default tempo.
        """
        known = [token for token in map(int, ids) if 0 <= token < len(self.vocabulary)]
        notes, step = [], 0
        for token, run in groupby(known):
            steps = sum(1 for _ in run)
            if token != self.rest:
                pitch = LOWEST_PITCH + token - self.first
                notes.append(Note(step * self.step_ticks, pitch, steps * self.step_ticks))
            step += steps
        dropped = Counter({"unknown": len(ids) - len(known)} if len(known) < len(ids) else {})
        tempos = (Tempo(0, self.qpm or DEFAULT_QPM),)
        return Decoded(Piece(tuple(notes), self.ticks_per_beat, tempos=tempos), dropped)

    def reader(self) -> WholeReader:
        """Return one that has read nothing yet."""
        return WholeReader(self.decode)

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of steps in a row."""
        return len(ids)

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose by each number of semitones; -1 where a pitch leaves the 88 keys."""
        maps = np.tile(np.arange(len(self.vocabulary), dtype=np.int32), (len(semitones), 1))
        moved = maps[:, self.first :] + np.asarray(semitones, dtype=np.int32).reshape(-1, 1)
        maps[:, self.first :] = np.where((moved >= self.first) & (moved < len(self.vocabulary)), moved, -1)
        return maps

    def effects(self) -> None:
        """Steps know nothing of bars."""
        return None

    def grammar(
        self,
        *,
        bars: int | None = None,
        ticks: int | None = None,
        pitches: Collection[int] | None = None,
        prefix: Sequence[int] = (),
        upbeat: bool = False,
    ) -> PitchGridGrammar:
        """Return a grammar after `prefix`, that ends after `bars` bars of 4/4 or `ticks` ticks, of `pitches` only.

        Both count from the start of the piece, prefix included, and end with the step that completes them; the
        shorter holds. Steps know no upbeat. One note is sure. Without either there is no end, as there is no id for
        it: cut at `length`.
        Raises ConfigError where no piece can be: no bar, no tick, no pitch of the 88.
        """
        bar = _BEATS_A_BAR * self.ticks_per_beat
        ends = []
        for what, value, length in (("bars", bars, bar), ("ticks", ticks, 1)):
            if value is not None:
                if value < 1:
                    raise ConfigError(f"{what} must be at least 1, not {value}.")
                ends.append(-(-value * length // self.step_ticks))
        mask = np.ones(len(self.vocabulary), dtype=np.bool_)
        if pitches is not None:
            mask[self.first :] = [pitch in pitches for pitch in PITCHES]
            if not mask[self.first :].any():
                raise ConfigError("None of the pitches asked for is one of the 88 keys (21 to 108).")
        known = [token for token in map(int, prefix) if 0 <= token < len(self.vocabulary)]
        heard = any(token != self.rest for token in known)
        steps = max(int(not heard), min(ends) - len(known)) if ends else None
        return PitchGridGrammar(mask, self.rest, steps, heard)

    def filling(self, ids: Sequence[int]) -> PitchGridFilling:
        """Return the piece of `ids` as one to be filled anew in places."""
        known = [token for token in map(int, ids) if 0 <= token < len(self.vocabulary)]
        return PitchGridFilling(known, self.step_ticks, self.rest, self.first, len(self.vocabulary))

    def last_bar(self, ids: Sequence[int]) -> tuple[int, int]:
        """Return the first tick of the bar of 4/4 that the last step lies in, and the length of bars."""
        bar = _BEATS_A_BAR * self.ticks_per_beat
        return max(0, len(ids) - 1) * self.step_ticks // bar * bar, bar

    def _rows(self, piece: Piece, hop: int) -> tuple[list[list[int]], Counter[str]]:
        line, lost = self._line(piece)
        length = self.options.length
        if 0 < len(line) < length:
            filling = line[-1] if self.rest is None else self.rest
            line = np.concatenate([line, np.full(length - len(line), filling, dtype=line.dtype)])
        rows = [line[start : start + length].tolist() for start in range(0, len(line) - length + 1, hop)]
        whole = (len(line) - length) // hop * hop + length if rows else 0
        heard = [row for row in rows if any(token != self.rest for token in row)]
        lost += Counter(
            {"steps after the last whole row": len(line) - whole, "rows of rests": len(rows) - len(heard)}
        )
        return heard, lost

    def _line(self, piece: Piece) -> tuple[npt.NDArray[np.int16], Counter[str]]:
        """(steps,) the id of each step, from the start of the piece to its last step that sounds."""
        notes = [note for note in piece.tuned.notes if note.pitch in PITCHES and note.onset >= 0]
        begin = self._steps(piece, [note.onset for note in notes])
        end = self._steps(piece, [note.end for note in notes])
        steps = int(end.max(initial=0))
        # -1 is silence; a note's number is written over all lower ones.
        owner = np.full(min(steps, MOST_STEPS), -1, dtype=np.int32)
        for index in sorted(range(len(notes)), key=lambda i: (notes[i].pitch, notes[i].onset)):
            owner[begin[index] : end[index]] = index
        heard = np.unique(owner[owner >= 0])
        lost = Counter(
            {
                "drums left out": len(piece.notes) - len(piece.tuned.notes),
                "notes outside the 88 keys": len(piece.tuned.notes) - len(notes),
                f"steps after step {MOST_STEPS}": steps - MOST_STEPS,
                "notes below the highest or between two steps": len(notes) - len(heard),
            }
        )
        ids = np.array([note.pitch - LOWEST_PITCH + self.first for note in notes] + [0], dtype=np.int16)
        if self.rest is None:
            sounding = np.maximum.accumulate(np.where(owner >= 0, np.arange(len(owner)), -1))
            silent = int((sounding < 0).sum())
            lost["silent steps"] = int((owner < 0).sum())
            owner = owner[sounding[silent:]]
        return ids[owner], +lost  # `+` keeps what is above 0

    def _steps(self, piece: Piece, ticks: Sequence[int]) -> npt.NDArray[np.int64]:
        """The first step at or after each of the ticks of a piece."""
        at = np.asarray(ticks, dtype=np.int64)
        if self.options.step_beats:
            return -(-at * self.ticks_per_beat // (piece.ticks_per_beat * self.step_ticks))
        steps = seconds_of(piece, at) / self.options.step_seconds
        # A note on the instant is often a rounding error later than it.
        return np.ceil(np.minimum(steps, 2.0 * MOST_STEPS) - 1e-6).astype(np.int64)


class PitchGridGrammar:
    """Steps left, and whether a note has sounded: a piece is not all rests."""

    def __init__(self, mask: npt.NDArray[np.bool_], rest: int | None, steps: int | None, heard: bool) -> None:
        self.finished = steps == 0
        self._mask = mask
        self._rest = rest
        self._left = math.inf if steps is None else steps
        self._heard = heard

    def copy(self) -> PitchGridGrammar:
        """Return another that goes its own way from here."""
        return copy.copy(self)

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next; all false when finished."""
        if self.finished:
            return np.zeros_like(self._mask)
        mask = self._mask.copy()
        if self._rest is not None and self._left == 1 and not self._heard:
            mask[self._rest] = False
        return mask

    def advance(self, token: int) -> None:
        """Take one id. Ids that are not allowed are ignored."""
        if 0 <= token < len(self._mask) and self.allowed()[token]:
            self._heard = self._heard or token != self._rest
            self._left -= 1
            self.finished = self._left == 0
