"""Cooperative training (Lu, Yu, Feng, Zhu, Zhang, ICML 2019): a mediator M in place of a discriminator, no rewards.

    repeat                                                `updates` times
        for m-steps: M by maximum likelihood on half real, half generated sequences
        sample prefixes from G; G minimises sum over v of g(v | prefix) (log g(v | prefix) - log m(v | prefix))

M learns (P + G) / 2, so that G descends KL(G || M): one half of the Jensen-Shannon divergence of P and G. The sum
runs over the vocabulary, at every step of G's samples: exact, where a policy gradient samples it. No gradient goes
through which prefixes are sampled.
Differences from the paper:
1. `pretrain`: where G comes from maximum likelihood M has to catch up before G may follow it.
2. G's best state by held-out loss is kept (`keep_best`), and maximum likelihood can be mixed in (`mle_weight`).
3. Real sequences are openings of T tokens; tokens after the end count for neither model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.methods import Progress, Setting, seconds
from seqgan_music.learning.methods._discriminator import negatives
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.policy_gradient import until_end


@dataclass(frozen=True)
class CotOptions:
    """Options of cooperative training."""

    updates: int = 4000
    """Updates of the generator in the whole phase."""
    round_updates: int = 250
    """Updates between two evaluations."""
    pretrain: int = 500
    """Updates of M before G's first; 0 is the paper's, whose G begins untrained, too."""
    m_steps: int = 1
    """Updates of M for each of G's."""
    batch: int = 64
    """Sequences an update, of either model; M gets as many real ones beside them."""
    mediator_hidden: float = 2.0
    """Size of M's state, as a multiple of G's."""
    g_learning_rate: float = 5e-4
    """Of G's Adam."""
    m_learning_rate: float = 2e-3
    """Of M's Adam."""
    clip: float = 5.0
    """Largest norm of either gradient."""
    mle_weight: float = 0.0
    """Weight of interleaved maximum likelihood; 0 is the paper's."""
    keep_best: bool = True
    """Whether the phase leaves the generator of its lowest held-out loss; the paper's leaves the last."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.updates, self.round_updates, self.m_steps, self.batch) < 1:
            raise ConfigError("updates, round_updates, m_steps and batch must be at least 1.")
        if min(self.pretrain, self.mle_weight) < 0:
            raise ConfigError("pretrain and mle_weight must be at least 0.")
        if min(self.mediator_hidden, self.g_learning_rate, self.m_learning_rate, self.clip) <= 0:
            raise ConfigError("mediator_hidden, learning rates and clip must be above 0.")
        if self.mediator_hidden > 100:
            raise ConfigError("mediator_hidden must be at most 100.")


class Cot:
    """G and M in turns."""

    Options = CotOptions
    adversarial = False
    uses_discriminator = False
    takes_objectives = False
    only_in_oracle: ClassVar[str | None] = None
    generator_changed = True

    def __init__(self, setting: Setting, options: CotOptions) -> None:
        self.options = options
        self.keeps_best = options.keep_best
        self.rounds = -(-options.updates // options.round_updates)
        self._setting = setting
        self._batch = setting.ranks.share(options.batch)
        self._updates = 0
        generator = setting.generator
        hidden = max(1, round(options.mediator_hidden * generator.config.hidden))
        self._mediator = Generator(
            generator.vocabulary_size,
            generator.start_id,
            replace(generator.config, hidden=hidden),
            setting.train.tokens.effects,
        )
        self._mediator.initialise(setting.data_rng)
        self._mediator.to(setting.device)
        self._g_optimizer = torch.optim.Adam(generator.parameters(), options.g_learning_rate, fused=True)
        self._m_optimizer = torch.optim.Adam(self._mediator.parameters(), options.m_learning_rate, fused=True)

    @property
    def updates(self) -> int:
        """Updates of the generator so far."""
        return self._updates

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do the round's updates."""
        options = self.options
        goal = min(self._updates + options.round_updates, options.updates)
        g_losses, m_losses = [], []
        for _ in range(options.pretrain if self._updates == 0 else 0):
            self._mediator_step()
            if progress is not None:
                progress({})
        for _ in range(self._updates, goal):
            m_losses += [self._mediator_step() for _ in range(options.m_steps)]
            g_losses.append(self._generator_step())
            self._updates += 1
            if progress is not None:
                progress({})
        means = (float(torch.stack(losses).mean()) for losses in (g_losses, m_losses))
        return dict(zip(("g_loss", "mediator_nats"), means, strict=True))

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """Never end early."""
        return None

    def model(self) -> GeneratorModel:
        """Return the generator."""
        return GeneratorModel(self._setting.generator, self._setting.length)

    def _mediator_step(self) -> Tensor:
        """Update M on as many real as generated sequences; return its loss, nats a token."""
        real, fake = self._real(), self._fake()
        loss = 0.5 * (self._nll(self._mediator, real) + self._nll(self._mediator, fake))
        return self._descend(loss, self._mediator, self._m_optimizer)

    def _generator_step(self) -> Tensor:
        """Update G on its own samples; return its loss, nats a token."""
        generator, ids = self._setting.generator, self._fake()
        chosen = until_end(ids, self._setting.train.end_id)
        own, mask = self._batch.own(ids), self._batch.own(chosen)
        loss = mediated(generator, self._mediator, own, mask) * (mask.sum() / chosen.sum())
        total = loss
        if self.options.mle_weight > 0:
            total = total + self.options.mle_weight * self._nll(generator, self._real())
        return self._descend(total, generator, self._g_optimizer, told=loss)

    def _real(self) -> Tensor:
        setting = self._setting
        return setting.train.openings(self.options.batch, setting.length, setting.data_rng)

    def _fake(self) -> Tensor:
        return negatives(self._setting, Stepper(self._setting.generator), self.options.batch)

    def _nll(self, model: Generator, ids: Tensor) -> Tensor:
        """Return the mean NLL of the tokens of ids (B, T) up to their end, nats: this rank's part of it."""
        chosen = until_end(ids, self._setting.train.end_id)
        log_probs = model.log_probs(self._batch.own(ids), self._batch.rng(self._setting.model_rng))
        return -(log_probs * self._batch.own(chosen)).sum() / chosen.sum()

    def _descend(
        self, loss: Tensor, model: Generator, optimizer: torch.optim.Optimizer, told: Tensor | None = None
    ) -> Tensor:
        """Update a model; return the loss, or what is told in its place, of all ranks."""
        optimizer.zero_grad()
        found = self._batch.backward(loss, model, told)
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.options.clip)
        optimizer.step()
        return found

    def expected_seconds(self) -> float:
        """Time an update of each model, after one to warm up."""
        options = self.options
        m_step, g_step = seconds(self._mediator_step), seconds(self._generator_step)
        return options.updates * (options.m_steps * m_step + g_step) + options.pretrain * m_step

    @staticmethod
    def scaled(options: CotOptions, share: float) -> CotOptions:
        """Return options with that share of the updates."""
        return replace(
            options,
            updates=max(1, round(options.updates * share)),
            pretrain=round(options.pretrain * share),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return M and the optimizers' states."""
        return {
            **prefixed(self._mediator.state_dict(), "mediator"),
            **prefixed(optimizer_tensors(self._g_optimizer), "g_adam"),
            **prefixed(optimizer_tensors(self._m_optimizer), "m_adam"),
        }

    def counters(self) -> dict[str, Any]:
        """Return the updates done."""
        return {"updates": self._updates}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put everything back."""
        self._mediator.load_state_dict(unprefixed(tensors, "mediator"))
        restore_optimizer(self._g_optimizer, unprefixed(tensors, "g_adam"))
        restore_optimizer(self._m_optimizer, unprefixed(tensors, "m_adam"))
        self._updates = counters["updates"]


def mediated(generator: Generator, mediator: Generator, ids: Tensor, mask: Tensor) -> Tensor:
    """Return KL(g(. | prefix) || m(. | prefix)), its mean over the prefixes of ids (B, T) in `mask`, in nats."""
    inputs = generator.inputs_for(ids)
    log_g = generator(inputs)[0].log_softmax(2)  # (B, T, V)
    with torch.no_grad():
        log_m = mediator(inputs)[0].log_softmax(2)  # (B, T, V)
    divergence = (log_g.exp() * (log_g - log_m)).sum(2)  # (B, T)
    mean: Tensor = (divergence * mask).sum() / mask.sum()
    return mean
