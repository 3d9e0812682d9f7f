"""A new discriminator, trained from nothing against a finished model: what could still be told apart, by anyone.

The same for every method, whether it has a discriminator of its own or not, so that rows can be compared. Its
held-out Donsker-Varadhan bound is what resampling the model by it would gain in held-out likelihood, in nats a
sequence: where it is near 0 there is nothing left to win for a method that learns from such a discriminator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.errors import ConfigError
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.evaluation import discrimination


@dataclass(frozen=True)
class JudgeConfig:
    """How the judge learns."""

    epochs: int = 5
    """Most epochs over the training data and as many new samples of the model."""
    patience: int = 2
    """Epochs without a better bound on validation data after which it ends."""
    samples: int = 10_000
    """Most real sequences an epoch."""
    batch: int = 64
    """Sequences an update."""
    learning_rate: float = 3e-4
    """Of Adam."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.epochs, self.patience, self.samples, self.batch) < 1 or self.learning_rate <= 0:
            raise ConfigError("epochs, patience, samples and batch must be at least 1, learning_rate above 0.")


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

    The epoch is chosen by the bound on `validation`, each time against new samples.
    """
    optimizer = torch.optim.Adam(discriminator.parameters(), config.learning_rate)
    best, stale, found = float("-inf"), 0, {"d_accuracy": 0.5, "d_bound": 0.0}
    for _ in range(config.epochs):
        order = torch.randperm(len(train), generator=rng)[: config.samples].to(train.device)
        train_epoch(discriminator, optimizer, train[order], draw(len(order)), config.batch, rng)
        bound = discrimination(discriminator, validation, draw(len(validation)))["d_bound"]
        if bound > best:
            best, stale = bound, 0
            found = discrimination(discriminator, test, draw(len(test)))
        else:
            stale += 1
            if stale >= config.patience:
                break
    return found


def train_epoch(
    discriminator: Discriminator,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    batch: int,
    rng: torch.Generator,
) -> None:
    """Show D each real and each generated sequence once, in random order (SeqGAN eq. 5)."""
    ids = torch.cat([real, fake])
    labels = (torch.arange(len(ids), device=ids.device) < len(real)).float()
    for rows in torch.randperm(len(ids), generator=rng).to(ids.device).split(batch):
        loss = F.binary_cross_entropy_with_logits(discriminator(ids[rows], rng), labels[rows])
        optimizer.zero_grad()
        (loss + discriminator.penalty()).backward()
        optimizer.step()
