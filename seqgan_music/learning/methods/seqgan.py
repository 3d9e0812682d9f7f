"""SeqGAN (Yu, Zhang, Wang, Yu, AAAI 2017), Algorithm 1: policy gradient with Monte Carlo rollouts.

    pre-train G by maximum likelihood                     the phase before this one
    pre-train D on samples of G                           rounds of `pretrain`
    repeat                                                rounds of `iterations`
        for g-steps: sample Y; Q by R rollouts (eq. 4); update G by policy gradient (eq. 8)
        for d-steps: sample negatives; train D on them and real ones for k epochs (eq. 5)
        update the rollout policy

Recipe `paper`: the settings of the authors' code, reward D in [0, 1] without a baseline, summed loss.
Recipe `anchored` differs in these points, each an option:
1. The reward is the logit of D, clipped: its optimum under 2. is the data's distribution, not D's mode.
2. A KL anchor, weight beta, to the policy that D was trained against: r_t - beta * (log G - log G_ref).
3. A leave-one-out baseline per step; small steps (rate, clipping, mean over tokens).
4. Maximum likelihood interleaved: one batch of real openings beside each g-step.
5. A gate: the phase ends before it begins where D's Donsker-Varadhan bound on held-out data is not above 0,
   that is, where D knows nothing that generalises.
Differences of both from the paper: real sequences are openings of T tokens; sequences may end before T, and
tokens after the end get no reward; `rollout_stride` above 1 is an estimator (see `rollout`).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.learning import policy_gradient
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.discriminators import Scorer
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods import Progress, Setting
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.rollout import action_values
from seqgan_music.learning.sampling import sample

REWARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "probability": torch.sigmoid,
    "logit": lambda logits: logits.clamp(-5.0, 5.0),
}


@dataclass(frozen=True)
class SeqganOptions:
    """Options of SeqGAN; the defaults are the recipe `anchored`."""

    pretrain: int = 10
    """Rounds of D's pre-training: new negatives, then `d_epochs` epochs each."""
    iterations: int = 20
    """Adversarial iterations (Algorithm 1's outer loop)."""
    g_steps: int = 2
    """Generator updates an iteration."""
    d_steps: int = 1
    """Times an iteration that new negatives are sampled for D."""
    d_epochs: int = 1
    """k: epochs of D over each set of negatives."""
    batch: int = 64
    """Sequences a generator update."""
    rollouts: int = 4
    """R: completions of each prefix."""
    rollout_stride: int = 8
    """Every stride-th prefix is rolled out; values between are interpolated. 1 is the paper's."""
    rollout_lag: float = 0.0
    """Share of the old rollout policy kept at each update; 0 rolls out with the current generator."""
    reward: str = "logit"
    """What is averaged over rollouts: "probability" of D (the paper's) or its "logit"."""
    beta: float = 1.0
    """Weight of the KL anchor; 0 is the paper's."""
    baseline: bool = True
    """Whether the mean of the batch's other values at each step is subtracted."""
    mean_loss: bool = True
    """Whether the policy gradient is averaged over tokens; the paper's code sums."""
    g_learning_rate: float = 1e-4
    """Of the generator's Adam in this phase (0.01 in the paper's code)."""
    g_clip: float = 5.0
    """Largest norm of the generator's gradient."""
    mle_weight: float = 1.0
    """Weight of the interleaved maximum likelihood; 0 is the paper's."""
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
        counts = ("iterations", "d_epochs", "batch", "rollouts", "rollout_stride", "d_samples", "d_batch")
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1.")
        if min(self.pretrain, self.g_steps, self.d_steps, self.beta, self.mle_weight) < 0:
            raise ConfigError("pretrain, g_steps, d_steps, beta and mle_weight must be at least 0.")
        if min(self.g_learning_rate, self.d_learning_rate, self.g_clip) <= 0:
            raise ConfigError("learning rates and clips must be above 0.")
        if not 0 <= self.rollout_lag < 1:
            raise ConfigError("rollout_lag must be in [0, 1).")
        if self.reward not in REWARDS:
            raise ConfigError(f"There is no reward '{self.reward}'.{did_you_mean(self.reward, REWARDS)}")


