"""A placebo: SeqGAN's policy gradient with reward 1 for every token, and no discriminator.

Whatever this improves was not learnt from any reward. Without a baseline it raises the probability of whatever
was sampled: entropy falls, and NLL_oracle with it. With the baseline all that is left is `anchored`'s interleaved
maximum likelihood.
Differences from SeqGAN:
1. The reward.
2. Neither rollouts nor d-steps: the reward needs none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqgan_music.learning.methods._reinforce import Reinforce, ReinforceOptions


class Constant(Reinforce):
    """G by policy gradient towards nothing."""

    Options = ReinforceOptions

    def action_values(self, ids: Tensor) -> Tensor:
        """Return 1 for each token of ids (B, T)."""
        return torch.ones(ids.shape, device=ids.device)
