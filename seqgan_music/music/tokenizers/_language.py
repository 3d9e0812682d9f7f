"""What the grammars of notes in groups have in common, for the tokenizers and fillings that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import UNSAID

E = TypeVar("E")


class Group(NamedTuple):
    """Notes that begin and end together; `pitches` from 0 for the lowest that the instrument may have."""

    onset: int
    duration: int
    velocity: int
    """Bin."""
    pitches: tuple[int, ...]
    instrument: int = UNSAID


class Language(Protocol[E]):
    """A `tokenizers.Grammar` that knows what it has read. E is what it calls a note."""

    finished: bool
    groups: list[Group]
    chord: tuple[int, ...]
    """Pitches that wait for their end."""
    onset: int
    """Of the last group."""
    sounding: int
    """Where the longest note ends."""

    def __init__(self, layout: Any) -> None: ...

    @property
    def meters(self) -> Sequence[tuple[int, int]]:
        """(tick, index into METERS) of each meter."""
        ...

    @property
    def bar_start(self) -> int:
        """First tick of the bar that was reached."""
        ...

    @property
    def bar_ticks(self) -> int:
        """Its length, 0 before any."""
        ...

    @property
    def begun(self) -> bool:
        """Whether the onset of what comes next is known to be `onset`."""
        ...

    @property
    def implied(self) -> int:
        """The onset of what comes next if nothing else is said."""
        ...

    @property
    def instrument(self) -> int:
        """Who plays what comes next."""
        ...

    @property
    def pitched(self) -> bool:
        """Whether what comes next is of an instrument that is there and has pitches."""
        ...

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        ...

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) true for each id that may come next; all false when finished."""
        ...

    def accepts(self, token: int) -> bool:
        """Whether this id may come next."""
        ...

    def take(self, token: int) -> None:
        """Take one id that is known to be allowed."""
        ...

    def advance(self, token: int) -> None:
        """Take one id. Ids that are not allowed are ignored."""
        ...

    def ask(self, pitches: int) -> None:
        """From here on only this bit set of pitches."""
        ...

    def constrain(self, bars: int | None, ticks: int | None, asked: int, *, upbeat: bool = False) -> None:
        """From here on: so many bars, ticks and this bit set of pitches; as much more as what is there needs."""
        ...

    def events(self, groups: Iterable[int] | None = None) -> list[E]:
        """Return the notes so far, or those of these groups, in the order in which they were written."""
        ...
