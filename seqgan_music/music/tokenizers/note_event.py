"""note_event, the default tokenizer: polyphony, durations, bars and meters in about two tokens a note.

A melody costs PITCH and END for each note and nothing else: the next note begins where the last one ended, and
bar lines that this crosses are not written. Everything else is said by a token of its own:

    METER(3/4) BAR PITCH(67) END(12) PITCH(60) PITCH(64) END(36) AT(12) PITCH(72) END(36) ... END_OF_PIECE

- `METER(n/d)`: the meter from the next bar on; BAR follows. Opens every piece, and stands at each change.
- `BAR`: the next bar begins. Written where the next note is not where the last one ended and lies in a later bar.
- `AT(p)`: the next notes begin at tick p of the current bar, p in 0..8 beats. Never written for the implied onset.
- `VELOCITY(b)`: loudness of the notes from here on, where it changes. Only with `velocity_bins`.
- `PITCH(m)`: a note that begins here, MIDI number 21..108; ascending within a chord.
- `END(p)`: the notes just named end at tick p of their bar, p in 1..bar length, or at tick p of the next bar where
  p is not after their onset; so the first duration is 1..one bar.
- `HOLD`: ... and a bar's length later than that.
- `END_OF_PIECE`.

Notes of one onset are grouped by duration and loudness, the longest first, so that the last group, the shortest,
ends where the next note most likely begins. Positions and not durations, because where a note ends in the bar is
easier to learn than how long it lasts. Tempo, instrument and name are not held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import DEFAULT_VELOCITY, LOWEST_PITCH, PITCHES, Meter, Note, Piece
from seqgan_music.music.tokenizers import Decoded
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout

MOST_BARS = 20_000
"""No note begins after so many bars: whatever the ids, a decoded piece is bounded."""
MOST_HOLDS = 64
"""No note lasts longer than so many bars and one."""

_ALL_PITCHES = (1 << len(PITCHES)) - 1
_COMMON_TIME = Meter(0, 4, 4)

_Event = tuple[int, int, int, int]
"""(onset, pitch, duration, velocity bin), in ticks; sorts as notes do."""


class NoteEvent:
    """Pieces to one row of ids each, closed by END_OF_PIECE. Positions and durations in ticks."""

    @dataclass(frozen=True)
    class Options:
        """What a config may set."""

        velocity_bins: int = 0
        """Levels of loudness that are told apart; 0 leaves loudness out, and every note has velocity 80."""

        def __post_init__(self) -> None:
            """Refuse values that cannot be."""
            if not 0 <= self.velocity_bins <= 32:
                raise ConfigError(f"velocity_bins must be 0 to 32, not {self.velocity_bins}.")

    name: ClassVar[str] = "note_event"
    unit_name: ClassVar[str] = "note"

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        self.options = options
        self.ticks_per_beat = ticks_per_beat
        self.layout = Layout(ticks_per_beat, options.velocity_bins)
        self.vocabulary = self.layout.names
        self.start_id = len(self.vocabulary)
        self.end_id: int | None = self.layout.end_of_piece

    def normalise(self, piece: Piece) -> tuple[Piece, Counter[str]]:
        """Return the piece on this grid, and what was changed or lost, counted by reason.

        Meters that have no token become ones of equal length, of an equal part of it, or the nearest; a change
        inside a bar moves to the next bar line. Of two notes of one pitch that overlap, the first is cut where
        the second begins; of two that begin together, the longer stays. The result has the default tempo,
        program 0 and no name: those are not in the tokens, and the caller puts them back.
        """
        events, spans, changed = self._prepare(piece)
        return self._piece(events, [(span.start, span.meter) for span in spans]), changed

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return the piece as one row of ids, or no row where it has no notes."""
        events, spans, _ = self._prepare(piece)
        if not events:
            return []
        at, bar = self.layout, self.layout.bar
        ids = [at.meter + spans[0].meter, bar]
        bar_start, bar_ticks, cursor, velocity = 0, spans[0].bar_ticks, 0, -1
        upcoming = iter(spans[1:])
        change = next(upcoming, None)
        events.sort(key=_by_group)
        for (onset, negative_duration, loudness), group in groupby(events, key=_group):
            while change is not None and change.start <= onset:
                ids += [bar] * ((change.start - bar_start) // bar_ticks - 1)
                ids += [at.meter + change.meter, bar]
                bar_start, bar_ticks = change.start, change.bar_ticks
                change = next(upcoming, None)
            crossed = (onset - bar_start) // bar_ticks
            bar_start += crossed * bar_ticks
            if onset != cursor:
                ids += [bar] * crossed
                if onset != max(cursor, bar_start):
                    ids.append(at.position + onset - bar_start)
            if loudness != velocity and at.velocities:
                ids.append(at.velocity + loudness)
                velocity = loudness
            ids += [at.pitch - LOWEST_PITCH + event[1] for event in group]
            holds, end = divmod(-negative_duration - 1, bar_ticks)
            ids.append(at.end + (onset - bar_start + end) % bar_ticks)
            ids += [at.hold] * holds
            cursor = onset - negative_duration
        ids.append(at.end_of_piece)
        return [ids]

    def decode(self, ids: Sequence[int]) -> Decoded:
        """Return the piece of any ids. What the grammar does not allow is dropped, counted by kind of token.

        "unknown" counts ids outside the vocabulary, "after the end" what follows END_OF_PIECE, "unfinished" the
        pitches at the very end that no END follows.
        """
        grammar = NoteEventGrammar(self.layout)
        dropped: Counter[str] = Counter()
        kinds = self.layout.kinds
        for token in map(int, ids):  # NumPy's integers overflow in the bit sets
            if not 0 <= token < len(kinds):
                dropped["unknown"] += 1
            elif grammar.finished:
                dropped["after the end"] += 1
            elif grammar.accepts(token):
                grammar.take(token)
            else:
                dropped[kinds[token]] += 1
        if grammar.chord:
            dropped["unfinished"] = len(grammar.chord)
        events = [
            (onset, LOWEST_PITCH + pitch, duration, velocity)
            for onset, duration, velocity, chord in grammar.groups
            for pitch in chord
        ]
        return Decoded(self._piece(_without_overlaps(sorted(events), Counter()), grammar.meters), dropped)

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of notes in a row: its PITCH tokens."""
        first = self.layout.pitch
        row = np.asarray(ids)
        return int(((row >= first) & (row < first + len(PITCHES))).sum())

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose by each number of semitones; -1 where a pitch leaves the 88 keys."""
        maps = np.tile(np.arange(len(self.vocabulary), dtype=np.int32), (len(semitones), 1))
        first, last = self.layout.pitch, self.layout.pitch + len(PITCHES)
        moved = maps[:, first:last] + np.asarray(semitones, dtype=np.int32).reshape(-1, 1)
        maps[:, first:last] = np.where((moved >= first) & (moved < last), moved, -1)
        return maps

    def effects(self) -> npt.NDArray[np.int32]:
        """(2, V) what each id does to bars and places: an `Effect` and its value in ticks."""
        return self.layout.effects()

    def grammar(
        self,
        *,
        bars: int | None = None,
        ticks: int | None = None,
        pitches: Collection[int] | None = None,
        prefix: Sequence[int] = (),
    ) -> NoteEventGrammar:
        """Return a grammar after `prefix`, that ends after `bars` bars or `ticks` ticks, of `pitches` only.

        Both count from the start of the piece, prefix included. The last notes of a piece of N bars sound in bar N,
        and none sounds after it. END_OF_PIECE is open as soon as that is so, though not while a held note is all
        that reaches so far and two bars or more are to come under it; it alone is open where the next note would
        begin after bar N, but for other voices of a piece in which notes overlap.
        A prefix is taken as it is, whatever its pitches and length, without its END_OF_PIECE.
        Raises ConfigError where no piece can be: no bar, no tick, more than 20,000 bars, no pitch of the 88.
        """
        for what, value, most in (("bars", bars, MOST_BARS), ("ticks", ticks, None)):
            if value is not None and (value < 1 or (most is not None and value > most)):
                raise ConfigError(f"{what} must be {f'1 to {most}' if most else 'at least 1'}, not {value}.")
        asked = _ALL_PITCHES
        if pitches is not None:
            asked = sum(1 << (pitch - LOWEST_PITCH) for pitch in set(map(int, pitches)) if pitch in PITCHES)
            if not asked:
                raise ConfigError("None of the pitches asked for is one of the 88 keys (21 to 108).")
        grammar = NoteEventGrammar(self.layout)
        for token in prefix:
            if token != self.end_id:
                grammar.advance(token)
        grammar.constrain(bars, ticks, asked)
        return grammar

    def _prepare(self, piece: Piece) -> tuple[list[_Event], list[_Span], Counter[str]]:
        """Events in order, the spans of one meter that hold their onsets, and the counts of `normalise`."""
        changed: Counter[str] = Counter()  # `+=` keeps what is above 0 only
        events = [
            (note.onset, note.pitch, note.duration, note.velocity)
            for note in piece.notes
            if note.pitch in PITCHES and note.onset >= 0
        ]
        changed += Counter(
            {
                "notes outside the 88 keys": len(piece.notes) - len(events),
                "tempo changes left out": len(piece.tempos) - 1,
            }
        )
        meters = piece.meters or (_COMMON_TIME,)
        if piece.ticks_per_beat != self.ticks_per_beat:
            up, down = self.ticks_per_beat, piece.ticks_per_beat
            moved = sum((onset * up) % down > 0 or (length * up) % down > 0 for onset, _, length, _ in events)
            changed += Counter({"notes moved to the grid": moved})
            events = [_regrid(event, up, down) for event in events]
            meters = tuple(Meter(_scaled(m.onset, up, down), m.numerator, m.denominator) for m in meters)
        bins = self.layout.velocities
        rounded = [(onset, pitch, length, _bin(loudness, bins)) for onset, pitch, length, loudness in events]
        centres = [_centre(index, bins) for index in range(max(1, bins))]
        other = sum(event[3] != centres[new[3]] for event, new in zip(events, rounded, strict=True))
        changed += Counter({"velocities rounded" if bins else "velocities left out": other})
        rounded.sort()
        events = _without_overlaps(rounded, changed)
        spans = self._spans(meters, events[-1][0] if events else -1, changed)
        return self._bounded(events, spans, changed), spans, changed

    def _spans(self, meters: Sequence[Meter], last_onset: int, changed: Counter[str]) -> list[_Span]:
        """The stretches of one meter, each from a bar line on, up to the bar of the last onset."""
        spans: list[_Span] = []
        for meter in meters:
            token = _nearest_meter(meter.numerator, meter.denominator)
            start, bar = 0, 0
            if spans:
                last = spans[-1]
                crossed = -(-max(0, meter.onset - last.start) // last.bar_ticks)
                start, bar = last.start + crossed * last.bar_ticks, last.bar + crossed
                if start > last_onset or bar >= MOST_BARS:
                    break
                changed += Counter({"meter changes moved to a bar line": int(start != meter.onset)})
                if not crossed:
                    spans.pop()
            changed += Counter({"meters replaced": int(METERS[token] != (meter.numerator, meter.denominator))})
            if not spans or spans[-1].meter != token:
                ticks = Meter(0, *METERS[token]).bar_ticks(self.ticks_per_beat)
                spans.append(_Span(start, bar, token, ticks))
        return spans if last_onset >= 0 else []

    def _bounded(self, events: list[_Event], spans: list[_Span], changed: Counter[str]) -> list[_Event]:
        """Leave out notes after the last bar there may be, and cut those that would need too many HOLDs."""
        if not events:
            return events
        final = spans[-1]
        stop = final.start + (MOST_BARS - final.bar) * final.bar_ticks
        kept = [event for event in events if event[0] < stop]
        changed += Counter({f"notes after bar {MOST_BARS}": len(events) - len(kept)})
        shortest = min(span.bar_ticks for span in spans)
        if max((event[2] for event in kept), default=0) <= (MOST_HOLDS + 1) * shortest:
            return kept
        ends = [span.start for span in spans[1:]] + [stop]
        bounded, index = [], 0
        for onset, pitch, duration, loudness in kept:
            while onset >= ends[index]:
                index += 1
            longest = (MOST_HOLDS + 1) * spans[index].bar_ticks
            changed += Counter({f"notes longer than {MOST_HOLDS + 1} bars cut": int(duration > longest)})
            bounded.append((onset, pitch, min(duration, longest), loudness))
        return bounded

    def _piece(self, events: Iterable[_Event], meters: Iterable[tuple[int, int]]) -> Piece:
        """The piece of sorted events; `meters` are (tick, index), those after the last onset are left out."""
        bins = self.layout.velocities
        centres = [_centre(index, bins) for index in range(max(1, bins))]
        notes = tuple(Note(onset, pitch, duration, centres[v]) for onset, pitch, duration, v in events)
        last_onset = notes[-1].onset if notes else -1
        heard = tuple(Meter(tick, *METERS[index]) for tick, index in meters if tick <= last_onset)
        return Piece(notes, self.ticks_per_beat, heard or (_COMMON_TIME,))


class NoteEventGrammar:
    """The state machine that is the language: what may follow, and the notes and meters written so far.

    `groups` are (onset, duration, velocity bin, pitches from 0 for A0) and `meters` (tick, index into METERS).
    """

    def __init__(self, layout: Layout) -> None:
        self.finished = False
        self.groups: list[tuple[int, int, int, tuple[int, ...]]] = []
        self.meters: list[tuple[int, int]] = []
        self.chord: tuple[int, ...] = ()  # pitches named, waiting for their END
        self._layout = layout
        self._phase = "start"
        self._meter = self._bar_ticks = self._bar_start = 0
        self._bar = -1
        self._onset = -1  # of the last group; no later note may begin before it
        self._cursor = 0  # where the last group ended: the implied onset
        self._sounding = 0  # where the longest note ends
        self._used = 0  # bit set: pitches that already begin at `_onset`
        self._layered = False  # whether a group ever began before the end of the one before it
        self._velocity = -1
        self._holds = 0
        self._asked = _ALL_PITCHES
        self._most_bars = MOST_BARS
        self._most_ticks: int | None = None
        self._bounded = False
        self._open: list[tuple[int, int]] | None = None  # what `_ranges` found for this state

    def constrain(self, bars: int | None, ticks: int | None, asked: int) -> None:
        """From here on: so many bars, ticks and this bit set of pitches; as much more as what is there needs."""
        self._bounded = bars is not None or ticks is not None
        opening = self._phase == "meter"
        if bars is not None:
            self._most_bars = max(bars, self._bar + 1 + opening)
        if ticks is not None:
            self._most_ticks = max(ticks, self._bar_start + 1 + opening * self._bar_ticks)
        self._asked = asked
        self._open = None
        if self._phase in ("placed", "voiced") and not asked & ~self._used:
            self._asked = _ALL_PITCHES

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next; all false when finished."""
        mask = np.zeros(len(self._layout.names), dtype=np.bool_)
        first = self._layout.pitch
        for low, high in self._ranges():
            mask[low:high] = True
            if low == first and (pitches := self._pitches()) != _ALL_PITCHES:
                bits = np.frombuffer(pitches.to_bytes(len(PITCHES) // 8, "little"), dtype=np.uint8)
                mask[low:high] = np.unpackbits(bits, bitorder="little")
        return mask

    def accepts(self, token: int) -> bool:
        """Whether this id may come next."""
        first, token = self._layout.pitch, int(token)
        for low, high in self._ranges():
            if low <= token < high:
                return low != first or bool(self._pitches() >> (token - first) & 1)
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
            if self._phase == "free":
                self._begin(max(self._cursor, self._bar_start))
            self.chord = (*self.chord, token - at.pitch)
            self._phase = "chord"
        elif kind == "END":
            past_onset = (token - at.end - (self._onset - self._bar_start)) % self._bar_ticks
            self.groups.append((self._onset, past_onset + 1, max(0, self._velocity), self.chord))
            self._used |= sum(1 << pitch for pitch in self.chord)
            self.chord = ()
            self._phase, self._holds = "free", MOST_HOLDS
            self._last_until(self._onset + past_onset + 1)
        elif kind == "AT":
            self._begin(self._bar_start + token - at.position)
            self._phase = "placed"
        elif kind == "BAR":
            self._next_bar()
        elif kind == "HOLD":
            onset, duration, velocity, chord = self.groups[-1]
            self.groups[-1] = (onset, duration + self._bar_ticks, velocity, chord)
            self._holds -= 1
            self._last_until(self._cursor + self._bar_ticks)
        elif kind == "VELOCITY":
            if self._phase == "free":
                self._begin(max(self._cursor, self._bar_start))
            self._velocity = token - at.velocity
            self._phase = "voiced"
        elif kind == "METER":
            self._meter = token - at.meter
            self._phase = "meter"
        else:
            self.finished = True

    def _ranges(self) -> list[tuple[int, int]]:
        """Ranges of ids that may come next; of the pitches only those of `_pitches`."""
        if self._open is None:
            self._open = self._find_ranges()
        return self._open

    def _find_ranges(self) -> list[tuple[int, int]]:
        at, phase = self._layout, self._phase
        pitches = (at.pitch, at.pitch + len(PITCHES))
        if self.finished:
            return []
        if phase == "chord":
            return [pitches, *self._ends()]
        if phase == "voiced":
            return [pitches]
        if phase == "placed":
            return self._voices(pitches)
        if phase == "start":
            return [(at.meter, at.meter + len(METERS))]
        if phase == "meter":
            return [(at.bar, at.bar + 1)]
        start, ticks = self._bar_start, self._bar_ticks
        limit = self._limit()
        implied = max(self._cursor, start)
        near_end = not self._bounded or start + 2 * ticks >= limit
        if self._bounded and near_end and self._cursor >= limit and len(self.groups) > 1 and not self._layered:
            # One voice has come to its end. To turn back for another, as AT could, would begin polyphony.
            return [(at.end_of_piece, at.end_of_piece + 1)]
        # The last onset itself is open while one of the pitches does not begin there yet.
        earliest = max(0, self._onset - start + (not self._asked & ~self._used))
        ranges = _without(
            at.position + earliest, at.position + min(ticks, limit - start), at.position + implied - start
        )
        if implied < limit:
            ranges += self._voices(pitches)
        if start + ticks < limit:
            ranges.append((at.bar, at.bar + 1))
            # A held note would end beyond bar N if the bars under it became shorter.
            if not self._bounded or self._sounding <= start + ticks:
                ranges += _without(at.meter, at.meter + len(METERS), at.meter + self._meter)
        if self._holds and not (self._bounded and self._cursor + ticks > limit):
            ranges.append((at.hold, at.hold + 1))
        last_bar = start + (limit - 1 - start) // ticks * ticks
        if self.groups and near_end and (not self._bounded or self._cursor > last_bar):
            ranges.append((at.end_of_piece, at.end_of_piece + 1))
        return ranges

    def _voices(self, pitches: tuple[int, int]) -> list[tuple[int, int]]:
        """A pitch, or first a loudness that differs from the one in force; the first note needs one."""
        at = self._layout
        if not at.velocities:
            return [pitches]
        loudness = _without(at.velocity, at.velocity + at.velocities, at.velocity + self._velocity)
        return loudness if self._velocity < 0 else [pitches, *loudness]

    def _ends(self) -> list[tuple[int, int]]:
        """Ends in this bar after the onset, and in the next bar up to the onset's position."""
        first, ticks = self._layout.end, self._bar_ticks
        position = self._onset - self._bar_start
        longest = max(1, self._limit() - self._onset) if self._bounded else ticks
        return [
            (first + position, first + min(ticks, position + longest)),
            (first, first + min(position, longest - (ticks - position))),
        ]

    def _pitches(self) -> int:
        """Bit set of the pitches that may come next."""
        if self._phase == "free":
            return self._asked
        lower = (2 << self.chord[-1]) - 1 if self.chord else 0
        return self._asked & ~self._used & ~lower

    def _limit(self) -> int:
        """The tick from which on nothing may begin, if the meter stays: the end of the last bar."""
        limit = self._bar_start + (self._most_bars - self._bar) * self._bar_ticks
        return limit if self._most_ticks is None else min(limit, self._most_ticks)

    def _begin(self, onset: int) -> None:
        crossed = (onset - self._bar_start) // self._bar_ticks
        self._bar += crossed
        self._bar_start += crossed * self._bar_ticks
        self._holds = 0
        self._layered = self._layered or onset < self._cursor
        if onset != self._onset:
            self._onset, self._used = onset, 0

    def _next_bar(self) -> None:
        self._bar += 1
        self._bar_start += self._bar_ticks
        self._holds = 0
        if self._phase in ("start", "meter"):
            self._bar_ticks = self._layout.bar_ticks[self._meter]
            self.meters.append((self._bar_start, self._meter))
        self._phase = "free"

    def _last_until(self, tick: int) -> None:
        self._cursor = tick
        self._sounding = max(self._sounding, tick)


@dataclass(frozen=True, slots=True)
class _Span:
    """Bars of one meter: first tick, number of its first bar (from 0), index into METERS, ticks a bar."""

    start: int
    bar: int
    meter: int
    bar_ticks: int


@lru_cache(maxsize=1024)
def _nearest_meter(numerator: int, denominator: int) -> int:
    """Index of the meter itself, of one whose bar is as long or an equal part of a beat or more, or the nearest."""
    if (numerator, denominator) in METERS:
        return METERS.index((numerator, denominator))
    lengths = [Fraction(4 * n, d) for n, d in METERS]
    beats = Fraction(4 * numerator, denominator)
    for parts in range(1, 1 + max(1, int(beats))):
        same = [index for index, length in enumerate(lengths) if length * parts == beats]
        if same:
            return min(same, key=lambda index: abs(METERS[index][1] - denominator))
    return min(range(len(METERS)), key=lambda index: abs(lengths[index] - beats))


def _without_overlaps(events: list[_Event], changed: Counter[str]) -> list[_Event]:
    """Sorted events with one note a pitch at a time: the later one cuts, of two at one onset the longer stays."""
    kept: list[_Event] = []
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


def _without(low: int, high: int, hole: int) -> list[tuple[int, int]]:
    """The range [low, high) without one id, as ranges that are not empty."""
    parts = [(low, hole), (hole + 1, high)] if low <= hole < high else [(low, high)]
    return [part for part in parts if part[0] < part[1]]


def _group(event: _Event) -> tuple[int, int, int]:
    """What the notes of one group share: onset, duration (negative: the longest first), velocity bin."""
    return event[0], -event[2], event[3]


def _by_group(event: _Event) -> tuple[int, int, int, int]:
    return event[0], -event[2], event[3], event[1]


def _scaled(tick: int, up: int, down: int) -> int:
    """`tick` on a grid of `up` instead of `down` ticks a beat, halves up."""
    return (2 * tick * up + down) // (2 * down)


def _regrid(event: _Event, up: int, down: int) -> _Event:
    onset, pitch, duration, velocity = event
    start = _scaled(onset, up, down)
    return start, pitch, max(1, _scaled(onset + duration, up, down) - start), velocity


def _bin(velocity: int, bins: int) -> int:
    return min(max(velocity - 1, 0) * bins // 127, bins - 1) if bins else 0


def _centre(index: int, bins: int) -> int:
    return 1 + (2 * index + 1) * 127 // (2 * bins) if bins else DEFAULT_VELOCITY
