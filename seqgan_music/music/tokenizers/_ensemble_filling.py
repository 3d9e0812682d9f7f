"""Bars of a piece written anew in ensemble, by its own instruments, between bars that keep their notes.

As in note_event: a note belongs to where it begins, kept notes stay to the tick, new ones sound no further than to
the first kept note after their gap. A gap that begins inside a bar is gone on with by the part that was written
last and those after it: parts before it have had their turn in that bar.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import PITCHES, PROGRAMS, Note
from seqgan_music.music.tokenizers import Masks
from seqgan_music.music.tokenizers._ensemble_language import (
    HITS,
    EnsembleGrammar,
    EnsembleLayout,
    Voiced,
    Writer,
    apart,
    notes_of,
)
from seqgan_music.music.tokenizers._note_event_language import ALL_PITCHES, Span, bits
from seqgan_music.music.tokenizers._note_event_layout import METERS


class EnsembleFilling:
    """One way to fill the gaps, as far as it has come. See `tokenizers.Filling`."""

    def __init__(
        self,
        layout: EnsembleLayout,
        events: Sequence[Voiced],
        spans: Sequence[Span],
        parts: Sequence[int],
        key: int,
    ) -> None:
        """`parts` and `key` as `Writer` takes them."""
        self.done = False
        self._stay: npt.NDArray[np.bool_] | None = None  # what `masks` found for this state
        self._layout, self._events, self._spans, self._parts, self._key = layout, events, spans, parts, key
        self._grammar = EnsembleGrammar(layout)
        self._new: list[int] = []  # indices of the groups that are new
        self._window = (0, 0)
        self._bound = 0
        self._heard_after = -1
        self._closes, self._last = True, False
        self._pitches = ALL_PITCHES
        self._ringing: list[tuple[int, int, int]] = []  # (instrument, pitch as a bit, end) of kept notes

    def copy(self) -> EnsembleFilling:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other._grammar, other._new = self._grammar.copy(), list(self._new)
        return other

    def keep(self, until: int, *, last: bool = False) -> list[int]:
        """Write what is kept from the last gap to tick `until`, and the end of the piece; return its ids."""
        begin = self._window[1]
        events = [one for one in self._events if begin <= one[1][0] < until]
        writer = Writer(self._layout, self._spans, self._parts, self._grammar, key=self._key)
        ids = writer.write(events, -1 if last else until) + [self._layout.end_of_piece] * last
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
            (instrument, 1 << pitch, onset + duration)
            for index, (onset, duration, _, chord, instrument) in enumerate(self._grammar.groups)
            if index not in new and onset + duration > start
            for pitch in chord
        ]
        self.done, self._stay = False, None

    def masks(self) -> Masks:
        """What may come next."""
        stay, leave = self._free_masks()
        self._stay, wanted = stay, stay
        grammar = self._grammar
        if self._pitches != ALL_PITCHES and grammar.part >= 0 and not grammar.drums:
            grammar.ask(self._asked() & self._pitches)
            names = slice(self._layout.pitch, self._layout.pitch + len(PITCHES))
            wanted = stay.copy()
            wanted[names] &= grammar.allowed()[names]
        return Masks(stay, leave, wanted)

    def _free_masks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Ids that go on with this gap and ids that end it, whatever pitches are asked for."""
        grammar, at = self._grammar, self._layout
        start, until = self._window
        grammar.ask(self._asked())
        stay = grammar.allowed()
        leave = np.zeros_like(stay)
        bar, ticks = grammar.bar_start, grammar.bar_ticks
        if grammar.phase == "chord":
            duration = (np.arange(ticks) - (grammar.onset - bar)) % ticks + 1
            stay[at.end : at.end + ticks] &= duration <= self._bound - grammar.onset
        if grammar.phase in ("placed", "voiced", "chord"):
            return stay, leave
        line = bar + ticks
        crossed = line >= until
        here = grammar.onset if grammar.drums else grammar.cursor
        if not start <= here < until:
            for first, count in ((at.pitch, len(PITCHES)), (at.drum, len(HITS)), (at.velocity, at.velocities)):
                stay[first : first + count] = False
        place = bar + np.arange(ticks)
        stay[at.position : at.position + ticks] &= (place >= start) & (place < until)
        stay[at.program : at.program + PROGRAMS] &= start < line
        new = bool(self._new) and self._new[-1] == len(grammar.groups) - 1
        stay[at.hold] &= new and grammar.cursor + ticks <= self._bound
        if crossed and grammar.phase != "part":
            leave[at.bar] = True
            meters = slice(at.meter, at.meter + len(METERS))
            leave[meters] = stay[meters] & (self._closes or any(span.start == until for span in self._spans))
        leave[at.end_of_piece] = stay[at.end_of_piece] and (self._last or (crossed and self._closes))
        stay[at.bar] &= not crossed
        stay[at.end_of_piece] = False
        stay[at.meter : at.meter + len(METERS)] = False  # the bar lines stay where they are
        if grammar.sounding <= self._heard_after:
            leave[:] = False
        return stay, leave

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

    def new_notes(self) -> list[Note]:
        """Return the notes that were not kept, in order."""
        return notes_of(apart(self._grammar.events(self._new), Counter()), self._layout.velocities)

    def _asked(self) -> int:
        """Pitches but those of kept notes of this instrument that still sound where the next notes begin."""
        grammar, asked = self._grammar, ALL_PITCHES
        if grammar.part < 0 or grammar.drums:
            return asked
        onset = grammar.cursor if grammar.phase in ("part", "free") else grammar.onset
        for instrument, bit, end in self._ringing:
            if instrument == grammar.instrument and end > onset:
                asked &= ~bit
        return asked
