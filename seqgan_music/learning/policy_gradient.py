"""The REINFORCE step that every reward-driven method calls (Williams 1992; SeqGAN eq. 7 and 8)."""

from __future__ import annotations

import torch
from torch import Tensor


def loss(log_probs: Tensor, advantages: Tensor, mask: Tensor, *, mean: bool, count: Tensor | None = None) -> Tensor:
    """Return -sum of log g(y_t | prefix) * advantage over the tokens in `mask`, or its mean over them.

    All (B, T); only `log_probs` carries a gradient. The paper's code sums, so that its step grows with B * T.
    The mean is that over `count` tokens where these are a part of them.
    """
    total = -(log_probs * advantages.detach() * mask).sum()
    return total / (mask.sum() if count is None else count).clamp(min=1) if mean else total


def leave_one_out(values: Tensor, mask: Tensor) -> Tensor:
    """Return for each value (B, T) the mean of the *other* sequences' at the same step: an unbiased baseline.

    Positions outside `mask` count for nobody; where no other sequence counts, the baseline is 0.
    """
    weight = mask.to(values.dtype)
    total, count = (values * weight).sum(0, keepdim=True), weight.sum(0, keepdim=True)
    others = (count - weight).clamp(min=1)
    return torch.where(count - weight > 0, (total - values * weight) / others, 0.0)


def reward_to_go(rewards: Tensor) -> Tensor:
    """Return the sum of each sequence's rewards (B, T) from each step to the end."""
    return rewards.flip(1).cumsum(1).flip(1)


def until_end(ids: Tensor, end_id: int | None) -> Tensor:
    """Return (B, T) true up to and including the first end id: the tokens that were really chosen."""
    if end_id is None:
        return torch.ones_like(ids, dtype=torch.bool)
    ended = (ids == end_id).cumsum(1)
    return (ended - (ids == end_id).long()) == 0
