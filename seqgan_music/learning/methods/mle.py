"""Maximum likelihood: teacher forcing on whole sequences, the paper's pre-training (SeqGAN Algorithm 1, line 2).

Differences from the paper's code:
1. Sequences of any length: truncated back-propagation over windows with the state carried on.
2. Small batches, dropout, a learning rate that falls linearly, and an end by held-out loss: 120 epochs at a
   constant rate, as there, overfit so far that held-out loss ends worse than uniform guessing (docs/log.md).
3. A share of the sequences is shifted (transposed) at random by what its data allows. Those begin with a start id
   of their own: what a piece in another key teaches is learnt, and samples are still in the keys of the data.
4. The generator may be the mean of its weights over the last updates (Polyak and Juditsky 1992): from one
   evaluation to the next the held-out loss of the last weights jumps, that of their mean falls.
5. Between the windows of long sequences the first ones of others may be learnt (`openings`). Of pieces of
   thousands of tokens few are begun in a training, and a generator that begins wrongly goes on wrongly. What may
   follow what is not changed by being learnt more often: the optimum is the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from seqgan_music.errors import ConfigError
from seqgan_music.learning.checkpoint import optimizer_tensors, prefixed, restore_optimizer, unprefixed
from seqgan_music.learning.clock import Time
from seqgan_music.learning.data import IGNORED
from seqgan_music.learning.generator import State
from seqgan_music.learning.graphs import Recorded, records
from seqgan_music.learning.methods import Progress, Setting
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.ranks import Rng


@dataclass(frozen=True)
class MleOptions:
    """Options of maximum likelihood."""

    updates: int = 4000
    """Updates of the generator in the whole phase."""
    round_updates: int = 250
    """Updates between two evaluations."""
    batch: int = 8
    """Sequences an update."""
    window: int = 64
    """Tokens of each sequence an update: the reach of truncated back-propagation."""
    learning_rate: float = 4e-3
    """Of Adam, at the start."""
    final_rate: float = 0.05
    """Share of it that is left at the end; it falls linearly. 1 keeps it constant."""
    beta2: float = 0.98
    """Of Adam: how slowly its estimate of the gradient's size forgets."""
    weight_decay: float = 0.0
    """Of AdamW."""
    shifted: float = 0.25
    """Share of the sequences that are learnt shifted (transposed), where the data allows it; G is told which."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    openings: int = 0
    """At least one in so many updates learns beginnings: in long sequences those of others are put in; 0: none."""
    average: float = 0.0
    """How slowly the mean of the weights, which the phase leaves, forgets earlier ones; 0 leaves the last."""
    patience: int = 4
    """Rounds without a better held-out loss after which the phase ends; 0 never ends it."""
    keep_best: bool = True
    """Whether the phase leaves the generator of its lowest held-out loss; the paper's leaves the last."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.updates, self.round_updates, self.batch, self.window) < 1:
            raise ConfigError("updates, round_updates, batch and window must be at least 1.")
        if not 0 <= self.beta2 < 1 or self.weight_decay < 0 or not 0 <= self.shifted <= 1:
            raise ConfigError("beta2 must be in [0, 1), weight_decay at least 0, shifted in [0, 1].")
        if self.openings < 0 or self.openings == 1:
            raise ConfigError("openings must be 0 (none) or at least 2.")
        if not 0 <= self.average < 1:
            raise ConfigError("average must be in [0, 1).")
        if self.learning_rate <= 0 or self.clip <= 0 or not 0 <= self.final_rate <= 1 or self.patience < 0:
            raise ConfigError("learning_rate and clip must be above 0, final_rate in [0, 1], patience at least 0.")


@dataclass(frozen=True)
class _Group:
    """Sequences that are learnt together; B of them are this rank's.

    lengths: tokens of each, all ranks'
    targets: (B, L), past a sequence's end IGNORED
    inputs:  (B, L) what G is fed to predict them
    time:    (B, L) when the inputs are, where G has a clock
    """

    lengths: Tensor
    targets: Tensor
    inputs: Tensor
    time: Time | None


