"""Truncated back-propagation with carried state, for losses whose weights differ from token to token.

A sequence of T tokens is read in windows; the state goes on from one to the next, the gradient does not. What is
held for it is that of one window, so that memory does not grow with T; time grows in proportion to it. The values
are exact, only the gradient is cut: it reaches back at most to the beginning of its token's window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqgan_music.learning.generator import Generator, State
from seqgan_music.learning.likelihood import nll, weighted_nll


@torch.no_grad()
def log_probs(generator: Generator, ids: Tensor, window: int) -> Tensor:
    """Return log G(y_t | y_1..t-1) for each token of ids (B, T), as (B, T), in nats: `generator.log_probs`."""
    inputs, parts = generator.inputs_for(ids), []
    state: State | None = None
    for some, given in zip(ids.split(window, 1), inputs.split(window, 1), strict=True):
        hidden, state = generator.hidden(given, state)
        losses = nll(hidden.flatten(0, 1), generator.output.weight, generator.output.bias, some.flatten())
        parts.append(-losses.view_as(some))
    return torch.cat(parts, 1)


def backward(
    generator: Generator, ids: Tensor, weights: Tensor, window: int, dropout_rng: torch.Generator | None = None
) -> float:
    """Add to the gradients those of the sum of weights * -log G(y_t | y_1..t-1), all (B, T); return the sum.

    What comes after the last token of any weight is not read.
    """
    used = weights.ne(0).any(0).nonzero()
    length = int(used[-1]) + 1 if len(used) else 0
    inputs = generator.inputs_for(ids)
    state: State | None = None
    total = 0.0
    for start in range(0, length, window):
        span = slice(start, min(start + window, length))
        hidden, state = generator.hidden(inputs[:, span], state, dropout_rng)
        loss = weighted_nll(
            hidden.flatten(0, 1),
            generator.output.weight,
            generator.output.bias,
            ids[:, span].flatten(),
            weights[:, span].flatten(),
        )
        loss.backward()
        total += float(loss.detach())
        state = state.detached()
    return total
