"""Scheduled sampling (Bengio, Vinyals, Jaitly, Shazeer, NeurIPS 2015): maximum likelihood on G's own prefixes.

Each input token is, with a probability that grows from 0, one that G itself draws after the inputs before it; the
targets stay those of the data. A step-by-step pass without gradients draws the mixed inputs, then one
teacher-forced pass over them learns: the same estimator, since no gradient goes through a sample.
Differences from the paper:
1. The schedule is a function of the share of the phase that is done, from 0 to `sampled`, in place of the number of
   batches. SeqGAN's authors lower the share of true tokens by 0.002 an epoch for 300 epochs: linear, 0.6.
2. A sequence longer than a window gets all its mixed inputs from G as it was before the first window. The state
   carried from window to window is that of the mixed inputs.
3. An end that G draws inside a sequence is not fed: no data goes on after one.
4. Everything else is as in `mle`. Its `patience` and `keep_best` look at the held-out loss on true prefixes, which
   this method does not lower on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods.mle import Mle, MleOptions
from seqgan_music.learning.ranks import Rng, uniforms
from seqgan_music.learning.sampling import next_tokens

STEEPNESS = 10.0


def _inverse_sigmoid(done: float, last: float) -> float:
    """The paper's k / (k + e^(i/k)), a logistic curve in i, scaled to begin at 0 and end at `last`."""
    low, now = (1 / (1 + math.exp(-STEEPNESS * (at - 0.5))) for at in (0.0, done))
    return last * (now - low) / (1 - 2 * low)


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "linear": lambda done, last: last * done,
    "exponential": lambda done, last: 1 - (1 - last) ** done,
    "inverse_sigmoid": _inverse_sigmoid,
}
"""Probability of a sampled token by the share of the phase that is done and the probability at its end."""


@dataclass(frozen=True)
class ScheduledSamplingOptions(MleOptions):
    """Options of scheduled sampling; the others are those of `mle`."""

    schedule: str = "linear"
    """How the probability grows: "linear", "exponential" or "inverse_sigmoid"."""
    sampled: float = 0.6
    """Probability, at the end of the phase, that an input token is G's own."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"There is no schedule '{self.schedule}'.{did_you_mean(self.schedule, SCHEDULES)}")
        if not 0 <= self.sampled < 1:
            raise ConfigError("sampled must be in [0, 1).")


class ScheduledSampling(Mle):
    """G by maximum likelihood after prefixes that are partly its own."""

    Options = ScheduledSamplingOptions
    options: ScheduledSamplingOptions

    @torch.no_grad()
    def inputs(self, ids: Tensor, shifted: Tensor, rng: Rng) -> Tensor:
        """Return what G is fed to predict `ids` (B, T), `shifted` (B,) or not: true tokens mixed with its own."""
        setting, options = self._setting, self.options
        mixed = super().inputs(ids, shifted, rng)
        share = SCHEDULES[options.schedule](min(1.0, self._updates / options.updates), options.sampled)
        if share == 0:
            return mixed
        stepper = Stepper(setting.generator)
        state = stepper.start(*ids.shape)
        coins, numbers = uniforms([2, *ids.shape], rng, ids.device, axis=1).unbind()
        for step in range(ids.shape[1] - 1):
            stepper.advance(mixed[:, step], state)
            drawn = next_tokens(stepper, state, numbers[:, step])
            own = coins[:, step] < share
            if setting.train.end_id is not None:
                own &= drawn != setting.train.end_id
            mixed[:, step + 1] = torch.where(own, drawn, mixed[:, step + 1])
        return mixed

    def expected_seconds(self) -> float:
        """Time the updates of a few groups of sequences, half-way: the first ones sample nothing."""
        self._updates = self.options.updates // 2
        return super().expected_seconds()
