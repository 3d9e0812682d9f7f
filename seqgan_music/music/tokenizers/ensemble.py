"""ensemble: several instruments and drums, bar by bar, in each bar one part after the other.

A part is written as note_event writes a melody, two tokens a note; who plays it is said once a bar:

    PROGRAM(40) PROGRAM(40) PROGRAM(42)
    METER(3/4) BAR PROGRAM(40) PITCH(67) END(24) PITCH(66) END(36) PROGRAM(40) PITCH(62) END(36)
    PROGRAM(42) PITCH(43) END(36) BAR ... END_OF_PIECE

- `PROGRAM(p)`: a General MIDI program 0..127, or `drums`. Those that open the piece declare who plays in it, a
  program once for each of its players; in a bar one begins the part of that instrument. Parts come in the order of
  their programs, drums last, players in order; those that rest in a bar are not named, but for players of one
  program before one who plays: the second violin alone is `PROGRAM(40) PROGRAM(40) PITCH(...)`.
- `BAR`: the next bar begins; written for every bar.
- `AT(p)`: the next notes of this part begin at tick p of the bar. Never written for the implied onset: where the
  part's last notes in this bar ended, or the bar's start. Drums have none, every onset of theirs is written.
- `DRUM(m)`: a drum that is struck here, 27..87 of the percussion key map; ascending. Drums have no length: what is
  decoded lasts one tick.
- `METER`, `VELOCITY` (of one part from here on), `PITCH`, `END`, `HOLD`, `END_OF_PIECE`, `KEY`: as in note_event.

So that parts which sound together stand together, and a bar can be counted: what the others play at a place of this
bar is what the generator's attention finds under "this bar, this place" (`learning.clock`). Notes that do not say
their instrument are of the piece's. Tempo and name are not held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import DRUMS, PITCHES, UNSAID, Meter, Piece
from seqgan_music.music.tokenizers import Decoded
from seqgan_music.music.tokenizers._ensemble_filling import EnsembleFilling
from seqgan_music.music.tokenizers._ensemble_language import (
    HITS,
    MOST_PARTS,
    EnsembleGrammar,
    EnsembleLayout,
    Voiced,
    Writer,
    apart,
    header_of,
    in_order,
    notes_of,
)
from seqgan_music.music.tokenizers._note_event_language import (
    ALL_PITCHES,
    MOST_BARS,
    Event,
    Span,
    bits,
)
from seqgan_music.music.tokenizers._note_event_layout import METERS
from seqgan_music.music.tokenizers._preparing import COMMON_TIME, best_key, bounded, on_grid, spans_of


class Ensemble:
    """Pieces to one row of ids each, closed by END_OF_PIECE. Positions and durations in ticks."""

    @dataclass(frozen=True)
    class Options:
        """What a config may set."""

        velocity_bins: int = 0
        """Levels of loudness that are told apart; 0 leaves loudness out, and every note has velocity 80."""
        keys: bool = False
        """Whether every piece is written in C major or A minor, and its key said first."""

        def __post_init__(self) -> None:
            """Refuse values that cannot be."""
            if not 0 <= self.velocity_bins <= 32:
                raise ConfigError(f"velocity_bins must be 0 to 32, not {self.velocity_bins}.")

    name: ClassVar[str] = "ensemble"
    unit_name: ClassVar[str] = "note"

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        self.options = options
        self.ticks_per_beat = ticks_per_beat
        self.layout = EnsembleLayout(ticks_per_beat, options.velocity_bins, keys=options.keys)
        self.vocabulary = self.layout.names
        self.start_id = len(self.vocabulary)
        self.end_id: int | None = self.layout.end_of_piece

    def normalise(self, piece: Piece) -> tuple[Piece, Counter[str]]:
        """Return the piece on this grid, and what was changed or lost, counted by reason.

        As in note_event, of each instrument by itself. Instruments past the 32nd are left out.
        """
        events, spans, changed = self._prepare(piece)
        return self._piece(events, [(span.start, span.meter) for span in spans]), changed

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return the piece as one row of ids, or no row where it has no notes."""
        events, spans, _ = self._prepare(piece)
        if not events:
            return []
        tuned = [event[1] for instrument, event in events if instrument != DRUMS]
        key = best_key(tuned, self.layout) if self.options.keys and tuned else 0
        parts = header_of(instrument for instrument, _ in events)
        writer = Writer(self.layout, spans, parts, EnsembleGrammar(self.layout), key=key)
        return [[*writer.write(events), self.layout.end_of_piece]]

    def decode(self, ids: Sequence[int]) -> Decoded:
        """Return the piece of any ids. What the grammar does not allow is dropped, counted as in note_event."""
        grammar = EnsembleGrammar(self.layout)
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
        return Decoded(self._piece(apart(grammar.events(), Counter()), grammar.meters), dropped)

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of notes in a row: its PITCH and DRUM tokens."""
        at, row = self.layout, np.asarray(ids)
        tuned = (row >= at.pitch) & (row < at.pitch + len(PITCHES))
        return int((tuned | ((row >= at.drum) & (row < at.drum + len(HITS)))).sum())

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose, drums apart, by each number of semitones; -1 as in note_event."""
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
    ) -> EnsembleGrammar:
        """Return a grammar after `prefix`, that ends after `bars` bars or `ticks` ticks, of `pitches` only.

        Both count from the start of the piece, prefix included. The last notes of a piece of N bars sound in bar N,
        and none sounds after it; END_OF_PIECE is open there as soon as something does. Drums have no pitch.
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
        grammar = EnsembleGrammar(self.layout)
        for token in prefix:
            if token != self.end_id:
                grammar.advance(token)
        grammar.constrain(bars, ticks, asked)
        return grammar

    def filling(self, ids: Sequence[int]) -> EnsembleFilling:
        """Return the piece of `ids` as one to be filled anew in places, by the same instruments."""
        grammar = EnsembleGrammar(self.layout)
        for token in ids:
            grammar.advance(token)
        spans: list[Span] = []
        for start, meter in grammar.meters:
            bar = spans[-1].bar + (start - spans[-1].start) // spans[-1].bar_ticks if spans else 0
            spans.append(Span(start, bar, meter, self.layout.bar_ticks[meter]))
        events = apart(grammar.events(), Counter())
        return EnsembleFilling(self.layout, events, spans, grammar.parts, grammar.key)

    def last_bar(self, ids: Sequence[int]) -> tuple[int, int]:
        """Return the first tick of the last bar that ids reach, and the length of bars there: 0 before any."""
        grammar = self.grammar(prefix=ids)
        return grammar.bar_start, grammar.bar_ticks

    def _prepare(self, piece: Piece) -> tuple[list[Voiced], list[Span], Counter[str]]:
        """(instrument, event) of each note in order, the spans that hold them, and the counts of `normalise`."""
        changed: Counter[str] = Counter()  # `+=` keeps what is above 0 only
        parts: dict[int, list[Event]] = {}
        outside = 0
        for note in piece.notes:
            instrument = piece.program if note.instrument == UNSAID else DRUMS if note.drum else note.instrument
            if note.onset >= 0 and note.pitch in (HITS if note.drum else PITCHES):
                own = (note.onset, note.pitch, note.duration, note.velocity)
                parts.setdefault(instrument, []).append(own)
            else:
                outside += 1
        there = set(header_of(parts))
        beyond = sum(len(parts.pop(instrument)) for instrument in set(parts) - there)
        changed += Counter(
            {
                "notes outside the 88 keys or the drums": outside,
                f"notes of instruments after the {MOST_PARTS}nd": beyond,
                "tempo changes left out": len(piece.tempos) - 1,
            }
        )
        rounded: list[Voiced] = []
        meters = piece.meters or (COMMON_TIME,)
        for instrument, own_events in sorted(parts.items(), key=lambda one: in_order(one[0])):
            on, meters = on_grid(piece, own_events, self.ticks_per_beat, self.layout.velocities, changed)
            if instrument == DRUMS:
                on = [(onset, pitch, 1, loudness) for onset, pitch, _, loudness in on]
            rounded += [(instrument, event) for event in on]
        events = apart(rounded, changed)
        last = max((event[0] for _, event in events), default=-1)
        spans = spans_of(meters, last, self.ticks_per_beat, changed)
        return _bounded(events, spans, changed), spans, changed

    def _piece(self, events: Iterable[Voiced], meters: Iterable[tuple[int, int]]) -> Piece:
        """The piece of events; `meters` are (tick, index), those after the last onset are left out."""
        notes = notes_of(events, self.layout.velocities)
        last_onset = notes[-1].onset if notes else -1
        heard = tuple(Meter(tick, *METERS[index]) for tick, index in meters if tick <= last_onset)
        return Piece(tuple(notes), self.ticks_per_beat, heard or (COMMON_TIME,))


def _bounded(events: list[Voiced], spans: Sequence[Span], changed: Counter[str]) -> list[Voiced]:
    parts: dict[int, list[Event]] = {}
    for instrument, event in events:
        parts.setdefault(instrument, []).append(event)
    return [(own, event) for own in parts for event in bounded(parts[own], spans, changed)]
