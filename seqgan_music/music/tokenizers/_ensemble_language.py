"""The language of ensemble: its ids, the state machine that says what may follow, and notes as tokens."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Self

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DRUMS, LOWEST_PITCH, PITCHES, PROGRAMS, Note
from seqgan_music.music.tokenizers._event_grammar import (
    Event,
    EventGrammar,
    Ranges,
    Span,
    by_group,
    centre,
    group_of,
    keys_that_hold,
    without,
    without_overlaps,
)
from seqgan_music.music.tokenizers._language import Group
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout

HITS = range(27, 88)
"""Pitches of the percussion key map that have a token."""
ALL_HITS = (1 << len(HITS)) - 1
MOST_PARTS = 32
"""Instruments of a piece, each player counted."""

Voiced = tuple[int, Event]
"""An instrument and what it plays."""


class EnsembleLayout(Layout):
    """The ids of note_event, those of instruments, and drums."""

    def __init__(self, ticks_per_beat: int, velocities: int, *, keys: bool = False) -> None:
        super().__init__(ticks_per_beat, velocities, keys=keys)
        self.program = self.place("PROGRAM", [*range(DRUMS), "drums"])
        self.drum = self.place("DRUM", HITS)

    def effects(self) -> npt.NDArray[np.int32]:
        """(2, V) as note_event's; every program is a voice."""
        table = super().effects()
        table[1, self.program : self.program + PROGRAMS] = np.arange(1, PROGRAMS + 1)
        return table


def in_order(instrument: int) -> tuple[int, int]:
    """Sort key of instruments: by program, drums last, then by player."""
    return instrument % PROGRAMS, instrument // PROGRAMS


def header_of(instruments: Iterable[int]) -> list[int]:
    """Return the parts that a piece with these instruments declares, in order: of every program each player.

    At most MOST_PARTS; instruments that would need more are not among them.
    """
    parts: list[int] = []
    for program, player in sorted(map(in_order, set(instruments))):
        there = sum(part % PROGRAMS == program for part in parts)
        new = range(there, player + 1)
        if len(parts) + len(new) <= MOST_PARTS:
            parts += [program + number * PROGRAMS for number in new]
    return parts


