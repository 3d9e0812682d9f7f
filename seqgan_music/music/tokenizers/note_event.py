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
- `RETURN(k)`: with `returns`, the bar that begins here is the bar k before it again, note for note. Its notes are
  written all the same, with hardly a choice left: form is decided in one token and not anew at each note.
- `KEY(k)`: with `keys`, what follows is written in C major or A minor and sounds in the key of this signature. It
  opens the piece, so that what is learnt of one key is known of all twelve.

Notes of one onset are grouped by duration and loudness, the longest first, so that the last group, the shortest,
ends where the next note most likely begins. Positions and not durations, because where a note ends in the bar is
easier to learn than how long it lasts. Tempo, instrument and name are not held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import LOWEST_PITCH, PITCHES, Meter, Note, Piece
from seqgan_music.music.tokenizers import Decoded
from seqgan_music.music.tokenizers._note_event_filling import NoteEventFilling
from seqgan_music.music.tokenizers._note_event_language import (
    ALL_PITCHES,
    MOST_BARS,
    Event,
    NoteEventGrammar,
    Span,
    Writer,
    bits,
    centre,
    without_overlaps,
)
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout
from seqgan_music.music.tokenizers._note_event_returns import returning
from seqgan_music.music.tokenizers._preparing import COMMON_TIME, best_key, bounded, on_grid, spans_of


class NoteEvent:
    """Pieces to one row of ids each, closed by END_OF_PIECE. Positions and durations in ticks."""

    @dataclass(frozen=True)
    class Options:
        """What a config may set."""

        velocity_bins: int = 0
        """Levels of loudness that are told apart; 0 leaves loudness out, and every note has velocity 80."""
        keys: bool = False
        """Whether every piece is written in C major or A minor, and its key said first."""
        returns: int = 0
        """Bars back at most that a bar is said to be again, in a token before its notes; 0 leaves that out."""

        def __post_init__(self) -> None:
            """Refuse values that cannot be."""
            if not 0 <= self.velocity_bins <= 32:
                raise ConfigError(f"velocity_bins must be 0 to 32, not {self.velocity_bins}.")
            if not 0 <= self.returns <= 32:
                raise ConfigError(f"returns must be 0 to 32, not {self.returns}.")

    name: ClassVar[str] = "note_event"
    unit_name: ClassVar[str] = "note"

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        self.options = options
        self.ticks_per_beat = ticks_per_beat
        self.layout = Layout(ticks_per_beat, options.velocity_bins, keys=options.keys, returns=options.returns)
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
        key = best_key([event[1] for event in events], self.layout) if self.options.keys else 0
        again = returning(events, spans, self.options.returns)
        written = Writer(self.layout, spans, key=key, returning=again).write(events)
        return [[*written, self.layout.end_of_piece]]

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
        return Decoded(self._piece(without_overlaps(sorted(events), Counter()), grammar.meters), dropped)

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of notes in a row: its PITCH tokens."""
        first = self.layout.pitch
        row = np.asarray(ids)
        return int(((row >= first) & (row < first + len(PITCHES))).sum())

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose by each number of semitones; -1 where a pitch leaves the 88 keys.

        With keys they change the key alone, and are -1 where it has no such neighbour within the octave, or where a
        pitch could leave the 88 keys in some key.
        """
        return self.layout.shifts(semitones)

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
        asked = ALL_PITCHES
        if pitches is not None:
            asked = bits(pitches)
            if not asked:
                raise ConfigError("None of the pitches asked for is one of the 88 keys (21 to 108).")
        grammar = NoteEventGrammar(self.layout)
        for token in prefix:
            if token != self.end_id:
                grammar.advance(token)
        grammar.constrain(bars, ticks, asked)
        return grammar

    def filling(self, ids: Sequence[int]) -> NoteEventFilling:
        """Return the piece of `ids` as one to be filled anew in places."""
        grammar = NoteEventGrammar(self.layout)
        for token in ids:
            grammar.advance(token)
        events = [
            (o, LOWEST_PITCH + pitch, d, loudness) for o, d, loudness, chord in grammar.groups for pitch in chord
        ]
        spans: list[Span] = []
        for start, meter in grammar.meters:
            bar = spans[-1].bar + (start - spans[-1].start) // spans[-1].bar_ticks if spans else 0
            spans.append(Span(start, bar, meter, self.layout.bar_ticks[meter]))
        return NoteEventFilling(self.layout, without_overlaps(sorted(events), Counter()), spans, grammar.key)

    def last_bar(self, ids: Sequence[int]) -> tuple[int, int]:
        """Return the first tick of the last bar that ids reach, and the length of bars there: 0 before any."""
        grammar = self.grammar(prefix=ids)
        return grammar.bar_start, grammar.bar_ticks

    def _prepare(self, piece: Piece) -> tuple[list[Event], list[Span], Counter[str]]:
        """Events in order, the spans of one meter that hold their onsets, and the counts of `normalise`."""
        changed: Counter[str] = Counter()  # `+=` keeps what is above 0 only
        events = [
            (note.onset, note.pitch, note.duration, note.velocity)
            for note in piece.tuned.notes
            if note.pitch in PITCHES and note.onset >= 0
        ]
        drums = sum(note.drum for note in piece.notes)
        changed += Counter(
            {
                "drums left out": drums,
                "notes outside the 88 keys": len(piece.notes) - drums - len(events),
                "tempo changes left out": len(piece.tempos) - 1,
            }
        )
        rounded, meters = on_grid(piece, events, self.ticks_per_beat, self.layout.velocities, changed)
        rounded.sort()
        events = without_overlaps(rounded, changed)
        spans = spans_of(meters, events[-1][0] if events else -1, self.ticks_per_beat, changed)
        return bounded(events, spans, changed), spans, changed

    def _piece(self, events: Iterable[Event], meters: Iterable[tuple[int, int]]) -> Piece:
        """The piece of sorted events; `meters` are (tick, index), those after the last onset are left out."""
        bins = self.layout.velocities
        centres = [centre(index, bins) for index in range(max(1, bins))]
        notes = tuple(Note(onset, pitch, duration, centres[v]) for onset, pitch, duration, v in events)
        last_onset = notes[-1].onset if notes else -1
        heard = tuple(Meter(tick, *METERS[index]) for tick, index in meters if tick <= last_onset)
        return Piece(notes, self.ticks_per_beat, heard or (COMMON_TIME,))
