"""D at sampling time: samples of a frozen G re-weighted by e^logit, a residual energy-based model.

Deng, Bakhtin, Ott, Szlam and Ranzato, ICLR 2020; conditional noise-contrastive estimation against G itself.

    repeat                                                rounds of `rounds`
        sample negatives of G; train D on them and real ones
    put back the D of the best held-out bound             one more round
    sample: of M candidates of G keep one with probability in proportion to e^logit

Differences from the paper:
1. D is any discriminator of SeqGAN's, where the paper fine-tunes a bidirectional transformer.
2. Negatives are new in every round.
3. `strength` multiplies the logit, and is lowered where the weights would rest on too few samples (`effective`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning import classifier
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.methods import Progress, Setting, seconds
from seqgan_music.learning.methods._discriminator import Best, discriminator_step
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.resampling import ResampledModel, strength_for


@dataclass(frozen=True)
class ResampledOptions:
    """Options of resampling."""

    rounds: int = 10
    """Rounds of D's training, each with new negatives; the best is kept."""
    samples: int = 4096
    """Negatives, and as many real sequences, a round."""
    epochs: int = 1
    """Epochs over them."""
    batch: int = 64
    """Sequences an update of D."""
    learning_rate: float = 3e-4
    """Of D's AdamW."""
    weight_decay: float = 0.0
    """Of D's AdamW."""
    strength: float = 1.0
    """What the logit of D is multiplied by, at most; 0 leaves G as it is."""
    effective: float = 0.1
    """Least share of samples that carries the weight; the strength is lowered until it does. 0 never lowers it."""
    candidates: int = 16
    """M: samples of G from which each sample is chosen."""
    pool: int = 16_384
    """Samples of G from which the normaliser Z is estimated."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.rounds, self.samples, self.epochs, self.batch, self.candidates, self.pool) < 1:
            raise ConfigError("rounds, samples, epochs, batch, candidates and pool must be at least 1.")
        if self.learning_rate <= 0 or min(self.weight_decay, self.strength) < 0:
            raise ConfigError("learning_rate must be above 0, weight_decay and strength at least 0.")
        if not 0 <= self.effective < 1:
            raise ConfigError("effective must be in [0, 1).")


class Resampled:
    """G frozen, D trained against it."""

    Options = ResampledOptions
    adversarial = False
    uses_discriminator = True
    takes_objectives = False
    only_in_oracle: ClassVar[str | None] = None
    keeps_best = False
    generator_changed = False

    def __init__(self, setting: Setting, options: ResampledOptions) -> None:
        self.options = options
        self.rounds = options.rounds + 1
        self._setting = setting
        self._round = 0
        self._best = Best(setting.discriminator)
        self._optimizer = classifier.optimizer(setting.discriminator, options.learning_rate, options.weight_decay)

    @property
    def updates(self) -> int:
        """Updates of the generator: none."""
        return 0

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Train D against new negatives; in the last round put back the best."""
        self._round += 1
        if self._round < self.rounds:
            return {"d_loss": self._discriminator_step(self.options.samples, progress)}
        self._best.put_back()
        return {}

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """Never end early; keep D where it is the best so far."""
        self._best.note([measures["d_bound"] for measures in history])
        return None

    def model(self) -> ResampledModel:
        """Return G's samples weighted by D."""
        setting, options = self._setting, self.options
        base, score = GeneratorModel(setting.generator, setting.length), setting.discriminator.scorer()
        ids = base.sample(options.pool, 1.0, torch.Generator(setting.device).manual_seed(0))
        return ResampledModel(
            base,
            score,
            strength=strength_for(score(ids), options.strength, options.effective),
            candidates=options.candidates,
            pool=options.pool,
        )

    def _discriminator_step(self, count: int, progress: Progress) -> float:
        options = self.options
        return discriminator_step(self._setting, self._optimizer, count, options.epochs, options.batch, progress)

    def expected_seconds(self) -> float:
        """Time a small step of D, after one to warm up."""
        options, few = self.options, min(self.options.samples, 4 * self.options.batch)
        return seconds(lambda: self._discriminator_step(few, None)) * options.rounds * options.samples / few

    @staticmethod
    def scaled(options: ResampledOptions, share: float) -> ResampledOptions:
        """Return options with that share of the rounds; where that is less than one, of its negatives."""
        rounds = max(1, round(options.rounds * share))
        rest = min(1.0, options.rounds * share / rounds)
        samples = min(options.samples, max(options.batch, round(options.samples * rest)))
        return replace(options, rounds=rounds, samples=samples)

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's state and the best D."""
        return {**prefixed(optimizer_tensors(self._optimizer), "adam"), **prefixed(self._best.tensors(), "best")}

    def counters(self) -> dict[str, Any]:
        """Return the rounds done."""
        return {"round": self._round}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put everything back."""
        restore_optimizer(self._optimizer, unprefixed(tensors, "adam"))
        self._best.restore(unprefixed(tensors, "best"))
        self._round = counters["round"]
