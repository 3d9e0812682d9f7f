"""Sentence BLEU (Papineni et al. 2002) of many sequences at once against one set of references.

    BLEU = brevity * exp(mean over n of log p_n)
    p_n  = clipped matches / n-grams of the sequence, n = 1 .. order
    brevity = exp(min(0, 1 - r / c))

A match counts at most as often as the n-gram stands in the one reference that has it most often; c is the
sequence's length, r the reference length nearest to it, the shorter of two. Where nothing matches, 0.1 matches are
taken (Chen and Cherry 2014, method 1). A sequence is what stands up to and including its first end id.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqgan_music.learning.policy_gradient import until_end

SMOOTHING = 0.1


class Bleu:
    """BLEU against references (N, T), as a `Scorer`: "logits" are BLEU, in [0, 1]."""

    def __init__(self, references: Tensor, order: int, vocabulary_size: int, end_id: int | None = None) -> None:
        self._order = order
        self._size = vocabulary_size
        self._end_id = end_id
        inside = until_end(references, end_id)  # (N, T)
        self._lengths = inside.sum(1).unique()
        self._tables: list[Tensor] = []
        """For each n the numbers of all n-grams of the references, ascending; see `_grams`."""
        self._most: list[Tensor] = []
        """For each n how often one reference has each of them, at most."""
        grams = torch.zeros_like(references)
        for n in range(1, order + 1):
            keys, valid = self._keys(grams, references, inside, n)
            table, ids = keys[valid].unique(return_inverse=True)
            self._tables.append(table)
            rows = torch.arange(len(references), device=references.device)[:, None].expand_as(valid)[valid]
            pairs, counts = (rows * len(table) + ids).unique(return_counts=True)
            most = torch.zeros(len(table), dtype=torch.long, device=references.device)
            self._most.append(most.scatter_reduce_(0, pairs % max(1, len(table)), counts, "amax"))
            grams = self._grams(keys, valid, n)

    def __call__(self, ids: Tensor) -> Tensor:
        """Return BLEU (M,) of each sequence (M, T)."""
        inside = until_end(ids, self._end_id)
        lengths = inside.sum(1)  # (M,)
        grams, total = torch.zeros_like(ids), torch.zeros(len(ids), device=ids.device)
        for n in range(1, self._order + 1):
            grams = self._grams(*self._keys(grams, ids, inside, n), n)
            matches = self._clipped(grams, n).float()
            matches = torch.where(matches == 0, SMOOTHING, matches)
            total += (matches / (lengths - n + 1).clamp(min=1)).log()
        return (total / self._order + (1.0 - self._nearest(lengths) / lengths).clamp(max=0.0)).exp()

    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return BLEU (B, R) of completions (B, R, T)."""
        return self(completed.flatten(0, 1)).view(completed.shape[:2])

    def _keys(self, grams: Tensor, ids: Tensor, inside: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Return a number for each n-gram, from that of its first n - 1 tokens and its last, and which are whole.

        `grams` (M, T) numbers the (n - 1)-grams by where they begin, -1 for those that no reference has.
        """
        first, last = grams[:, : ids.shape[1] - n + 1], ids[:, n - 1 :]
        return first * self._size + last, inside[:, n - 1 :] & (first >= 0)

    def _grams(self, keys: Tensor, valid: Tensor, n: int) -> Tensor:
        """Return where each n-gram stands in the table, -1 for those that no reference has."""
        table = self._tables[n - 1]
        if not len(table):
            return torch.full_like(keys, -1)
        place = torch.searchsorted(table, keys).clamp_(max=len(table) - 1)
        return torch.where(valid & (table[place] == keys), place, -1)

    def _clipped(self, grams: Tensor, n: int) -> Tensor:
        """Return the clipped matches (M,): of equal n-grams in a row as many as one reference has."""
        if not grams.shape[1] or not len(self._most[n - 1]):
            return torch.zeros(len(grams), device=grams.device)
        ordered = grams.sort(1).values
        position = torch.arange(ordered.shape[1], device=grams.device).expand_as(ordered)
        new = torch.ones_like(ordered, dtype=torch.bool)
        new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        before = position - torch.where(new, position, 0).cummax(1).values  # equal ones to the left
        return ((ordered >= 0) & (before < self._most[n - 1][ordered.clamp(min=0)])).sum(1)

    def _nearest(self, lengths: Tensor) -> Tensor:
        """Return the reference length nearest to each length (M,), the shorter of two."""
        above = torch.searchsorted(self._lengths, lengths).clamp_(max=len(self._lengths) - 1)
        high, low = self._lengths[above], self._lengths[(above - 1).clamp(min=0)]
        return torch.where((lengths - low).abs() <= (high - lengths).abs(), low, high)
