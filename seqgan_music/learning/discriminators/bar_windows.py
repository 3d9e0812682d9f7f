"""Discriminators of windows of bars at several scales, one network a scale: what is near, and what comes again.

Not in the paper, whose discriminator sees whole sequences of 20 to 40 tokens. Here each scale has windows of that
many bars on a grid (`learning.bars`), and a network of its own that reads

    tokens   embedded, two convolutions; the mean and the maximum over each bar's tokens
    form     how like each bar is each of the bars before it in the window: cosine of their counts of tokens
    bars     both, through two residual convolutions over bars; mean and maximum over bars; one logit

The logit of a sequence is the weighted mean over scales of the mean over its windows. Method `windowed` trains and
asks the windows one by one. Where ids have no time, every token is a bar. Local windows beside a generator of long
memory: Muhamed et al. 2021 (Transformer-GANs, AAAI).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.errors import ConfigError
from seqgan_music.learning.bars import Bars, Scale, Windows
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import dropout
from seqgan_music.learning.ranks import Rng
from seqgan_music.tokenset import TokenSet

MOST_LAGS = 16
"""Bars before a bar that it is compared with."""
ROWS = 256
"""Windows scored at a time."""
SEQUENCES = 64
"""Sequences cut into windows at a time, where they are scored whole."""


@dataclass(frozen=True)
class BarWindowsOptions:
    """Options of the discriminators of windows."""

    scales: tuple[int, ...] = (4, 16, 32)
    """Bars of a window at each scale, ascending."""
    weights: tuple[float, ...] = ()
    """What each scale's logit counts in the reward, 1 in all; empty means equal."""
    overlap: int = 2
    """Windows of each scale that a bar lies in; divides all scales."""
    tokens_a_bar: int = 24
    """Of a window with more tokens than this for each of its bars, the first are left out."""
    embedding: int = 32
    """Size E of a token's embedding."""
    channels: int = 48
    """Filters over tokens."""
    hidden: int = 64
    """Filters over bars."""
    dropout: float = 0.25
    """Share of values dropped while training."""
    l2: float = 0.0
    """Weight of the squared norm of the output layers in the loss."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if not self.scales or any(b <= a for a, b in pairwise(self.scales)) or not 1 <= self.scales[0] <= 1024:
            raise ConfigError("scales must be ascending numbers of bars, 1 at least.")
        if self.scales[-1] > 1024:
            raise ConfigError("scales must be at most 1024 bars.")
        if self.overlap < 1 or any(bars % self.overlap for bars in self.scales):
            raise ConfigError("overlap must divide each of the scales.")
        if self.weights and (len(self.weights) != len(self.scales) or min(self.weights) < 0):
            raise ConfigError("weights must be as many as scales, none below 0.")
        if self.weights and not abs(sum(self.weights) - 1.0) < 1e-6:
            raise ConfigError("weights must sum to 1.")
        if min(self.tokens_a_bar, self.embedding, self.channels, self.hidden) < 1:
            raise ConfigError("tokens_a_bar, embedding, channels and hidden must be at least 1.")
        if self.l2 < 0 or not 0 <= self.dropout < 1:
            raise ConfigError("l2 must be at least 0, dropout in [0, 1).")


class WindowNetwork(nn.Module):
    """D of one scale: the logit that a window is real."""

    def __init__(self, vocabulary_size: int, bars: int, options: BarWindowsOptions) -> None:
        super().__init__()
        self.size = vocabulary_size
        self.bars = bars
        self.lags = min(bars - 1, MOST_LAGS)
        self.dropout = options.dropout
        channels, hidden = options.channels, options.hidden
        # Not nn.Embedding(...): see `generator.Generator`.
        self.embedding = nn.Embedding.from_pretrained(
            torch.empty(vocabulary_size + 1, options.embedding), freeze=False
        )
        self.tokens = nn.ModuleList(
            [nn.Conv1d(options.embedding, channels, 5, padding=2), nn.Conv1d(channels, channels, 3, padding=1)]
        )
        self.bar = nn.Linear(2 * channels + 2 * self.lags + 2, hidden)
        self.over_bars = nn.ModuleList([nn.Conv1d(hidden, hidden, 3, padding=1) for _ in range(2)])
        self.output = nn.Linear(2 * hidden, 1)

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights."""
        for name, parameter in self.named_parameters():
            if name.startswith("embedding"):
                parameter.normal_(0.0, 1.0, generator=rng)
            elif parameter.dim() > 1:
                bound = (3.0 / parameter[0].numel()) ** 0.5
                parameter.uniform_(-bound, bound, generator=rng)
            else:
                parameter.zero_()

    def forward(self, windows: Windows, rng: Rng | None = None) -> Tensor:
        """Return the logit (N,) of each window; dropout only where a generator is given."""
        there = (windows.bar < self.bars).float()  # (N, L)
        counts = there.new_zeros(len(there), self.bars + 1).scatter_add_(1, windows.bar, there)[:, : self.bars]
        heard = (counts > 0).float()  # (N, bars)
        facts = [counts[..., None] / 8, heard[..., None], *self._form(windows, there, heard)]
        x = torch.cat([self._tokens(windows, there, counts, rng), *facts], 2)  # (N, bars, .)
        x = F.relu(self.bar(dropout(x, self.dropout, rng))).transpose(1, 2) * heard[:, None]  # (N, H, bars)
        for layer in self.over_bars:
            x = x + F.relu(layer(x)) * heard[:, None]
        mean = x.sum(2) / heard.sum(1, keepdim=True).clamp(min=1)
        logits: Tensor = self.output(dropout(torch.cat([mean, x.amax(2)], 1), self.dropout, rng))
        return logits[:, 0]

    def _tokens(self, windows: Windows, there: Tensor, counts: Tensor, rng: Rng | None) -> Tensor:
        """Return mean and maximum over each bar's tokens: (N, bars, 2 * channels)."""
        inside = there[:, None]
        x = dropout(self.embedding(windows.ids), self.dropout, rng).transpose(1, 2) * inside  # (N, E, L)
        for layer in self.tokens:
            x = F.relu(layer(x)) * inside  # (N, channels, L)
        owner = windows.bar[:, None].expand_as(x)
        zeros = x.new_zeros(*x.shape[:2], self.bars + 1)
        mean = zeros.scatter_add(2, owner, x)[..., : self.bars] / counts.clamp(min=1)[:, None]
        largest = zeros.scatter_reduce(2, owner, x, "amax")[..., : self.bars]
        return torch.cat([mean, largest], 1).transpose(1, 2)

    @torch.no_grad()
    def _form(self, windows: Windows, there: Tensor, heard: Tensor) -> list[Tensor]:
        """Return how like each bar is each of those before it, and whether those are there: (N, bars, lags)."""
        if not self.lags:
            return []
        cell = windows.bar * (self.size + 1) + windows.ids
        bags = there.new_zeros(len(there), (self.bars + 1) * (self.size + 1)).scatter_add_(1, cell, there)
        bags = bags.view(len(there), self.bars + 1, -1)[:, : self.bars]
        bags = bags / bags.square().sum(2, keepdim=True).sqrt().clamp(min=1e-6)
        alike = bags @ bags.transpose(1, 2)  # (N, bars, bars)
        now = torch.arange(self.bars, device=there.device)[:, None]
        then = now - torch.arange(1, self.lags + 1, device=there.device)  # (bars, lags)
        both = heard[:, :, None] * heard[:, then.clamp(min=0)] * (then >= 0)
        return [alike[:, now, then.clamp(min=0)] * both, both]


