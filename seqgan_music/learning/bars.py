"""Bars of token sequences: which bar every token stands in, and windows of whole bars on a grid.

A token stands in the bar of the onset that is being written when it has been read (`clock.Reading.cycle`), one that
says which bar comes again in the bar that it opens. Bars never fall; what comes before the first, such as a key,
stands in bar 0. Where ids have no time, every token is a bar of its own. After a sequence's end id there is no bar.

A `Scale` lays windows of `bars` bars on a grid of `hop` bars, clipped to the sequence at both its ends, so that
every bar lies in exactly bars / hop windows, the first and the last bar, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_music.learning.clock import Clock, Reading

BEYOND = 1 << 40
"""The bar of positions that a sequence does not have, or not any more; before its beginning it is -1."""


@dataclass(frozen=True)
class Scale:
    """Windows of `bars` bars, one every `hop` bars; `hop` divides `bars`."""

    bars: int
    hop: int

    @property
    def overlap(self) -> int:
        """How many windows each bar lies in."""
        return self.bars // self.hop

    def last_bar(self, bar: Tensor) -> Tensor:
        """Return the last bar of the last window that each bar lies in: how far what is written in it is judged."""
        return (bar // self.hop) * self.hop + self.bars - 1

    def first_bar(self, bar: Tensor) -> Tensor:
        """Return the first bar of the first window that each bar lies in, at least 0."""
        return ((bar // self.hop + 1) * self.hop - self.bars).clamp(min=0)


@dataclass(frozen=True)
class Windows:
    """N windows of some sequences, each with at least one token.

    ids:   (N, L) the tokens, those past a window's end are `vocabulary_size`
    bar:   (N, L) each token's bar counted from the window's (unclipped) first, `Scale.bars` past its end
    row:   (N,) the sequence that each window is of
    first: (N,) the number of its (unclipped) first bar in that sequence; negative where it is clipped
    """

    ids: Tensor
    bar: Tensor
    row: Tensor
    first: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, chosen: Tensor) -> Windows:
        """Return some of the windows."""
        return Windows(self.ids[chosen], self.bar[chosen], self.row[chosen], self.first[chosen])


class Bars(nn.Module):
    """Tells the bars of sequences by a table of what ids do (`tokenset.Effect`); holds no weights."""

    def __init__(
        self, vocabulary_size: int, effects: npt.NDArray[np.integer] | None = None, end_id: int | None = None
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.end_id = end_id
        self.clock = Clock(vocabulary_size + 2, effects)
        self.timed = effects is not None

    def start(self, count: int) -> Reading:
        """Return the reading before the first token of `count` sequences."""
        return self.clock.start(count)

    def advance(self, tokens: Tensor, now: Reading) -> Reading:
        """Return the reading after one token (N,) more."""
        if self.timed:
            return self.clock.advance(tokens, now)
        return replace(now, cycle=now.cycle + 1)

    def after(self, reading: Reading, before: Tensor | None) -> Tensor:
        """Return the bar (N,) of the token that the reading is after; that of the token before it is `before`."""
        bar = torch.maximum(reading.cycle, reading.returning).clamp(min=0)
        return bar if before is None else torch.maximum(bar, before)

    def follow(self, ids: Tensor) -> tuple[Tensor, list[Reading]]:
        """Return the bar of each id (B, T), as (B, T), and the reading after each step."""
        now, readings = self.start(len(ids)), []
        bars: list[Tensor] = []
        for column in ids.unbind(1):
            now = self.advance(column, now)
            readings.append(now)
            bars.append(self.after(now, bars[-1] if bars else None))
        return torch.stack(bars, 1), readings

    def of(self, ids: Tensor) -> Tensor:
        """Return the bar of each id (B, T), as (B, T): from 0 on, never falling, BEYOND after the first end id."""
        return self.ended(ids, self.follow(ids)[0])

    def ended(self, ids: Tensor, bars: Tensor) -> Tensor:
        """Return bars (B, T), BEYOND after each row's first end id."""
        if self.end_id is None:
            return bars
        is_end = ids == self.end_id
        return bars.masked_fill(is_end.cumsum(1) - is_end.long() > 0, BEYOND)

    def windows(self, ids: Tensor, bars: Tensor, scale: Scale, longest: int) -> Windows:
        """Cut sequences (B, T) with bars as `of` tells them into all their windows of one scale.

        Of a window of more than `longest` tokens the first are left out. Positions before a sequence's beginning
        have bar -1.
        """
        last = torch.where(bars < BEYOND, bars, -1).amax(1)  # (B,)
        count = (last + scale.bars) // scale.hop  # of windows that begin at bar `last` or before
        row = torch.repeat_interleave(torch.arange(len(ids), device=ids.device), count)
        number = torch.arange(len(row), device=ids.device) - (count.cumsum(0) - count)[row]
        first = (number + 1) * scale.hop - scale.bars
        return self.cut(ids, bars, row, first, scale, longest)

    def around(self, ids: Tensor, bars: Tensor, bar: Tensor, scale: Scale, longest: int) -> Windows:
        """Cut out of sequences (B, T) the windows that their bars (B,) lie in, scale.overlap of each."""
        row = torch.arange(len(ids), device=ids.device).repeat_interleave(scale.overlap)
        earliest = (bar // scale.hop + 1) * scale.hop - scale.bars  # not clipped
        number = torch.arange(scale.overlap, device=ids.device).repeat(len(ids))
        return self.cut(ids, bars, row, earliest[row] + number * scale.hop, scale, longest)

    def cut(self, ids: Tensor, bars: Tensor, row: Tensor, first: Tensor, scale: Scale, longest: int) -> Windows:
        """Cut the windows of sequences `row` (N,) that begin at bars `first` (N,); those without a token not."""
        # A sequence's bars never fall, so that a window is a run of its columns.
        edges = torch.stack([first.clamp(min=0), first + scale.bars], 1)  # (N, 2)
        begin, end = torch.searchsorted(bars.contiguous()[row], edges).unbind(1)
        kept = end > begin
        row, first, begin, end = row[kept], first[kept], begin[kept], end[kept]
        begin = torch.maximum(begin, end - longest)
        size = int((end - begin).max()) if len(row) else 1
        place = begin[:, None] + torch.arange(size, device=ids.device)  # (N, L)
        inside = place < end[:, None]
        place = place.clamp(max=ids.shape[1] - 1)
        cut = ids[row[:, None], place].masked_fill(~inside, self.vocabulary_size)
        bar = (bars[row[:, None], place] - first[:, None]).masked_fill(~inside, scale.bars)
        return Windows(cut, bar, row, first)
