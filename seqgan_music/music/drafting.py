"""One piece in the making: its ids are kept within the length asked for and, if asked, free of copied runs.

A draft is the constraint of a sampler that writes one sequence (see `learning.sampling.Constraint`): the sampler
writes until the draft stops it, `revise` takes back what cannot stay, and the sampler goes on from what is left.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music.music.tokenizers import Grammar, Tokenizer

_LOOK_EVERY = 16
"""Tokens from one look for copies to the next: looking costs as much as a few tokens, finding late as many."""
_ALTERNATIVES = 12
"""Beginnings refused at one place before the note ahead of it is taken back too; the next are unlikely ones."""


class Ending:
    """The constraint that brings one piece to its length without disturbing how it gets there.

    A plain mask of what fits gives all probability to the few tokens left near the end, however unlikely: clusters
    of short notes. Here the generator goes on freely; the token that would leave the bounds is refused, and in its
    place comes one of its own kind that fits (a note shortened to the bar line), or the end where none does.
    """

    def __init__(
        self, free: Grammar, bounded: Grammar, tokenizer: Tokenizer, on_token: Callable[[], object]
    ) -> None:
        self.free, self.bounded, self.end_id, self.on_token = free, bounded, tokenizer.end_id, on_token
        names = [name.partition("(")[0] for name in tokenizer.vocabulary]
        self.kinds = np.unique(names, return_inverse=True)[1]
        self.refused: int | None = None
        self._only: npt.NDArray[np.bool_] | None = None

    @classmethod
    def after(
        cls,
        prefix: Sequence[int],
        tokenizer: Tokenizer,
        length: Mapping[str, Any],
        pitches: Collection[int] | None,
        on_token: Callable[[], object],
    ) -> Ending:
        """Return the one that brings what follows `prefix` to a length, within the pitches.

        `length` says bars, with or without an upbeat, or ticks, as `Tokenizer.grammar` takes them.
        """
        free = tokenizer.grammar(pitches=pitches, prefix=prefix)
        return cls(free, tokenizer.grammar(**length, pitches=pitches, prefix=prefix), tokenizer, on_token)

    def copy(self) -> Ending:
        """Return another that goes its own way from here."""
        other = copy.copy(self)
        other.free, other.bounded = self.free.copy(), self.bounded.copy()
        return other

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(1, V): what fits, and besides what would be refused to a better effect than masking it has."""
        if self._only is not None:
            return self._only[None]
        fits = self.bounded.allowed()
        if self.end_id is None:
            return fits[None]
        has_some_that_fit = np.isin(self.kinds, self.kinds[fits])
        refusable: npt.NDArray[np.bool_] = self.free.allowed() & (has_some_that_fit | fits[self.end_id])
        return (fits | refusable)[None]

    def advance(self, tokens: npt.NDArray[np.integer]) -> None:
        """Take the one id (1,) if it fits, else stop with it as `refused`."""
        token = int(tokens[0])
        if self.bounded.allowed()[token]:
            self.bounded.advance(token)
            self.free.advance(token)
            self._only = None
            self.on_token()
        else:
            self.refused = token

    def narrow(self) -> None:
        """Go on after a refusal: the next id is of the refused one's kind, or the end."""
        fits = self.bounded.allowed()
        alike = fits & (self.kinds == self.kinds[self.refused])
        self._only = alike if alike.any() else np.arange(len(fits)) == self.end_id
        self.refused = None

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """(1,): whether the piece is whole, or an id was refused."""
        return np.array([self.bounded.finished or self.refused is not None])


class Draft:
    """The ids so far of one piece after `prefix`, kept within `length` (bars or ticks) and `pitches`.

    With `copies`, which tells whether ids (the prefix left out) hold too long a copied run, the ids are looked at
    every few tokens and at their end. The note that makes the run too long is taken back, and what it began with is
    refused there: the generator chooses anew among all else, in its own proportions. Where many beginnings of one
    note have been refused, the note before it is refused as well. After `most_refusals` the rest is written freely.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prefix: Sequence[int],
        length: Mapping[str, Any],
        pitches: Collection[int] | None,
        on_token: Callable[[], object],
        *,
        copies: Callable[[Sequence[int]], bool] | None = None,
        most_refusals: int = 0,
    ) -> None:
        self.ids: list[int] = []
        self.refusals = 0
        self._tokenizer, self._prefix, self._length, self._pitches = tokenizer, prefix, length, pitches
        self._on_token, self._copies, self._most_refusals = on_token, copies, most_refusals
        begins = [name.startswith("PITCH(") for name in tokenizer.vocabulary]
        self._begins = begins if any(begins) else [True] * len(begins)
        self._refused: dict[int, set[int]] = {}  # by the number of ids before
        self._clean = 0  # so many ids are known to hold no copy
        self._copied = False
        self._stuck = False  # nothing may come next, as all of it has been refused
        self._ending = self._begin()

    @property
    def whole(self) -> bool:
        """Whether the piece has come to its end."""
        return self._ending.bounded.finished

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(1, V): what may come next."""
        mask = self._ending.allowed()
        rest = mask.copy()
        rest[0, list(self._refused.get(len(self.ids), ()))] = False
        self._stuck = not rest.any()
        return mask if self._stuck else rest

    def advance(self, tokens: npt.NDArray[np.integer]) -> None:
        """Take the one id (1,), or stop at it."""
        if self._stuck:
            return
        self._ending.advance(tokens)
        if self._ending.refused is None:
            self.ids.append(int(tokens[0]))
            if len(self.ids) >= self._clean + _LOOK_EVERY:
                self._look()

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """(1,): whether the piece is whole, or something is to be revised."""
        return self._ending.finished | self._copied | self._stuck

    def revise(self) -> bool:
        """Take back what cannot stay; return whether there was any, so that the draft is to be gone on with."""
        if self._ending.refused is not None:
            self._ending.narrow()
            return True
        if self._stuck:
            self._take_back(len(self.ids))
            return True
        self._look()
        if self._copied:
            self._take_back(self._first_copy())
            return True
        return False

    def _begin(self) -> Ending:
        written = [*self._prefix, *self.ids]
        return Ending.after(written, self._tokenizer, self._length, self._pitches, self._on_token)

    def _look(self) -> None:
        if self._copies is not None and not self._copied:
            self._copied = self._copies(self.ids)
            if not self._copied:
                self._clean = len(self.ids)

    def _take_back(self, length: int) -> None:
        """Refuse what the last note of the first `length` ids began with."""
        self._copied = self._stuck = False
        start = self._note_of(length - 1)
        while start >= 0 and len(self._refused.get(start, ())) >= _ALTERNATIVES:
            start = self._note_of(start - 1)
        self.refusals += 1
        if start < 0 or self.refusals > self._most_refusals:
            self._copies = None
            self._refused = {}
            return
        self._refused = {place: some for place, some in self._refused.items() if place <= start}
        self._refused.setdefault(start, set()).add(self.ids[start])
        del self.ids[start:]
        self._clean = start
        self._ending = self._begin()

    def _first_copy(self) -> int:
        """A number of ids that hold a copy where one fewer do not."""
        assert self._copies is not None
        low, high = self._clean, len(self.ids)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._copies(self.ids[:middle]) else (middle, high)
        return high

    def _note_of(self, place: int) -> int:
        """Where the note or chord begins that the id at `place` belongs to or follows; -1 if there is none."""
        start = place
        while start >= 0 and not self._begins[self.ids[start]]:
            start -= 1
        # An end closes all the notes that were named together.
        while start < place and start > 0 and self._begins[self.ids[start - 1]]:
            start -= 1
        return start
