"""A generator's clock: in which cycle (in music: bar) a sequence stands, and where in it, followed id by id.

Tokens say when things happen only together with those before them: END(12) crosses a bar line or not. A recurrent
state can keep count of that, but not so that "eight bars ago, at this place" could be asked of it. The clock keeps
count outside, by a table of what each id does (`tokenset.Effect`), and knows nothing else of what ids mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_music.tokenset import Effect

PHRASE = 8
"""Cycles after which the first half of a cycle's name comes again; the other half counts how often it has."""
PHRASES = 16
"""The last of them stands for all that come later."""
PLACES = PERIODS = 400
"""Places and periods that are told apart, in ticks: bars are at most 8 beats of 48 ticks."""
_TOGETHER = 1024
"""Sequences followed at a time."""
_TABLES = 256
"""In which a GPU sums up a gradient."""
LAGS = 34
"""Classes of how many cycles ago: 0 to 32, and more."""
NEW = -2
"""In the place of a source: the cycle repeats no other, or nothing says so."""
VOICES = 256
"""Names of voices; several of one name are told apart by their number, the first 32 of them by the generator."""
NUMBERS = 32


class Time(NamedTuple):
    """When tokens end; integers of one shape."""

    cycle: Tensor
    """From 0 on; before the first -1."""
    place: Tensor
    """Ticks into the cycle."""
    period: Tensor
    """Ticks of the cycle."""
    source: Tensor
    """The cycle that this one repeats, or NEW."""
    token: Tensor
    """The token that ends; before the first -1."""
    voice: Tensor
    """Which voice it is of: its name and, times VOICES, its number among those of that name; 0 for none."""

    def span(self, start: int, end: int) -> Time:
        """Return a part of times (B, T)."""
        return Time(*(part[:, start:end] for part in self))


class When(NamedTuple):
    """What is kept of times that are over."""

    cycle: Tensor
    place: Tensor
    token: Tensor
    voice: Tensor


