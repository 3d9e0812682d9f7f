"""Monte Carlo rollouts: every prefix of a batch completed R times by the rollout policy, scored on the whole.

SeqGAN eq. 4. The action value of the token y_t after the prefix y_1..t-1 is

    Q(y_1..t-1, y_t) = mean over R of f(D(completion of y_1..t))    for t < T
    Q(y_1..T-1, y_T) = f(D(y_1..T))                                 for the last token

with f = sigmoid for the paper's reward, the identity for the logit.

All prefixes are rolled out together: T - 1 sequential steps over a batch that grows by one prefix a step, not
T²/2 small ones. The state after each prefix is kept from one pass over the given sequences, and the rollouts
of prefix t join the batch with that state. Two stated estimators lower the cost: `stride` rolls out every
stride-th prefix only and interpolates the values between linearly; R itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seqgan_music.learning.discriminators import Scorer
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.ranks import Rng, uniforms
from seqgan_music.learning.sampling import next_tokens


def prefixes(length: int, stride: int) -> list[int]:
    """Return the prefix lengths that are rolled out: every stride-th in [1, T - 1]."""
    return list(range(stride, length, stride))


@torch.no_grad()
def complete(
    policy: Stepper,
    ids: Tensor,
    prefixes: Sequence[int],
    rollouts: int,
    rng: Rng,
    end_id: int | None = None,
) -> Tensor:
    """Complete the first p ids of each sequence (B, T) R times, for each p of `prefixes`: (P, B, R, T).

    `prefixes` ascend, each in [1, T - 1]. After the end id only end ids follow.
    """
    batch, length = ids.shape
    rows = batch * rollouts
    shared = ids.repeat_interleave(rollouts, 0)  # (B * R, T)
    completed = shared.repeat(len(prefixes), 1)  # (P * B * R, T), rows in order of prefix, sequence, rollout
    state = policy.start(len(completed), length)
    given = policy.start(batch, length)  # the state after the given ids, before rollouts part from them
    policy.advance(torch.full((batch,), policy.start_id, device=ids.device), given)
    source = torch.arange(batch, device=ids.device).repeat_interleave(rollouts)
    joined = 0  # rows being rolled out: those of the prefixes that have begun
    for step in range(1, length):  # sample the ids at position `step`
        active = state.first(joined)
        if joined:
            policy.advance(completed[:joined, step - 1], active)
        if step <= prefixes[-1]:
            policy.advance(ids[:, step - 1], given)
        if step in prefixes:
            state.write(joined, given.rows(source))
            joined += rows
            active = state.first(joined)
        if not joined:
            continue
        numbers = uniforms([joined // rows, batch, rollouts], rng, ids.device, axis=1).flatten()
        drawn = next_tokens(policy, active, numbers)
        if end_id is not None:
            drawn = torch.where(completed[:joined, step - 1] == end_id, end_id, drawn)
        completed[:joined, step] = drawn
    return completed.view(len(prefixes), batch, rollouts, length)


@torch.no_grad()
def action_values(
    policy: Stepper,
    scorer: Scorer,
    ids: Tensor,
    rollouts: int,
    rng: Rng,
    *,
    reward: Callable[[Tensor], Tensor] = torch.sigmoid,
    stride: int = 1,
    end_id: int | None = None,
) -> Tensor:
    """Return Q (B, T) for each token of `ids` (B, T) by R rollouts of `policy`; `reward` maps logits to f(D).

    With a stride above 1, values between the rolled-out prefixes are interpolated, those before the first are its.
    """
    batch, length = ids.shape
    known = prefixes(length, stride)
    values = torch.empty(batch, len(known) + 1, device=ids.device)
    if known:
        completed = complete(policy, ids, known, rollouts, rng, end_id)
        for index, prefix in enumerate(known):
            values[:, index] = reward(scorer.completions(ids, completed[index], prefix)).mean(1)
    values[:, -1] = reward(scorer(ids))
    return _interpolate(values, stride, length)


def _interpolate(values: Tensor, stride: int, length: int) -> Tensor:
    """Spread values (B, P) at every stride-th prefix length and at T linearly over 1..T: (B, T)."""
    count = values.shape[1]
    if count == length:
        return values
    at = (torch.arange(1.0, count + 1, device=values.device) * stride).clamp_(max=length)
    wanted = torch.arange(1.0, length + 1, device=values.device).clamp_(min=min(stride, length))
    right = torch.searchsorted(at, wanted).clamp_(max=count - 1)
    left = (right - 1).clamp_(min=0)
    share = torch.where(right > left, (wanted - at[left]) / (at[right] - at[left]).clamp_(min=1e-9), 1.0)
    return values[:, left] * (1.0 - share) + values[:, right] * share
