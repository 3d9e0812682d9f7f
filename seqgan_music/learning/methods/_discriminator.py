"""One d-step of the methods that have a discriminator (SeqGAN Algorithm 1, lines 9 to 12)."""

from __future__ import annotations

import torch

from seqgan_music.learning.classifier import train_epoch
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods import Progress, Setting
from seqgan_music.learning.sampling import sample


def discriminator_step(
    setting: Setting, optimizer: torch.optim.Optimizer, count: int, epochs: int, batch: int, progress: Progress
) -> float:
    """Train D for some epochs on `count` new samples of G and as many real openings; return the mean loss, nats."""
    rngs = setting.data_rng, setting.model_rng
    fake = sample(Stepper(setting.generator), count, setting.length, setting.model_rng, setting.train.end_id)
    real = setting.train.openings(count, setting.length, setting.data_rng)
    losses = [
        train_epoch(setting.discriminator, optimizer, real, fake, batch, *rngs, progress) for _ in range(epochs)
    ]
    return float(torch.stack(losses).mean())
