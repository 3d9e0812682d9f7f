"""What note_event, ensemble and performance share: ids laid out, a grammar that reads them, pieces on a grid."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import DRUMS, PITCHES, Meter, Note, Piece
from seqgan_music.music.tokenizers import Decoded
from seqgan_music.music.tokenizers._event_grammar import ALL_PITCHES, MOST_BARS, Span, bits
from seqgan_music.music.tokenizers._ids import Ids
from seqgan_music.music.tokenizers._language import Language
from seqgan_music.music.tokenizers._note_event_layout import METERS
from seqgan_music.music.tokenizers._preparing import COMMON_TIME

L = TypeVar("L", bound=Ids)
E = TypeVar("E")
G = TypeVar("G", bound=Language[Any])


@dataclass(frozen=True)
class EventOptions:
    """What a config may set."""

    velocity_bins: int = 0
    """Levels of loudness that are told apart; 0 leaves loudness out, and every note has velocity 80."""
    keys: bool = False
    """Whether every piece is written in C major or A minor, and its key said first."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if not 0 <= self.velocity_bins <= 32:
            raise ConfigError(f"velocity_bins must be 0 to 32, not {self.velocity_bins}.")


class EventTokenizer(ABC, Generic[L, E, G]):
    """Pieces to one row of ids each, closed by END_OF_PIECE. Positions and durations in ticks."""

    name: ClassVar[str]
    unit_name: ClassVar[str] = "note"
    qpm: float | None = None
    Grammar: type[G]

    def __init__(self, options: Any, ticks_per_beat: int, layout: L) -> None:
        self.options = options
        self.ticks_per_beat = ticks_per_beat
        self.layout = layout
        self.vocabulary = layout.names
        self.start_id = len(self.vocabulary)
        self.end_id: int | None = layout.end_of_piece
        self._last: tuple[Piece, tuple[list[E], list[Span], Counter[str]]] | None = None

    def __repr__(self) -> str:
        """Return "<note_event: 315 tokens, 12 ticks a beat>"."""
        return f"<{self.name}: {len(self.vocabulary)} tokens, {self.ticks_per_beat} ticks a beat>"

    def normalise(self, piece: Piece) -> tuple[Piece, Counter[str]]:
        """Return the piece on this grid, and what was changed or lost, counted by reason.

        Meters that have no token become ones of equal length, of an equal part of it, or the nearest; a change
        inside a bar moves to the next bar line. Of two notes of one pitch that overlap, the first is cut where
        the second begins; of two that begin together, the longer stays. The result has the default tempo,
        program 0 and no name: those are not in the tokens, and the caller puts them back.
        """
        events, spans, changed = self._prepared(piece)
        return self._piece(events, [(span.start, span.meter) for span in spans]), Counter(changed)

    def decode(self, ids: Sequence[int]) -> Decoded:
        """Return the piece of any ids. What the grammar does not allow is dropped, counted by kind of token.

        "unknown" counts ids outside the vocabulary, "after the end" what follows END_OF_PIECE, "unfinished" the
        pitches at the very end that no END follows.
        """
        reader = self.reader()
        reader.read(ids)
        if reader.grammar.chord:
            reader.dropped["unfinished"] = len(reader.grammar.chord)
        return Decoded(reader.piece(), reader.dropped)

    def reader(self) -> EventReader[L, E, G]:
        """Return one that has read nothing yet."""
        return EventReader(self)

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose, drums apart, by each number of semitones; -1 where one leaves the keys.

        With keys they change the key alone, and are -1 where it has no such neighbour within the octave, or where a
        pitch could leave the 88 keys in some key.
        """
        return self.layout.shifts(semitones)

    def effects(self) -> npt.NDArray[np.int32] | None:
        """(2, V) what each id does to bars and places: an `Effect` and its value in ticks; None without bars."""
        return self.layout.effects()

    def grammar(
        self,
        *,
        bars: int | None = None,
        ticks: int | None = None,
        pitches: Collection[int] | None = None,
        prefix: Sequence[int] = (),
        upbeat: bool = False,
    ) -> G:
        """Return a grammar after `prefix`, that ends after `bars` bars or `ticks` ticks, of `pitches` only.

        With `upbeat` an upbeat is not counted among the bars, where the language writes in the order of onsets.
        Both count from the start of the piece, prefix included. The last notes of a piece of N bars sound in bar N,
        and none sounds after it. When END_OF_PIECE is open is the language's to say. Drums have no pitch.
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
        grammar = self.Grammar(self.layout)
        for token in prefix:
            if token != self.end_id:
                grammar.advance(token)
        grammar.constrain(bars, ticks, asked, upbeat=upbeat)
        return grammar

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of notes in a row: its PITCH tokens."""
        first, row = self.layout.pitch, np.asarray(ids)
        return int(((row >= first) & (row < first + len(PITCHES))).sum())

    def last_bar(self, ids: Sequence[int]) -> tuple[int, int]:
        """Return the first tick of the last bar that ids reach, and the length of bars there: 0 before any."""
        grammar = self.grammar(prefix=ids)
        return grammar.bar_start, grammar.bar_ticks

    def _read(self, ids: Sequence[int]) -> G:
        """The grammar after ids, their end taken too."""
        grammar = self.Grammar(self.layout)
        for token in ids:
            grammar.advance(token)
        return grammar

    def _prepared(self, piece: Piece) -> tuple[list[E], list[Span], Counter[str]]:
        """Return what `_prepare` gives; the last is kept: who encodes a piece asks what was changed in it, too."""
        last = self._last  # another thread may put its own there
        if last is None or last[0] is not piece:
            last = self._last = piece, self._prepare(piece)
        return last[1]

    @abstractmethod
    def _prepare(self, piece: Piece) -> tuple[list[E], list[Span], Counter[str]]:
        """Events, the spans of one meter that hold their onsets, and the counts of `normalise`."""

    @abstractmethod
    def _apart(self, events: list[E]) -> list[E]:
        """Events in any order, one note a pitch at a time."""

    @abstractmethod
    def _notes(self, events: Iterable[E]) -> list[Note]:
        """Such events as notes, in order."""

    def piece(self, grammar: G, bars: int | None = None) -> Piece:
        """Return the piece that a grammar has written, as `Reader.piece`."""
        first = 0 if bars is None else self._first_sounding(grammar, bars)
        events = grammar.events(range(first, len(grammar.groups)))
        return self._piece(self._apart(events), grammar.meters)

    def _first_sounding(self, grammar: G, bars: int) -> int:
        """Return the index of the first group that sounds in the last `bars` bars (one at least).

        They end with the bar of the last onset that is no drum's. Groups before do not sound there, nor cut others.
        """
        groups = grammar.groups
        if not groups:
            return 0
        last = next((group for group in reversed(groups) if group.instrument != DRUMS), groups[-1])
        line = last.onset + 1  # the bars that are not counted yet begin before it
        for start, meter in reversed(grammar.meters or [(0, METERS.index((4, 4)))]):
            if start < line and bars:
                ticks = Meter(0, *METERS[meter]).bar_ticks(self.ticks_per_beat)
                there = -(-(line - start) // ticks)
                taken = min(there, bars)
                line, bars = start + (there - taken) * ticks, bars - taken
        return next(n for n, group in enumerate(groups) if group.onset + group.duration > line)

    def _piece(self, events: Iterable[E], meters: Iterable[tuple[int, int]]) -> Piece:
        """The piece of events; `meters` are (tick, index), those after the last onset are left out."""
        notes = self._notes(events)
        last_onset = notes[-1].onset if notes else -1
        heard = tuple(Meter(tick, *METERS[index]) for tick, index in meters if tick <= last_onset)
        return Piece(tuple(notes), self.ticks_per_beat, heard or (COMMON_TIME,))


class EventReader(Generic[L, E, G]):
    """A row of ids that is read some at a time: its grammar, and the tokens dropped so far by kind."""

    def __init__(self, tokenizer: EventTokenizer[L, E, G]) -> None:
        self._tokenizer = tokenizer
        self.grammar = tokenizer.Grammar(tokenizer.layout)
        self.dropped: Counter[str] = Counter()

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other.grammar, other.dropped = self.grammar.copy(), Counter(self.dropped)
        return other

    def read(self, ids: Iterable[int]) -> None:
        """Go on with these ids."""
        grammar, kinds = self.grammar, self._tokenizer.layout.kinds
        for token in map(int, ids):  # NumPy's integers overflow in the bit sets
            if not 0 <= token < len(kinds):
                self.dropped["unknown"] += 1
            elif grammar.finished:
                self.dropped["after the end"] += 1
            elif grammar.accepts(token):
                grammar.take(token)
            else:
                self.dropped[kinds[token]] += 1

    def count(self) -> int:
        """Return the number of notes of the piece so far; none is lost where one cuts another."""
        return sum(len(group.pitches) for group in self.grammar.groups)

    def piece(self, bars: int | None = None) -> Piece:
        """Return the piece so far. With `bars` it may lack notes that are over before its last so many bars."""
        return self._tokenizer.piece(self.grammar, bars)
