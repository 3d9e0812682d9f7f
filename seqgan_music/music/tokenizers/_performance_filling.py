"""Stretches of a piece written anew in performance, between others that keep their notes.

As in note_event: a note belongs to where it begins, kept notes stay to the tick, new ones sound no further than to
the first kept note after their gap. A gap is over at a WAIT that leads out of it, or at the end of the piece.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import PITCHES, Note
from seqgan_music.music.tokenizers._event_filling import EventFilling
from seqgan_music.music.tokenizers._event_grammar import Event, sounded
from seqgan_music.music.tokenizers._performance_language import PerformanceGrammar, PerformanceLayout, written


class PerformanceFilling(EventFilling[PerformanceLayout, Event, PerformanceGrammar]):
    """One way to fill the gaps, as far as it has come. See `tokenizers.Filling`."""

    def __init__(self, layout: PerformanceLayout, events: Sequence[Event]) -> None:
        super().__init__(layout, PerformanceGrammar(layout), events)
        self._onsets = {event[0] for event in events}

    def new_notes(self) -> list[Note]:
        """Return the notes that were not kept, in order."""
        new = self._layout.apart(self._grammar.events(self._new), Counter())
        return sounded(new, self._layout.velocities)

    def _written(self, begin: int, until: int, meters: int) -> list[int]:
        kept = [event for event in self._events if begin <= event[0] < until]
        return written(self._layout, kept, self._grammar.onset, self._grammar.velocity)

    def _free_masks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Ids that go on with this gap and ids that end it, whatever pitches are asked for."""
        grammar, at = self._grammar, self._layout
        (start, until), onset = self._window, grammar.onset
        grammar.ask(self._asked())
        stay = grammar.allowed()
        leave = np.zeros_like(stay)
        if grammar.phase == "named":
            stay[at.lasts + 1 + at.last_within(self._bound - onset) : at.lasts + len(at.durations)] = False
            return stay, leave
        if not start <= onset < until:
            stay[at.pitch : at.pitch + len(PITCHES)] = False
            stay[at.velocity : at.velocity + at.velocities] = False
        waits = slice(at.wait, at.wait + at.waits)
        after = onset + 1 + np.arange(at.waits)  # the onset that each of them leads to
        another = after == after[-1]  # may follow the longest
        leave[waits] = stay[waits] & (after >= until)
        stay[waits] &= (after < until) & ((after >= start) | another)
        leave[at.end_of_piece] = stay[at.end_of_piece]
        stay[at.end_of_piece] = False
        # After a WAIT there is a note: a kept one, with which the bound is, or else one of this gap.
        final = self._last or (self._closes and self._bound not in self._onsets)
        if (final and grammar.phase != "free") or grammar.sounding <= self._heard_after:
            leave[:] = False
        return stay, leave
