"""What fillings have in common: a piece in groups, some of them kept, some new; and what those with bars have."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import PITCHES, Note
from seqgan_music.music.tokenizers import Masks
from seqgan_music.music.tokenizers._event_grammar import ALL_PITCHES, EventGrammar, Span, bits
from seqgan_music.music.tokenizers._ids import Ids
from seqgan_music.music.tokenizers._language import Language
from seqgan_music.music.tokenizers._note_event_layout import Layout

L = TypeVar("L", bound=Ids)
E = TypeVar("E")
G = TypeVar("G", bound=Language[Any])
BarredL = TypeVar("BarredL", bound=Layout)
BarredG = TypeVar("BarredG", bound=EventGrammar)  # type: ignore[type-arg]


class EventFilling(ABC, Generic[L, E, G]):
    """One way to fill the gaps, as far as it has come. See `tokenizers.Filling`."""

    def __init__(self, layout: L, grammar: G, events: Sequence[E]) -> None:
        """`grammar` is that of nothing yet."""
        self.done = False
        self._stay: npt.NDArray[np.bool_] | None = None  # what `masks` found for this state
        self._layout, self._grammar, self._events = layout, grammar, events
        self._new: list[int] = []  # indices of the groups that are new
        self._window = (0, 0)
        self._bound = 0
        self._heard_after = -1
        self._closes, self._last = True, False
        self._pitches = ALL_PITCHES
        self._ringing: list[tuple[int, int, int]] = []  # (instrument, pitch as a bit, end) of kept notes

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other._grammar, other._new = self._grammar.copy(), list(self._new)
        return other

    def keep(self, until: int, *, last: bool = False) -> list[int]:
        """Write what is kept from the last gap to tick `until`, and the end of the piece; return its ids."""
        ids = self._written(self._window[1], until, -1 if last else until)
        ids += [self._layout.end_of_piece] * last
        for token in ids:
            self._grammar.take(token)
        self._window = (until, until)
        return ids

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
        """Let new notes begin from here up to tick `until`, none to sound past tick `bound`."""
        start = self._window[1]
        self._window = (start, until)
        self._bound, self._heard_after = bound, heard_after
        self._closes, self._last = closes, last
        self._pitches = ALL_PITCHES if pitches is None else bits(pitches)
        new = set(self._new)
        self._ringing = [
            (group.instrument, 1 << pitch, group.onset + group.duration)
            for index, group in enumerate(self._grammar.groups)
            if index not in new and group.onset + group.duration > start
            for pitch in group.pitches
        ]
        self.done, self._stay = False, None

    def masks(self) -> Masks:
        """What may come next."""
        stay, leave = self._free_masks()
        self._stay, wanted = stay, stay
        grammar = self._grammar
        if self._pitches != ALL_PITCHES and grammar.pitched:
            grammar.ask(self._asked() & self._pitches)
            names = slice(self._layout.pitch, self._layout.pitch + len(PITCHES))
            wanted = stay.copy()
            wanted[names] &= grammar.allowed()[names]
        return Masks(stay, leave, wanted)

    def advance(self, token: int) -> None:
        """Take an id that goes on, or end this gap at one that says that it is over, which is not written."""
        stay = self._free_masks()[0] if self._stay is None else self._stay
        self._stay = None
        if not stay[token]:
            self.done = True
            return
        before = len(self._grammar.groups)
        self._grammar.take(token)
        if len(self._grammar.groups) > before:
            self._new.append(before)

    @abstractmethod
    def new_notes(self) -> list[Note]:
        """Return the notes that were not kept, in order."""

    @abstractmethod
    def _written(self, begin: int, until: int, meters: int) -> list[int]:
        """Ids of what is kept from tick `begin` to `until`, and of changes of meter up to the last and `meters`."""

    @abstractmethod
    def _free_masks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Ids that go on with this gap and ids that end it, whatever pitches are asked for."""

    def _asked(self) -> int:
        """Pitches but those of kept notes of this instrument that still sound where the next notes begin."""
        grammar, asked = self._grammar, ALL_PITCHES
        if not grammar.pitched:
            return asked
        onset = grammar.onset if grammar.begun else grammar.implied
        for instrument, bit, end in self._ringing:
            if instrument == grammar.instrument and end > onset:
                asked &= ~bit
        return asked


class BarredFilling(EventFilling[BarredL, E, BarredG]):
    """The same in a language that has bars."""

    def __init__(
        self, layout: BarredL, grammar: BarredG, events: Sequence[E], spans: Sequence[Span], key: int
    ) -> None:
        """`key` as the language's `Writer` takes it."""
        super().__init__(layout, grammar, events)
        self._spans, self._key = spans, key

    def _bounded_ends(self, stay: npt.NDArray[np.bool_]) -> None:
        """Leave open of the ENDs of a chord those that do not sound past the bound."""
        grammar, first, ticks = self._grammar, self._layout.end, self._grammar.bar_ticks
        if grammar.phase == "chord":
            duration = (np.arange(ticks) - (grammar.onset - grammar.bar_start)) % ticks + 1
            stay[first : first + ticks] &= duration <= self._bound - grammar.onset

    def _meter_changes(self, tick: int) -> bool:
        return any(span.start == tick for span in self._spans)
