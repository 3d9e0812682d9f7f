"""The language of note_event: the state machine that says what may follow, and events as tokens."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DEFAULT_VELOCITY, LOWEST_PITCH, PITCHES
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout

MOST_BARS = 20_000
"""No note begins after so many bars: whatever the ids, a decoded piece is bounded."""
MOST_HOLDS = 64
"""No note lasts longer than so many bars and one."""

ALL_PITCHES = (1 << len(PITCHES)) - 1

_SCALE = (0, 2, 4, 5, 7, 9, 11)
"""Semitones above the tonic of a major scale."""

Event = tuple[int, int, int, int]
"""(onset, pitch, duration, velocity bin), in ticks; sorts as notes do."""


class NoteEventGrammar:
    """The state machine that is the language: what may follow, and the notes and meters written so far.

    `groups` are (onset, duration, velocity bin, pitches from 0 for A0) and `meters` (tick, index into METERS).
    `phase` tells what was begun: "keyless" (a key comes first), "start", "meter", "returned" (a RETURN), "placed"
    (an AT), "voiced" (a VELOCITY), "chord"; else "free".
    """

    def __init__(self, layout: Layout) -> None:
        self.finished = False
        self.groups: list[tuple[int, int, int, tuple[int, ...]]] = []
        self.meters: list[tuple[int, int]] = []
        self.chord: tuple[int, ...] = ()  # pitches named, waiting for their END
        self._layout = layout
        self.phase = "keyless" if layout.keys else "start"
        self.key = 0  # the signature that pitches are named in, by its major tonic
        self._shift = 0  # semitones that they sound higher than they are named
        self._named = ALL_PITCHES  # bit set of those that have a name
        self._meter = self.bar_ticks = self.bar_start = 0
        self._bar = -1
        self.onset = -1  # of the last group; no later note may begin before it
        self.cursor = 0  # where the last group ended: the implied onset
        self.sounding = 0  # where the longest note ends
        self._used = 0  # bit set: pitches that already begin at `_onset`
        self._opened = False  # whether a BAR has opened the bar and nothing has begun in it
        self._heard: dict[int, int] = {}  # ticks of each bar in which something begins
        self._layered = False  # whether a group ever began before the end of the one before it
        self.velocity = -1
        self._holds = 0
        self._asked = ALL_PITCHES
        self._most_bars = MOST_BARS
        self._most_ticks: int | None = None
        self._bounded = False
        self._open: list[tuple[int, int]] | None = None  # what `_ranges` found for this state

    def constrain(self, bars: int | None, ticks: int | None, asked: int) -> None:
        """From here on: so many bars, ticks and this bit set of pitches; as much more as what is there needs."""
        self._bounded = bars is not None or ticks is not None
        opening = self.phase == "meter"
        needs, begins = self._bar + 1 + opening, self.bar_start + opening * self.bar_ticks
        if self.phase == "returned" and not self._opened:
            begins = self.cursor
            needs += (begins - self.bar_start) // self.bar_ticks
        if bars is not None:
            self._most_bars = max(bars, needs)
        if ticks is not None:
            self._most_ticks = max(ticks, begins + 1)
        self._asked = asked & self._named or self._named
        self._open = None
        if self.phase in ("placed", "voiced") and not self._asked & ~self._used:
            self._asked = self._named

    def copy(self) -> NoteEventGrammar:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other.groups, other.meters, other._heard = list(self.groups), list(self.meters), dict(self._heard)
        return other

    def ask(self, pitches: int) -> None:
        """From here on only this bit set of pitches."""
        self._asked, self._open = pitches & self._named, None

    @property
    def begun(self) -> bool:
        """Whether the onset of what comes next is known to be `onset`."""
        return self.phase not in ("free", "returned")

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next; all false when finished."""
        mask = np.zeros(len(self._layout.names), dtype=np.bool_)
        first = self._layout.pitch
        for low, high in self._ranges():
            mask[low:high] = True
            if low == first and (pitches := self._names()) != ALL_PITCHES:
                bits = np.frombuffer(pitches.to_bytes(len(PITCHES) // 8, "little"), dtype=np.uint8)
                mask[low:high] = np.unpackbits(bits, bitorder="little")
        return mask

    def accepts(self, token: int) -> bool:
        """Whether this id may come next."""
        first, token = self._layout.pitch, int(token)
        for low, high in self._ranges():
            if low <= token < high:
                return low != first or bool(self._names() >> (token - first) & 1)
        return False

    def advance(self, token: int) -> None:
        """Take one id. Ids that are not allowed are ignored."""
        if self.accepts(token):
            self.take(int(token))

    def take(self, token: int) -> None:
        """Take one id that is known to be allowed."""
        self._open = None
        at = self._layout
        kind = at.kinds[token]
        if kind == "PITCH":
            if not self.begun:
                self._begin(max(self.cursor, self.bar_start))
            self.chord = (*self.chord, token - at.pitch + self._shift)
            self.phase = "chord"
        elif kind == "END":
            past_onset = (token - at.end - (self.onset - self.bar_start)) % self.bar_ticks
            self.groups.append((self.onset, past_onset + 1, max(0, self.velocity), self.chord))
            self._used |= sum(1 << pitch for pitch in self.chord)
            self.chord = ()
            self.phase, self._holds = "free", MOST_HOLDS
            self._last_until(self.onset + past_onset + 1)
        elif kind == "AT":
            self._begin(self.bar_start + token - at.position)
            self.phase = "placed"
        elif kind == "BAR":
            self._next_bar()
        elif kind == "HOLD":
            onset, duration, velocity, chord = self.groups[-1]
            self.groups[-1] = (onset, duration + self.bar_ticks, velocity, chord)
            self._holds -= 1
            self._last_until(self.cursor + self.bar_ticks)
        elif kind == "RETURN":
            self.phase = "returned"
        elif kind == "VELOCITY":
            if not self.begun:
                self._begin(max(self.cursor, self.bar_start))
            self.velocity = token - at.velocity
            self.phase = "voiced"
        elif kind == "KEY":
            self.key = token - at.key
            self._shift = at.key_shift(self.key)
            self._named = moved(ALL_PITCHES, self._shift)
            self._asked = self._asked & self._named or self._named
            self.phase = "start"
        elif kind == "METER":
            self._meter = token - at.meter
            self.phase = "meter"
        else:
            self.finished = True

    def _ranges(self) -> list[tuple[int, int]]:
        """Ranges of ids that may come next; of the pitches only those of `_pitches`."""
        if self._open is None:
            self._open = self._find_ranges()
        return self._open

    def _find_ranges(self) -> list[tuple[int, int]]:
        at, phase = self._layout, self.phase
        pitches = (at.pitch, at.pitch + len(PITCHES))
        if self.finished:
            return []
        if phase == "chord":
            return [pitches, *self._ends()]
        if phase == "voiced":
            return [pitches]
        if phase == "placed":
            return self._voices(pitches)
        if phase == "returned":
            return self._after_return()
        if phase == "keyless":
            return [(at.key + key, at.key + key + 1) for key in keys_that_hold(self._asked, at)]
        if phase == "start":
            return [(at.meter, at.meter + len(METERS))]
        if phase == "meter":
            return [(at.bar, at.bar + 1)]
        start, ticks = self.bar_start, self.bar_ticks
        limit = self._limit()
        implied = max(self.cursor, start)
        near_end = not self._bounded or start + 2 * ticks >= limit
        if self._bounded and near_end and self.cursor >= limit and len(self.groups) > 1 and not self._layered:
            # One voice has come to its end. To turn back for another, as AT could, would begin polyphony.
            return [(at.end_of_piece, at.end_of_piece + 1)]
        # The last onset itself is open while one of the pitches does not begin there yet.
        earliest = max(0, self.onset - start + (not self._asked & ~self._used))
        ranges = without(
            at.position + earliest, at.position + min(ticks, limit - start), at.position + implied - start
        )
        if implied < limit:
            ranges += self._voices(pitches)
        if start + ticks < limit:
            ranges.append((at.bar, at.bar + 1))
            # A held note would end beyond bar N if the bars under it became shorter.
            if not self._bounded or self.sounding <= start + ticks:
                ranges += without(at.meter, at.meter + len(METERS), at.meter + self._meter)
        if at.returns and self._after_return():
            ranges += self._returns()
        if self._holds and not (self._bounded and self.cursor + ticks > limit):
            ranges.append((at.hold, at.hold + 1))
        last_bar = start + (limit - 1 - start) // ticks * ticks
        if self.groups and near_end and (not self._bounded or self.cursor > last_bar):
            ranges.append((at.end_of_piece, at.end_of_piece + 1))
        return ranges

    @property
    def return_start(self) -> int | None:
        """First tick of the bar that a RETURN would speak of: nothing has begun in it. None where there is none."""
        crossed = 0 if self._opened else (max(self.cursor, self.bar_start) - self.bar_start) // self.bar_ticks
        return self.bar_start + crossed * self.bar_ticks if crossed or self._opened else None

    def _returns(self) -> list[tuple[int, int]]:
        """RETURNs to bars of the same length in which something begins."""
        first, begins = self._layout.returned - 1, self.return_start
        if begins is None:
            return []
        bar = self._bar + (begins - self.bar_start) // self.bar_ticks
        backs = range(1, min(self._layout.returns, bar) + 1)
        return [(first + k, first + k + 1) for k in backs if self._heard.get(bar - k) == self.bar_ticks]

    def _after_return(self) -> list[tuple[int, int]]:
        """What the bar that comes again may begin with: AT where a BAR has opened it, or a note that is implied."""
        at, begins = self._layout, self.return_start
        if begins is None:
            return []
        start, ticks, limit = self.bar_start, self.bar_ticks, self._limit()
        implied = max(self.cursor, start)
        ranges: list[tuple[int, int]] = []
        if begins == start:
            ranges = without(at.position, at.position + min(ticks, limit - start), at.position + implied - start)
        if begins <= implied < min(limit, begins + ticks):
            ranges += self._voices((at.pitch, at.pitch + len(PITCHES)))
        return ranges

    def _voices(self, pitches: tuple[int, int]) -> list[tuple[int, int]]:
        """A pitch, or first a loudness that differs from the one in force; the first note needs one."""
        at = self._layout
        if not at.velocities:
            return [pitches]
        loudness = without(at.velocity, at.velocity + at.velocities, at.velocity + self.velocity)
        return loudness if self.velocity < 0 else [pitches, *loudness]

    def _ends(self) -> list[tuple[int, int]]:
        """Ends in this bar after the onset, and in the next bar up to the onset's position."""
        first, ticks = self._layout.end, self.bar_ticks
        position = self.onset - self.bar_start
        longest = max(1, self._limit() - self.onset) if self._bounded else ticks
        return [
            (first + position, first + min(ticks, position + longest)),
            (first, first + min(position, longest - (ticks - position))),
        ]

    def _pitches(self) -> int:
        """Bit set of the pitches that may come next."""
        if not self.begun:
            return self._asked
        lower = (2 << self.chord[-1]) - 1 if self.chord else 0
        return self._asked & ~self._used & ~lower

    def _names(self) -> int:
        """Bit set of the names of the pitches that may come next."""
        return moved(self._pitches(), -self._shift)

    def _limit(self) -> int:
        """The tick from which on nothing may begin, if the meter stays: the end of the last bar."""
        limit = self.bar_start + (self._most_bars - self._bar) * self.bar_ticks
        return limit if self._most_ticks is None else min(limit, self._most_ticks)

    def _begin(self, onset: int) -> None:
        crossed = (onset - self.bar_start) // self.bar_ticks
        self._bar += crossed
        self.bar_start += crossed * self.bar_ticks
        self._holds, self._opened = 0, False
        self._heard[self._bar] = self.bar_ticks
        self._layered = self._layered or onset < self.cursor
        if onset != self.onset:
            self.onset, self._used = onset, 0

    def _next_bar(self) -> None:
        self._bar += 1
        self.bar_start += self.bar_ticks
        self._holds, self._opened = 0, True
        if self.phase in ("start", "meter"):
            self.bar_ticks = self._layout.bar_ticks[self._meter]
            self.meters.append((self.bar_start, self._meter))
        self.phase = "free"

    def _last_until(self, tick: int) -> None:
        self.cursor = tick
        self.sounding = max(self.sounding, tick)


@dataclass(frozen=True, slots=True)
class Span:
    """Bars of one meter: first tick, number of its first bar (from 0), index into METERS, ticks a bar."""

    start: int
    bar: int
    meter: int
    bar_ticks: int


class Writer:
    """Events as tokens, in the one way that `encode` has: from the start of a piece, or on from what is written."""

    def __init__(
        self,
        layout: Layout,
        spans: Sequence[Span],
        written: NoteEventGrammar | None = None,
        *,
        key: int = 0,
        returning: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """`key` is the signature that pitches are named in, where the layout has keys.

        `returning` tells of bars, by their first tick, how many bars back the same is.
        """
        self._layout = layout
        self._name = layout.pitch - LOWEST_PITCH - (layout.key_shift(key) if layout.keys else 0)
        keyless = layout.keys and (written is None or written.phase == "keyless")
        self._opening = [layout.key + key] if keyless else []
        self._spans = iter(spans)
        self._change = next(self._spans, None)
        self._bar_start = self._bar_ticks = self._cursor = 0
        self._velocity = -1
        self._returning = returning
        self._onset = -1 if written is None else written.onset
        if written is not None and written.meters:
            self._bar_start, self._bar_ticks = written.bar_start, written.bar_ticks
            self._cursor, self._velocity = written.cursor, written.velocity
            while self._change is not None and self._change.start <= self._bar_start:
                self._change = next(self._spans, None)

    def write(self, events: Iterable[Event], until: int = -1) -> list[int]:
        """Return the tokens of events in any order, and of the changes of meter up to the last and tick `until`."""
        at = self._layout
        ids, self._opening = self._opening, []
        for (onset, negative_duration, loudness), group in groupby(sorted(events, key=_by_group), key=_group):
            ids += self._meters(onset)
            opened = self._onset < self._bar_start  # by the BAR after a METER; there may be more
            crossed = (onset - self._bar_start) // self._bar_ticks
            self._bar_start += crossed * self._bar_ticks
            implied = onset == self._cursor
            if not implied:
                ids += [at.bar] * crossed
            if self._onset < self._bar_start in self._returning and not (implied and opened and crossed):
                ids.append(at.returned - 1 + self._returning[self._bar_start])
            if not implied and onset != max(self._cursor, self._bar_start):
                ids.append(at.position + onset - self._bar_start)
            self._onset = onset
            if loudness != self._velocity and at.velocities:
                ids.append(at.velocity + loudness)
                self._velocity = loudness
            ids += [self._name + event[1] for event in group]
            holds, end = divmod(-negative_duration - 1, self._bar_ticks)
            ids.append(at.end + (onset - self._bar_start + end) % self._bar_ticks)
            ids += [at.hold] * holds
            self._cursor = onset - negative_duration
        return ids + self._meters(until)

    def _meters(self, until: int) -> list[int]:
        """The bars up to each change of meter that comes by then, and the change."""
        at = self._layout
        ids: list[int] = []
        while self._change is not None and self._change.start <= until:
            if self._bar_ticks:
                ids += [at.bar] * ((self._change.start - self._bar_start) // self._bar_ticks - 1)
            ids += [at.meter + self._change.meter, at.bar]
            self._bar_start, self._bar_ticks = self._change.start, self._change.bar_ticks
            self._change = next(self._spans, None)
        return ids


def bits(pitches: Collection[int]) -> int:
    """Return the bit set of those of the pitches that are among the 88 keys, from A0."""
    return sum(1 << (pitch - LOWEST_PITCH) for pitch in set(map(int, pitches)) if pitch in PITCHES)


def moved(pitches: int, semitones: int) -> int:
    """Return a bit set of pitches, moved up; those that leave the 88 keys are gone."""
    return (pitches << semitones if semitones >= 0 else pitches >> -semitones) & ALL_PITCHES


def keys_that_hold(asked: int, layout: Layout) -> list[int]:
    """Return the signatures whose scales hold most pitch classes of what is asked for; all for all pitches."""
    held = []
    for key in range(layout.keys):
        named = asked & moved(ALL_PITCHES, layout.key_shift(key))
        classes = {(LOWEST_PITCH + pitch) % 12 for pitch in range(len(PITCHES)) if named >> pitch & 1}
        held.append(len(classes & {(key + degree) % 12 for degree in _SCALE}))
    return [key for key, count in enumerate(held) if count == max(held)]


def without(low: int, high: int, hole: int) -> list[tuple[int, int]]:
    """Return the range [low, high) without one id, as ranges that are not empty."""
    parts = [(low, hole), (hole + 1, high)] if low <= hole < high else [(low, high)]
    return [part for part in parts if part[0] < part[1]]


def _group(event: Event) -> tuple[int, int, int]:
    """What the notes of one group share: onset, duration (negative: the longest first), velocity bin."""
    return event[0], -event[2], event[3]


def _by_group(event: Event) -> tuple[int, int, int, int]:
    return event[0], -event[2], event[3], event[1]


def without_overlaps(events: list[Event], changed: Counter[str]) -> list[Event]:
    """Return sorted events, one note a pitch at a time: the later cuts, of two at one onset the longer stays."""
    kept: list[Event] = []
    latest: dict[int, int] = {}
    for event in events:
        onset, pitch, _, _ = event
        index = latest.get(pitch)
        if index is not None:
            start, _, duration, loudness = kept[index]
            if start == onset:
                kept[index] = event
                changed["duplicate notes"] += 1
                continue
            if start + duration > onset:
                kept[index] = (start, pitch, onset - start, loudness)
                changed["overlapping notes cut"] += 1
        latest[pitch] = len(kept)
        kept.append(event)
    return kept


def centre(index: int, bins: int) -> int:
    """Return the velocity that stands for a bin."""
    return 1 + (2 * index + 1) * 127 // (2 * bins) if bins else DEFAULT_VELOCITY
