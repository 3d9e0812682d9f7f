"""A new discriminator, trained from nothing against a finished model: what could still be told apart, by anyone.

The same for every method, whether it has a discriminator of its own or not, so that rows can be compared. Its
held-out Donsker-Varadhan bound is what resampling the model by it would gain in held-out likelihood, in nats a
sequence: where it is near 0 there is nothing left to win for a method that learns from such a discriminator.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqgan_music.config import JudgeConfig
from seqgan_music.learning import classifier
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.evaluation import discrimination

Draw = Callable[[int], Tensor]
"""Draws that many sequences of the model: ids (N, T)."""


def judge(
    discriminator: Discriminator,
    draw: Draw,
    train: Tensor,
    validation: Tensor,
    test: Tensor,
    config: JudgeConfig,
    rng: torch.Generator,
) -> dict[str, float]:
    """Train `discriminator` on real `train` (N, T) against `draw`; return its accuracy and bound on `test`.

    The epoch is chosen by the bound on `validation`, each time against new samples. `rng` is on the models' device.
    """
    optimizer = classifier.optimizer(discriminator, config.learning_rate)
    best, stale, found = float("-inf"), 0, {"d_accuracy": 0.5, "d_bound": 0.0}
    for _ in range(config.epochs):
        order = torch.randperm(len(train), generator=rng, device=rng.device)[: config.samples]
        real = train[order.to(train.device)]
        classifier.train_epoch(discriminator, optimizer, real, draw(len(real)), config.batch, rng, rng)
        bound = discrimination(discriminator, validation, draw(len(validation)))["d_bound"]
        if bound > best:
            best, stale = bound, 0
            found = discrimination(discriminator, test, draw(len(test)))
        else:
            stale += 1
            if stale >= config.patience:
                break
    return found
