"""Bars of a piece written anew in note_event, between bars that keep their notes.

A note belongs to where it begins. What is kept keeps its notes to the tick, whatever sounds around it:

- A kept note that sounds on into a gap does so; no new note strikes its pitch meanwhile, as that would cut it.
- A new note may sound on past the end of its gap, up to the first kept note after it and no further.
- A note of a gap that sounded on into kept bars goes with its gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import PITCHES, Note
from seqgan_music.music.tokenizers._event_filling import BarredFilling
from seqgan_music.music.tokenizers._event_grammar import ALL_PITCHES, Event, Span, sounded, without_overlaps
from seqgan_music.music.tokenizers._note_event_language import NoteEventGrammar, Writer
from seqgan_music.music.tokenizers._note_event_layout import Layout
from seqgan_music.music.tokenizers._note_event_returns import returning


class NoteEventFilling(BarredFilling[Layout, Event, NoteEventGrammar]):
    """One way to fill the gaps, as far as it has come. See `tokenizers.Filling`."""

    def __init__(self, layout: Layout, events: Sequence[Event], spans: Sequence[Span], key: int) -> None:
        """`key` as `Writer` takes it."""
        super().__init__(layout, NoteEventGrammar(layout), events, spans, key)

    def new_notes(self) -> list[Note]:
        """Return the notes that were not kept, in order."""
        new = without_overlaps(sorted(self._grammar.events(self._new)), Counter())
        return sounded(new, self._layout.velocities)

    def _written(self, begin: int, until: int, meters: int) -> list[int]:
        events = [event for event in self._events if begin <= event[0] < until]
        again = returning([*self._grammar.events(), *events], self._spans, self._layout.returns)
        writer = Writer(self._layout, self._spans, self._grammar, key=self._key, returning=again)
        return writer.write(events, meters)

    def _free_masks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Ids that go on with this gap and ids that end it, whatever pitches are asked for."""
        grammar, at = self._grammar, self._layout
        (start, until), free = self._window, grammar.phase == "free"
        implied = grammar.implied
        grammar.ask(self._asked())
        stay = grammar.allowed()
        leave = np.zeros_like(stay)
        voices = [slice(at.pitch, at.pitch + len(PITCHES)), slice(at.velocity, at.velocity + at.velocities)]
        self._bounded_ends(stay)
        if not free:
            return stay, leave
        line = grammar.bar_start + grammar.bar_ticks
        returned, comes = slice(at.returned, at.returned + at.returns), grammar.return_start
        final, crossed, past = self._last, line >= until, implied >= until
        if past and (final or crossed or self._voices_end_it()):
            grammar.ask(ALL_PITCHES)
            open_ = grammar.allowed()
            for voice in voices:
                leave[voice] = open_[voice]
            if comes is not None and comes >= until:
                leave[returned] = open_[returned]
        if comes is None or not start <= comes < until:
            stay[returned] = False
        if not start <= implied < until:
            for voice in voices:
                stay[voice] = False
        place = grammar.bar_start + np.arange(grammar.bar_ticks)
        stay[at.position : at.position + grammar.bar_ticks] &= (place >= start) & (place < until)
        if crossed:
            leave[at.bar : at.bar + 1] = True
            leave[at.meter : at.pitch] = stay[at.meter : at.pitch] & (self._closes or self._meter_changes(until))
            stay[at.bar] = False
        leave[at.end_of_piece] = stay[at.end_of_piece] and (final or (crossed and self._closes))
        stay[at.end_of_piece] = False
        stay[at.meter : at.pitch] = False  # the bar lines stay where they are
        new = bool(self._new) and self._new[-1] == len(grammar.groups) - 1
        stay[at.hold] &= new and grammar.cursor + grammar.bar_ticks <= self._bound
        if grammar.sounding <= self._heard_after:
            leave[:] = False
        return stay, leave

    def _voices_end_it(self) -> bool:
        """Whether a note that begins where the last one ends is what comes next if the gap is over here.

        Where a bar line has to be written first, it can be written in the gap as well, and the gap is over after
        it: what the ids are must tell where the gap ended, or some ways to fill it would count twice.
        """
        if self._meter_changes(self._window[1]):
            return False
        if not self._closes:
            return True
        cursor = self._grammar.cursor
        return cursor == self._bound and not any(self._window[0] < span.start <= cursor for span in self._spans)
