"""A TokenSet on a device: openings of a fixed length, and batches of whole sequences of like lengths."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from seqgan_music import arrays
from seqgan_music.learning.clock import Clock, Time
from seqgan_music.tokenset import TokenSet

IGNORED = -100
"""Marks positions past a sequence's end in targets; `cross_entropy` skips it."""
_MOST_ON_GPU = 2**28
"""Ids that a GPU holds, 1 GB; of larger sets each batch is sent there. A CPU reads them where they are."""
_MOST_FOLLOWED = 4_000_000
"""Ids whose times are found once for all; of larger sets an epoch is rarely seen, and each batch has its own."""


class Sequences:
    """The sequences of a TokenSet, gathered and shifted (transposed) in batches on a device."""

    def __init__(self, tokens: TokenSet, device: torch.device) -> None:
        self.tokens = tokens
        self.device = device
        self.end_id = tokens.end_id
        self.lengths = torch.from_numpy(np.asarray(tokens.lengths, dtype=np.int64))
        self._held = None
        if device.type != "cpu" and len(tokens.ids) <= _MOST_ON_GPU:
            self._held = torch.from_numpy(np.array(tokens.ids, dtype=np.int32)).to(device)
        self._offsets = torch.from_numpy(np.asarray(tokens.offsets, dtype=np.int64))
        self._shifts = torch.from_numpy(np.asarray(tokens.shifts, dtype=np.int64)).to(device)
        self._allowed = torch.from_numpy(np.array(tokens.shift_allowed, dtype=np.bool_))
        changed = self._shifts != self._shifts[0]  # (K, V)
        self._leaves = changed.any(0) & ~changed  # an id that others move, and this shift has no place for
        self._leaves[0] = False

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: Tensor, length: int, padding: int, shift: Tensor | None = None) -> Tensor:
        """Return the first `length` ids of the sequences `index` (B,), padded: (B, length).

        `shift` (B,) names the row of the set's `shifts` to apply to each.
        """
        position = torch.arange(length)
        inside = position < self.lengths[index][:, None]  # (B, length)
        where = (self._offsets[index][:, None] + position).where(inside, torch.tensor(0))
        ids = self._at(where)
        if shift is not None:
            ids = self._shifts[self._there(shift)[:, None], ids]
        return ids.masked_fill(~self._there(inside), padding)

    def _there(self, values: Tensor) -> Tensor:
        """Return values on the device, without waiting for what it is doing."""
        return values.to(self.device, non_blocking=True)

    def _at(self, where: Tensor) -> Tensor:
        """Return the ids at places of the whole set, int64, on the device."""
        if self._held is not None:
            return self._held[self._there(where)].long()
        ids = self.tokens.ids[where.numpy()].astype(np.int64)
        arrays.let_go(self.tokens.ids)  # or all that was ever read would count as memory
        return self._there(torch.from_numpy(ids))

    @cached_property
    def _clock(self) -> Clock:
        return Clock(self.tokens.vocabulary_size + 1, self.tokens.effects).to(self.device)

    @cached_property
    def _times(self) -> Time:
        return self._clock.times(self._at(torch.arange(len(self.tokens.ids))), self._offsets)

    def times(self, index: Tensor, length: int) -> Time:
        """Return the time after each of the first `length` ids of sequences (B,), as (B, length), int32.

        Past a sequence's end they are those of any time.
        """
        if len(self.tokens.ids) > _MOST_FOLLOWED:
            ids = self.rows(index, length, self.tokens.vocabulary_size)  # a start id, which does nothing
            found, _ = self._clock.follow(ids, self._clock.start(len(ids)))
            return Time(*(part.int() for part in found))
        position = torch.arange(length)
        inside = position < self.lengths[index][:, None]
        where = (self._offsets[index][:, None] + position).where(inside, torch.tensor(0))
        return Time(*(part[self._there(where)] for part in self._times))

    def random_shifts(self, index: Tensor, share: float, rng: torch.Generator) -> Tensor:
        """Return for each sequence, with probability `share`, one of its allowed shifts, else 0, as it is: (B,)."""
        if self._allowed.shape[1] == 1:
            return torch.zeros(len(index), dtype=torch.long)
        shifts = torch.multinomial(self._allowed[index].float(), 1, generator=rng)[:, 0]
        return shifts.where(torch.rand(len(index), generator=rng) < share, torch.tensor(0))

    def shifted(self, ids: Tensor, rng: torch.Generator) -> Tensor:
        """Return sequences (N, T), each shifted by one, uniformly, of those that have a place for all its ids."""
        if len(self._shifts) == 1:
            return ids
        allowed = torch.stack([~leaves[ids].any(1) for leaves in self._leaves], 1)  # (N, K)
        shift = torch.multinomial(allowed.float().cpu(), 1, generator=rng).to(ids.device)  # (N, 1)
        return self._shifts[shift, ids]

    def openings(self, count: int, length: int, rng: torch.Generator) -> Tensor:
        """Return the first `length` ids of `count` random sequences, as they are: (count, length).

        Sequences are taken in random order, each as often as any other; ends are padded with the end id.
        """
        turns = -(-count // len(self))
        index = torch.cat([torch.randperm(len(self), generator=rng) for _ in range(turns)])[:count]
        return self.rows(index, length, self.end_id or 0)

    def first(self, count: int, length: int) -> Tensor:
        """Return the first `length` ids of the first `count` sequences, unshifted: (<= count, length)."""
        return self.rows(torch.arange(min(count, len(self))), length, self.end_id or 0)

    def groups(self, batch: int, rng: torch.Generator | None = None) -> list[Tensor]:
        """Return indices of sequences in groups of at most `batch` of like lengths, so that little is padding.

        With a generator the order is random; lengths are only sorted within pools of 16 groups.
        """
        order = torch.arange(len(self)) if rng is None else torch.randperm(len(self), generator=rng)
        groups: list[Tensor] = []
        for pool in order.split(16 * batch):
            by_length = pool[self.lengths[pool].argsort(stable=True)]
            groups.extend(by_length.split(batch))
        if rng is None:
            return groups
        return [groups[i] for i in torch.randperm(len(groups), generator=rng).tolist()]
