"""A discriminator with an eye for form: the paper's convolutions, and where a sequence repeats itself.

Not in the paper. The matrix of self-similarity says for every token and every lag l whether x_t = x_{t-l}. It is
read twice: by filters over time whose channels are the lags, averaged ("windows like this repeat at that lag"), and
as the share of matches at each lag. A small network turns both into a logit, which is added to that of `cnn`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.errors import ConfigError
from seqgan_music.learning.discriminators import Discriminator, Scorer
from seqgan_music.learning.discriminators.cnn import Cnn, CnnOptions
from seqgan_music.learning.generator import dropout
from seqgan_music.learning.ranks import Rng


@dataclass(frozen=True)
class RepetitionOptions(CnnOptions):
    """Options of the discriminator of form: those of `cnn`, and these."""

    lags: tuple[int, ...] = ()
    """Lags at which tokens are compared; empty means all."""
    window: int = 8
    """Tokens that a filter over matches spans: a bar, where tokens have one."""
    stride: int = 1
    """Tokens from one window to the next; the bar's length where bars begin at its multiples."""
    filters: int = 64
    """Filters over matches."""
    hidden: int = 64
    """Hidden units of the network that reads them."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if min(self.window, self.stride, self.filters, self.hidden, *self.lags, 1) < 1:
            raise ConfigError("lags, window, stride, filters and hidden must be at least 1.")


class Repetition(Discriminator):
    """D: the probability that a sequence is real, by what it holds and by how it repeats itself."""

    Options = RepetitionOptions
    options: RepetitionOptions

    def __init__(self, vocabulary_size: int, length: int, options: RepetitionOptions) -> None:
        super().__init__(vocabulary_size, length, options)
        self.lags = [lag for lag in options.lags or range(1, length) if lag < length]
        if not self.lags:
            raise ConfigError(f"Discriminator 'repetition': no lag is as short as the sequences of {length}.")
        window = min(options.window, length)
        self.content = Cnn(vocabulary_size, length, options)
        self.windows = nn.Conv1d(len(self.lags), options.filters, window, options.stride)
        self.mixed = nn.Linear(options.filters + len(self.lags), options.hidden)
        self.output = nn.Linear(options.hidden, 1)

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights; the logit begins as that of the content alone."""
        self.content.initialise(rng)
        for layer in (self.windows, self.mixed):
            bound = layer.weight[0].numel() ** -0.5
            layer.weight.uniform_(-bound, bound, generator=rng)
            layer.get_parameter("bias").zero_()
        self.output.weight.zero_()
        self.output.bias.zero_()

    def forward(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return the logit of "real" (B,) for sequences (B, T)."""
        logits: Tensor = self.content(ids, dropout_rng)
        return logits + self.form(ids, dropout_rng)

    def form(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return what repetition adds to the logit (B,) of sequences (B, T)."""
        matches = self.matches(ids).float()  # (B, lags, T)
        seen = F.relu(self.windows(matches)).mean(2)  # (B, filters)
        hidden = F.relu(self.mixed(torch.cat([seen, matches.mean(2)], 1)))
        logits: Tensor = self.output(dropout(hidden, self.options.dropout, dropout_rng))
        return logits[:, 0]

    def matches(self, ids: Tensor) -> Tensor:
        """Return whether x_t = x_{t-l} (B, lags, T); false before the sequence's beginning."""
        before = max(self.lags)
        padded = F.pad(ids, (before, 0), value=-1).unfold(1, ids.shape[1], 1)  # (B, before + 1, T), lag before - i
        return (padded == ids[:, None])[:, [before - lag for lag in self.lags]]

    def penalty(self) -> Tensor:
        """Return the L2 term on the output layer of the content's part."""
        return self.content.penalty()

    def scorer(self) -> RepetitionScorer:
        """Return a frozen copy for scoring."""
        return RepetitionScorer(self)


class RepetitionScorer:
    """The content by the tables of `cnn`, the form by the discriminator itself."""

    ROWS = 256
    """Sequences compared with themselves at a time, so that the matches stay in cache."""

    def __init__(self, discriminator: Repetition) -> None:
        self._discriminator = discriminator
        self._content: Scorer = discriminator.content.scorer()

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """Return the logit of "real" (N,) for each sequence (N, T)."""
        return self._content(ids) + self._form(ids)

    @torch.no_grad()
    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return logits (B, R) of completions (B, R, T)."""
        form = self._form(completed.flatten(0, 1)).view(completed.shape[:2])
        return self._content.completions(ids, completed, prefix) + form

    def _form(self, ids: Tensor) -> Tensor:
        return torch.cat([self._discriminator.form(rows) for rows in ids.split(self.ROWS)])