class BarWindows(Discriminator):
    """D at all scales."""

    Options = BarWindowsOptions
    needs_tokens: ClassVar[bool] = True
    options: BarWindowsOptions

    def __init__(
        self, vocabulary_size: int, length: int, options: BarWindowsOptions, tokens: TokenSet | None = None
    ) -> None:
        """`tokens` says which ids have time and which one ends a sequence; without it none do."""
        super().__init__(vocabulary_size, length, options)
        self.bars = (
            Bars(vocabulary_size) if tokens is None else Bars(vocabulary_size, tokens.effects, tokens.end_id)
        )
        self.scales = [Scale(bars, bars // options.overlap) for bars in options.scales]
        self.weights = options.weights or (1.0 / len(self.scales),) * len(self.scales)
        self.networks = nn.ModuleList(
            [WindowNetwork(vocabulary_size, scale.bars, options) for scale in self.scales]
        )

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights."""
        for network in self.networks:
            assert isinstance(network, WindowNetwork)
            network.initialise(rng)

    def windows(self, ids: Tensor, number: int, bars: Tensor | None = None) -> Windows:
        """Return all windows of sequences (B, T) at the scale of that number."""
        scale = self.scales[number]
        of = self.bars.of(ids) if bars is None else bars
        return self.bars.windows(ids, of, scale, scale.bars * self.options.tokens_a_bar)

    def forward(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return the logit of "real" (B,) for sequences (B, T)."""
        bars = self.bars.of(ids)
        total = torch.zeros(len(ids), device=ids.device)
        for number, (network, weight) in enumerate(zip(self.networks, self.weights, strict=True)):
            windows = self.windows(ids, number, bars)
            counts = torch.bincount(windows.row, minlength=len(ids)).clamp(min=1)
            if dropout_rng is None and not torch.is_grad_enabled():
                logits = self.logits(windows, number)
            else:
                logits = network(windows, dropout_rng)
            total = total + weight * total.new_zeros(len(ids)).index_add(0, windows.row, logits) / counts
        return total

    @torch.no_grad()
    def logits(self, windows: Windows, number: int) -> Tensor:
        """Return the logit (N,) of each window of one scale, those of like size scored together."""
        found = torch.zeros(len(windows), device=windows.ids.device)
        sizes = (windows.bar < self.scales[number].bars).sum(1)
        for rows in sizes.argsort().split(ROWS):
            longest = int(sizes[rows].max()) if len(rows) else 0
            some = windows.select(rows)
            found[rows] = self.networks[number](
                Windows(some.ids[:, :longest], some.bar[:, :longest], some.row, some.first)
            )
        return found

    @torch.no_grad()
    def verdicts(self, ids: Tensor, bars: Tensor, bar: Tensor, reward: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the weighted mean (N,) of f(logit) over the windows that bar (N,) of each sequence lies in.

        The sequences (N, T) need to hold those windows alone: `bars` is -1 before what they hold.
        """
        total = torch.zeros(len(ids), device=ids.device)
        for number, (scale, weight) in enumerate(zip(self.scales, self.weights, strict=True)):
            windows = self.bars.around(ids, bars, bar, scale, scale.bars * self.options.tokens_a_bar)
            rewards = reward(self.logits(windows, number)) * (weight / scale.overlap)
            total.index_add_(0, windows.row, rewards)
        return total

    def penalty(self) -> Tensor:
        """Return the L2 term on the output layers."""
        squares = [
            network.get_submodule("output").get_parameter("weight").square().sum() for network in self.networks
        ]
        return self.options.l2 * 0.5 * torch.stack(squares).sum()

    def scorer(self) -> WindowScorer:
        """Return a frozen copy for scoring."""
        return WindowScorer(self)


class WindowScorer:
    """Scores whole sequences by the discriminators themselves, so many at a time that their windows fit."""

    def __init__(self, discriminator: BarWindows) -> None:
        self._discriminator = discriminator

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """Return the logit of "real" (N,) for each sequence (N, T)."""
        return torch.cat([self._discriminator(rows) for rows in ids.split(SEQUENCES)])

    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return logits (B, R) of completions (B, R, T)."""
        return self(completed.flatten(0, 1)).view(completed.shape[:2])
