"""What the languages of note_event and ensemble have in common: notes in groups, bars, meters, keys and bounds."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import DEFAULT_VELOCITY, LOWEST_PITCH, PITCHES, UNSAID, Note
from seqgan_music.music.tokenizers._language import Group
from seqgan_music.music.tokenizers._note_event_layout import Layout

MOST_BARS = 20_000
"""No note begins after so many bars: whatever the ids, a decoded piece is bounded."""
MOST_HOLDS = 64
"""No note lasts longer than so many bars and one."""

ALL_PITCHES = (1 << len(PITCHES)) - 1

_SCALE = (0, 2, 4, 5, 7, 9, 11)
"""Semitones above the tonic of a major scale."""

Event = tuple[int, int, int, int]
"""(onset, pitch, duration, velocity bin), in ticks; sorts as notes do."""

Ranges = list[tuple[int, int]]
"""Ids, each range from its first to before its last."""

L = TypeVar("L", bound=Layout)
E = TypeVar("E")


class EventGrammar(ABC, Generic[L, E]):
    """A state machine that is a language: what may follow, and the notes and meters written so far.

    `meters` are (tick, index into METERS); `phase` tells what was begun, as each language says. E is what it calls
    a note.
    """

    after_key: str
    """The phase that a key leads to, and that all begins with where there are none."""

    def __init__(self, layout: L) -> None:
        self.finished = False
        self.groups: list[Group] = []
        self.meters: list[tuple[int, int]] = []
        self.chord: tuple[int, ...] = ()  # pitches named, waiting for their END
        self._layout = layout
        self.phase = "keyless" if layout.keys else self.after_key
        self.key = 0  # the signature that pitches are named in, by its major tonic
        self._shift = 0  # semitones that they sound higher than they are named
        self._named = ALL_PITCHES  # bit set of those that have a name
        self._meter = self.bar_ticks = self.bar_start = 0
        self._bar = -1
        self.onset = 0  # of the last group
        self.cursor = 0  # where the last group ended
        self.sounding = 0  # where the longest note ends
        self._used = 0  # bit set: what already begins at `onset`
        self._holds = 0
        self._asked = ALL_PITCHES
        self._most_bars = MOST_BARS
        self._most_ticks: int | None = None
        self._bounded = False
        self._open: Ranges | None = None  # what `_ranges` found for this state

    @property
    @abstractmethod
    def begun(self) -> bool:
        """Whether the onset of what comes next is known to be `onset`."""

    @property
    @abstractmethod
    def implied(self) -> int:
        """The onset of what comes next if nothing else is said."""

    @property
    def instrument(self) -> int:
        """Who plays what comes next."""
        return UNSAID

    @property
    def pitched(self) -> bool:
        """Whether what comes next is of an instrument that is there and has pitches."""
        return True

    def constrain(self, bars: int | None, ticks: int | None, asked: int, *, upbeat: bool = False) -> None:
        """From here on: so many bars, ticks and this bit set of pitches; as much more as what is there needs.

        `upbeat` says that an upbeat is not counted; languages that cannot tell one count all bars.
        """
        self._bounded = bars is not None or ticks is not None
        needs, begins = self._least()
        if bars is not None:
            self._most_bars = max(bars, needs)
        if ticks is not None:
            self._most_ticks = max(ticks, begins + 1)
        self.ask(asked & self._named or self._named)
        if self.phase in ("placed", "voiced") and self.pitched and not self._unused():
            self.ask(ALL_PITCHES)

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other.groups, other.meters = list(self.groups), list(self.meters)
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
            if named is not None and named != ALL_PITCHES:
                octets = np.frombuffer(named.to_bytes(len(PITCHES) // 8, "little"), dtype=np.uint8)
                mask[low:high] = np.unpackbits(octets, bitorder="little")[: high - low]
        return mask

    def accepts(self, token: int) -> bool:
        """Whether this id may come next."""
        token = int(token)
        for low, high in self._ranges():
            if low <= token < high:
                named = self._names(low)
                return named is None or bool(named >> (token - low) & 1)
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
            self._begin_if_implied()
            self.chord = (*self.chord, token - at.pitch + self._shift)
            self.phase = "chord"
        elif kind == "END":
            self._write((token - at.end - (self.onset - self.bar_start)) % self.bar_ticks + 1, self.chord)
            self.chord = ()
            self.phase, self._holds = "free", MOST_HOLDS
        elif kind == "AT":
            self._begin(self.bar_start + token - at.position)
            self.phase = "placed"
        elif kind == "BAR":
            self._next_bar()
        elif kind == "HOLD":
            group = self.groups[-1]
            self.groups[-1] = group._replace(duration=group.duration + self.bar_ticks)
            self._holds -= 1
            self._last_until(self.cursor + self.bar_ticks)
        elif kind == "VELOCITY":
            self._begin_if_implied()
            self._turn_to(token - at.velocity)
            self.phase = "voiced"
        elif kind == "KEY":
            self.key = token - at.key
            self._shift = at.key_shift(self.key)
            self._named = moved(ALL_PITCHES, self._shift)
            self.ask(self._asked & self._named or self._named)
            self.phase = self.after_key
        elif kind == "METER":
            self._meter = token - at.meter
            self.phase = "meter"
        else:
            self.finished = True

    def events(self, groups: Iterable[int] | None = None) -> list[E]:
        """Return the notes so far, or those of these groups, in the order in which they were written."""
        chosen = self.groups if groups is None else [self.groups[index] for index in groups]
        return [self._event(group, pitch) for group in chosen for pitch in group.pitches]

    def spans(self) -> list[Span]:
        """Return the stretches of one meter so far."""
        spans: list[Span] = []
        for start, meter in self.meters:
            bar = spans[-1].bar + (start - spans[-1].start) // spans[-1].bar_ticks if spans else 0
            spans.append(Span(start, bar, meter, self._layout.bar_ticks[meter]))
        return spans

    @abstractmethod
    def _event(self, group: Group, pitch: int) -> E:
        """One note of a group."""

    @abstractmethod
    def _find_ranges(self) -> Ranges:
        """Ranges of ids that may come next; of those that `_names` knows only what it says."""

    @abstractmethod
    def _begin(self, onset: int) -> None:
        """Let a group begin."""

    @property
    @abstractmethod
    def _loudness(self) -> int:
        """Velocity bin in force, -1 before any."""

    @abstractmethod
    def _turn_to(self, loudness: int) -> None:
        """Set it."""

    def _ranges(self) -> Ranges:
        if self._open is None:
            self._open = self._find_ranges()
        return self._open

    def _names(self, first: int) -> int | None:
        """Bit set of the names that may come next in the range that begins so; None where all may."""
        if first != self._layout.pitch:
            return None
        lower = (2 << self.chord[-1]) - 1 if self.chord else 0
        return moved((self._unused() if self.begun else self._asked) & ~lower, -self._shift)

    def _unused(self) -> int:
        """Bit set of what does not begin at the last onset yet and may."""
        return self._asked & ~self._used

    def _least(self) -> tuple[int, int]:
        """Bars that the piece has by now at least, and where the last of them begins."""
        opening = self.phase == "meter"
        return self._bar + 1 + opening, self.bar_start + opening * self.bar_ticks

    def _voices(self, voices: tuple[int, int]) -> Ranges:
        """A pitch or drum, or first a loudness: to say again what is in force is no mistake."""
        at = self._layout
        return [voices, (at.velocity, at.velocity + at.velocities)] if at.velocities else [voices]

    def _ends(self) -> Ranges:
        """Ends in this bar after the onset, and in the next bar up to the onset's position."""
        first, ticks = self._layout.end, self.bar_ticks
        position = self.onset - self.bar_start
        longest = max(1, self._limit() - self.onset) if self._bounded else ticks
        return [
            (first + position, first + min(ticks, position + longest)),
            (first, first + min(position, longest - (ticks - position))),
        ]

    def _limit(self) -> int:
        """The tick from which on nothing may begin, if the meter stays: the end of the last bar."""
        limit = self.bar_start + (self._most_bars - self._bar) * self.bar_ticks
        return limit if self._most_ticks is None else min(limit, self._most_ticks)

    def _begin_if_implied(self) -> None:
        if not self.begun:
            self._begin(self.implied)

    def _write(self, duration: int, pitches: tuple[int, ...]) -> None:
        loudness = self._loudness if self._loudness >= 0 else self._layout.unsaid
        self.groups.append(Group(self.onset, duration, loudness, pitches, self.instrument))
        self._used |= sum(1 << pitch for pitch in pitches)
        self._last_until(self.onset + duration)

    def _next_bar(self) -> None:
        self._bar += 1
        self.bar_start += self.bar_ticks
        self._holds = 0
        if self.phase == "meter":
            self.bar_ticks = self._layout.bar_ticks[self._meter]
            self.meters.append((self.bar_start, self._meter))

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


def without(low: int, high: int, hole: int) -> Ranges:
    """Return the range [low, high) without one id, as ranges that are not empty."""
    parts = [(low, hole), (hole + 1, high)] if low <= hole < high else [(low, high)]
    return [part for part in parts if part[0] < part[1]]


def group_of(event: Event) -> tuple[int, int, int]:
    """Return what the notes of one group share: onset, duration (negative: the longest first), velocity bin."""
    return event[0], -event[2], event[3]


def by_group(event: Event) -> tuple[int, int, int, int]:
    """Sort key that keeps groups together, the longest first."""
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


def sounded(events: Iterable[Event], bins: int) -> list[Note]:
    """Return events as notes, each as loud as the centre of its bin."""
    return [Note(onset, pitch, duration, centre(loudness, bins)) for onset, pitch, duration, loudness in events]