@dataclass
class Reading:
    """What the clock shows of N sequences; each tensor is (N,), int64, in ticks but for the cycle."""

    cycle: Tensor
    """That of the last onset, -1 before the first."""
    onset: Tensor
    """Place of the last onset in it."""
    cursor: Tensor
    """Where the next onset is if nothing else is said, from the beginning of that cycle; it may lie beyond it."""
    period: Tensor
    """Of that cycle."""
    coming: Tensor
    """Of the cycles after it."""
    opened: Tensor
    """1 where a NEXT has opened the cycle and nothing has begun in it, else 0."""
    returning: Tensor
    """The last cycle of which a RETURN was said, NEW before any."""
    source: Tensor
    """The cycle that it repeats."""
    token: Tensor
    """The last token, -1 before any."""
    voice: Tensor
    """The voice that is being written, as in `Time`."""

    @property
    def time(self) -> Time:
        """When the last token ended: where the cursor is."""
        cycle = self.cycle + self.cursor // self.period
        source = torch.where(cycle == self.returning, self.source, NEW)
        return Time(cycle, self.cursor % self.period, self.period, source, self.token, self.voice)

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [
            self.cycle,
            self.onset,
            self.cursor,
            self.period,
            self.coming,
            self.opened,
            self.returning,
            self.source,
            self.token,
            self.voice,
        ]


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
        zero = torch.zeros(count, dtype=torch.long, device=self.effects.device)
        no, new = zero - 1, zero + NEW
        once = zero + 1
        return Reading(
            no, zero, zero.clone(), once, once.clone(), zero.clone(), new, new.clone(), no.clone(), zero.clone()
        )

    def advance(self, tokens: Tensor, now: Reading) -> Reading:
        """Return the reading after one token (N,) more of each sequence."""
        effect, value = self.effects[:, tokens].long().unbind()
        begins, ends, moves_on = effect == Effect.BEGIN, effect == Effect.END, effect == Effect.NEXT
        named = effect == Effect.VOICE
        ahead = now.cursor // now.period  # cycles that the cursor is beyond the last onset's
        crossed = torch.where(begins, ahead, 0)
        cycle = now.cycle + crossed + moves_on
        cursor = now.cursor - crossed * now.period
        onset = torch.where(begins, cursor, now.onset)
        # An end is the first such place after the onset; the period's own is the next cycle's 0.
        end = onset + 1 + (value - 1 - onset) % now.period
        cursor = torch.where(effect == Effect.AT, value, torch.where(ends, end, cursor)).masked_fill(named, 0)
        cursor = cursor + (effect == Effect.HOLD) * now.period
        cursor = torch.where(moves_on, (cursor - now.period).clamp(min=0), cursor)
        coming = torch.where(effect == Effect.PERIOD, value.clamp(min=1), now.coming)
        opened = torch.where(begins, 0, now.opened | moves_on)
        returns = effect == Effect.RETURN
        begun = now.cycle + torch.where(now.opened > 0, 0, ahead)
        returning = torch.where(returns, begun, now.returning)
        source = torch.where(returns, begun - value, now.source)
        period = torch.where(moves_on, coming, now.period)
        further = torch.where(now.voice % VOICES == value, now.voice + VOICES, value)
        voice = torch.where(named, further, now.voice).masked_fill(moves_on, 0)
        return Reading(cycle, onset, cursor, period, coming, opened, returning, source, tokens, voice)

    def follow(self, ids: Tensor, now: Reading) -> tuple[Time, Reading]:
        """Return the time after each of the ids (B, T), as (B, T), and the reading after the last."""
        times = []
        for column in ids.unbind(1):
            now = self.advance(column, now)
            times.append(now.time)
        return Time(*(torch.stack(parts, 1) for parts in zip(*times, strict=True))), now

    @torch.no_grad()
    def times(self, ids: Tensor, offsets: Tensor) -> Time:
        """Return the time after each id of sequences stored end to end, ids (M,) and offsets (N + 1,): (M,)."""
        lengths = offsets.diff()
        found = Time(*(torch.empty(len(ids), dtype=torch.int32, device=ids.device) for _ in Time._fields))
        for rows in lengths.argsort(descending=True).split(_TOGETHER):
            position = torch.arange(int(lengths[rows].max()))
            inside = position < lengths[rows][:, None]  # (B, T)
            where = (offsets[rows][:, None] + position)[inside].to(ids.device)
            padded = torch.full(inside.shape, self.effects.shape[1] - 1, device=ids.device)
            padded[inside.to(ids.device)] = ids[where]
            followed, _ = self.follow(padded, self.start(len(rows)))
            for mine, new in zip(found, followed, strict=True):
                mine[where] = new[inside.to(ids.device)].int()
        return found

    def before(self, time: Time) -> Time:
        """Return the time before each of the ids that `time` (B, T) is after."""
        first = self.start(len(time.cycle)).time
        pairs = zip(first, time, strict=True)
        return Time(*(torch.cat([one[:, None].to(rest.dtype), rest[:, :-1]], 1) for one, rest in pairs))


_WITHOUT = PHRASE + PHRASES + PLACES + PERIODS