PAPER = {
    "pretrain": 50,
    "iterations": 200,
    "g_steps": 1,
    "d_steps": 5,
    "d_epochs": 3,
    "batch": 64,
    "rollouts": 16,
    "rollout_stride": 1,
    "reward": "probability",
    "beta": 0.0,
    "baseline": False,
    "mean_loss": False,
    "g_learning_rate": 1e-2,
    "mle_weight": 0.0,
    "d_samples": 9984,
    "gate": False,
}


class Seqgan:
    """G and D in turns."""

    Options = SeqganOptions
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER, "anchored": {}}
    adversarial = True
    uses_discriminator = True
    only_in_oracle: ClassVar[str | None] = None
    keeps_best = False

    def __init__(self, setting: Setting, options: SeqganOptions) -> None:
        self.options = options
        self.rounds = options.pretrain + options.iterations
        self._setting = setting
        self.generator_changed = False
        self._round = 0
        self._frozen: tuple[Stepper, Scorer] | None = None
        """The rollout policy and D, laid out for the g-steps of one iteration."""
        self._rollout_policy = copy.deepcopy(setting.generator).requires_grad_(False)
        self._anchor = copy.deepcopy(setting.generator).requires_grad_(False)
        self._g_optimizer = torch.optim.Adam(setting.generator.parameters(), options.g_learning_rate)
        self._d_optimizer = torch.optim.Adam(setting.discriminator.parameters(), options.d_learning_rate)

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do one round: one of D's pre-training, or one adversarial iteration."""
        options = self.options
        measures: dict[str, float] = {}
        self.generator_changed = self._round >= options.pretrain
        if self.generator_changed:
            for _ in range(options.g_steps):
                measures.update(self._generator_step())
                if progress is not None:
                    progress(measures)
            self._anchor.load_state_dict(self._setting.generator.state_dict())
            self._frozen = None
        for _ in range(options.d_steps if self.generator_changed else 1):
            measures["d_loss"] = self._discriminator_step(options.d_samples, progress)
        self._update_rollout_policy()
        self._round += 1
        return measures

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """End after D's pre-training where its held-out bound is not above 0."""
        if self.options.gate and self._round == self.options.pretrain and history and history[-1]["d_bound"] <= 0:
            bound = history[-1]["d_bound"]
            return f"the discriminator knows nothing that generalises (held-out bound {bound:.3f} nats)"
        return None

    def action_values(self, ids: Tensor) -> Tensor:
        """Return Q (B, T) of each token of sampled sequences (B, T): what other rewards than D's replace."""
        setting, options = self._setting, self.options
        if self._frozen is None:  # neither changes within an iteration's g-steps
            self._frozen = Stepper(self._rollout_policy), setting.discriminator.scorer()
        policy, scorer = self._frozen
        return action_values(
            policy,
            scorer,
            ids,
            options.rollouts,
            setting.model_rng,
            reward=REWARDS[options.reward],
            stride=options.rollout_stride,
            end_id=setting.train.end_id,
        )

    def model(self) -> GeneratorModel:
        """Return the generator."""
        return GeneratorModel(self._setting.generator, self._setting.length)

    def _generator_step(self) -> dict[str, float]:
        """Sample, complete every prefix, score, and update G once (eq. 8)."""
        setting, options = self._setting, self.options
        generator, end_id = setting.generator, setting.train.end_id
        ids = sample(Stepper(generator), options.batch, setting.length, setting.model_rng, end_id)
        values = self.action_values(ids)  # (B, T)
        chosen = policy_gradient.until_end(ids, end_id)  # (B, T)
        log_probs = generator.log_probs(ids)  # (B, T)
        advantages = values
        if options.beta > 0:
            with torch.no_grad():
                drift = (log_probs - self._anchor.log_probs(ids)) * chosen
            advantages = advantages - options.beta * policy_gradient.reward_to_go(drift)
        if options.baseline:
            advantages = advantages - policy_gradient.leave_one_out(advantages, chosen)
        loss = policy_gradient.loss(log_probs, advantages, chosen, mean=options.mean_loss)
        if options.mle_weight > 0:
            real = setting.train.openings(options.batch, setting.length, setting.data_rng)
            real_chosen = policy_gradient.until_end(real, end_id)
            likelihood = generator.log_probs(real, setting.model_rng) * real_chosen
            loss = loss - options.mle_weight * likelihood.sum() / real_chosen.sum()
        self._g_optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(generator.parameters(), options.g_clip)
        self._g_optimizer.step()
        weight = chosen.float()
        return {
            "g_loss": float(loss.detach()),
            "g_norm": float(norm),
            "reward": float((values * weight).sum() / weight.sum()),
            "reward_first": float(values[:, 0].mean()),
            "reward_last": float(values[:, -1].mean()),
        }

    def _discriminator_step(self, count: int, progress: Progress) -> float:
        """Train D for k epochs on `count` new negatives and as many real sequences (eq. 5); return the loss."""
        setting, options = self._setting, self.options
        discriminator = setting.discriminator
        fake = sample(Stepper(setting.generator), count, setting.length, setting.model_rng, setting.train.end_id)
        real = setting.train.openings(count, setting.length, setting.data_rng)
        ids = torch.cat([real, fake])
        labels = (torch.arange(2 * count, device=setting.device) < count).float()
        total, batches = torch.zeros((), device=setting.device), 0
        for _ in range(options.d_epochs):
            order = torch.randperm(2 * count, generator=setting.data_rng).to(setting.device)
            for rows in order.split(options.d_batch):
                logits = discriminator(ids[rows], setting.model_rng)
                loss = F.binary_cross_entropy_with_logits(logits, labels[rows])
                self._d_optimizer.zero_grad()
                (loss + discriminator.penalty()).backward()
                self._d_optimizer.step()
                total, batches = total + loss.detach(), batches + 1
                if progress is not None:
                    progress({})
        return float(total) / batches

    def expected_seconds(self) -> float:
        """Time one generator step and a small step of D, after one of each to warm up."""
        options, few = self.options, min(self.options.d_samples, 4 * self.options.d_batch)
        seconds = []
        for step in (self._generator_step, lambda: self._discriminator_step(few, None)):
            step()
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        d_steps = options.pretrain + options.iterations * options.d_steps
        return seconds[0] * options.iterations * options.g_steps + seconds[1] * d_steps * options.d_samples / few

    @staticmethod
    def scaled(options: SeqganOptions, share: float) -> SeqganOptions:
        """Return options with that share of the rounds; where that is less than one, of its negatives."""
        iterations = max(1, round(options.iterations * share))
        rest = min(1.0, options.iterations * share / iterations)
        return replace(
            options,
            pretrain=round(options.pretrain * share),
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
        """Return the optimizers' states, the rollout policy and the anchor."""
        return {
            **prefixed(optimizer_tensors(self._g_optimizer), "g_adam"),
            **prefixed(optimizer_tensors(self._d_optimizer), "d_adam"),
            **prefixed(self._rollout_policy.state_dict(), "rollout_policy"),
            **prefixed(self._anchor.state_dict(), "anchor"),
        }

    def counters(self) -> dict[str, Any]:
        """Return the rounds done."""
        return {"round": self._round}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put everything back."""
        restore_optimizer(self._g_optimizer, unprefixed(tensors, "g_adam"))
        restore_optimizer(self._d_optimizer, unprefixed(tensors, "d_adam"))
        self._rollout_policy.load_state_dict(unprefixed(tensors, "rollout_policy"))
        self._anchor.load_state_dict(unprefixed(tensors, "anchor"))
        self._round = counters["round"]
        self.generator_changed = self._round > self.options.pretrain