class EnsembleGrammar(EventGrammar[EnsembleLayout, Voiced]):
    """The state machine that is the language: what may follow, and the notes and meters written so far.

    `parts` are the instruments declared, `part` the number of the one that is open, -1 at the start of a bar; onset
    and cursor are that part's in this bar. The pitches of drums count from the lowest of HITS. `phase` tells what
    was begun: "keyless" (a key comes first), "header" (instruments are declared), "meter", "bar" (no part is open),
    "part" (nothing in it yet), "placed" (an AT), "voiced" (a VELOCITY), "chord" (pitches, waiting for their END),
    "struck" (drums, which do not wait); else "free".

    END_OF_PIECE is open in the last bar that is asked for as soon as something sounds there.
    """

    after_key = "header"

    def __init__(self, layout: EnsembleLayout) -> None:
        super().__init__(layout)
        self.parts: list[int] = []
        self.part = -1
        self.velocities: dict[int, int] = {}

    @property
    def begun(self) -> bool:
        """Whether the onset of what comes next is known to be `onset`."""
        return self.phase not in ("part", "free")

    @property
    def implied(self) -> int:
        """Where the part's last notes in this bar ended, or the bar begins."""
        return self.cursor

    @property
    def instrument(self) -> int:
        """The one whose part is open."""
        return self.parts[self.part]

    @property
    def drums(self) -> bool:
        """Whether the part that is open is that of drums."""
        return self.part >= 0 and self.instrument == DRUMS

    @property
    def pitched(self) -> bool:
        """Whether what comes next is of an instrument that is there and has pitches."""
        return self.part >= 0 and not self.drums

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        other = super().copy()
        other.parts, other.velocities = list(self.parts), dict(self.velocities)
        return other

    def take(self, token: int) -> None:
        """Take one id that is known to be allowed."""
        at = self._layout
        kind = at.kinds[token]
        if kind == "DRUM":
            self._open = None
            self._write(1, (token - at.drum,))
            self.phase = "struck"
        elif kind == "PROGRAM":
            self._open = None
            self._program(token - at.program)
        else:
            super().take(token)

    def _event(self, group: Group, pitch: int) -> Voiced:
        lowest = HITS.start if group.instrument == DRUMS else LOWEST_PITCH
        return group.instrument, (group.onset, lowest + pitch, group.duration, group.velocity)

    @property
    def _loudness(self) -> int:
        return self.velocities.get(self.instrument, -1)

    def _turn_to(self, loudness: int) -> None:
        self.velocities[self.instrument] = loudness

    def _find_ranges(self) -> Ranges:
        at, phase = self._layout, self.phase
        voices = (at.drum, at.drum + len(HITS)) if self.drums else (at.pitch, at.pitch + len(PITCHES))
        if self.finished:
            return []
        if phase == "keyless":
            return [(at.key + key, at.key + key + 1) for key in keys_that_hold(self._asked, at)]
        if phase == "header":
            meters = [(at.meter, at.meter + len(METERS))] * bool(self.parts)
            return self._declarable() + meters
        if phase == "meter":
            return [(at.bar, at.bar + 1)]
        if phase == "chord":
            return [voices, *self._ends()]
        if phase == "voiced":
            return [voices]
        if phase == "placed":
            return self._voices(voices)
        start, ticks = self.bar_start, self.bar_ticks
        limit = self._limit()
        stop = min(start + ticks, limit)
        if phase == "part":
            if self.drums:
                return [(at.position, at.position + stop - start)]
            further = [(at.program + p, at.program + p + 1) for p in self._further()]
            return [*self._voices(voices), (at.position + 1, at.position + stop - start), *further]
        ranges: Ranges = []
        if phase == "struck":
            ranges += self._voices(voices) if self._unused() else []
            ranges.append((at.position + self.onset - start + 1, at.position + stop - start))
        elif phase == "free":
            # The last onset itself is open while one of the pitches does not begin there yet.
            earliest = self.onset - start + (not self._unused())
            ranges += without(at.position + earliest, at.position + stop - start, at.position + self.cursor - start)
            if self.cursor < stop:
                ranges += self._voices(voices)
            if self._holds and not (self._bounded and self.cursor + ticks > limit):
                ranges.append((at.hold, at.hold + 1))
        ranges += [(at.program + p, at.program + p + 1) for p in self._further()]
        last = start + ticks >= limit
        if not last:
            ranges.append((at.bar, at.bar + 1))
            # A held note would end beyond bar N if the bars under it became shorter.
            if not self._bounded or self.sounding <= start + ticks:
                ranges += without(at.meter, at.meter + len(METERS), at.meter + self._meter)
        if self.groups and (not self._bounded or (last and self.sounding > start)):
            ranges.append((at.end_of_piece, at.end_of_piece + 1))
        return [part for part in ranges if part[0] < part[1]]

    def _declarable(self) -> Ranges:
        """Programs from the last declared one on; drums once, and last."""
        first = self._layout.program
        if len(self.parts) == MOST_PARTS or self.parts[-1:] == [DRUMS]:
            return []
        lowest = self.parts[-1] % PROGRAMS if self.parts else 0
        return [(first + lowest, first + PROGRAMS)]

    def _further(self) -> list[int]:
        """The programs whose parts may be opened: a further player of the open one, and later ones.

        Where the open one is silent so far only the former: silence is written for the players before one alone.
        """
        programs = [part % PROGRAMS for part in self.parts[self.part + 1 :]]
        if self.part < 0:
            return list(dict.fromkeys(programs))
        own = self.instrument % PROGRAMS
        return [p for p in dict.fromkeys(programs) if p == own or self.phase != "part"]

    def _program(self, program: int) -> None:
        if self.phase == "header":
            players = sum(part % PROGRAMS == program for part in self.parts)
            self.parts.append(program + players * PROGRAMS)
            return
        self.part = next(n for n in range(self.part + 1, len(self.parts)) if self.parts[n] % PROGRAMS == program)
        self.onset = self.cursor = self.bar_start
        self._used = self._holds = 0
        self.phase = "part"

    def _unused(self) -> int:
        return ALL_HITS & ~self._used if self.drums else super()._unused()

    def _names(self, first: int) -> int | None:
        if first != self._layout.drum:
            return super()._names(first)
        lower = (2 << self.groups[-1].pitches[-1]) - 1 if self.phase == "struck" else 0
        return self._unused() & ~lower

    def _begin(self, onset: int) -> None:
        self._holds = 0
        if onset != self.onset:
            self.onset, self._used = onset, 0

    def _next_bar(self) -> None:
        super()._next_bar()
        self.part, self.phase = -1, "bar"


