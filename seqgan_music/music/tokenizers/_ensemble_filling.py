"""Bars of a piece written anew in ensemble, by its own instruments, between bars that keep their notes.

As in note_event: a note belongs to where it begins, kept notes stay to the tick, new ones sound no further than to
the first kept note after their gap. A gap that begins inside a bar is gone on with by the part that was written
last and those after it: parts before it have had their turn in that bar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import PITCHES, PROGRAMS, Note
from seqgan_music.music.tokenizers._ensemble_language import (
    HITS,
    EnsembleGrammar,
    EnsembleLayout,
    Voiced,
    Writer,
    apart,
    notes_of,
)
from seqgan_music.music.tokenizers._event_filling import BarredFilling
from seqgan_music.music.tokenizers._event_grammar import Span
from seqgan_music.music.tokenizers._note_event_layout import METERS


class EnsembleFilling(BarredFilling[EnsembleLayout, Voiced, EnsembleGrammar]):
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
        super().__init__(layout, EnsembleGrammar(layout), events, spans, key)
        self._parts = parts

    def new_notes(self) -> list[Note]:
        """Return the notes that were not kept, in order."""
        return notes_of(apart(self._grammar.events(self._new), Counter()), self._layout.velocities)

    def _written(self, begin: int, until: int, meters: int) -> list[int]:
        events = [one for one in self._events if begin <= one[1][0] < until]
        writer = Writer(self._layout, self._spans, self._parts, self._grammar, key=self._key)
        return writer.write(events, meters)

    def _free_masks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Ids that go on with this gap and ids that end it, whatever pitches are asked for."""
        grammar, at = self._grammar, self._layout
        start, until = self._window
        grammar.ask(self._asked())
        stay = grammar.allowed()
        leave = np.zeros_like(stay)
        bar, ticks = grammar.bar_start, grammar.bar_ticks
        self._bounded_ends(stay)
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
            leave[meters] = stay[meters] & (self._closes or self._meter_changes(until))
        leave[at.end_of_piece] = stay[at.end_of_piece] and (self._last or (crossed and self._closes))
        stay[at.bar] &= not crossed
        stay[at.end_of_piece] = False
        stay[at.meter : at.meter + len(METERS)] = False  # the bar lines stay where they are
        if grammar.sounding <= self._heard_after:
            leave[:] = False
        return stay, leave
