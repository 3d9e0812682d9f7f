"""Policy gradient on G's own samples: what SeqGAN, PG-BLEU and the placebos share (SeqGAN eq. 7 and 8).

They differ in `action_values` alone: where the reward of each token comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning import policy_gradient
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.graphs import Recorded, records
from seqgan_music.learning.methods import Progress, Setting, seconds
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.sampling import sample

PAPER: Mapping[str, Any] = {
    "iterations": 200,
    "g_steps": 1,
    "batch": 64,
    "beta": 0.0,
    "baseline": False,
    "mean_loss": False,
    "g_learning_rate": 1e-2,
    "mle_weight": 0.0,
}
"""The settings of the authors' code, as far as they are the generator's."""


_PARTS, _LEAST_ROWS = 8, 8
"""A step is timed by an eighth of its sequences, where a rank has at least so many of these."""


@dataclass(frozen=True)
class ReinforceOptions:
    """Options of the generator's steps."""

    iterations: int = 20
    """Adversarial iterations (Algorithm 1's outer loop)."""
    g_steps: int = 2
    """Generator updates an iteration."""
    batch: int = 64
    """Sequences a generator update."""
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

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.iterations, self.batch) < 1:
            raise ConfigError("iterations and batch must be at least 1.")
        if min(self.g_steps, self.beta, self.mle_weight) < 0:
            raise ConfigError("g_steps, beta and mle_weight must be at least 0.")
        if min(self.g_learning_rate, self.g_clip) <= 0:
            raise ConfigError("g_learning_rate and g_clip must be above 0.")


class Reinforce:
    """G by policy gradient."""

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER, "anchored": {}}
    adversarial = True
    uses_discriminator = False
    takes_objectives = False
    only_in_oracle: ClassVar[str | None] = None
    keeps_best = False

    @property
    def recordable(self) -> bool:
        """Whether `action_values` may be recorded (see `graphs`)."""
        return False

    def __init__(self, setting: Setting, options: ReinforceOptions) -> None:
        self.options = options
        self.rounds = options.iterations
        self.generator_changed = True
        self._setting = setting
        self._round = 0
        self._batch = setting.ranks.share(options.batch)
        self._rng = self._batch.rng(setting.model_rng)
        self._anchor = setting.generator.copied().requires_grad_(False)
        self._g_optimizer = torch.optim.Adam(
            setting.generator.parameters(),
            options.g_learning_rate,
            fused=True,
            capturable=records(setting.device),
        )
        record = self.recordable and setting.ranks.size == 1
        self._update = Recorded(self._taken, setting.device, [setting.model_rng], record=record)

    def action_values(self, ids: Tensor) -> Tensor:
        """Return Q (B, T) of each token of sampled sequences (B, T); B are this rank's, as are `self._rng`'s."""
        raise NotImplementedError

    @property
    def updates(self) -> int:
        """Updates of the generator so far."""
        return self._round * self.options.g_steps

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do one iteration: the g-steps, then the anchor follows."""
        measures: dict[str, float] = {}
        for _ in range(self.options.g_steps):
            measures.update(self._generator_step())
            if progress is not None:
                progress(measures)
        self._anchor.load_state_dict(self._setting.generator.state_dict())
        self._round += 1
        return measures

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """Never end early: the trainer watches for collapse."""
        return None

    def model(self) -> GeneratorModel:
        """Return the generator."""
        return GeneratorModel(self._setting.generator, self._setting.length)

    def _generator_step(self) -> dict[str, float]:
        """Sample, value every token, and update G once (eq. 8)."""
        setting, options = self._setting, self.options
        real = None
        if options.mle_weight > 0:
            real = setting.train.openings(options.batch, setting.length, setting.data_rng)
        loss, norm, rewards, counts = self._update(real)
        names = ["reward", *(f"reward_q{n}" for n in range(1, len(rewards)))]
        told = zip(names, rewards.tolist(), counts.tolist(), strict=True)
        return {
            "g_loss": float(loss),
            "g_norm": float(norm),
            **{name: total / count for name, total, count in told if count > 0},
        }

    def _taken(self, real: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Update G once, `real` openings (B, T) beside.

        Return the loss, the gradient's norm, and of all positions and of each quarter of them: the sum of the
        rewards, and how many there are.
        """
        setting, options, batch = self._setting, self.options, self._batch
        generator, end_id = setting.generator, setting.train.end_id
        ids = sample(Stepper(generator), batch.count, setting.length, self._rng, end_id)
        values = self.action_values(ids)  # (B, T)
        chosen = policy_gradient.until_end(ids, end_id)  # (B, T)
        log_probs = generator.log_probs(ids)  # (B, T)
        advantages = values
        if options.beta > 0:
            with torch.no_grad():
                drift = (log_probs - self._anchor.log_probs(ids)) * chosen
            advantages = advantages - options.beta * policy_gradient.reward_to_go(drift)
        weight = batch.all(chosen).float()  # from here on also what other ranks have
        if options.baseline:
            advantages = advantages - batch.own(policy_gradient.leave_one_out(batch.all(advantages), weight))
        loss = policy_gradient.loss(log_probs, advantages, chosen, mean=options.mean_loss, count=weight.sum())
        if real is not None:
            real_chosen = policy_gradient.until_end(real, end_id)
            likelihood = generator.log_probs(batch.own(real), self._rng) * batch.own(real_chosen)
            loss = loss - options.mle_weight * likelihood.sum() / real_chosen.sum()
        self._g_optimizer.zero_grad()
        loss = batch.backward(loss, generator)
        norm = torch.nn.utils.clip_grad_norm_(generator.parameters(), options.g_clip)
        self._g_optimizer.step()
        counted = batch.all(values) * weight
        rewards, counts = (
            torch.stack([each.sum(), *(part.sum() for part in each.chunk(4, 1))]) for each in (counted, weight)
        )
        return loss, norm, rewards, counts

    def expected_seconds(self) -> float:
        """Time one generator step, after one to warm up."""
        return self.step_seconds() * self.options.iterations * self.options.g_steps

    def step_seconds(self) -> float:
        """Time a generator step; on a CPU, where it grows with them, by one of few sequences."""
        few, size = self.options.batch // _PARTS, self._setting.ranks.size
        if self._setting.device.type != "cpu" or few < _LEAST_ROWS * size:
            return seconds(self._generator_step)
        step = type(self)(self._setting, replace(self.options, batch=few))
        return seconds(step._generator_step) * self.options.batch / few

    @staticmethod
    def scaled(options: Any, share: float) -> Any:
        """Return options with that share of the iterations."""
        return replace(options, iterations=max(1, round(options.iterations * share)))

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's state and the anchor."""
        return {
            **prefixed(optimizer_tensors(self._g_optimizer), "g_adam"),
            **prefixed(self._anchor.state_dict(), "anchor"),
        }

    def counters(self) -> dict[str, Any]:
        """Return the rounds done."""
        return {"round": self._round}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put everything back."""
        restore_optimizer(self._g_optimizer, unprefixed(tensors, "g_adam"))
        self._anchor.load_state_dict(unprefixed(tensors, "anchor"))
        self._round = counters["round"]
