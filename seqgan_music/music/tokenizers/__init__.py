"""Tokenizers: one file each, found by name. A tokenizer maps pieces to rows of ids and back.

Laws, tested for every file of this folder:
- `decode(encode(piece))` equals `normalise(piece)`: what is lost is lost in `normalise` alone, and counted there.
- any row of ids decodes to a playable piece; tokens that make no sense are dropped and counted, never raised.
- `encode` is deterministic; ids are stable for a saved vocabulary (name, options and token names).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from seqgan_music import choices
from seqgan_music.config import build
from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import Note, Piece

FINEST_GRID = 960
"""Ticks a beat: a vocabulary names each place of a bar."""


@dataclass(frozen=True)
class Decoded:
    """A piece made from ids, and the tokens that were dropped on the way, counted by reason."""

    piece: Piece
    dropped: Counter[str]


class Grammar(Protocol):
    """Which ids may follow, step by step: keeps sampling in the language of a tokenizer.

    `decode` of the same tokenizer drops exactly the tokens that its unconstrained grammar does not allow.
    """

    finished: bool

    def copy(self) -> Grammar:
        """Return another that goes its own way from here."""
        ...

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next. All false when `finished`, and only then."""
        ...

    def advance(self, token: int) -> None:
        """Take one id. Ids that are not allowed are ignored."""
        ...


class Reader(Protocol):
    """A row of ids that is read some at a time, and what `decode` makes of it so far."""

    def copy(self) -> Reader:
        """Return another that goes its own way from here."""
        ...

    def read(self, ids: Iterable[int]) -> None:
        """Go on with these ids."""
        ...

    def count(self) -> int:
        """Return the number of notes of the piece so far."""
        ...

    def piece(self, bars: int | None = None) -> Piece:
        """Return the piece so far. With `bars` it may lack notes that are over before its last so many bars.

        These end with the bar of the last onset, drums apart.
        """
        ...


class WholeReader:
    """The reader of a tokenizer that decodes a row at once, quickly."""

    def __init__(self, decode: Callable[[Sequence[int]], Decoded], ids: Iterable[int] = ()) -> None:
        self._decode, self._ids = decode, list(ids)

    def copy(self) -> WholeReader:
        """Return another that goes its own way from here."""
        return WholeReader(self._decode, self._ids)

    def read(self, ids: Iterable[int]) -> None:
        """Go on with these ids."""
        self._ids += ids

    def count(self) -> int:
        """Return the number of notes of the piece so far."""
        return len(self.piece().notes)

    def piece(self, bars: int | None = None) -> Piece:
        """Return the piece so far, all of it."""
        return self._decode(self._ids).piece


class Masks(NamedTuple):
    """What may come next in a gap, each (V,)."""

    stay: npt.NDArray[np.bool_]
    """Ids that go on with it."""
    leave: npt.NDArray[np.bool_]
    """Ids that say that it is over."""
    wanted: npt.NDArray[np.bool_]
    """Those of `stay` but for pitches that are not among the ones asked for."""


class Filling(Protocol):
    """One way to fill the gaps of a piece with new notes, as far as it has come, from the start on.

    `keep` up to a gap, `open` it (bar by bar, if one likes: `keep` to where one stands, then `open` again), then
    `advance` until it is `done`, `keep` on to the next gap, ... A note belongs to where it begins. What is kept
    keeps its notes exactly; new ones do not sound past the first kept note after their gap.
    """

    done: bool
    """Whether the gap that was opened last is over."""

    def copy(self) -> Filling:
        """Return another that goes its own way from here."""
        ...

    def keep(self, until: int, *, last: bool = False) -> list[int]:
        """Write what is kept from here to tick `until`, and the end of the piece if `last`; return its ids."""
        ...

    def open(
        self,
        until: int,
        *,
        bound: int,
        pitches: Collection[int] | None = None,
        heard_after: int = -1,
        closes: bool = True,
        last: bool = False,
    ) -> None:
        """Let new notes begin from here up to tick `until`, none to sound past tick `bound`.

        `pitches` are those that are asked for: they bind who draws, see `Masks`.
        The gap is not over before something has sounded after tick `heard_after`. `closes` is false where the gap
        is opened again right after this part of it, `last` true where the piece is to end with it.
        """
        ...

    def masks(self) -> Masks:
        """What may come next; nothing at a dead end."""
        ...

    def advance(self, token: int) -> None:
        """Take an id that goes on, or be `done` at one that says that the gap is over: that one is not written."""
        ...

    def new_notes(self) -> list[Note]:
        """Return the notes so far that were not kept, in order."""
        ...


