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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seqgan_music.music.notes import DRUMS, PITCHES, UNSAID, Note, Piece
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
from seqgan_music.music.tokenizers._event_grammar import Event, Span
from seqgan_music.music.tokenizers._event_tokenizer import EventOptions, EventTokenizer
from seqgan_music.music.tokenizers._preparing import COMMON_TIME, best_key, bounded, on_grid, spans_of


class Ensemble(EventTokenizer[EnsembleLayout, Voiced, EnsembleGrammar]):
    """Pieces to one row of ids each, closed by END_OF_PIECE. Positions and durations in ticks.

    What `normalise` does is done to each instrument by itself. Instruments past the 32nd are left out.
    """

    @dataclass(frozen=True)
    class Options(EventOptions):
        """What a config may set."""

    name: ClassVar[str] = "ensemble"
    Grammar = EnsembleGrammar

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        layout = EnsembleLayout(ticks_per_beat, options.velocity_bins, keys=options.keys)
        super().__init__(options, ticks_per_beat, layout)

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return the piece as one row of ids, or no row where it has no notes."""
        events, spans, _ = self._prepared(piece)
        if not events:
            return []
        tuned = [event[1] for instrument, event in events if instrument != DRUMS]
        key = best_key(tuned, self.layout) if self.options.keys and tuned else 0
        parts = header_of(instrument for instrument, _ in events)
        writer = Writer(self.layout, spans, parts, EnsembleGrammar(self.layout), key=key)
        return [[*writer.write(events), self.layout.end_of_piece]]

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of notes in a row: its PITCH and DRUM tokens."""
        first, row = self.layout.drum, np.asarray(ids)
        return super().units(ids) + int(((row >= first) & (row < first + len(HITS))).sum())

    def filling(self, ids: Sequence[int]) -> EnsembleFilling:
        """Return the piece of `ids` as one to be filled anew in places, by the same instruments."""
        grammar = self._read(ids)
        events, spans = self._apart(grammar.events()), grammar.spans()
        return EnsembleFilling(self.layout, events, spans, grammar.parts, grammar.key)

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

    def _apart(self, events: list[Voiced]) -> list[Voiced]:
        return apart(events, Counter())

    def _notes(self, events: Iterable[Voiced]) -> list[Note]:
        return notes_of(events, self.layout.velocities)


def _bounded(events: list[Voiced], spans: Sequence[Span], changed: Counter[str]) -> list[Voiced]:
    parts: dict[int, list[Event]] = {}
    for instrument, event in events:
        parts.setdefault(instrument, []).append(event)
    return [(own, event) for own in parts for event in bounded(parts[own], spans, changed)]
