"""The language of performance: its ids, what may follow, and notes as ids; times are ticks of seconds."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DEFAULT_VELOCITY, LOWEST_PITCH, PITCHES, UNSAID
from seqgan_music.music.tokenizers._event_grammar import (
    ALL_PITCHES,
    MOST_BARS,
    Event,
    Ranges,
    without_overlaps,
)
from seqgan_music.music.tokenizers._ids import Ids
from seqgan_music.music.tokenizers._language import Group

BEATS_A_BAR = 4
_WAIT_BEATS = 2
_LONGEST_BEATS = 32
_STEP = 1.12  # from one duration to the next: less than one hears of when a note is let go


class PerformanceLayout(Ids):
    """The ids of one resolution and number of loudness levels. Ticks are those of 120 beats a minute."""

    def __init__(self, ticks_per_beat: int, velocities: int) -> None:
        super().__init__()
        self.velocities = velocities
        self.bar_ticks = BEATS_A_BAR * ticks_per_beat
        self.waits = _WAIT_BEATS * ticks_per_beat
        """The longest WAIT, in ticks; a longer one is several, and all but the last of them are this."""
        self.durations = _durations(_LONGEST_BEATS * ticks_per_beat)
        """Ticks, ascending from 1."""
        self.unsaid = (DEFAULT_VELOCITY - 1) * velocities // 127
        """Loudness level of notes before the first VELOCITY."""
        self.end_of_piece = self.place("END_OF_PIECE")
        self.wait = self.place("WAIT", range(1, self.waits + 1))
        self.pitch = self.place("PITCH", PITCHES)
        self.lasts = self.place("LASTS", self.durations)
        self.velocity = self.place("VELOCITY", range(velocities))

    def last_within(self, ticks: int) -> int:
        """Return the index of the longest duration of at most so many ticks, at least 1."""
        return bisect_right(self.durations, ticks) - 1

    def apart(self, events: Iterable[Event], changed: Counter[str]) -> list[Event]:
        """Return events in order, one note a pitch at a time; durations, if need be, down to one there is."""
        kept = without_overlaps(sorted(events), changed)
        return [(o, pitch, self.durations[self.last_within(ticks)], loudness) for o, pitch, ticks, loudness in kept]


class PerformanceGrammar:
    """A state machine that is the language: what may follow, and the notes so far.

    `phase` is "free" between notes, "waited" after the last WAIT of several, "waiting" after one that another may
    follow, "voiced" after a VELOCITY, "named" after a PITCH.
    """

    meters: tuple[tuple[int, int], ...] = ()
    instrument = UNSAID
    begun = pitched = True

    def __init__(self, layout: PerformanceLayout) -> None:
        self.finished = False
        self.phase = "free"
        self.onset = 0
        self.cursor = 0  # where the last note ended
        self.sounding = 0  # where the longest note ends
        self.velocity = -1
        self.chord: tuple[int, ...] = ()  # the pitch that waits for its LASTS
        self.groups: list[Group] = []  # of one note each
        self._layout = layout
        self._above = 0  # pitches of this onset come in order: the next is this or higher, counted from A0
        self._asked = ALL_PITCHES
        self._limit = MOST_BARS * layout.bar_ticks  # from here on nothing begins
        self._last_bar = -1  # a piece that has bounds sounds until after this tick
        self._bounded = False

    @property
    def bar_ticks(self) -> int:
        """Length of bars, of which the language knows nothing."""
        return self._layout.bar_ticks

    @property
    def bar_start(self) -> int:
        """First tick of the bar that the last onset lies in."""
        return self.onset // self.bar_ticks * self.bar_ticks

    @property
    def implied(self) -> int:
        """The onset of what comes next if nothing else is said."""
        return self.onset

    @property
    def room(self) -> int:
        """Ticks by which the next note may begin later than `onset`: less than this."""
        return self._limit - self.onset

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other.groups = list(self.groups)
        return other

    def constrain(self, bars: int | None, ticks: int | None, asked: int, *, upbeat: bool = False) -> None:
        """From here on: so many bars, ticks and this bit set of pitches; as much more as what is there needs."""
        bar = self.bar_ticks
        self._bounded = bars is not None or ticks is not None
        limits = [self._limit, *([bars * bar] if bars else []), *([ticks] if ticks else [])]
        self._limit = max(min(limits), self.onset + 1)
        self._last_bar = (self._limit - 1) // bar * bar if self._bounded else -1
        self.ask(asked)
        if self.phase == "voiced" and not self._open_pitches():
            self.ask(ALL_PITCHES)

    def ask(self, pitches: int) -> None:
        """From here on only this bit set of pitches."""
        self._asked = pitches

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next; all false when finished."""
        at = self._layout
        mask = np.zeros(len(at.names), dtype=np.bool_)
        for low, high in self._ranges():
            mask[low:high] = True
            if low == at.pitch:
                octets = np.frombuffer(self._open_pitches().to_bytes(len(PITCHES) // 8, "little"), dtype=np.uint8)
                mask[low:high] = np.unpackbits(octets, bitorder="little")
        return mask

    def accepts(self, token: int) -> bool:
        """Whether this id may come next."""
        first = self._layout.pitch
        for low, high in self._ranges():
            if low <= token < high:
                return low != first or bool(self._open_pitches() >> (token - first) & 1)
        return False

    def advance(self, token: int) -> None:
        """Take one id. Ids that are not allowed are ignored."""
        if self.accepts(int(token)):
            self.take(int(token))

    def take(self, token: int) -> None:
        """Take one id that is known to be allowed."""
        at = self._layout
        kind = at.kinds[token]
        if kind == "WAIT":
            ticks = token - at.wait + 1
            self.onset += ticks
            self._above = 0
            self.phase = "waiting" if ticks == at.waits else "waited"
        elif kind == "VELOCITY":
            self.velocity = token - at.velocity
            self.phase = "voiced"
        elif kind == "PITCH":
            pitch = token - at.pitch
            self.chord, self._above = (pitch,), pitch + 1
            self.phase = "named"
        elif kind == "LASTS":
            ticks = at.durations[token - at.lasts]
            loudness = self.velocity if self.velocity >= 0 else at.unsaid
            self.groups.append(Group(self.onset, ticks, loudness, self.chord))
            self.cursor = self.onset + ticks
            self.sounding = max(self.sounding, self.cursor)
            self.chord, self.phase = (), "free"
        else:
            self.finished = True

    def events(self, groups: Iterable[int] | None = None) -> list[Event]:
        """Return the notes so far, or those of these groups, in the order in which they were written."""
        chosen = self.groups if groups is None else [self.groups[index] for index in groups]
        return [(one.onset, LOWEST_PITCH + one.pitches[0], one.duration, one.velocity) for one in chosen]

    def _ranges(self) -> Ranges:
        """Ranges of ids that may come next; of pitches only those that are open."""
        at, phase = self._layout, self.phase
        if self.finished:
            return []
        if phase == "named":
            longest = self.room if self._bounded else at.durations[-1]
            return [(at.lasts, at.lasts + 1 + at.last_within(longest))]
        ranges: Ranges = []
        if self._open_pitches():
            ranges.append((at.pitch, at.pitch + len(PITCHES)))
            if phase != "voiced" and at.velocities:
                ranges.append((at.velocity, at.velocity + at.velocities))
        if phase in ("free", "waiting") and self.room > 1:
            ranges.append((at.wait, at.wait + min(at.waits, self.room - 1)))
        if phase == "free" and self.groups and self.cursor > self._last_bar:
            ranges.append((at.end_of_piece, at.end_of_piece + 1))
        return ranges

    def _open_pitches(self) -> int:
        """Bit set of the pitches that may begin at this onset."""
        return self._asked >> self._above << self._above


def written(layout: PerformanceLayout, events: Iterable[Event], onset: int = 0, velocity: int = -1) -> list[int]:
    """Return the ids of events, in the one way that `encode` has, on from an onset and a loudness."""
    ids: list[int] = []
    for start, pitch, ticks, loudness in sorted(events):
        whole, rest = divmod(max(0, start - onset - 1), layout.waits)
        if start > onset:
            ids += [layout.wait + layout.waits - 1] * whole + [layout.wait + rest]
        onset = start
        if loudness != velocity and layout.velocities:
            ids.append(layout.velocity + loudness)
            velocity = loudness
        ids += [layout.pitch + pitch - LOWEST_PITCH, layout.lasts + layout.last_within(ticks)]
    return ids


def _durations(longest: int) -> tuple[int, ...]:
    found = [1]
    while found[-1] < longest:
        found.append(min(longest, max(found[-1] + 1, round(found[-1] * _STEP))))
    return tuple(found)