class Tokenizer(Protocol):
    """Pieces to rows of ids, 0 to V - 1, and back. Piece and ids are taken as they are: nothing is checked.

    A file of `music/tokenizers` defines one; `Options` is a frozen dataclass of the options a config may set.
    """

    name: ClassVar[str]
    unit_name: ClassVar[str]
    """What `units` counts, in the singular, as "note" or "step"."""
    Options: ClassVar[type[Any]]
    options: Any
    ticks_per_beat: int
    """The grid of every piece that is decoded."""
    qpm: float | None
    """Tempo of every piece that is decoded, where tokens tell seconds; None where they tell beats of any tempo."""
    vocabulary: tuple[str, ...]
    """Name of each id; its length is V."""
    start_id: int
    """Fed to a generator before the first token; V itself, since it is never sampled."""
    end_id: int | None
    """Ends every row, or None where rows have one fixed length."""

    def __init__(self, options: Any, ticks_per_beat: int) -> None: ...

    def normalise(self, piece: Piece) -> tuple[Piece, Counter[str]]:
        """Return the piece as this tokenizer can hold it, and what was changed or lost, counted by reason."""
        ...

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return the rows of ids of one piece: one row, or several where rows have a fixed length."""
        ...

    def decode(self, ids: Sequence[int]) -> Decoded:
        """Return the piece that any sequence of ids stands for."""
        ...

    def reader(self) -> Reader:
        """Return one that has read nothing yet; `WholeReader(self.decode)` will do."""
        ...

    def units(self, ids: Sequence[int]) -> int:
        """Return the number of notes (or steps) in a row, for bits per note."""
        ...

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose by each number of semitones; -1 where a pitch leaves the 88 keys."""
        ...

    def effects(self) -> npt.NDArray[np.int32] | None:
        """(2, V) what each id does to the clock (`tokenset.Effect`) and its value; None where ids have no bars."""
        ...

    def grammar(
        self,
        *,
        bars: int | None = None,
        ticks: int | None = None,
        pitches: Collection[int] | None = None,
        prefix: Sequence[int] = (),
        upbeat: bool = False,
    ) -> Grammar:
        """Return a grammar after `prefix`, that ends after `bars` bars or `ticks` ticks, of `pitches` only.

        With `upbeat` there is a bar more where the piece begins in the second half of its first one and the
        tokenizer can tell. Bars and ticks count from the start of the piece, prefix included; an end in the prefix
        is not taken.
        Without them the language is what `decode` takes whole. Raises ConfigError where no piece can be.
        """
        ...

    def filling(self, ids: Sequence[int]) -> Filling:
        """Return the piece of `ids`, as `encode` gives them, as one whose bars can be written anew in places."""
        ...

    def last_bar(self, ids: Sequence[int]) -> tuple[int, int]:
        """Return the first tick of the last bar that ids reach, and the length of bars there: 0 before any."""
        ...


def create(name: str, options: Mapping[str, Any], ticks_per_beat: int) -> Tokenizer:
    """Build a tokenizer from a config. Raises ConfigError for an unknown name, option or value."""
    if not isinstance(ticks_per_beat, int) or not 1 <= ticks_per_beat <= FINEST_GRID:
        raise ConfigError(f"ticks_per_beat must be a whole number, 1 to {FINEST_GRID}, not {ticks_per_beat}.")
    cls = choices.load(__name__, name, "tokenizer")
    tokenizer: Tokenizer = cls(build(cls.Options, options, f"Tokenizer '{name}'"), ticks_per_beat)
    return tokenizer
