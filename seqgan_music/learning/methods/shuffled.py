"""A placebo: SeqGAN whose rewards are permuted across the sequences of each batch.

Their distribution at every step is D's, but they say nothing of the sequence that they are given to.
Differences from SeqGAN:
1. The permutation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqgan_music.learning.methods.seqgan import Seqgan


class Shuffled(Seqgan):
    """G and D in turns, G rewarded for the sequences of others."""

    def action_values(self, ids: Tensor) -> Tensor:
        """Return Q (B, T), its rows in random order."""
        values = self._batch.all(super().action_values(ids))
        order = torch.randperm(len(values), generator=self._setting.model_rng, device=ids.device)
        return self._batch.own(values[order])
