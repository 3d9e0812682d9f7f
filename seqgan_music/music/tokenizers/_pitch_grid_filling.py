"""Bars of a piece written anew in pitch_grid, between bars that keep their notes.

Every step has an id, so that a gap is a number of steps. Steps in which a kept note sounds on are given. The ids of
a note that began in a gap and sounds on into kept bars go with the gap: there new notes may sound on, or nothing.
The grid cannot tell a note that is held from one struck again: a new note beside a kept one of its pitch is struck.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import numpy as np

from seqgan_music.music.notes import LOWEST_PITCH, PITCHES, Note
from seqgan_music.music.tokenizers import Masks


class PitchGridFilling:
    """One way to fill the gaps, as far as it has come. See `tokenizers.Filling`.

    `old` are the ids of the piece, `rest` and `first` those of silence and of pitch 21, `size` is V.
    """

    def __init__(self, old: Sequence[int], step_ticks: int, rest: int | None, first: int, size: int) -> None:
        self.done = False
        self._old, self._step, self._rest, self._first, self._size = old, step_ticks, rest, first, size
        self._ids: list[int] = []
        self._new: list[bool] = []
        self._until = 0  # steps
        self._open = 0  # steps up to which new notes may begin
        self._pitches: Collection[int] | None = None
        self._heard_after = -1

    def copy(self) -> PitchGridFilling:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other._ids, other._new = list(self._ids), list(self._new)
        return other

    def keep(self, until: int, *, last: bool = False) -> list[int]:
        """Write what is kept from here to tick `until`; there is no id for the end."""
        end = self._steps(until)
        ids = list(self._old[len(self._ids) : end])
        self._ids += ids
        self._new += [False] * len(ids)
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
        self._open = self._steps(until)
        self._until = min(self._steps(bound), self._open + (self._remains(self._open) if closes else 0))
        self._pitches, self._heard_after = pitches, heard_after
        self.done = len(self._ids) >= self._until

    def masks(self) -> Masks:
        """What may come next; none ends a gap, as its steps are counted."""
        stay = np.zeros(self._size, dtype=np.bool_)
        here = len(self._ids)
        held = self._held()
        if held is not None:
            stay[held] = True
        elif here >= self._open:
            stay[self._ids[-1] if self._new[-1] or self._rest is None else self._rest] = True
            if self._rest is not None:
                stay[self._rest] = True
        else:
            stay[self._first :] = True
            must = here == self._until - 1 and not self._heard()
            if self._rest is not None and not must:
                stay[self._rest] = True
        wanted = stay.copy()
        if held is None and here < self._open and self._pitches is not None:
            wanted[self._first :] = [pitch in self._pitches for pitch in PITCHES]
        return Masks(stay, np.zeros_like(stay), wanted)

    def advance(self, token: int) -> None:
        """Take an id; the last step ends the gap."""
        self._new.append(self._held() is None)
        self._ids.append(int(token))
        self.done = len(self._ids) >= self._until

    def new_notes(self) -> list[Note]:
        """Return the notes that were not kept, in order."""
        notes: list[Note] = []
        before = self._rest
        for step, (token, new) in enumerate(zip(self._ids, self._new, strict=True)):
            sounding = token if new else None
            if sounding is not None and sounding != self._rest:
                if sounding == before:
                    notes[-1] = Note(notes[-1].onset, notes[-1].pitch, notes[-1].duration + self._step)
                else:
                    notes.append(Note(step * self._step, LOWEST_PITCH + token - self._first, self._step))
            before = sounding
        return notes

    def _held(self) -> int | None:
        """The id of a kept note that sounds on in this step of a gap."""
        here = len(self._ids)
        if not here or self._new[-1] or here >= len(self._old):
            return None
        same = self._ids[-1] == self._old[here] and self._ids[-1] != self._rest
        return self._old[here] if same else None

    def _remains(self, step: int) -> int:
        """Steps from `step` on in which a note sounds on that began before it."""
        if not 0 < step < len(self._old) or self._old[step] == self._rest:
            return 0
        end = step
        while end < len(self._old) and self._old[end] == self._old[step - 1]:
            end += 1
        return end - step

    def _heard(self) -> bool:
        first = max(0, self._heard_after // self._step)
        return self._heard_after < 0 or any(token != self._rest for token in self._ids[first:])

    def _steps(self, tick: int) -> int:
        return -(-tick // self._step)
