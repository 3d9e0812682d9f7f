"""G taught its own samples as D weights them: the residual energy model of `resampled`, projected back onto G.

    repeat                                                `iterations` times
        anchor g0 = G
        train D on samples of g0 and real ones            `d_rounds` rounds; the best held-out bound is kept
        G by maximum likelihood on samples of g0, each with weight e^s(x) / Z       one round

s is the logit of D. The last step is min over G of KL(q || G), q = g0 e^s / Z, on as many new samples as are asked
for; with an ideal D q is the data's distribution. No paper does just this; its relatives are reward-weighted
regression (Peters and Schaal 2007) and the energy model of Deng et al. 2020. What is done here:
1. With w = e^s / Z the loss is E_g0[-w log G] = E_g0[-(w - 1) log G] + E_g0[-log G], and the last term is summed
   over the vocabulary at every step of the samples: where D knows nothing (w = 1) nothing moves, not even by noise.
2. Z is the mean over a pool of samples. s is clipped, and multiplied by the largest strength at which an
   `effective` share of the pool carries the weight: where D is far ahead, each iteration goes a part of the way.
3. `real_share` mixes in maximum likelihood on real openings.
4. The rate falls linearly to 0 within each iteration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning import classifier
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.methods import Progress, Setting, seconds
from seqgan_music.learning.methods._discriminator import Best, discriminator_step, negatives
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.policy_gradient import until_end
from seqgan_music.learning.resampling import strength_for


@dataclass(frozen=True)
class DistilledOptions:
    """Options of distillation."""

    iterations: int = 2
    """Times that D is trained against G, and G on what D says."""
    d_rounds: int = 8
    """Rounds of D's training an iteration, each with new negatives; the best is kept."""
    d_samples: int = 4096
    """Negatives, and as many real sequences, a round."""
    d_batch: int = 64
    """Sequences an update of D."""
    d_learning_rate: float = 3e-4
    """Of D's AdamW."""
    d_weight_decay: float = 0.0
    """Of D's AdamW."""
    g_updates: int = 300
    """Updates of G an iteration."""
    g_batch: int = 64
    """Samples of the anchor an update, and as many real sequences where they have a share."""
    g_learning_rate: float = 5e-4
    """Of G's Adam at the start of each iteration; it falls linearly to 0."""
    g_clip: float = 1.0
    """Largest norm of G's gradient."""
    pool: int = 8192
    """Samples of the anchor over which the weights are normalised."""
    strength: float = 1.0
    """What the logit of D is multiplied by, at most."""
    effective: float = 0.5
    """Least share of the pool that carries the weight; the strength is lowered until it does. 0 never lowers it."""
    score_clip: float = 30.0
    """Largest size of the logit."""
    real_share: float = 0.0
    """Share of maximum likelihood on real openings in the loss."""
    gate: bool = True
    """Whether to end the phase before G moves where D's best held-out bound is not above 0."""
    keep_best: bool = True
    """Whether the phase leaves the generator of the lowest held-out loss."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        for name in ("iterations", "d_rounds", "d_samples", "d_batch", "g_updates", "g_batch", "pool"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1.")
        if min(self.d_learning_rate, self.g_learning_rate, self.g_clip, self.score_clip) <= 0:
            raise ConfigError("learning rates and clips must be above 0.")
        if min(self.d_weight_decay, self.strength) < 0 or not 0 <= self.real_share < 1:
            raise ConfigError("d_weight_decay and strength must be at least 0, real_share in [0, 1).")
        if not 0 <= self.effective < 1:
            raise ConfigError("effective must be in [0, 1).")


class Distilled:
    """D against G, then G by what D says of G's samples."""

    Options = DistilledOptions
    adversarial = True
    uses_discriminator = True
    takes_objectives = False
    only_in_oracle: ClassVar[str | None] = None

    def __init__(self, setting: Setting, options: DistilledOptions) -> None:
        self.options = options
        self.keeps_best = options.keep_best
        self.rounds = options.iterations * (options.d_rounds + 1)
        self.generator_changed = False
        self._setting = setting
        self._round = 0
        self._best = Best(setting.discriminator)
        self._d_optimizer = classifier.optimizer(
            setting.discriminator, options.d_learning_rate, options.d_weight_decay
        )
        self._g_optimizer = torch.optim.Adam(setting.generator.parameters(), options.g_learning_rate, fused=True)

    @property
    def updates(self) -> int:
        """Updates of the generator so far."""
        return self._round // (self.options.d_rounds + 1) * self.options.g_updates

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Train D against new negatives, or, once an iteration, G."""
        self.generator_changed = self._turn == self.options.d_rounds
        self._round += 1
        if not self.generator_changed:
            return {"d_loss": self._discriminator_step(self.options.d_samples, progress)}
        self._best.put_back()
        return self._distil(self.options.g_updates, progress)

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """Keep D where it is this iteration's best; end where that knows nothing that generalises."""
        turn = self._turn
        bounds = [measures["d_bound"] for measures in history[len(history) - turn :]]
        self._best.note(bounds)
        if self.options.gate and turn == self.options.d_rounds and max(bounds) <= 0:
            return f"the discriminator knows nothing that generalises (held-out bound {max(bounds):.3f} nats)"
        return None

    def model(self) -> GeneratorModel:
        """Return the generator."""
        return GeneratorModel(self._setting.generator, self._setting.length)

    @property
    def _turn(self) -> int:
        """D's rounds done in this iteration."""
        return self._round % (self.options.d_rounds + 1)

    def _discriminator_step(self, count: int, progress: Progress) -> float:
        return discriminator_step(self._setting, self._d_optimizer, count, 1, self.options.d_batch, progress)

    def _distil(self, updates: int, progress: Progress) -> dict[str, float]:
        """Teach G its present samples as D weights them."""
        setting, options = self._setting, self.options
        anchor = setting.generator.copied().requires_grad_(False)
        stepper, score = Stepper(anchor), setting.discriminator.scorer()
        done, losses, strengths = 0, [], []
        while done < updates:
            count = min(options.pool, (updates - done) * options.g_batch)
            ids = negatives(setting, stepper, count)
            share = setting.ranks.share(count)
            scores = share.all(score(share.own(ids))).clamp(-options.score_clip, options.score_clip)
            strengths.append(strength_for(scores, options.strength, options.effective))
            weights = (strengths[-1] * scores).softmax(0) * count  # (N,), of mean 1
            for rows in torch.arange(count, device=ids.device).split(options.g_batch):
                rate = options.g_learning_rate * (1.0 - done / updates)
                losses.append(self._update(anchor, ids[rows], weights[rows], rate))
                done += 1
                if progress is not None:
                    progress({})
        return {"g_loss": float(torch.stack(losses).mean()), "strength": fmean(strengths)}

    def _update(self, anchor: Generator, ids: Tensor, weights: Tensor, rate: float) -> Tensor:
        """Update G once on samples (B, T) of the anchor with weights (B,); return the loss."""
        setting, options = self._setting, self.options
        generator, end_id, share = setting.generator, setting.train.end_id, setting.ranks.share(len(ids))
        chosen = until_end(ids, end_id)
        own = share.own(chosen)
        loss = distillation(generator, anchor, share.own(ids), share.own(weights), own)
        loss = (1.0 - options.real_share) * share.addend(loss * (own.sum() / chosen.sum()))
        if options.real_share > 0:
            real = setting.train.openings(options.g_batch, setting.length, setting.data_rng)
            some = setting.ranks.share(options.g_batch)
            chosen = until_end(real, end_id)
            log_probs = generator.log_probs(some.own(real), some.rng(setting.model_rng))
            likelihood = (log_probs * some.own(chosen)).sum() / chosen.sum()
            loss = loss - options.real_share * some.addend(likelihood)
        self._g_optimizer.param_groups[0]["lr"] = rate
        self._g_optimizer.zero_grad()
        loss = setting.ranks.backward(loss, generator)
        torch.nn.utils.clip_grad_norm_(generator.parameters(), options.g_clip)
        self._g_optimizer.step()
        return loss

    def expected_seconds(self) -> float:
        """Time a small step of D and an update of G, after one of each to warm up."""
        options, few = self.options, min(self.options.d_samples, 4 * self.options.d_batch)
        d_round = seconds(lambda: self._discriminator_step(few, None)) * options.d_samples / few
        g_update = seconds(lambda: self._distil(4, None)) / 4
        return options.iterations * (options.d_rounds * d_round + options.g_updates * g_update)

    @staticmethod
    def scaled(options: DistilledOptions, share: float) -> DistilledOptions:
        """Return options with that share of the iterations; where that is less than one, of what is in it."""
        iterations = max(1, round(options.iterations * share))
        rest = min(1.0, options.iterations * share / iterations)
        return replace(
            options,
            iterations=iterations,
            d_rounds=max(1, round(options.d_rounds * rest)),
            g_updates=max(1, round(options.g_updates * rest)),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizers' states and the best D."""
        return {
            **prefixed(optimizer_tensors(self._g_optimizer), "g_adam"),
            **prefixed(optimizer_tensors(self._d_optimizer), "d_adam"),
            **prefixed(self._best.tensors(), "best"),
        }

    def counters(self) -> dict[str, Any]:
        """Return the rounds done."""
        return {"round": self._round, "changed": self.generator_changed}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put everything back."""
        restore_optimizer(self._g_optimizer, unprefixed(tensors, "g_adam"))
        restore_optimizer(self._d_optimizer, unprefixed(tensors, "d_adam"))
        self._best.restore(unprefixed(tensors, "best"))
        self._round, self.generator_changed = counters["round"], counters["changed"]


def distillation(generator: Generator, anchor: Generator, ids: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of point 1 on samples (B, T) of the anchor, weights (B,): the mean over `mask`, nats a token.

    Its gradient is that of the mean of weight * -log G in expectation, and exactly 0 where G is the anchor and all
    weights are 1.
    """
    inputs = generator.inputs_for(ids)
    log_g = generator(inputs)[0].log_softmax(2)  # (B, T, V)
    with torch.no_grad():
        expected = anchor(inputs)[0].softmax(2)  # (B, T, V)
    taken = log_g.gather(2, ids[..., None])[..., 0]  # (B, T)
    loss = -(weights - 1.0)[:, None] * taken - (expected * log_g).sum(2)
    mean: Tensor = (loss * mask).sum() / mask.sum()
    return mean
