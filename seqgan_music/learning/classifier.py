"""D as a classifier: one epoch over real and generated sequences (SeqGAN eq. 5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.graphs import Recorded, records
from seqgan_music.learning.ranks import ALONE, Ranks


def optimizer(discriminator: Discriminator, learning_rate: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """Return D's optimizer: AdamW, which without weight decay is Adam."""
    weights = list(discriminator.parameters())
    recorded = records(weights[0].device)
    return torch.optim.AdamW(weights, learning_rate, weight_decay=weight_decay, fused=True, capturable=recorded)


def train_epoch(
    discriminator: Discriminator,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    batch: int,
    order_rng: torch.Generator,
    dropout_rng: torch.Generator,
    progress: Callable[[dict[str, float]], None] | None = None,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Show D each real and each generated sequence (N, T) once, in random order.

    Return the mean cross-entropy of the batches, nats, as a tensor on the device. `progress` is called after each.
    All ranks are given all sequences.
    """
    ids = torch.cat([real, fake])
    labels = (torch.arange(len(ids), device=ids.device) < len(real)).float()
    order = torch.randperm(len(ids), generator=order_rng, device=order_rng.device).to(ids.device)

    def step(rows: Tensor) -> Tensor:
        share = ranks.share(len(rows))
        own = share.own(rows)
        loss = F.binary_cross_entropy_with_logits(discriminator(ids[own], share.rng(dropout_rng)), labels[own])
        optimizer.zero_grad()
        whole = share.part * (loss + discriminator.penalty())
        told = share.backward(whole, discriminator, told=share.part * loss)
        optimizer.step()
        return told

    taught = Recorded(step, ids.device, [dropout_rng], record=ranks.size == 1)
    losses = []
    for rows in order.split(batch):
        losses.append(taught(rows))
        if progress is not None:
            progress({})
    return torch.stack(losses).mean()
