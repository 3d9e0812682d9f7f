"""Rows of note_event decoded side by side: the tokenizer's own state machine, a step at a time over all rows.

States and rules are those of `NoteEventGrammar` without bounds; each has its line here and its name there.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqgan_music.music.note_tables import Bools, Ints, NoteTable, struck_again
from seqgan_music.music.notes import LOWEST_PITCH, PITCHES
from seqgan_music.music.tokenizers._event_grammar import MOST_BARS, MOST_HOLDS

_START, _METER, _FREE, _PLACED, _VOICED, _CHORD, _KEYLESS, _RETURNED = range(8)
_KINDS = ("END_OF_PIECE", "BAR", "HOLD", "METER", "PITCH", "AT", "END", "VELOCITY", "KEY", "RETURN")
_END_OF_PIECE, _BAR, _HOLD, _METER_TOKEN, _PITCH, _AT, _END, _VELOCITY, _KEY, _RETURN = range(10)

_Rows: TypeAlias = npt.NDArray[np.intp]


def decode(tokenizer: Any, ids: Ints) -> NoteTable:
    """Return the notes of rows of ids (N, T)."""
    machine = _Machine(tokenizer.layout, *ids.shape)
    for step, tokens in enumerate(np.ascontiguousarray(ids.T)):
        machine.advance(step, tokens)
    return machine.table(tokenizer.ticks_per_beat, (ids == tokenizer.end_id).any(axis=1))


class _Machine:
    """The state of N rows, (N,) each unless said otherwise, and the notes named so far, (N, T) by step."""

    def __init__(self, layout: Any, rows: int, length: int) -> None:
        self.at = layout
        self.kinds = np.array([_KINDS.index(kind) for kind in layout.kinds], dtype=np.int8)  # (V,)
        self.meter_ticks = np.array(layout.bar_ticks)
        self.every = np.arange(rows)

        def state(value: int) -> Ints:
            return np.full(rows, value, dtype=np.int64)

        self.finished = np.zeros(rows, dtype=np.bool_)
        self.key_shifts = np.array([layout.key_shift(key) for key in range(layout.keys)])
        self.phase = state(_KEYLESS if layout.keys else _START)
        self.shift = state(0)
        self.bar, self.onset, self.last = (state(-1) for _ in range(3))
        self.meter, self.bar_ticks, self.bar_start, self.cursor, self.holds, self.groups = (
            state(0) for _ in range(6)
        )
        self.used = np.zeros((rows, len(PITCHES)), dtype=np.bool_)
        self.opened = np.zeros(rows, dtype=np.bool_)
        # The last bars in which something begins, (N, returns + 1), each in the place of its number: all that a
        # RETURN can speak of.
        self.heard = np.full((rows, layout.returns + 1), -1, dtype=np.int64)
        self.heard_ticks = np.zeros_like(self.heard)
        # Of the note that a step names: the pitch, or -1 where it names none.
        self.pitches = np.full((length, rows), -1, dtype=np.int64)
        self.onsets, self.bars, self.positions, self.group_of = (
            np.zeros((length, rows), dtype=np.int64) for _ in range(4)
        )
        self.durations = np.zeros((rows, length + 1), dtype=np.int64)
        """(N, groups); 0 while a group has no END."""

    def advance(self, step: int, tokens: Ints) -> None:
        """Take one id of each row; those that may not follow are ignored."""
        kind = np.where(self.finished, -1, self.kinds[tokens])
        for number, take in (
            (_PITCH, self._pitch),
            (_END, self._end),
            (_AT, self._position),
            (_BAR, self._bar),
            (_METER_TOKEN, self._meter),
            (_HOLD, self._hold),
            (_END_OF_PIECE, self._end_of_piece),
            (_VELOCITY, self._loudness),
            (_KEY, self._key),
            (_RETURN, self._return),
        ):
            rows = np.flatnonzero(kind == number)
            if len(rows):
                take(step, rows, tokens[rows])

    def _key(self, step: int, rows: _Rows, tokens: Ints) -> None:
        fits = self.phase[rows] == _KEYLESS
        rows, tokens = rows[fits], tokens[fits]
        self.shift[rows] = self.key_shifts[tokens - self.at.key]
        self.phase[rows] = _START

    def _pitch(self, step: int, rows: _Rows, tokens: Ints) -> None:
        pitch = tokens - self.at.pitch + self.shift[rows]
        there = (pitch >= 0) & (pitch < len(PITCHES))
        rows, pitch = rows[there], pitch[there]
        phase = self.phase[rows]
        free = (phase == _FREE) | (phase == _RETURNED)
        implied = np.maximum(self.cursor[rows], self.bar_start[rows])
        unused = ~self.used[rows, pitch]
        fits = (
            (free & self._implies_a_note(rows, implied))
            | (((phase == _PLACED) | (phase == _VOICED)) & unused)
            | ((phase == _CHORD) & unused & (pitch > self.last[rows]))
        )
        begins = fits & free
        self._begin(rows[begins], implied[begins])
        rows, pitch = rows[fits], pitch[fits]
        self.last[rows] = pitch
        self.used[rows, pitch] = True
        self.phase[rows] = _CHORD
        self.pitches[step, rows] = pitch
        self.onsets[step, rows] = self.onset[rows]
        self.bars[step, rows] = self.bar[rows]
        self.positions[step, rows] = self.onset[rows] - self.bar_start[rows]
        self.group_of[step, rows] = self.groups[rows]

    def _end(self, step: int, rows: _Rows, tokens: Ints) -> None:
        end, ticks = tokens - self.at.end, self.bar_ticks[rows]
        fits = (self.phase[rows] == _CHORD) & (end < ticks)
        rows, end, ticks = rows[fits], end[fits], ticks[fits]
        duration = (end - (self.onset[rows] - self.bar_start[rows])) % ticks + 1
        self.durations[rows, self.groups[rows]] = duration
        self.groups[rows] += 1
        self.phase[rows], self.holds[rows] = _FREE, MOST_HOLDS
        self.cursor[rows] = self.onset[rows] + duration

    def _position(self, step: int, rows: _Rows, tokens: Ints) -> None:
        place, start = tokens - self.at.position, self.bar_start[rows]
        earliest = np.maximum(0, self.onset[rows] - start + self.used[rows].all(axis=1))
        latest = np.minimum(self.bar_ticks[rows], self._limit(rows) - start)
        implied = np.maximum(self.cursor[rows], start) - start
        open_ = (self.phase[rows] == _FREE) | ((self.phase[rows] == _RETURNED) & self.opened[rows])
        fits = open_ & (place >= earliest) & (place < latest) & (place != implied)
        rows = rows[fits]
        self._begin(rows, (start + place)[fits])
        self.phase[rows] = _PLACED

    def _bar(self, step: int, rows: _Rows, tokens: Ints) -> None:
        opening = self.phase[rows] == _METER
        rows = rows[opening | self._another_bar(rows)]
        opening = self.phase[rows] == _METER
        self.bar[rows] += 1
        self.bar_start[rows] += self.bar_ticks[rows]
        self.holds[rows] = 0
        self.bar_ticks[rows] = np.where(opening, self.meter_ticks[self.meter[rows]], self.bar_ticks[rows])
        self.phase[rows], self.opened[rows] = _FREE, True

    def _meter(self, step: int, rows: _Rows, tokens: Ints) -> None:
        meter = tokens - self.at.meter
        fits = (self.phase[rows] == _START) | (self._another_bar(rows) & (meter != self.meter[rows]))
        self.meter[rows[fits]] = meter[fits]
        self.phase[rows[fits]] = _METER

    def _hold(self, step: int, rows: _Rows, tokens: Ints) -> None:
        rows = rows[(self.phase[rows] == _FREE) & (self.holds[rows] > 0)]
        self.durations[rows, self.groups[rows] - 1] += self.bar_ticks[rows]
        self.holds[rows] -= 1
        self.cursor[rows] += self.bar_ticks[rows]

    def _end_of_piece(self, step: int, rows: _Rows, tokens: Ints) -> None:
        self.finished[rows[(self.phase[rows] == _FREE) & (self.groups[rows] > 0)]] = True

    def _loudness(self, step: int, rows: _Rows, tokens: Ints) -> None:
        phase = self.phase[rows]
        implied = np.maximum(self.cursor[rows], self.bar_start[rows])
        free = ((phase == _FREE) | (phase == _RETURNED)) & self._implies_a_note(rows, implied)
        fits = free | (phase == _PLACED)
        self._begin(rows[fits & free], implied[fits & free])
        self.phase[rows[fits]] = _VOICED

    def _return(self, step: int, rows: _Rows, tokens: Ints) -> None:
        start, ticks, opened = self.bar_start[rows], self.bar_ticks[rows], self.opened[rows]
        implied = np.maximum(self.cursor[rows], start)
        crossed = np.where(opened, 0, (implied - start) // np.maximum(1, ticks))  # 0 ticks before the first bar
        source = self.bar[rows] + crossed - (tokens - self.at.returned + 1)
        place = source % self.heard.shape[1]
        heard = (source >= 0) & (self.heard[rows, place] == source) & (self.heard_ticks[rows, place] == ticks)
        there = opened | ((crossed > 0) & (implied < self._limit(rows)))
        self.phase[rows[(self.phase[rows] == _FREE) & heard & there]] = _RETURNED

    def _implies_a_note(self, rows: _Rows, implied: Ints) -> Bools:
        """Whether a note may begin where it is implied: after a RETURN only in the bar that it speaks of."""
        elsewhere = (self.phase[rows] == _RETURNED) & self.opened[rows]
        inside = ~elsewhere | (implied < self.bar_start[rows] + self.bar_ticks[rows])
        return np.asarray((implied < self._limit(rows)) & inside)

    def _another_bar(self, rows: _Rows) -> Bools:
        following = self.bar_start[rows] + self.bar_ticks[rows]
        return np.asarray((self.phase[rows] == _FREE) & (following < self._limit(rows)))

    def _limit(self, rows: _Rows) -> Ints:
        return self.bar_start[rows] + (MOST_BARS - self.bar[rows]) * self.bar_ticks[rows]

    def _begin(self, rows: _Rows, onset: Ints) -> None:
        crossed = (onset - self.bar_start[rows]) // self.bar_ticks[rows]
        self.bar[rows] += crossed
        self.bar_start[rows] += crossed * self.bar_ticks[rows]
        self.holds[rows] = 0
        self.used[rows[onset != self.onset[rows]]] = False
        self.onset[rows], self.opened[rows] = onset, False
        place = self.bar[rows] % self.heard.shape[1]
        self.heard[rows, place], self.heard_ticks[rows, place] = self.bar[rows], self.bar_ticks[rows]

    def table(self, ticks_per_beat: int, whole: Bools) -> NoteTable:
        """Return the notes whose END has come, the earlier of two that overlap on a pitch cut."""
        step, row = np.nonzero(self.pitches >= 0)
        duration = self.durations[row, self.group_of[step, row]]
        step, row, duration = step[duration > 0], row[duration > 0], duration[duration > 0]
        onset, pitch = self.onsets[step, row], self.pitches[step, row]
        cut, gap = struck_again(row, onset, pitch)
        duration[cut] = np.minimum(duration[cut], gap)
        order = np.lexsort((pitch, onset, row))
        step, row = step[order], row[order]
        return NoteTable(
            rows=self.pitches.shape[1],
            ticks_per_beat=ticks_per_beat,
            row=row.astype(np.int64),
            onset=onset[order],
            pitch=pitch[order] + LOWEST_PITCH,
            duration=duration[order],
            bar=self.bars[step, row],
            position=self.positions[step, row],
            whole=whole,
        )
