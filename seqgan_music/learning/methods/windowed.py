"""SeqGAN for long sequences: windows of bars judged at several scales, rewards at bar lines, truncated rollouts.

SeqGAN's reward is one verdict on a whole sequence, whose rollouts cost T² and whose credit is spread over all T
tokens. This method, for pieces of 64 bars and more, differs from it (`seqgan`, recipe `anchored`) in these points:

1. D is `bar_windows`: a network for each of several scales, trained on windows of real and generated music.
2. A token is rewarded for the windows that hold it. Rollouts begin where blocks of `block` bars end, and go no
   further than the last window that the block lies in; their value is that of every token of the block. Both are
   exact, see `learning.window_rollout`. What a token does to later windows is not rewarded.
3. The KL anchor counts over the same reach: r - beta * the sum of (log G - log G_ref) from the token to the end of
   the last window that holds it.
4. The baseline is the mean of the other sequences' values at the same block.
5. The gradient is that of truncated back-propagation with carried state (`learning.truncation`), so that time grows
   in proportion to T and memory does not grow.
6. A curriculum: G's sequences may begin short and grow to T (`lengths`). D sees whole ones from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.errors import ConfigError
from seqgan_music.learning import policy_gradient, truncation
from seqgan_music.learning.bars import BEYOND, Scale, Windows
from seqgan_music.learning.discriminators.bar_windows import BarWindows
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods import Progress, Setting, seconds
from seqgan_music.learning.methods.seqgan import REWARDS, Seqgan, SeqganOptions
from seqgan_music.learning.sampling import sample, whole
from seqgan_music.learning.window_rollout import block_values


@dataclass(frozen=True)
class WindowedOptions(SeqganOptions):
    """Options of SeqGAN in windows; of those of `seqgan`, `rollout_stride` has no meaning here."""

    least_rollouts: ClassVar[int] = 0
    batch: int = 16
    """Sequences a generator update."""
    rollouts: int = 2
    """R: completions from the end of each block; 0 takes the sequence's own going on as the one sample."""
    block: int = 4
    """Bars from one place where rollouts begin to the next; divides bars / overlap of every scale of D."""
    g_window: int = 128
    """Tokens that the gradient reaches back: that of truncated back-propagation."""
    lengths: tuple[int, ...] = ()
    """Lengths in tokens of G's sequences, ascending, each for an equal share of the iterations; empty means T."""
    d_samples: int = 256
    """Sequences sampled, and as many real ones taken, for each of the d-steps."""
    d_windows: int = 1024
    """Windows of each scale, half of them real, that D is shown of them in each of the epochs."""
    d_learning_rate: float = 1e-3
    """Of D's Adam."""
    mean_loss: bool = True
    """Averaged over tokens; only true has a meaning here."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.block, self.g_window) < 1:
            raise ConfigError("block and g_window must be at least 1.")
        if self.d_windows < 2:
            raise ConfigError("d_windows must be at least 2.")
        if any(b <= a for a, b in pairwise((0, *self.lengths))):
            raise ConfigError("lengths must be ascending numbers of tokens, 1 at least.")
        if not self.mean_loss:
            raise ConfigError("mean_loss must be true.")
        super().__post_init__()


class Windowed(Seqgan):
    """G and the discriminators of windows in turns."""

    Options = WindowedOptions
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    takes_objectives = False
    needs_discriminator: ClassVar[str | None] = "bar_windows"
    only_alone: ClassVar[str | None] = "which numbers its rollouts draw depends on all sequences of a batch"
    options: WindowedOptions

    def __init__(self, setting: Setting, options: WindowedOptions) -> None:
        discriminator = setting.discriminator
        if not isinstance(discriminator, BarWindows):
            raise ConfigError("Method 'windowed' needs [discriminator] name = \"bar_windows\".")
        for scale in discriminator.scales:
            if scale.hop % options.block:
                raise ConfigError(
                    f"Method 'windowed': block {options.block} does not divide {scale.bars} bars /"
                    f" overlap {scale.overlap} = {scale.hop}."
                )
        if options.lengths and options.lengths[-1] > setting.length:
            raise ConfigError(
                f"Method 'windowed': lengths end with {options.lengths[-1]}, more than sequence_length"
                f" {setting.length}."
            )
        super().__init__(setting, options)
        self._discriminator = discriminator

    @property
    def length(self) -> int:
        """Tokens of G's sequences in this iteration."""
        options = self.options
        if not options.lengths:
            return self._setting.length
        done = max(0, self._round - options.pretrain)
        return options.lengths[min(done * len(options.lengths) // options.iterations, len(options.lengths) - 1)]

    def action_values(self, ids: Tensor) -> Tensor:
        """Return Q (B, T) of each token: that of the end of its block of bars."""
        if self._frozen is None:  # neither changes within an iteration's g-steps
            self._frozen = Stepper(self._rollout_policy), self._discriminator.scorer()
        return block_values(
            self._frozen[0],
            self._discriminator,
            ids,
            self.options.rollouts,
            self._setting.model_rng,
            block=self.options.block,
            reward=REWARDS[self.options.reward],
        )

    def _generator_step(self) -> dict[str, float]:
        """Sample, value every block of bars, and update G once."""
        setting, options = self._setting, self.options
        generator, end_id = setting.generator, setting.train.end_id
        length = self.length
        ids = sample(Stepper(generator), options.batch, length, setting.model_rng, end_id)
        values = self.action_values(ids)  # (B, T)
        bars = self._discriminator.bars.of(ids)  # (B, T)
        chosen = bars < BEYOND
        advantages = values
        if options.beta > 0:
            drift = truncation.log_probs(generator, ids, options.g_window)
            drift = (drift - truncation.log_probs(self._anchor, ids, options.g_window)) * chosen
            advantages = advantages - options.beta * within_reach(drift, bars, self._discriminator.scales)
        if options.baseline:
            advantages = advantages - block_baseline(advantages, bars, options.block)
        self._g_optimizer.zero_grad()
        weights = advantages * chosen / chosen.sum().clamp(min=1)
        loss = truncation.backward(generator, ids, weights, options.g_window)
        if options.mle_weight > 0:
            real = setting.train.openings(options.batch, length, setting.data_rng)
            there = policy_gradient.until_end(real, end_id)
            share = there * (options.mle_weight / there.sum())
            loss += truncation.backward(generator, real, share, options.g_window, setting.model_rng)
        norm = torch.nn.utils.clip_grad_norm_(generator.parameters(), options.g_clip)
        self._g_optimizer.step()
        return {
            "g_loss": loss,
            "g_norm": float(norm),
            "reward": float((values * chosen).sum() / chosen.sum()),
            **_by_bar(values, bars, chosen),
        }

    def _discriminator_step(self, count: int, progress: Progress) -> float:
        """Train each scale's network on windows of new samples of G and real ones; return the mean loss."""
        setting, options = self._setting, self.options
        generator, end_id = setting.generator, setting.train.end_id
        rows = whole(Stepper(generator), count, setting.length, setting.model_rng, end_id)
        fake = torch.full((count, max(map(len, rows))), end_id or 0, device=setting.device)
        for row, drawn in zip(fake, rows, strict=True):
            row[: len(drawn)] = torch.from_numpy(drawn)
        real = setting.train.openings(count, setting.length, setting.data_rng)
        sides = [setting.train.shifted(ids, setting.data_rng) for ids in (real, fake)]
        losses = []
        for number in range(len(self._discriminator.scales)):
            windows = [self._discriminator.windows(ids, number) for ids in sides]
            for _ in range(options.d_epochs):
                losses.append(self._teach(number, windows, progress))
        return float(torch.stack(losses).mean())

    def _teach(self, number: int, sides: list[Windows], progress: Progress) -> Tensor:
        """Show one scale's network random windows of both sides, real ones first; return the mean loss."""
        options, rng = self.options, self._setting.data_rng
        discriminator = self._discriminator
        each = options.d_batch // 2 or 1
        losses = []
        orders = [torch.randperm(len(side), generator=rng)[: options.d_windows // 2] for side in sides]
        for chosen in zip(*(order.split(each) for order in orders), strict=False):
            logits = [
                discriminator.networks[number](side.select(rows.to(side.ids.device)), self._setting.model_rng)
                for side, rows in zip(sides, chosen, strict=True)
            ]
            loss = 0.5 * (F.softplus(-logits[0]).mean() + F.softplus(logits[1]).mean())
            self._d_optimizer.zero_grad()
            (loss + discriminator.penalty()).backward()
            self._d_optimizer.step()
            losses.append(loss.detach())
            if progress is not None:
                progress({})
        return torch.stack(losses).mean()

    def expected_seconds(self) -> float:
        """Time one generator step and a small step of D, after one of each to warm up."""
        options, few = self.options, min(self.options.d_samples, 32)
        step = self.step_seconds() * options.iterations * options.g_steps
        share = sum(options.lengths) / (len(options.lengths) * self.length) if options.lengths else 1.0
        d_step = seconds(lambda: self._discriminator_step(few, None)) * options.d_samples / few
        return step * share + d_step * (options.pretrain + options.iterations * options.d_steps)


def within_reach(drift: Tensor, bars: Tensor, scales: list[Scale]) -> Tensor:
    """Return for each token the sum of drift (B, T) from it to the end of the last window that it is in: (B, T)."""
    horizon = torch.stack([scale.last_bar(bars) for scale in scales]).amax(0)
    total = torch.nn.functional.pad(drift.double().cumsum(1), (1, 0))  # (B, T + 1): of all tokens before
    end = torch.searchsorted(bars.contiguous(), horizon, right=True)
    return (total.gather(1, end) - total[:, :-1]).to(drift.dtype)


def block_baseline(values: Tensor, bars: Tensor, block: int) -> Tensor:
    """Return for each of values (B, T) the mean of the *other* sequences' means at its block, or 0: (B, T)."""
    inside = bars < BEYOND
    number = torch.where(inside, bars // block, 0)
    blocks = int(number.max()) + 1
    counts = values.new_zeros(len(values), blocks).scatter_add_(1, number, inside.to(values.dtype))
    sums = values.new_zeros(len(values), blocks).scatter_add_(1, number, values * inside)
    baseline = policy_gradient.leave_one_out(sums / counts.clamp(min=1), counts > 0)
    return baseline.gather(1, number) * inside


def _by_bar(values: Tensor, bars: Tensor, chosen: Tensor) -> dict[str, float]:
    """Return the mean reward (B, T) by place: bars 1 to 16, 17 to 32, 33 to 64."""
    found = {}
    for first, last in ((1, 16), (17, 32), (33, 64)):
        there = chosen & (bars >= first - 1) & (bars < last)
        if there.any():
            found[f"reward_bars_{first}_{last}"] = float(values[there].mean())
    return found