class TimeEmbedding(nn.Module):
    """Times as vectors: of the cycle's number in its phrase, of the phrase, of the place, and of the period.

    With `returns` also of how many cycles ago the one is that this one repeats, with `voices` of the voice's name
    and of its number.
    """

    def __init__(self, size: int, *, returns: bool = False, voices: bool = False) -> None:
        super().__init__()
        self.returns = returns
        self.voices = voices
        # Not nn.Embedding(...): see `generator.Generator`.
        self.table = nn.Embedding.from_pretrained(
            torch.empty(_WITHOUT + LAGS * returns + (VOICES + NUMBERS) * voices, size), freeze=False
        )

    def rows(self, time: Time) -> list[Tensor]:
        """Return the rows of the table that belong to times."""
        cycle = time.cycle.clamp(min=0)
        rows = [
            cycle % PHRASE,
            PHRASE + (cycle // PHRASE).clamp(max=PHRASES - 1),
            PHRASE + PHRASES + time.place.clamp(max=PLACES - 1),
            PHRASE + PHRASES + PLACES + time.period.clamp(max=PERIODS - 1),
        ]
        if self.returns:
            lag = torch.where(time.source == NEW, 0, (time.cycle - time.source).clamp(1, LAGS - 1))
            rows.append(_WITHOUT + lag)
        if self.voices:
            first = _WITHOUT + LAGS * self.returns
            rows.append(first + time.voice % VOICES)
            rows.append(first + VOICES + (time.voice // VOICES).clamp(max=NUMBERS - 1))
        return rows

    def forward(self, time: Time) -> Tensor:
        """Return the sum of what belongs to times (B, T), as (B, T, E)."""
        rows = self.rows(time)
        embedded: Tensor = sum((self.table(row) for row in rows[1:]), self.table(rows[0]))
        return embedded


def lag_classes(*, returns: bool, voices: bool = False) -> int:
    """Return how many classes `lag_of` tells apart."""
    return (3 * (LAGS + 1) if returns else 2 * LAGS) if not voices else 5 * (LAGS + returns)


def lag_of(now: Time, then: When, *, returns: bool = False, voices: bool = False) -> Tensor:
    """Return the class of the way back from times to others; the two broadcast.

    Below 2 * LAGS: the cycles between, twice, the second for an equal place in them. With `returns` three times,
    the third for an equal place after the same token, which is where a copy goes on; and three more, in the same
    order, for the cycle that is repeated now. With `voices` five times: another place of another voice, the same
    place of another, another place of the same voice, the same of the same, and that after the same token.
    """
    cycle = then.cycle.int()
    lag = (now.cycle.int() - cycle).clamp_(0, LAGS - 1)
    equal = now.place.int() == then.place.int()
    if not returns and not voices:
        return lag.add_(equal, alpha=LAGS)
    copied = equal & (now.token.int() == then.token.int())
    rank, ranks = equal.int(), 3
    if voices:
        same = now.voice.int() == then.voice.int()
        rank, ranks, copied = rank.add_(same, alpha=2), 5, copied.logical_and_(same)
    rank = rank.add_(copied)
    if not returns:
        return lag.add_(rank, alpha=LAGS)
    return torch.where(now.source.int() == cycle, ranks * LAGS + rank, lag + LAGS * rank)


class LagScores(torch.autograd.Function):
    """table (heads, K) at classes (B, S, J) -> (B, heads, S, J).

    The gradient of a plain look-up adds hundreds of thousands of numbers one by one, in torch's CPU build slower
    than all the rest of attention; counting them class by class is not.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, classes: Tensor) -> Tensor:
        """Look up."""
        ctx.save_for_backward(classes)
        ctx.size = table.shape[1]
        return torch.stack([row[classes] for row in table], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum the gradient by class."""
        (classes,) = ctx.saved_tensors
        flat = classes.flatten()
        (gradient,) = gradients
        if flat.device.type == "cpu":
            sums = [torch.bincount(flat, part.flatten(), ctx.size) for part in gradient.unbind(1)]
        else:
            # As bincount, which on a GPU waits for the largest class. A GPU's threads queue up where they add to
            # the same number: so they have many tables to add to.
            turn = torch.arange(len(flat), device=flat.device) % _TABLES
            nothing = gradient.new_zeros(_TABLES * ctx.size)
            index = flat + turn * ctx.size
            parts = [nothing.index_add(0, index, part.flatten()) for part in gradient.unbind(1)]
            sums = [part.view(_TABLES, ctx.size).sum(0) for part in parts]
        return torch.stack(sums).to(gradient.dtype), None
