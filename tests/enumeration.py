"""All sequences of a tiny vocabulary, and whether drawn ones have the frequencies that a law gives them."""

from __future__ import annotations

import torch
from torch import Tensor


def every(vocabulary_size: int, length: int) -> Tensor:
    """All V^T sequences (V^T, T), in the order of `number`."""
    return torch.cartesian_prod(*[torch.arange(vocabulary_size)] * length).view(-1, length)


def number(ids: Tensor, vocabulary_size: int) -> Tensor:
    """The place of each sequence (N, T) among all."""
    return (ids * vocabulary_size ** torch.arange(ids.shape[1] - 1, -1, -1)).sum(1)


def assert_drawn_from(ids: Tensor, vocabulary_size: int, log_probs: Tensor) -> None:
    """Chi-square of ids (N, T) against the law (V^T,), rare sequences pooled, within four standard deviations."""
    probabilities = log_probs.exp()
    counts = torch.bincount(number(ids, vocabulary_size), minlength=len(probabilities)).double()
    assert not counts[probabilities == 0].any()
    expected = probabilities * len(ids)
    rare = expected < 10
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]]).clamp(min=1e-9)
    freedom = len(expected) - 1
    assert freedom > 5
    assert float(((counts - expected) ** 2 / expected).sum()) < freedom + 4 * (2 * freedom) ** 0.5
