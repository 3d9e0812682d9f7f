"""What methods with a discriminator share: one d-step (SeqGAN Algorithm 1), and the best D so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from seqgan_music.learning.classifier import train_epoch
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods import Progress, Setting
from seqgan_music.learning.sampling import sample


def discriminator_step(
    setting: Setting, optimizer: torch.optim.Optimizer, count: int, epochs: int, batch: int, progress: Progress
) -> float:
    """Train D for some epochs on `count` new samples of G and as many real openings; return the mean loss, nats.

    Both are shifted at random, so that D learns what holds in every key, from more than there is.
    """
    rngs = setting.data_rng, setting.model_rng
    fake = negatives(setting, Stepper(setting.generator), count)
    real = setting.train.openings(count, setting.length, setting.data_rng)
    real, fake = (setting.train.shifted(ids, setting.data_rng) for ids in (real, fake))
    losses = [
        train_epoch(setting.discriminator, optimizer, real, fake, batch, *rngs, progress, setting.ranks)
        for _ in range(epochs)
    ]
    return float(torch.stack(losses).mean())


def negatives(setting: Setting, stepper: Stepper, count: int) -> Tensor:
    """Return new samples (count, T); each rank draws some of them, all have all."""
    share = setting.ranks.share(count)
    rng = share.rng(setting.model_rng)
    return share.all(sample(stepper, share.count, setting.length, rng, setting.train.end_id))


class Best:
    """D's weights where its held-out bound was highest."""

    def __init__(self, discriminator: Discriminator) -> None:
        self._discriminator = discriminator
        self._weights = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}

    def note(self, bounds: Sequence[float]) -> None:
        """Take D's weights where the last of the bounds so far is the highest."""
        if bounds and bounds[-1] >= max(bounds):
            self._weights = {name: tensor.clone() for name, tensor in self._discriminator.state_dict().items()}

    def put_back(self) -> None:
        """Give D those weights."""
        self._discriminator.load_state_dict(self._weights)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return self._weights

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self._weights = dict(tensors)
