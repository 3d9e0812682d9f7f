"""Rollouts the slow, obvious way: one prefix and one completion at a time, every step from the start.

What the fast engine is tested against and timed beside. It is also how public implementations do it
(each of R x (T - 1) rollouts re-runs all T steps and the whole softmax), so its time is a fair yardstick.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import Generator

Draw = Callable[[Tensor, int, int], Tensor]
"""(probabilities (B, V), prefix, step) -> ids (B,)."""


def multinomial(rng: torch.Generator) -> Draw:
    """Draw as public implementations do."""
    return lambda probabilities, prefix, step: torch.multinomial(probabilities, 1, generator=rng)[:, 0]


@torch.no_grad()
def complete(generator: Generator, ids: Tensor, prefix: int, draw: Draw, end_id: int | None = None) -> Tensor:
    """Complete the first `prefix` ids of each sequence (B, T) once, stepping through all T from the start."""
    token, state = torch.full_like(ids[:, :1], generator.start_id), None
    done: list[Tensor] = []
    for step in range(ids.shape[1]):
        logits, state = generator(token, state)
        drawn = ids[:, step] if step < prefix else draw(logits[:, -1].softmax(1), prefix, step)
        if end_id is not None and step >= prefix:
            drawn = torch.where(done[-1] == end_id, end_id, drawn)
        done.append(drawn)
        token = drawn[:, None]
    return torch.stack(done, 1)


@torch.no_grad()
def action_values(
    generator: Generator,
    discriminator: Discriminator,
    ids: Tensor,
    rollouts: int,
    draw: Draw,
    end_id: int | None = None,
) -> Tensor:
    """Return Q (B, T) of eq. 4 with the probability of D as reward."""
    values = torch.zeros(ids.shape)
    for prefix in range(1, ids.shape[1]):
        for _ in range(rollouts):
            completed = complete(generator, ids, prefix, draw, end_id)
            values[:, prefix - 1] += discriminator(completed).sigmoid() / rollouts
    values[:, -1] = discriminator(ids).sigmoid()
    return values
