"""Attention of the generator over what it has written: where has this been before, and what came next there.

The LSTM's state asks, each earlier state answers for the token that followed it. With x_t the token fed at step t,
h_t the state after it and D the size of a head, a head gives the context

    c_t = sum over j of a_tj v(x_j+1),    a_t = softmax over j < t of q(h_t) . k(h_j) / sqrt(D) + b(t - j)

over the last `memory` steps, and over one null pair, whose value is 0, for what has not been before. The context
stands beside h_t before the output layer. An LSTM alone has to carry a tune's first part through its state to
repeat it; here it only has to know the place. b is learnt for classes of lags: the bar before may be as like this
one as the bar eight bars ago, and yet it is the latter that comes again. With a clock (`clock.py`) a score for the
number of cycles (bars) between, one for equal places in them and one for others, is added: a lag in tokens does not
tell where eight bars ago is. Where tokens say which bar comes again (`generator.returns`), that one has its own,
and so has an equal place after the same token, which is where a copy goes on; where they say which voice is being
written (`generator.voices`), its own past has scores of its own. The values are those of tokens, not
of states: copying is then learnt several times sooner. docs/log.md has what each is worth. Related: pointer
sentinel mixtures (Merity et al. 2017), induction heads (Olsson et al. 2022), relative positions (Shaw et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.learning.clock import LagScores, Time, When, lag_classes, lag_of

BLOCK = 128
"""Steps whose weights over the past are held at a time."""

_TOGETHER = 1 << 20
"""Pairs of a state and an earlier one that are looked at together where no gradient is asked for."""

LAG_CLASSES = 32
"""Three an octave: 1, then about 1.26 times as far each."""


@dataclass
class Past:
    """What the next steps of B sequences attend to: the last M steps."""

    keys: Tensor
    """(B, heads, M, D) of the states."""
    values: Tensor
    """(B, heads, M, D) of the tokens fed; each belongs to the key before it."""
    time: Time | None = None
    """(B, M) of the states, where there is a clock."""

    def detached(self) -> Past:
        """Return it cut off from its gradient."""
        return Past(self.keys.detach(), self.values.detach(), self.time)


@dataclass
class Memory:
    """What N sequences of one number of steps attend to, in place: slot 0 is the null pair, the rest a ring."""

    keys: Tensor
    """(N, heads, 1 + slots, D)."""
    values: Tensor
    """(N, heads, 1 + slots, D)."""
    key: Tensor
    """(N, heads, D) of the last state: it waits for the token that follows."""
    context: Tensor
    """(N, heads * D) of the last step."""
    when: Tensor
    """(N, 4, slots) when the states of the ring were, a `When`; (N, 0, slots) without a clock."""
    pending: Tensor
    """(N, 4) that of the last state, or (N, 0)."""

    def tensors(self) -> list[Tensor]:
        """All of them, rows first."""
        return [self.keys, self.values, self.key, self.context, self.when, self.pending]


class Attention(nn.Module):
    """Heads that look back from the states (B, T, H) for tokens embedded in (B, T, E)."""

    def __init__(
        self,
        hidden: int,
        embedding: int,
        heads: int,
        size: int,
        memory: int,
        *,
        clock: bool = False,
        returns: bool = False,
        voices: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.size = size
        self.memory = memory
        self.query = nn.Linear(hidden, heads * size)
        self.key = nn.Linear(hidden, heads * size)
        self.value = nn.Linear(embedding, heads * size)
        self.null = nn.Parameter(torch.empty(heads, 1, size))
        self.lag_bias = nn.Parameter(torch.empty(heads, LAG_CLASSES))
        self.returns = returns
        self.voices = voices
        classes = lag_classes(returns=returns, voices=voices)
        self.cycle_lag_bias = nn.Parameter(torch.empty(heads, classes)) if clock else None

    def forward(
        self, hidden: Tensor, embedded: Tensor, past: Past | None, time: Time | None = None
    ) -> tuple[Tensor, Past]:
        """Return contexts (B, T, heads * D) for states (B, T, H) and tokens fed (B, T, E), and the new past.

        `time` (B, T) is when the states are; attention with a clock needs it.
        """
        batch, length, _ = hidden.shape
        queries, keys, values = (
            self._split(self.query(hidden)),
            self._split(self.key(hidden)),
            self.values(embedded),
        )
        if past is not None:
            keys, values = torch.cat([past.keys, keys], 2), torch.cat([past.values, values], 2)
        known_time = time
        if past is not None and past.time is not None and time is not None:
            known_time = Time(*(torch.cat(pair, 1) for pair in zip(past.time, time, strict=True)))
        before = keys.shape[2] - length
        contexts = []
        for start in range(0, length, BLOCK):
            asked = queries[:, :, start : start + BLOCK]  # (B, heads, S, D)
            step = torch.arange(asked.shape[2], device=hidden.device)[:, None] + before + start
            first, last = max(0, before + start - self.memory), before + start + asked.shape[2] - 1
            place = torch.arange(first, last, device=hidden.device)  # of the keys; each value is one further
            now = time and time.span(start, start + BLOCK)
            then = known_time and known_time.span(first, last)
            lag = step - place  # (S, J)
            looked = [
                self._look(
                    asked[rows],
                    keys[rows, :, first:last],
                    values[rows, :, first + 1 : last + 1],
                    lag,
                    now and Time(*(part[rows] for part in now)),
                    then and Time(*(part[rows] for part in then)),
                )
                for rows in _row_blocks(batch, lag)
            ]
            contexts.append(looked[0] if len(looked) == 1 else torch.cat(looked))
        context = torch.cat(contexts, 2).transpose(1, 2).flatten(2)  # (B, T, heads * D)
        if known_time is not None:
            known_time = known_time.span(-self.memory, len(known_time.cycle[0]))
        return context, Past(keys[:, :, -self.memory :], values[:, :, -self.memory :], known_time)

    def _look(
        self, asked: Tensor, keys: Tensor, values: Tensor, lag: Tensor, now: Time | None, then: Time | None
    ) -> Tensor:
        """Return contexts (B, heads, S, D) for what is asked over J keys and values, `lag` (S, J) steps before."""
        known = torch.cat([self.null.expand(len(keys), -1, -1, -1), keys], 2)  # (B, heads, 1 + J, D)
        scores = asked @ known.transpose(2, 3) / math.sqrt(self.size)  # (B, heads, S, 1 + J)
        scores = scores + F.pad(self.lag_bias[:, lag_class(lag)], (1, 0))
        if self.cycle_lag_bias is not None and now is not None and then is not None:
            at = Time(*(part[:, :, None] for part in now))  # (B, S, 1)
            ago = When(*(getattr(then, name)[:, None] for name in When._fields))  # (B, 1, J)
            lags = lag_of(at, ago, returns=self.returns, voices=self.voices)  # (B, S, J)
            bias: Tensor = LagScores.apply(self.cycle_lag_bias, lags)  # type: ignore[no-untyped-call]
            scores[..., 1:] += bias  # (B, heads, S, J)
        unseen = (lag < 1) | (lag > self.memory)
        weights = scores.masked_fill(F.pad(unseen, (1, 0)), float("-inf")).softmax(3)
        return weights[..., 1:] @ values

    def values(self, embedded: Tensor) -> Tensor:
        """Return the values (B, heads, T, D) of tokens embedded in (B, T, E)."""
        return self._split(self.value(embedded))

    def _split(self, projected: Tensor) -> Tensor:
        """Turn (B, T, heads * D) into (B, heads, T, D)."""
        split: Tensor = projected.unflatten(2, (self.heads, self.size))
        return split.transpose(1, 2)


class StepAttention:
    """A frozen `Attention`, one step of many sequences at a time; the values are a table over the vocabulary."""

    @torch.no_grad()
    def __init__(self, attention: Attention, embedding: Tensor) -> None:
        self.memory = attention.memory
        self._heads, self._size = attention.heads, attention.size
        self._scale = attention.size**-0.5
        self._null = attention.null[:, 0]  # (heads, D)
        lags = torch.arange(1, attention.memory + 1, device=self._null.device)
        self._lag_bias = attention.lag_bias[:, lag_class(lags)]  # (heads, memory)
        self._values = attention.value(embedding).view(-1, self._heads, self._size)  # (V + 1, heads, D)
        self._weight = (
            torch.cat([attention.query.weight, attention.key.weight]).t().contiguous()
        )  # (H, 2 * heads * D)
        self._bias = torch.cat([attention.query.bias, attention.key.bias])
        scores = attention.cycle_lag_bias
        self._cycle_lag_bias = None if scores is None else scores.t().contiguous()  # (classes, heads)
        self._returns, self._voices = attention.returns, attention.voices
        self.largest = self._values.abs().max()
        """No context is larger: it is a mean of values and 0."""

    def start(self, count: int, length: int) -> Memory:
        """Return the memory of `count` sequences that will be fed at most `length` tokens."""
        slots = 1 + max(0, min(length - 1, self.memory))
        keys = self._null.new_zeros(count, self._heads, slots, self._size)
        keys[:, :, 0] = self._null
        key = keys.new_zeros(count, self._heads, self._size)
        context = keys.new_zeros(count, self._heads * self._size)
        timed = self._cycle_lag_bias is not None
        when = torch.zeros(count, len(When._fields) * timed, slots - 1, dtype=torch.long, device=keys.device)
        return Memory(keys, torch.zeros_like(keys), key, context, when, when.new_zeros(when.shape[:2]))

    def advance(self, tokens: Tensor, h: Tensor, memory: Memory, step: int, time: Time | None = None) -> None:
        """Take the tokens (N,) fed at `step` (from 0) and the states (N, H) after them; set the contexts.

        `time` (N,) is when the states are, where there is a clock.
        """
        timed = self._cycle_lag_bias is not None and time is not None
        if step > 0:
            slot = 1 + (step - 1) % self.memory
            memory.keys[:, :, slot] = memory.key
            memory.values[:, :, slot] = self._values[tokens]
            if timed:
                memory.when[:, :, slot - 1] = memory.pending
        asked, key = torch.addmm(self._bias, h, self._weight).unflatten(1, (2, self._heads, self._size)).unbind(1)
        memory.key.copy_(key)
        slots = 1 + min(step, self.memory)
        keys, values = memory.keys[:, :, :slots].flatten(0, 1), memory.values[:, :, :slots].flatten(0, 1)
        scores = torch.bmm(asked.reshape(-1, 1, self._size), keys.transpose(1, 2))  # (N * heads, 1, slots)
        scores = scores.view(len(h), self._heads, slots).mul_(self._scale)
        newest = (step - 1) % self.memory
        lag = (newest - torch.arange(slots - 1, device=h.device)) % self.memory  # of each slot, less 1
        scores[:, :, 1:] += self._lag_bias[:, lag]
        if self._cycle_lag_bias is not None and time is not None:
            now = Time(*(part[:, None] for part in time))
            then = When(*memory.when[:, :, : slots - 1].unbind(1))  # (N, slots - 1)
            lags = lag_of(now, then, returns=self._returns, voices=self._voices)
            scores[:, :, 1:] += F.embedding(lags, self._cycle_lag_bias).transpose(1, 2)
            memory.pending.copy_(torch.stack([time.cycle, time.place, time.token, time.voice], 1))
        weights = scores.softmax(2).view(-1, 1, slots)
        memory.context.copy_(torch.bmm(weights, values).view(len(h), -1))


def _row_blocks(batch: int, lag: Tensor) -> Iterator[slice]:
    """Yield the sequences that are looked back from together, `lag` (S, J) each.

    All of them where gradients keep every block anyway, and on a GPU, where each block costs launches.
    """
    most = batch
    if lag.device.type == "cpu" and not torch.is_grad_enabled():
        most = max(1, _TOGETHER // max(1, lag.numel()))
    for start in range(0, batch, most):
        yield slice(start, start + most)


def lag_class(lags: Tensor) -> Tensor:
    """Return the class of each lag in steps; of those below 1 class 0."""
    return (3.0 * lags.clamp(min=1).double().log2()).round().long().clamp(max=LAG_CLASSES - 1)
