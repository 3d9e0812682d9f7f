"""The language of ensemble: its ids, the state machine that says what may follow, and notes as tokens."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DRUMS, LOWEST_PITCH, PITCHES, PROGRAMS, Note
from seqgan_music.music.tokenizers._note_event_language import (
    ALL_PITCHES,
    MOST_BARS,
    MOST_HOLDS,
    Event,
    Span,
    centre,
    keys_that_hold,
    moved,
    without,
    without_overlaps,
)
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout

HITS = range(27, 88)
"""Pitches of the percussion key map that have a token."""
ALL_HITS = (1 << len(HITS)) - 1
MOST_PARTS = 32
"""Instruments of a piece, each player counted."""

Ranges = list[tuple[int, int]]
Voiced = tuple[int, Event]
"""An instrument and what it plays."""


class EnsembleLayout(Layout):
    """The ids of note_event, those of instruments, and drums."""

    def __init__(self, ticks_per_beat: int, velocities: int, *, keys: bool = False) -> None:
        super().__init__(ticks_per_beat, velocities, keys=keys)
        self.program = self.place("PROGRAM", [*range(DRUMS), "drums"])
        self.drum = self.place("DRUM", HITS)


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


class EnsembleGrammar:
    """The state machine that is the language: what may follow, and the notes and meters written so far.

    `parts` are the instruments declared, `part` the number of the one that is open, -1 at the start of a bar.
    `groups` are (onset, duration, velocity bin, pitches from 0 for A0 or the lowest of HITS, instrument), `meters`
    (tick, index into METERS). `phase` tells what was begun: "keyless" (a key comes first), "header" (instruments
    are declared), "meter", "bar" (no part is open), "part" (nothing in it yet), "placed" (an AT), "voiced" (a
    VELOCITY), "chord" (pitches, waiting for their END), "struck" (drums, which do not wait); else "free".
    """

    def __init__(self, layout: EnsembleLayout) -> None:
        self.finished = False
        self.groups: list[tuple[int, int, int, tuple[int, ...], int]] = []
        self.meters: list[tuple[int, int]] = []
        self.parts: list[int] = []
        self.part = -1
        self.chord: tuple[int, ...] = ()
        self._layout = layout
        self.phase = "keyless" if layout.keys else "header"
        self.key = 0
        self._shift = 0
        self._named = self._asked = ALL_PITCHES
        self._meter = self.bar_ticks = self.bar_start = 0
        self._bar = -1
        self.onset = self.cursor = 0  # of this part in this bar: the last onset, and the implied next one
        self.sounding = 0
        self._used = 0  # bit set: what already begins at `onset` in this part
        self.velocities: dict[int, int] = {}
        self._holds = 0
        self._most_bars = MOST_BARS
        self._most_ticks: int | None = None
        self._bounded = False
        self._open: Ranges | None = None

    @property
    def instrument(self) -> int:
        """The one whose part is open."""
        return self.parts[self.part]

    @property
    def drums(self) -> bool:
        """Whether the part that is open is that of drums."""
        return self.part >= 0 and self.instrument == DRUMS

    def constrain(self, bars: int | None, ticks: int | None, asked: int) -> None:
        """From here on: so many bars, ticks and this bit set of pitches; as much more as what is there needs."""
        self._bounded = bars is not None or ticks is not None
        opening = self.phase == "meter"
        if bars is not None:
            self._most_bars = max(bars, self._bar + 1 + opening)
        if ticks is not None:
            self._most_ticks = max(ticks, self.bar_start + 1 + opening * self.bar_ticks)
        self.ask(asked & self._named or self._named)
        if self.phase in ("placed", "voiced") and not self.drums and not self._unused():
            self.ask(ALL_PITCHES)

    def copy(self) -> EnsembleGrammar:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other.groups, other.meters, other.parts = list(self.groups), list(self.meters), list(self.parts)
        other.velocities = dict(self.velocities)
        return other

    def ask(self, pitches: int) -> None:
        """From here on only this bit set of pitches; it does not bind drums."""
        self._asked, self._open = pitches & self._named, None

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next; all false when finished."""
        mask = np.zeros(len(self._layout.names), dtype=np.bool_)
        for low, high in self._ranges():
            mask[low:high] = True
            named = self._names(low)
            if named is not None:
                octets = np.frombuffer(named.to_bytes(len(PITCHES) // 8, "little"), dtype=np.uint8)
                mask[low:high] = np.unpackbits(octets, bitorder="little")[: high - low]
        return mask

    def accepts(self, token: int) -> bool:
        """Whether this id may come next."""
        for low, high in self._ranges():
            if low <= token < high:
                named = self._names(low)
                return named is None or bool(named >> (token - low) & 1)
        return False

    def advance(self, token: int) -> None:
        """Take one id. Ids that are not allowed are ignored."""
        if self.accepts(int(token)):
            self.take(int(token))

    def take(self, token: int) -> None:
        """Take one id that is known to be allowed."""
        self._open = None
        at = self._layout
        kind = at.kinds[token]
        if kind == "PITCH":
            if self.phase in ("part", "free"):
                self._begin(self.cursor)
            self.chord = (*self.chord, token - at.pitch + self._shift)
            self.phase = "chord"
        elif kind == "END":
            duration = (token - at.end - (self.onset - self.bar_start)) % self.bar_ticks + 1
            self._write(duration, self.chord)
            self.chord = ()
            self.phase, self._holds = "free", MOST_HOLDS
        elif kind == "DRUM":
            self._write(1, (token - at.drum,))
            self.phase = "struck"
        elif kind == "AT":
            self._begin(self.bar_start + token - at.position)
            self.phase = "placed"
        elif kind == "PROGRAM":
            self._program(token - at.program)
        elif kind == "BAR":
            self._next_bar()
        elif kind == "HOLD":
            onset, duration, velocity, chord, instrument = self.groups[-1]
            self.groups[-1] = (onset, duration + self.bar_ticks, velocity, chord, instrument)
            self._holds -= 1
            self._last_until(self.cursor + self.bar_ticks)
        elif kind == "VELOCITY":
            if self.phase in ("part", "free"):
                self._begin(self.cursor)
            self.velocities[self.instrument] = token - at.velocity
            self.phase = "voiced"
        elif kind == "KEY":
            self.key = token - at.key
            self._shift = at.key_shift(self.key)
            self._named = moved(ALL_PITCHES, self._shift)
            self.ask(self._asked & self._named or self._named)
            self.phase = "header"
        elif kind == "METER":
            self._meter = token - at.meter
            self.phase = "meter"
        else:
            self.finished = True

    def events(self, groups: Iterable[int] | None = None) -> list[Voiced]:
        """Return the notes so far, or those of these groups, in the order in which they were written."""
        chosen = self.groups if groups is None else [self.groups[index] for index in groups]
        return [
            (instrument, (onset, pitch + (HITS.start if instrument == DRUMS else LOWEST_PITCH), duration, loudness))
            for onset, duration, loudness, chord, instrument in chosen
            for pitch in chord
        ]

    def _ranges(self) -> Ranges:
        """Ranges of ids that may come next; of pitches and drums only those of `_names`."""
        if self._open is None:
            self._open = self._find_ranges()
        return self._open

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

    def _voices(self, voices: tuple[int, int]) -> Ranges:
        """A pitch or drum, or first a loudness that differs from the part's; its first note needs one."""
        at = self._layout
        if not at.velocities:
            return [voices]
        now = self.velocities.get(self.instrument, -1)
        loudness = without(at.velocity, at.velocity + at.velocities, at.velocity + now)
        return loudness if now < 0 else [voices, *loudness]

    def _ends(self) -> Ranges:
        """Ends in this bar after the onset, and in the next bar up to the onset's position."""
        first, ticks = self._layout.end, self.bar_ticks
        position = self.onset - self.bar_start
        longest = max(1, self._limit() - self.onset) if self._bounded else ticks
        return [
            (first + position, first + min(ticks, position + longest)),
            (first, first + min(position, longest - (ticks - position))),
        ]

    def _unused(self) -> int:
        """Bit set of what does not begin at the last onset yet and may."""
        return (ALL_HITS if self.drums else self._asked) & ~self._used

    def _names(self, first: int) -> int | None:
        """Bit set of the names that may come next in the range of pitches or drums; None for other ranges."""
        at = self._layout
        if first == at.drum:
            lower = (2 << self.groups[-1][3][-1]) - 1 if self.phase == "struck" else 0
            return self._unused() & ~lower
        if first != at.pitch:
            return None
        lower = (2 << self.chord[-1]) - 1 if self.chord else 0
        fresh = self.phase == "free"  # at a new onset
        return moved((self._asked if fresh else self._unused()) & ~lower, -self._shift)

    def _limit(self) -> int:
        """The tick from which on nothing may begin, if the meter stays: the end of the last bar."""
        limit = self.bar_start + (self._most_bars - self._bar) * self.bar_ticks
        return limit if self._most_ticks is None else min(limit, self._most_ticks)

    def _begin(self, onset: int) -> None:
        self._holds = 0
        if onset != self.onset:
            self.onset, self._used = onset, 0

    def _write(self, duration: int, pitches: tuple[int, ...]) -> None:
        loudness = max(0, self.velocities.get(self.instrument, -1))
        self.groups.append((self.onset, duration, loudness, pitches, self.instrument))
        self._used |= sum(1 << pitch for pitch in pitches)
        self._last_until(self.onset + duration)

    def _next_bar(self) -> None:
        self._bar += 1
        self.bar_start += self.bar_ticks
        if self.phase == "meter":
            self.bar_ticks = self._layout.bar_ticks[self._meter]
            self.meters.append((self.bar_start, self._meter))
        self.part, self.phase = -1, "bar"

    def _last_until(self, tick: int) -> None:
        self.cursor = tick
        self.sounding = max(self.sounding, tick)


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
        ordered = sorted(events, key=lambda one: _by_group(one[1]))
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
        for (onset, negative_duration, loudness), group in groupby(events, key=_group):
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


def _group(event: Event) -> tuple[int, int, int]:
    """What the notes of one group share: onset, duration (negative: the longest first), velocity bin."""
    return event[0], -event[2], event[3]


def _by_group(event: Event) -> tuple[int, int, int, int]:
    return event[0], -event[2], event[3], event[1]