def apart(events: Iterable[Voiced], changed: Counter[str]) -> list[Voiced]:
    """Return events by instrument, one note a pitch at a time in each; `changed` as in `without_overlaps`."""
    parts: dict[int, list[Event]] = {}
    for instrument, event in events:
        parts.setdefault(instrument, []).append(event)
    return [(own, event) for own in parts for event in without_overlaps(sorted(parts[own]), changed)]


def notes_of(events: Iterable[Voiced], bins: int) -> list[Note]:
    """Return events as notes, in order."""
    centres = [centre(index, bins) for index in range(max(1, bins))]
    return sorted(
        Note(onset, pitch, duration, centres[loudness], instrument)
        for instrument, (onset, pitch, duration, loudness) in events
    )


class Writer:
    """Notes as tokens, in the one way that `encode` has: from the start of a piece, or on from what is written."""

    def __init__(
        self,
        layout: EnsembleLayout,
        spans: Sequence[Span],
        parts: Sequence[int],
        written: EnsembleGrammar,
        *,
        key: int = 0,
    ) -> None:
        """`parts` as `header_of` gives them; `key` is the signature that pitches are named in, if there are any."""
        self._layout = layout
        self._name = layout.pitch - LOWEST_PITCH - (layout.key_shift(key) if layout.keys else 0)
        self._spans = [span for span in spans if not written.meters or span.start > written.bar_start]
        self._opening: list[int] = []
        if not written.parts:
            self._opening = [layout.key + key] if layout.keys else []
            self._opening += [layout.program + part % PROGRAMS for part in parts]
        self._start, self._ticks = written.bar_start, written.bar_ticks
        self._open = in_order(written.instrument) if written.part >= 0 else (-1, 0)
        self._velocities = dict(written.velocities)

    def write(self, events: Iterable[Voiced], until: int = -1) -> list[int]:
        """Return the tokens of (instrument, event) in any order, and of meters up to the last and tick `until`."""
        ids, self._opening = self._opening, []
        # By onset first: `_go_to` finds the bar of each. A stable sort by part then keeps that order in every bar.
        ordered = sorted(events, key=lambda one: by_group(one[1]))
        begin = 0
        while begin < len(ordered):
            ids += self._go_to(ordered[begin][1][0])
            end = bisect_left(ordered, self._start + self._ticks, lo=begin, key=_onset)
            inside, begin = ordered[begin:end], end
            for instrument, own in groupby(sorted(inside, key=lambda one: in_order(one[0])), key=_instrument):
                ids += self._part(instrument, [event for _, event in own])
        return ids + self._meters(until)

    def _part(self, instrument: int, events: Sequence[Event]) -> list[int]:
        """What one instrument plays in this bar."""
        at = self._layout
        program, player = in_order(instrument)
        before = self._open[1] if self._open[0] == program else -1
        ids = [at.program + program] * (player - before)
        self._open = program, player
        cursor = -1 if program == DRUMS else self._start
        for (onset, negative_duration, loudness), group in groupby(events, key=group_of):
            if onset != cursor:
                ids.append(at.position + onset - self._start)
            if at.velocities and loudness != self._velocities.get(instrument, -1):
                ids.append(at.velocity + loudness)
                self._velocities[instrument] = loudness
            if program == DRUMS:
                ids += [at.drum + event[1] - HITS.start for event in group]
                cursor = onset
                continue
            ids += [self._name + event[1] for event in group]
            holds, end = divmod(-negative_duration - 1, self._ticks)
            ids.append(at.end + (onset - self._start + end) % self._ticks)
            ids += [at.hold] * holds
            cursor = onset - negative_duration
        return ids

    def _go_to(self, tick: int) -> list[int]:
        """Bars up to the one that holds a tick."""
        ids = self._meters(tick)
        crossed = (tick - self._start) // self._ticks
        return ids + self._bars(crossed)

    def _bars(self, count: int) -> list[int]:
        self._start += count * self._ticks
        if count:
            self._open = (-1, 0)
        return [self._layout.bar] * count

    def _meters(self, until: int) -> list[int]:
        """The bars up to each change of meter that comes by then, and the change."""
        at = self._layout
        ids: list[int] = []
        while self._spans and self._spans[0].start <= until:
            change = self._spans.pop(0)
            if self._ticks:
                ids += self._bars((change.start - self._start) // self._ticks - 1)
            ids += [at.meter + change.meter, at.bar]
            self._start, self._ticks, self._open = change.start, change.bar_ticks, (-1, 0)
        return ids


def _onset(one: Voiced) -> int:
    return one[1][0]


def _instrument(one: Voiced) -> int:
    return one[0]
