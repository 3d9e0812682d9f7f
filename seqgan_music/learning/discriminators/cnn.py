"""The paper's discriminator (SeqGAN section 3.4): convolutions, max over time, one highway layer, a sigmoid.

Differences from the paper:
1. One logit and a sigmoid in place of the code's softmax over two: the same function family.
2. Sequences longer than 32 use the paper's filters for length 32; counts can be scaled (`scale`).
3. Scoring reads tables: filter x embedding is computed once for every (offset, id), so that the output of a
   convolution at a window is a sum of rows, and windows inside a shared prefix are computed once for all its
   completions. Exact up to float rounding; tested against the plain convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.errors import ConfigError
from seqgan_music.learning.convolution import linear, pooled_convolutions
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import dropout
from seqgan_music.learning.ranks import Rng

PAPER_20 = {1: 100, 2: 200, 3: 200, 4: 200, 5: 200, 6: 100, 7: 100, 8: 100, 9: 100, 10: 100, 15: 160, 20: 160}
PAPER_32 = {
    1: 100,
    2: 200,
    3: 200,
    4: 200,
    5: 200,
    6: 100,
    7: 100,
    8: 100,
    9: 100,
    10: 100,
    16: 160,
    24: 160,
    32: 160,
}


@dataclass(frozen=True)
class CnnOptions:
    """Options of the convolutional discriminator."""

    embedding: int = 64
    """Size E of a token's embedding."""
    widths: tuple[int, ...] = ()
    """Widths of the filters; empty means the paper's for this length."""
    counts: tuple[int, ...] = ()
    """How many filters of each width."""
    scale: float = 1.0
    """Multiplies the counts."""
    dropout: float = 0.25
    """Share of the highway layer's outputs dropped while training (the paper's code keeps 0.75)."""
    l2: float = 0.2
    """Weight of the squared norm of the output layer in the loss (0.2 in the paper's code)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if self.embedding < 1 or not 0 < self.scale <= 1000 or self.l2 < 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                "embedding and scale must be above 0, scale at most 1000, l2 not below 0, dropout in [0, 1)."
            )
        sizes = (*self.widths, *self.counts)
        if len(self.widths) != len(self.counts) or not all(1 <= n <= 1_000_000 for n in sizes):
            raise ConfigError("widths and counts must be lists of one length, of whole numbers from 1 to 1000000.")


class Cnn(Discriminator):
    """D: the probability that a sequence is real, by filters of many widths and max over time."""

    Options = CnnOptions
    options: CnnOptions

    def __init__(self, vocabulary_size: int, length: int, options: CnnOptions) -> None:
        super().__init__(vocabulary_size, length, options)
        paper = PAPER_20 if length < 32 else PAPER_32
        filters = dict(zip(options.widths, options.counts, strict=True)) if options.widths else paper
        self.filters = {w: max(1, round(n * options.scale)) for w, n in filters.items() if w <= length}
        if not self.filters:
            raise ConfigError(f"Discriminator 'cnn': no filter is as short as the sequences of {length}.")
        features = sum(self.filters.values())
        # Not nn.Embedding(...): see `generator.Generator`.
        self.embedding = nn.Embedding.from_pretrained(torch.empty(vocabulary_size, options.embedding), freeze=False)
        layers = [nn.Conv1d(options.embedding, n, w) for w, n in self.filters.items()]
        self.convolutions = nn.ModuleList(layers)
        self.highway = nn.Linear(features, 2 * features)
        """Transform and gate (Srivastava et al. 2015) side by side."""
        self.output = nn.Linear(features, 1)

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights as the paper's code does."""
        self.embedding.weight.uniform_(-1.0, 1.0, generator=rng)
        for layer in (*self.convolutions, self.output):
            nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2, generator=rng)
            layer.bias.fill_(0.1)
        features = self.output.in_features
        bound = (6.0 / (2 * features)) ** 0.5
        self.highway.weight.uniform_(-bound, bound, generator=rng)
        self.highway.bias.zero_()

    def forward(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return the logit of "real" (B,) for sequences (B, T)."""
        weights = [layer.get_parameter("weight") for layer in self.convolutions]
        biases = torch.cat([layer.get_parameter("bias") for layer in self.convolutions])
        pooled = F.relu(pooled_convolutions(self.embedding(ids), weights) + biases[:, None])
        return self.head(pooled, dropout_rng)

    def head(self, pooled: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return the logit (B,) from the pooled filters (features, B): highway, dropout, output layer."""
        transform, gate = linear(pooled, self.highway.weight, self.highway.bias).chunk(2)
        mixed = torch.lerp(pooled, transform.relu(), gate.sigmoid())
        mixed = dropout(mixed, self.options.dropout, dropout_rng, axis=1)
        return (self.output.weight @ mixed)[0] + self.output.bias

    def penalty(self) -> Tensor:
        """Return the L2 term on the output layer, half the squared norm as in the paper's code."""
        squares: Tensor = self.output.weight.square().sum() + self.output.bias.square().sum()
        return self.options.l2 * 0.5 * squares

    def scorer(self) -> CnnScorer:
        """Return a frozen copy for scoring."""
        return CnnScorer(self)


class CnnScorer:
    """The convolutions as sums of table rows; each table is (width * V, filters), row `offset * V + id`."""

    CELLS = 1 << 22
    """Outputs held at a time."""

    @torch.no_grad()
    def __init__(self, discriminator: Cnn) -> None:
        self._discriminator = discriminator
        self._size = discriminator.vocabulary_size
        self._widths = list(discriminator.filters)
        embedding = discriminator.embedding.weight  # (V, E)
        self._biases = torch.cat([layer.get_parameter("bias") for layer in discriminator.convolutions])
        self._tables = []
        for layer in discriminator.convolutions:
            weight = layer.get_parameter("weight").permute(2, 1, 0).contiguous()  # (width, E, filters)
            table = torch.bmm(embedding.expand(len(weight), -1, -1), weight)  # (width, V, filters)
            self._tables.append(table.flatten(0, 1))

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """Return the logit of "real" (N,) for each sequence (N, T)."""
        pooled = [self._maxima(ids, w, table) for w, table in zip(self._widths, self._tables, strict=True)]
        return self._head(pooled)

    @torch.no_grad()
    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return logits (B, R); windows inside the shared prefix are summed once for its R completions."""
        batch, rollouts, _ = completed.shape
        rows = completed.flatten(0, 1)  # (B * R, T)
        pooled = []
        for width, table in zip(self._widths, self._tables, strict=True):
            new = rows[:, max(0, prefix - width + 1) :]  # the ids of all windows that end after the prefix
            maxima = self._maxima(new, width, table)
            if prefix >= width:
                shared = self._maxima(ids[:, :prefix], width, table)  # (B, filters)
                maxima = torch.maximum(maxima.view(batch, rollouts, -1), shared[:, None]).flatten(0, 1)
            pooled.append(maxima)
        return self._head(pooled).view(batch, rollouts)

    def _maxima(self, ids: Tensor, width: int, table: Tensor) -> Tensor:
        """Return the maximum over windows of the sum of their table rows: (N, filters), without the bias."""
        offsets = torch.arange(width, device=ids.device) * self._size
        windows = ids.unfold(1, width, 1) + offsets  # (N, windows, width)
        step = max(1, self.CELLS // (windows.shape[1] * table.shape[1]))
        return torch.cat(
            [
                F.embedding_bag(part.flatten(0, 1), table, mode="sum").view(*part.shape[:2], -1).amax(1)
                for part in windows.split(step)
            ]
        )

    def _head(self, pooled: list[Tensor]) -> Tensor:
        """Return the logits (N,) from the maxima of each width (N, filters): `Cnn.head`, in place."""
        highway, output = self._discriminator.highway, self._discriminator.output
        features = torch.cat(pooled, 1).add_(self._biases).relu_()  # (N, features)
        both, size = torch.addmm(highway.bias, features, highway.weight.t()), features.shape[1]
        transform, gate = both[:, :size].relu_(), both[:, size:].sigmoid_()
        return features.lerp_(transform, gate) @ output.weight[0] + output.bias