class Mle:
    """G by maximum likelihood."""

    Options = MleOptions
    adversarial = False
    uses_discriminator = False
    takes_objectives = False
    only_in_oracle: ClassVar[str | None] = None
    generator_changed = True

    def __init__(self, setting: Setting, options: MleOptions) -> None:
        self.options = options
        self.keeps_best = options.keep_best
        self.rounds = -(-options.updates // options.round_updates)
        self._setting = setting
        recorded = records(setting.device)
        rate: float | Tensor = options.learning_rate
        self._optimizer = torch.optim.AdamW(
            setting.generator.parameters(),
            torch.tensor(rate, device=setting.device) if recorded else rate,
            betas=(0.9, options.beta2),
            weight_decay=options.weight_decay,
            fused=True,
            capturable=recorded,
        )
        self._update = Recorded(self._taken, setting.device, [setting.model_rng], record=setting.ranks.size == 1)
        self._updates = 0
        self._weights = list(setting.generator.parameters())
        self._mean = [weight.detach().clone() for weight in self._weights] if options.average else []
        self._last: list[Tensor] = []
        """The last weights, while the generator's are their mean: from the end of a round to the next."""
        self._groups: list[Tensor] = []
        self._position = 0
        self._epoch_rng = setting.data_rng.get_state()

    @property
    def updates(self) -> int:
        """Updates of the generator so far."""
        return self._updates

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do the round's updates, to the end of the group of sequences in which the last one falls."""
        goal = min(self._updates + self.options.round_updates, self.options.updates)
        loss, tokens = torch.zeros((), dtype=torch.float64, device=self._setting.device), 0
        _copy(self._last, self._weights)
        while self._updates < goal:
            total, count = self._learn(self._next_group(), progress)
            loss, tokens = loss + total, tokens + count
        if self._mean:
            self._last = [weight.detach().clone() for weight in self._weights]
            _copy(self._mean, self._weights)
        return {"train_nats": float(loss) / max(tokens, 1), "learning_rate": self._rate()}

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """End where the held-out loss has not fallen for `patience` rounds."""
        losses = [measures["validation_nats"] for measures in history]
        best = min(range(len(losses)), key=losses.__getitem__, default=0)
        if self.options.patience and len(losses) - 1 - best >= self.options.patience:
            return f"held-out loss has not fallen for {self.options.patience} rounds"
        return None

    def inputs(self, ids: Tensor, shifted: Tensor, rng: Rng) -> Tensor:
        """Return what G is fed to predict `ids` (B, T), `shifted` (B,) or not: the data's tokens before them."""
        return self._setting.generator.inputs_for(ids, shifted)

    def model(self) -> GeneratorModel:
        """Return the generator."""
        return GeneratorModel(self._setting.generator, self._setting.length)

    def _learn(self, index: Tensor, progress: Progress) -> tuple[Tensor, int]:
        """Teach one group of sequences, window by window; return the summed loss and the tokens.

        Nothing here waits for a GPU: the loss stays there until somebody wants to see it.
        """
        options, data = self.options, self._setting.train
        length = int(data.lengths[index].max())
        group = self._gathered(index, length)
        window = math.ceil(length / math.ceil(length / options.window))
        state: State | None = None
        total, count = torch.zeros((), dtype=torch.float64, device=data.device), 0
        for number, start in enumerate(range(0, length, window), start=1):
            loss, tokens, state = self._step(group, slice(start, start + window), state)
            total, count = total + loss.double() * tokens, count + tokens
            if options.openings and number % (options.openings - 1) == 0 and start + window < length:
                some = torch.randperm(len(data), generator=self._setting.data_rng)[: options.batch]
                some = some[data.lengths[some].argsort(stable=True)]  # as in a group
                self._step(self._gathered(some, options.window), slice(0, options.window), None)
            if progress is not None:
                progress({"nats": total / count})
        return total, count

    def _gathered(self, index: Tensor, length: int) -> _Group:
        """Return the first `length` tokens of a group of sequences, shifted by chance."""
        setting, data, share = self._setting, self._setting.train, self._setting.ranks.share(len(index))
        lengths, rng = data.lengths[index].clamp(max=length), share.rng(setting.model_rng)
        length = int(lengths.max())
        shift = share.own(data.random_shifts(index, self.options.shifted, setting.data_rng))
        index = share.own(index)
        targets = data.rows(index, length, IGNORED, shift)
        inputs = self.inputs(targets.clamp(min=0), (shift > 0).to(data.device, non_blocking=True), rng)
        clock = setting.generator.clock
        time = None if clock is None else clock.before(data.times(index, length))  # of the inputs
        return _Group(lengths, targets, inputs, time)

    def _step(self, group: _Group, span: slice, state: State | None) -> tuple[Tensor, int, State]:
        """Update G once by a part of a group; return the loss, the tokens and the state after it."""
        rows = len(group.lengths)
        share = self._setting.ranks.share(rows)
        when = group.time and group.time.span(span.start, span.stop)
        tokens = int((group.lengths - span.start).clamp(0, span.stop - span.start).sum())  # all ranks'
        self._set_rate()
        among = None if share.count == share.total else tokens
        loss, state = self._update(group.inputs[:, span], group.targets[:, span], state, when, rows, among)
        self._updates += 1
        if self._mean:
            decay = min(self.options.average, self._updates / (self._updates + 10))  # the first are soon forgotten
            get_ema_multi_avg_fn(decay)(self._mean, self._weights, self._updates)
        return loss, tokens, state

    def _taken(
        self, inputs: Tensor, targets: Tensor, state: State | None, time: Time | None, rows: int, count: int | None
    ) -> tuple[Tensor, State]:
        """Update G once; return the loss of a batch of `rows`, of which (B, T) are this rank's, and the state."""
        generator, share = self._setting.generator, self._setting.ranks.share(rows)
        loss, state = generator.loss(inputs, targets, state, share.rng(self._setting.model_rng), time, count)
        self._optimizer.zero_grad()
        loss = share.backward(loss, generator)
        torch.nn.utils.clip_grad_norm_(generator.parameters(), self.options.clip)
        self._optimizer.step()
        return loss, state.detached()

    def _set_rate(self) -> None:
        group, rate = self._optimizer.param_groups[0], self._rate()
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def _rate(self) -> float:
        done = min(1.0, self._updates / self.options.updates)
        return self.options.learning_rate * (1.0 - (1.0 - self.options.final_rate) * done)

    def _next_group(self) -> Tensor:
        if self._position >= len(self._groups):
            self._epoch_rng = self._setting.data_rng.get_state()
            self._begin_epoch()
            self._position = 0
        self._position += 1
        return self._groups[self._position - 1]

    def _begin_epoch(self) -> None:
        self._groups = self._setting.train.groups(self.options.batch, self._setting.data_rng)

    def expected_seconds(self) -> float:
        """Time the updates of a few groups of sequences."""
        self._learn(self._next_group(), None)  # the first pays for allocations
        before, start = self._updates, time.perf_counter()
        while time.perf_counter() - start < 1.0:
            self._learn(self._next_group(), None)
        return (time.perf_counter() - start) / (self._updates - before) * self.options.updates

    @staticmethod
    def scaled(options: MleOptions, share: float) -> MleOptions:
        """Return options with that share of the updates."""
        return replace(options, updates=max(1, round(options.updates * share)))

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's state and the random state from which the epoch's order was drawn."""
        last = {str(index): weight for index, weight in enumerate(self._last)}
        adam = prefixed(optimizer_tensors(self._optimizer), "adam")
        return {**adam, **prefixed(last, "last"), "epoch_rng": self._epoch_rng}

    def counters(self) -> dict[str, Any]:
        """Return how far the phase and the epoch have come."""
        return {"updates": self._updates, "position": self._position, "begun": bool(self._groups)}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put back the optimizer and draw the epoch's order again."""
        restore_optimizer(self._optimizer, unprefixed(tensors, "adam"))
        last = unprefixed(tensors, "last")
        self._last = [last[str(index)].to(self._setting.device) for index in range(len(last))]
        self._updates, self._position = counters["updates"], counters["position"]
        self._epoch_rng = tensors["epoch_rng"]
        if counters["begun"]:
            now = self._setting.data_rng.get_state()
            self._setting.data_rng.set_state(self._epoch_rng)
            self._begin_epoch()
            self._setting.data_rng.set_state(now)


@torch.no_grad()
def _copy(values: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    for value, target in zip(values, into, strict=bool(values)):
        target.copy_(value)
