"""Bars of a piece written anew in note_event, between bars that keep their notes.

A note belongs to where it begins. What is kept keeps its notes to the tick, whatever sounds around it:

- A kept note that sounds on into a gap does so; no new note strikes its pitch meanwhile, as that would cut it.
- A new note may sound on past the end of its gap, up to the first kept note after it and no further.
- A note of a gap that sounded on into kept bars goes with its gap.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import LOWEST_PITCH, PITCHES, Note
from seqgan_music.music.tokenizers import Masks
from seqgan_music.music.tokenizers._note_event_language import (
    ALL_PITCHES,
    Event,
    NoteEventGrammar,
    Span,
    Writer,
    bits,
    centre,
    without_overlaps,
)
from seqgan_music.music.tokenizers._note_event_layout import Layout
from seqgan_music.music.tokenizers._note_event_returns import returning


class NoteEventFilling:
    """One way to fill the gaps, as far as it has come. See `tokenizers.Filling`."""

    def __init__(self, layout: Layout, events: Sequence[Event], spans: Sequence[Span], key: int) -> None:
        """`key` as `Writer` takes it."""
        self.done = False
        self._stay: npt.NDArray[np.bool_] | None = None  # what `masks` found for this state
        self._layout, self._events, self._spans, self._key = layout, events, spans, key
        self._grammar = NoteEventGrammar(layout)
        self._new: list[int] = []  # indices of the groups that are new
        self._window = (0, 0)
        self._bound = 0
        self._heard_after = -1
        self._closes, self._last = True, False
        self._pitches = ALL_PITCHES
        self._ringing: list[tuple[int, int]] = []  # (pitch as a bit, end) of kept notes that sound into the gap

    def copy(self) -> NoteEventFilling:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other._grammar, other._new = self._grammar.copy(), list(self._new)
        return other

    def keep(self, until: int, *, last: bool = False) -> list[int]:
        """Write what is kept from the last gap to tick `until`, and the end of the piece; return its ids."""
        begin = self._window[1]
        events = [event for event in self._events if begin <= event[0] < until]
        before = [(o, LOWEST_PITCH + p, d, v) for o, d, v, chord in self._grammar.groups for p in chord]
        again = returning([*before, *events], self._spans, self._layout.returns)
        writer = Writer(self._layout, self._spans, self._grammar, key=self._key, returning=again)
        ids = writer.write(events, -1 if last else until)
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
            (1 << pitch, onset + duration)
            for index, (onset, duration, _, chord) in enumerate(self._grammar.groups)
            if index not in new and onset + duration > start
            for pitch in chord
        ]
        self.done, self._stay = False, None

    def masks(self) -> Masks:
        """What may come next."""
        stay, leave = self._free_masks()
        self._stay, wanted = stay, stay
        if self._pitches != ALL_PITCHES:
            grammar = self._grammar
            onset = grammar.onset if grammar.begun else max(grammar.cursor, grammar.bar_start)
            grammar.ask(self._asked(onset) & self._pitches)
            names = slice(self._layout.pitch, self._layout.pitch + len(PITCHES))
            wanted = stay.copy()
            wanted[names] &= grammar.allowed()[names]
        return Masks(stay, leave, wanted)

    def _free_masks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Ids that go on with this gap and ids that end it, whatever pitches are asked for."""
        grammar, at = self._grammar, self._layout
        (start, until), free = self._window, grammar.phase == "free"
        implied = max(grammar.cursor, grammar.bar_start)
        grammar.ask(self._asked(grammar.onset if grammar.begun else implied))
        stay = grammar.allowed()
        leave = np.zeros_like(stay)
        voices = [slice(at.pitch, at.pitch + len(PITCHES)), slice(at.velocity, at.velocity + at.velocities)]
        if grammar.phase == "chord":
            place = np.arange(grammar.bar_ticks)
            duration = (place - (grammar.onset - grammar.bar_start)) % grammar.bar_ticks + 1
            stay[at.end : at.end + grammar.bar_ticks] &= duration <= self._bound - grammar.onset
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
        groups = [self._grammar.groups[index] for index in self._new]
        events = [(o, LOWEST_PITCH + pitch, d, loudness) for o, d, loudness, chord in groups for pitch in chord]
        bins = self._layout.velocities
        return [Note(o, p, d, centre(v, bins)) for o, p, d, v in without_overlaps(sorted(events), Counter())]

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

    def _meter_changes(self, tick: int) -> bool:
        return any(span.start == tick for span in self._spans)

    def _asked(self, onset: int) -> int:
        asked = ALL_PITCHES
        for bit, end in self._ringing:
            if end > onset:
                asked &= ~bit
        return asked
