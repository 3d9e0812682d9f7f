"""Sequences of different lengths side by side, each gone on with when its turn comes.

The rows of a `Stepper` have all been fed as many ids. Here rows wait until those that are behind come up to them:
what is at one length goes on together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seqgan_music.learning.generator import Generator, Stepper, StepState

_LONGEST = 1 << 30
"""Rows have no length beforehand: memories are as long as they may get."""
_FEW = 0.75
"""Share of the rows at one length that still go on, below which those that wait are put aside."""


class Ragged:
    """N sequences of a generator: one, after `ids`, until `select` makes them more."""

    def __init__(self, generator: Generator, ids: Sequence[int]) -> None:
        self._stepper = Stepper(generator, torch.float32)
        state = self._stepper.start(1, _LONGEST)
        for token in (generator.start_id, *ids):
            self._stepper.advance(torch.tensor([token], device=self._stepper.device), state)
        self._rows = [state]  # of one sequence each

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows in place of the N; a row may be taken several times."""
        self._rows = [self._rows[row] for row in rows]  # no row is ever changed, so they may be the same

    def go_on(self, choose: Callable[[list[int], Tensor], list[int]]) -> None:
        """Let every row go on until it has had enough.

        `choose` is told which rows are at one length, and the logits (M, V) of what comes next; it returns for each
        the id to go on with, or -1 where the row is to stop here.
        """
        size = self._stepper.vocabulary_size
        waiting = sorted(range(len(self)), key=lambda row: int(self._rows[row].steps), reverse=True)
        rows: list[int] = []  # at one length; -1 stopped
        state: StepState | None = None
        while waiting or state is not None:
            joining = []
            steps = int(self._rows[waiting[-1]].steps if state is None else state.steps)
            while waiting and int(self._rows[waiting[-1]].steps) == steps:
                joining.append(waiting.pop())
            if joining:
                states = [self._rows[row] for row in joining]
                state = StepState.joined(states if state is None else [state, *states])
                rows += joining
            assert state is not None
            going = [place for place, row in enumerate(rows) if row >= 0]
            if len(going) < _FEW * len(rows):
                state = state.rows(torch.tensor(going, device=self._stepper.device))
                rows = [rows[place] for place in going]
                going = list(range(len(rows)))
            logits = self._stepper.logits(state)[going, :size]
            chosen = choose([rows[place] for place in going], logits)
            tokens = [0] * len(rows)
            for place, token in zip(going, chosen, strict=True):
                if token < 0:
                    self._rows[rows[place]] = state.rows(torch.tensor([place], device=self._stepper.device))
                    rows[place] = -1
                else:
                    tokens[place] = token
            if any(row >= 0 for row in rows):
                self._stepper.advance(torch.tensor(tokens, device=self._stepper.device), state)
            else:
                rows, state = [], None
