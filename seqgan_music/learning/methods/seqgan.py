"""SeqGAN (Yu, Zhang, Wang, Yu, AAAI 2017), Algorithm 1: policy gradient with Monte Carlo rollouts.

    pre-train G by maximum likelihood                     the phase before this one
    pre-train D on samples of G                           rounds of `pretrain`
    repeat                                                rounds of `iterations`
        for g-steps: sample Y; Q by R rollouts (eq. 4); update G by policy gradient (eq. 8)
        for d-steps: sample negatives; train D on them and real ones for k epochs (eq. 5)
        update the rollout policy

The g-steps are those of `_reinforce`, with the values of `action_values` below.

Recipe `paper`: the settings of the authors' code, reward D in [0, 1] without a baseline, summed loss.
Recipe `anchored` differs in these points, each an option:
1. The reward is the logit of D, clipped: its optimum under 2. is the data's distribution, not D's mode.
2. A KL anchor, weight beta, to the policy that D was trained against: r_t - beta * (log G - log G_ref).
3. A leave-one-out baseline per step; small steps (rate, clipping, mean over tokens).
4. Maximum likelihood interleaved: one batch of real openings beside each g-step.
5. A gate: the phase ends before it begins where D's Donsker-Varadhan bound on held-out data is not above 0,
   that is, where D knows nothing that generalises.
Differences of both from the paper: real sequences are openings of T tokens; sequences may end before T, and
tokens after the end get no reward; `rollout_stride` above 1 is an estimator (see `rollout`). A run's objectives,
where it has any, are mixed into the reward of both as `learning.mixing` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.learning import classifier
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.discriminators import Scorer
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.graphs import records
from seqgan_music.learning.methods import Progress, Setting, _reinforce, seconds
from seqgan_music.learning.methods._discriminator import discriminator_step
from seqgan_music.learning.methods._reinforce import Reinforce, ReinforceOptions
from seqgan_music.learning.mixing import MixedScorer
from seqgan_music.learning.rollout import action_values

REWARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "probability": torch.sigmoid,
    "logit": lambda logits: logits.clamp(-5.0, 5.0),
}

RECORDED = 64
"""Tokens up to which a generator step is recorded (`graphs`): a graph holds each kernel of each token's step, and
longer sequences have hundreds of them and only a few steps to gain by it."""


@dataclass(frozen=True)
class SeqganOptions(ReinforceOptions):
    """Options of SeqGAN; the defaults are the recipe `anchored`."""

    least_rollouts: ClassVar[int] = 1
    pretrain: int = 10
    """Rounds of D's pre-training: new negatives, then `d_epochs` epochs each."""
    d_steps: int = 1
    """Times an iteration that new negatives are sampled for D."""
    d_epochs: int = 1
    """k: epochs of D over each set of negatives."""
    rollouts: int = 4
    """R: completions of each prefix."""
    rollout_stride: int = 8
    """Every stride-th prefix is rolled out; values between are interpolated. 1 is the paper's."""
    rollout_lag: float = 0.0
    """Share of the old rollout policy kept at each update; 0 rolls out with the current generator."""
    reward: str = "logit"
    """What is averaged over rollouts: "probability" of D (the paper's) or its "logit"."""
    d_samples: int = 1024
    """Negatives, and as many real sequences, for each of the d-steps (10,000 in the paper's code)."""
    d_batch: int = 64
    """Sequences an update of D."""
    d_learning_rate: float = 1e-4
    """Of D's Adam."""
    gate: bool = True
    """Whether to end the phase after D's pre-training where D's held-out bound is not above 0."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        for name in ("d_epochs", "rollouts", "rollout_stride", "d_samples", "d_batch"):
            least = self.least_rollouts if name == "rollouts" else 1
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}.")
        if min(self.pretrain, self.d_steps) < 0 or self.d_learning_rate <= 0:
            raise ConfigError("pretrain and d_steps must be at least 0, d_learning_rate above 0.")
        if not 0 <= self.rollout_lag < 1:
            raise ConfigError("rollout_lag must be in [0, 1).")
        if self.reward not in REWARDS:
            raise ConfigError(f"There is no reward '{self.reward}'.{did_you_mean(self.reward, REWARDS)}")


PAPER = {
    **_reinforce.PAPER,
    "pretrain": 50,
    "d_steps": 5,
    "d_epochs": 3,
    "rollouts": 16,
    "rollout_stride": 1,
    "reward": "probability",
    "d_samples": 9984,
    "gate": False,
}


class Seqgan(Reinforce):
    """G and D in turns."""

    Options = SeqganOptions
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER, "anchored": {}}
    uses_discriminator = True
    takes_objectives = True
    options: SeqganOptions

    @property
    def recordable(self) -> bool:
        """Whether it pays, and nothing has to be looked at on the way: objectives read what is written."""
        return self._setting.objective is None and self._setting.length <= RECORDED

    def __init__(self, setting: Setting, options: SeqganOptions) -> None:
        super().__init__(setting, options)
        self.rounds = options.pretrain + options.iterations
        self.generator_changed = False
        self._frozen: tuple[Stepper, Scorer] | None = None
        """The rollout policy and D, laid out for the g-steps of one iteration."""
        self._rollout_policy = setting.generator.copied().requires_grad_(False)
        self._d_optimizer = classifier.optimizer(setting.discriminator, options.d_learning_rate)

    @property
    def updates(self) -> int:
        """Updates of the generator so far."""
        return max(0, self._round - self.options.pretrain) * self.options.g_steps

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do one round: one of D's pre-training, or one adversarial iteration."""
        options = self.options
        self.generator_changed = self._round >= options.pretrain
        measures: dict[str, float] = {}
        if self.generator_changed:
            measures = super().advance(progress)
        else:
            self._round += 1
        for _ in range(options.d_steps if self.generator_changed else 1):
            measures["d_loss"] = self._discriminator_step(options.d_samples, progress)
        self._update_rollout_policy()
        self._frozen = None
        return measures

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """End after D's pre-training where its held-out bound is not above 0."""
        if self.options.gate and self._round == self.options.pretrain and history and history[-1]["d_bound"] <= 0:
            bound = history[-1]["d_bound"]
            return f"the discriminator knows nothing that generalises (held-out bound {bound:.3f} nats)"
        return None

    def action_values(self, ids: Tensor) -> Tensor:
        """Return Q (B, T) by rollouts, scored by D (eq. 4)."""
        setting, options = self._setting, self.options
        if self._frozen is None or records(ids.device):  # what is recorded must lay them out each time
            self._frozen = Stepper(self._rollout_policy), setting.discriminator.scorer()
        policy, scorer = self._frozen
        reward = REWARDS[options.reward]
        if setting.objective is not None:
            share = 1.0 - setting.objective.weight if options.reward == "probability" else 1.0
            scorer, reward = MixedScorer(scorer, reward, setting.objective, share), torch.positive
        return action_values(
            policy,
            scorer,
            ids,
            options.rollouts,
            self._rng,
            reward=reward,
            stride=options.rollout_stride,
            end_id=setting.train.end_id,
        )

    def _discriminator_step(self, count: int, progress: Progress) -> float:
        options = self.options
        return discriminator_step(
            self._setting, self._d_optimizer, count, options.d_epochs, options.d_batch, progress
        )

    def expected_seconds(self) -> float:
        """Time one generator step and a small step of D, after one of each to warm up."""
        options, few = self.options, min(self.options.d_samples, 4 * self.options.d_batch)
        d_step = seconds(lambda: self._discriminator_step(few, None)) * options.d_samples / few
        return super().expected_seconds() + d_step * (options.pretrain + options.iterations * options.d_steps)

    @staticmethod
    def scaled(options: SeqganOptions, share: float) -> SeqganOptions:
        """Return options with that share of the rounds; where that is less than one, of the negatives.

        D is pre-trained for a round at least, if at all: one that knows nothing has nothing to reward.
        """
        iterations = max(1, round(options.iterations * share))
        rest = min(1.0, options.iterations * share / iterations)
        return replace(
            options,
            pretrain=min(options.pretrain, max(1, round(options.pretrain * share))),
            iterations=iterations,
            d_samples=min(options.d_samples, max(options.d_batch, round(options.d_samples * rest))),
        )

    @torch.no_grad()
    def _update_rollout_policy(self) -> None:
        lag = self.options.rollout_lag
        pairs = zip(self._rollout_policy.parameters(), self._setting.generator.parameters(), strict=True)
        for behind, current in pairs:
            behind.lerp_(current, 1.0 - lag)

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizers' states, the anchor and the rollout policy."""
        return {
            **super().tensors(),
            **prefixed(optimizer_tensors(self._d_optimizer), "d_adam"),
            **prefixed(self._rollout_policy.state_dict(), "rollout_policy"),
        }

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put everything back."""
        super().restore(tensors, counters)
        restore_optimizer(self._d_optimizer, unprefixed(tensors, "d_adam"))
        self._rollout_policy.load_state_dict(unprefixed(tensors, "rollout_policy"))
        self.generator_changed = self._round > self.options.pretrain
