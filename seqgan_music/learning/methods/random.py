"""Uniform random tokens: the worst row of every table (SeqGAN section 4, "Random").

Differences from the paper:
1. Uniform in the exact sense: G's output layer is 0. The paper does not say how its random tokens were drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqgan_music.learning.methods import Setting
from seqgan_music.learning.methods._fixed import Fixed


@dataclass(frozen=True)
class RandomOptions:
    """No options."""


class Random(Fixed):
    """G with equal logits."""

    Options = RandomOptions

    def __init__(self, setting: Setting, options: RandomOptions) -> None:
        super().__init__(setting, options)
        with torch.no_grad():
            for parameter in setting.generator.output.parameters():
                parameter.zero_()
