"""Rollouts for discriminators of windows: begun where bars end, and no longer than the windows that they serve.

The reward that a token y_t in bar b can claim is the verdict on the windows that hold it,

    W(y, b) = sum over scales s of w_s * mean over the windows of s that bar b lies in of f(D_s(window)),

so that its action value is Q(y_1..t) = E[W(Y, b)] over completions Y of y_1..t. Three facts make this cheap:

1. W(Y, b) depends on no bar after the last window that b lies in. A rollout may stop there, or at the sequence's
   end: nothing is lost, where SeqGAN's goes on to T. Its length does not grow with T, so an update's cost is
   linear in T, and not quadratic.
2. Let `block` be a number of bars that divides the hop of every scale's grid. All bars of a block then lie in the
   same windows, so that W is one number for all its tokens, and the value at the end of the block's last bar is an
   unbiased estimate of Q for each of them: E[Q(y_1..t')] = Q(y_1..t) for t < t' inside the block. Rollouts begin
   there alone.
3. All rollouts go on together, one position after another, in a batch which they join where they begin and leave
   where they stop; its size does not grow with T either.

`tests/test_windowed.py` compares all of it with an enumeration of every sequence of a small vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from seqgan_music.learning.bars import BEYOND, Bars, Scale
from seqgan_music.learning.clock import Reading
from seqgan_music.learning.discriminators.bar_windows import BarWindows
from seqgan_music.learning.generator import Stepper, StepState
from seqgan_music.learning.sampling import next_tokens

_LEAST_ROWS = 64
"""Rows that room is made for at first; where more rollouts are under way at once it is doubled."""


@dataclass(frozen=True)
class Starts:
    """Where J rollouts begin: after the first `length` ids of sequence `row`, to be judged in bar `bar`; each (J,).

    Sorted by length.
    """

    row: Tensor
    length: Tensor
    bar: Tensor

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Completions:
    """N completed sequences, as far as windows need them.

    ids:  (N, W) ids; what is not held is 0
    bars: (N, W) the bar of each; -1 before what is held, BEYOND after it
    """

    ids: Tensor
    bars: Tensor


def block_ends(bars: Tensor, block: int) -> Starts:
    """Return where blocks of `block` bars end in sequences (B, T), but for each sequence's last one."""
    here, after = bars[:, :-1] // block, bars[:, 1:]
    ends = (after < BEYOND) & (after // block > here)
    length, row = ends.t().nonzero().unbind(1)  # in the order of length
    return Starts(row, length + 1, bars[row, length])


@torch.no_grad()
def complete(
    policy: Stepper,
    bars: Bars,
    ids: Tensor,
    starts: Starts,
    rollouts: int,
    scales: Sequence[Scale],
    rng: torch.Generator,
    *,
    truncated: bool = True,
) -> Completions:
    """Complete ids (B, T) from each start R times, so far that every window that the start's bar lies in is whole.

    Rows are in order of start, then rollout. Without `truncated` all go on to the end id or T, which is what the
    truncated ones are compared with.
    """
    batch, length = ids.shape
    device = ids.device
    of, readings = bars.follow(ids)
    of = bars.ended(ids, of)
    horizon = reduce(torch.maximum, (scale.last_bar(starts.bar) for scale in scales))
    if not truncated:
        horizon = torch.full_like(horizon, BEYOND)
    begins = starts.length.cpu().tolist()
    rooms = _Rooms(policy, bars, length, rollouts)
    given = policy.start(batch, length)  # the state after the given ids, before rollouts part from them
    policy.advance(torch.full((batch,), policy.start_id, device=device), given)
    next_start = 0
    log: list[tuple[Tensor, Tensor, Tensor]] = []  # of each step: which completions, their ids, their bars
    columns = []
    for step in range(1, length):  # ids at position `step` are drawn
        if rooms.count == 0 and next_start == len(begins):
            break
        rooms.advance()
        if next_start < len(begins):
            policy.advance(ids[:, step - 1], given)
        first = next_start
        while next_start < len(begins) and begins[next_start] == step:
            next_start += 1
        if next_start > first:
            chosen = slice(first, next_start)
            row = starts.row[chosen]
            rooms.join(given, readings[step - 1], of[row, step - 1], row, horizon[chosen], first)
        if rooms.count == 0:
            continue
        drawn, bar = rooms.draw(rng)
        # An id that opens a bar past the last window is not part of any of them.
        inside = bar <= rooms.horizon
        log.append((rooms.owner[inside], drawn[inside], bar[inside]))
        columns.append(step)
        rooms.leave(inside & (drawn != bars.end_id) if bars.end_id is not None else inside)
    return _gathered(ids, of, starts, rollouts, scales, log, columns)


class _Rooms:
    """The rollouts that are under way: the first `count` rows of tensors that have room for more."""

    def __init__(self, policy: Stepper, bars: Bars, length: int, rollouts: int) -> None:
        self._policy, self._bars, self._length, self._rollouts = policy, bars, length, rollouts
        self.count = 0
        self._state: StepState | None = None
        device = policy.device
        self._reading = bars.start(0)
        self._tokens = torch.zeros(0, dtype=torch.long, device=device)
        self._bar = torch.zeros(0, dtype=torch.long, device=device)
        self.owner = torch.zeros(0, dtype=torch.long, device=device)
        """(count,) the completion that each row is."""
        self.horizon = torch.zeros(0, dtype=torch.long, device=device)
        """(count,) the last bar that each is judged in."""

    def advance(self) -> None:
        """Feed to each row the id that it drew last."""
        if self.count:
            assert self._state is not None
            self._policy.advance(self._tokens, self._state.first(self.count))

    def draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the next id (count,) of each row; return the ids and their bars."""
        assert self._state is not None
        uniforms = torch.rand(self.count, generator=rng, device=self._policy.device)
        self._tokens = next_tokens(self._policy, self._state.first(self.count), uniforms)
        self._reading = self._bars.advance(self._tokens, self._reading)
        self._bar = self._bars.after(self._reading, self._bar)
        return self._tokens, self._bar

    def join(
        self, given: StepState, reading: Reading, bar: Tensor, row: Tensor, horizon: Tensor, first: int
    ) -> None:
        """Let R rollouts begin in sequences `row` (J,), now in bar (J,); the first start's number is `first`."""
        source = row.repeat_interleave(self._rollouts)
        self._make_room(self.count + len(source), given)
        assert self._state is not None
        self._state.write(self.count, given.rows(source))
        self.count += len(source)
        begun = Reading(*(part[source] for part in reading.tensors()))
        pairs = zip(self._reading.tensors(), begun.tensors(), strict=True)
        self._reading = Reading(*(torch.cat(pair) for pair in pairs))
        number = torch.arange(len(source), device=source.device) + first * self._rollouts
        self.owner = torch.cat([self.owner, number])
        self._bar = torch.cat([self._bar, bar.repeat_interleave(self._rollouts)])
        self.horizon = torch.cat([self.horizon, horizon.repeat_interleave(self._rollouts)])

    def leave(self, staying: Tensor) -> None:
        """Keep the rows (count,) that are true; rows from the end are moved to where others leave."""
        left = int(staying.sum())
        if left == self.count:
            return
        assert self._state is not None
        order = torch.arange(self.count, device=staying.device)
        holes = (~staying[:left]).nonzero()[:, 0]
        movers = staying[left:].nonzero()[:, 0] + left
        if len(holes):
            self._state.put(holes, self._state.rows(movers))
        order[holes] = movers
        kept = order[:left]
        self._tokens, self.owner, self.horizon = self._tokens[kept], self.owner[kept], self.horizon[kept]
        self._bar = self._bar[kept]
        self._reading = Reading(*(part[kept] for part in self._reading.tensors()))
        self.count = left

    def _make_room(self, rows: int, given: StepState) -> None:
        have = 0 if self._state is None else len(self._state.h[0])
        if rows <= have:
            return
        larger = self._policy.start(max(rows, 2 * have, _LEAST_ROWS), self._length)
        larger.steps[...] = given.steps
        if self._state is not None:
            larger.write(0, self._state)
        self._state = larger


def _gathered(
    ids: Tensor,
    bars: Tensor,
    starts: Starts,
    rollouts: int,
    scales: Sequence[Scale],
    log: Sequence[tuple[Tensor, Tensor, Tensor]],
    columns: Sequence[int],
) -> Completions:
    """Put together what completions share with the given ids, from their first window on, and what was drawn."""
    device = ids.device
    first_bar = reduce(torch.minimum, (scale.first_bar(starts.bar) for scale in scales))
    begin = torch.searchsorted(bars.contiguous()[starts.row], first_bar[:, None])[:, 0]  # (J,)
    shared = starts.length - begin
    # What is shared ends in column `width` - 1 of every row, what was drawn begins in column `width`.
    width = int(shared.max()) if len(starts) else 0
    position = torch.arange(-width, 0, device=device) + starts.length[:, None]  # (J, width)
    inside = position >= begin[:, None]
    position = position.clamp(min=0)
    given = ids[starts.row[:, None], position].masked_fill(~inside, 0)
    given_bars = bars[starts.row[:, None], position].masked_fill(~inside, -1)
    count = len(starts) * rollouts
    owner = torch.cat([part for part, _, _ in log]) if log else starts.row[:0]
    sizes = torch.tensor([len(part) for part, _, _ in log], dtype=torch.long, device=device)
    steps = torch.tensor(columns, dtype=torch.long, device=device).repeat_interleave(sizes)
    place = steps - starts.length.repeat_interleave(rollouts)[owner]
    longest = int(place.max()) + 1 if len(place) else 0
    drawn = torch.zeros(count, longest, dtype=ids.dtype, device=device)
    drawn_bars = torch.full((count, longest), BEYOND, device=device)
    if log:
        drawn[owner, place] = torch.cat([part for _, part, _ in log])
        drawn_bars[owner, place] = torch.cat([part for _, _, part in log])
    return Completions(
        torch.cat([given.repeat_interleave(rollouts, 0), drawn], 1),
        torch.cat([given_bars.repeat_interleave(rollouts, 0), drawn_bars], 1),
    )


@torch.no_grad()
def block_values(
    policy: Stepper,
    discriminator: BarWindows,
    ids: Tensor,
    rollouts: int,
    rng: torch.Generator,
    *,
    block: int,
    reward: Callable[[Tensor], Tensor],
    truncated: bool = True,
) -> Tensor:
    """Return Q (B, T) of each token of ids (B, T): that of the end of its block of bars, by R rollouts from there.

    `block` divides the hop of every scale. The last block of a sequence has no rollout: its windows are all there.
    Without rollouts (R = 0) the sequence itself is the one sample that every value is taken from. After the end id
    values are 0.
    """
    of = discriminator.bars.of(ids)
    inside = of < BEYOND
    number = torch.where(inside, of // block, 0)  # (B, T) block of each token
    values = _own_values(discriminator, ids, of, block, reward)  # (B, blocks)
    starts = block_ends(of, block)
    if rollouts and len(starts):
        completed = complete(
            policy, discriminator.bars, ids, starts, rollouts, discriminator.scales, rng, truncated=truncated
        )
        bar = starts.bar.repeat_interleave(rollouts)
        found = discriminator.verdicts(completed.ids, completed.bars, bar, reward)
        values[starts.row, starts.bar // block] = found.view(-1, rollouts).mean(1)
    return values.gather(1, number) * inside


def _own_values(
    discriminator: BarWindows, ids: Tensor, bars: Tensor, block: int, reward: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return W (B, blocks) of the blocks of sequences (B, T) as they stand."""
    blocks = int(torch.where(bars < BEYOND, bars, 0).max()) // block + 1
    values = torch.zeros(len(ids), blocks, device=ids.device)
    for number, (scale, weight) in enumerate(zip(discriminator.scales, discriminator.weights, strict=True)):
        windows = discriminator.windows(ids, number, bars)
        rewards = reward(discriminator.logits(windows, number)) * (weight / scale.overlap)
        held = windows.first[:, None] // block + torch.arange(scale.bars // block, device=ids.device)  # (N, K)
        inside = (held >= 0) & (held < blocks)
        rows, shares = windows.row[:, None].expand_as(held), rewards[:, None].expand_as(held)
        values.index_put_((rows[inside], held[inside]), shares[inside], accumulate=True)
    return values
