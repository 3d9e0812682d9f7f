"""note_event, the default tokenizer: polyphony, durations, bars and meters in about two tokens a note.

A melody costs PITCH and END for each note and nothing else: the next note begins where the last one ended, and
bar lines that this crosses are not written. Everything else is said by a token of its own:

    METER(3/4) BAR PITCH(67) END(12) PITCH(60) PITCH(64) END(36) AT(12) PITCH(72) END(36) ... END_OF_PIECE

- `METER(n/d)`: the meter from the next bar on; BAR follows. Opens every piece, and stands at each change.
- `BAR`: the next bar begins. Written where the next note is not where the last one ended and lies in a later bar.
- `AT(p)`: the next notes begin at tick p of the current bar, p in 0..8 beats. Never written for the implied onset.
- `VELOCITY(b)`: loudness of the notes from here on, written where it changes; notes before any are as loud as 80.
  Only with `velocity_bins`.
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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import Note, Piece
from seqgan_music.music.tokenizers._event_grammar import Event, Span, sounded, without_overlaps
from seqgan_music.music.tokenizers._event_tokenizer import EventOptions, EventTokenizer
from seqgan_music.music.tokenizers._note_event_filling import NoteEventFilling
from seqgan_music.music.tokenizers._note_event_language import NoteEventGrammar, Writer
from seqgan_music.music.tokenizers._note_event_layout import Layout
from seqgan_music.music.tokenizers._note_event_returns import returning
from seqgan_music.music.tokenizers._preparing import best_key, bounded, keyed, on_grid, spans_of


class NoteEvent(EventTokenizer[Layout, Event, NoteEventGrammar]):
    """Pieces to one row of ids each, closed by END_OF_PIECE. Positions and durations in ticks."""

    @dataclass(frozen=True)
    class Options(EventOptions):
        """What a config may set."""

        returns: int = 0
        """Bars back at most that a bar is said to be again, in a token before its notes; 0 leaves that out."""

        def __post_init__(self) -> None:
            """Refuse values that cannot be."""
            super().__post_init__()
            if not 0 <= self.returns <= 32:
                raise ConfigError(f"returns must be 0 to 32, not {self.returns}.")

    name: ClassVar[str] = "note_event"
    Grammar = NoteEventGrammar

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        layout = Layout(ticks_per_beat, options.velocity_bins, keys=options.keys, returns=options.returns)
        super().__init__(options, ticks_per_beat, layout)

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return the piece as one row of ids, or no row where it has no notes."""
        events, spans, _ = self._prepared(piece)
        if not events:
            return []
        key = best_key([event[1] for event in events], self.layout) if self.options.keys else 0
        again = returning(events, spans, self.options.returns)
        written = Writer(self.layout, spans, key=key, returning=again).write(events)
        return [[*written, self.layout.end_of_piece]]

    def filling(self, ids: Sequence[int]) -> NoteEventFilling:
        """Return the piece of `ids` as one to be filled anew in places."""
        grammar = self._read(ids)
        return NoteEventFilling(self.layout, self._apart(grammar.events()), grammar.spans(), grammar.key)

    def _prepare(self, piece: Piece) -> tuple[list[Event], list[Span], Counter[str]]:
        """Events in order, the spans of one meter that hold their onsets, and the counts of `normalise`."""
        changed: Counter[str] = Counter()  # `+=` keeps what is above 0 only
        events = keyed(piece, changed)
        changed += Counter({"tempo changes left out": len(piece.tempos) - 1})
        rounded, meters = on_grid(piece, events, self.ticks_per_beat, self.layout.velocities, changed)
        rounded.sort()
        events = without_overlaps(rounded, changed)
        spans = spans_of(meters, events[-1][0] if events else -1, self.ticks_per_beat, changed)
        return bounded(events, spans, changed), spans, changed

    def _apart(self, events: list[Event]) -> list[Event]:
        return without_overlaps(sorted(events), Counter())

    def _notes(self, events: Iterable[Event]) -> list[Note]:
        return sounded(events, self.layout.velocities)
