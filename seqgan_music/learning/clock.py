"""A generator's clock: in which cycle (in music: bar) a sequence stands, and where in it, followed id by id.

Tokens say when things happen only together with those before them: END(12) crosses a bar line or not. A recurrent
state can keep count of that, but not so that "eight bars ago, at this place" could be asked of it. The clock keeps
count outside, by a table of what each id does (`tokenset.Effect`), and knows nothing else of what ids mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_music.tokenset import Effect

PHRASE = 8
"""Cycles after which the first half of a cycle's name comes again; the other half counts how often it has."""
PHRASES = 16
"""The last of them stands for all that come later."""
LAGS = 34
"""Classes of how many cycles ago: 0 to 32, and more."""


class Time(NamedTuple):
    """When tokens end: the cycle, from 0 on (before the first -1), and the place in it; int64 of one shape."""

    cycle: Tensor
    place: Tensor


@dataclass
class Reading:
    """What the clock shows of N sequences; each tensor is (N,), int64."""

    onset_cycle: Tensor
    onset_place: Tensor
    cycle: Tensor
    place: Tensor
    period: Tensor

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.onset_cycle, self.onset_place, self.cycle, self.place, self.period]


class Clock(nn.Module):
    """Follows sequences by a table of effects; holds no weights. `effects` (2, V): an Effect and its value."""

    def __init__(self, ids: int, effects: npt.NDArray[np.integer] | None = None) -> None:
        """`ids` is at least V: those past V, start ids, do nothing. Without a table no id does anything."""
        super().__init__()
        table = torch.zeros(2, ids, dtype=torch.int32)
        if effects is not None:
            table[:, : effects.shape[1]] = torch.from_numpy(np.asarray(effects, dtype=np.int32))
        self.effects: Tensor
        self.register_buffer("effects", table)

    def start(self, count: int) -> Reading:
        """Return the reading before the first token."""
        before = torch.full((count,), -1, dtype=torch.long, device=self.effects.device)
        zero = torch.zeros_like(before)
        return Reading(before, zero, before.clone(), zero.clone(), zero + 1)

    def advance(self, tokens: Tensor, now: Reading) -> Reading:
        """Return the reading after one token (N,) more of each sequence."""
        effect, value = self.effects[:, tokens].long().unbind()
        begins = effect == Effect.BEGIN
        onset_cycle = torch.where(begins, now.cycle, now.onset_cycle) + (effect == Effect.NEXT)
        onset_place = torch.where(begins, now.place, now.onset_place)
        period = torch.where(effect == Effect.PERIOD, value.clamp(min=1), now.period)
        # An end is the first such place after the onset; the period's own is the next cycle's 0.
        end = onset_place + 1 + (value - 1 - onset_place) % period
        ends = effect == Effect.END
        cycle = torch.where(ends, onset_cycle + end // period, now.cycle) + (effect == Effect.HOLD)
        place = torch.where(ends, end % period, now.place)
        behind = (effect == Effect.NEXT) & (cycle < onset_cycle)
        moved = behind | (effect == Effect.AT)
        cycle = torch.where(moved, onset_cycle, cycle)
        place = torch.where(behind, 0, torch.where(moved, value, place))
        return Reading(onset_cycle, onset_place, cycle, place, period)

    def follow(self, ids: Tensor, now: Reading) -> tuple[Time, Reading]:
        """Return the time after each of the ids (B, T), as two tensors (B, T), and the reading after the last."""
        cycles, places = [], []
        for column in ids.unbind(1):
            now = self.advance(column, now)
            cycles.append(now.cycle)
            places.append(now.place)
        return Time(torch.stack(cycles, 1), torch.stack(places, 1)), now


def phrase_of(cycle: Tensor) -> tuple[Tensor, Tensor]:
    """Return each cycle's number in its phrase, and the phrase's."""
    cycle = cycle.clamp(min=0)
    return cycle % PHRASE, (cycle // PHRASE).clamp(max=PHRASES - 1)


def lag_of(now: Time, then: Time) -> Tensor:
    """Return the class of the way back, 0 to 2 * LAGS - 1: its cycles, twice, the second for an equal place.

    The two broadcast together.
    """
    cycles = (now.cycle - then.cycle).clamp(0, LAGS - 1)
    return cycles + LAGS * (now.place == then.place)
