"""A counted n-gram with absolute discounting: the baseline of 1994 that a neural generator has to beat.

Ney, Essen and Kneser 1994; each order is interpolated with the next lower one, down to the uniform distribution:

    p(w | c) = max(n(c w) - d, 0) / n(c) + d * N(c) / n(c) * p(w | c')

n counts, N(c) the different tokens seen after c, c' is c without its oldest token; an unseen c leaves all to c'.
Differences from the paper:
1. Lower orders are counted like the highest.
2. One discount d for all orders, not estimated from counts of counts.
3. Before a sequence stands its start id, as often as the longest context takes: a token like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.methods import Setting
from seqgan_music.learning.methods._fixed import Fixed

ROWS = 1 << 12
"""Sequences counted or scored at a time."""


@dataclass(frozen=True)
class NgramOptions:
    """Options of the n-gram."""

    order: int = 2
    """n: tokens of the longest n-gram; 2 is a bigram."""
    discount: float = 0.75
    """d: taken off every count and given to the lower order."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if not 1 <= self.order <= 8 or not 0 < self.discount < 1:
            raise ConfigError("order must be in [1, 8], discount in (0, 1).")


class Ngram(Fixed):
    """What followed what in the training data."""

    Options = NgramOptions
    only_in_oracle: ClassVar[str | None] = "it has no generator that `sample` could use"

    def __init__(self, setting: Setting, options: NgramOptions) -> None:
        super().__init__(setting, options)
        start_id = setting.generator.start_id
        self._model = NgramModel(setting.train, setting.length, start_id, options.order, options.discount)

    def model(self) -> NgramModel:
        """Return the counts."""
        return self._model


class NgramModel:
    """The n-gram as a model. No row over the vocabulary is ever built, at any temperature T.

    With q = p^(1/T), not yet normalised, and b the share left to the lower order,

        q(w | c) = b^(1/T) q(w | c') + r(w | c),    r >= 0, and 0 but for the tokens seen after c:

    a mixture of the lower order and a few tokens, which is summed up and drawn from as it stands.
    """

    def __init__(self, data: Sequences, length: int, start_id: int, order: int, discount: float) -> None:
        self.vocabulary_size = data.tokens.vocabulary_size
        self.length = length
        self._start_id = start_id
        self._order = order
        self._base = max(self.vocabulary_size, start_id + 1)
        if self._base**order >= 2**63:
            raise ConfigError(f"order {order} is too high for a vocabulary of {self.vocabulary_size}.")
        ids = torch.cat([data.rows(row, length, -1) for row in torch.arange(len(data)).split(ROWS)])
        grams = self._grams(ids)[ids >= 0]
        self._levels: list[_Level] = []
        for width in range(order):
            lower = self._levels[-1] if self._levels else None
            keys = grams % self._base ** (width + 1)
            self._levels.append(_Level(keys, width, self._base, discount, lower, 1 / self.vocabulary_size))
        self._mixtures: dict[float, list[_Mixture]] = {}

    @torch.no_grad()
    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        """Draw ids (N, T)."""
        device = rng.device
        first = torch.zeros(count, 1, dtype=torch.long, device=device)
        context = self._grams(first)[:, 0] // self._base
        drawn = []
        for _ in range(self.length):
            tokens = torch.randint(self.vocabulary_size, (count,), generator=rng, device=device)
            for level, mixture in zip(self._levels, self._at(temperature), strict=True):
                place, seen = level.find(context)
                uniforms = torch.rand(2, count, generator=rng, device=device, dtype=torch.float64)
                here = seen & (uniforms[0] >= mixture.lower[place])
                tokens = torch.where(here, level.tokens[mixture.draw(level, place, uniforms[1])], tokens)
            drawn.append(tokens)
            context = (context * self._base + tokens) % self._base ** (self._order - 1)
        return torch.stack(drawn, 1)

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, None]:
        """Draw ids (N, T), all of equal weight."""
        return self.sample(count, temperature, rng), None

    @torch.no_grad()
    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        """Return log of the probability of each sequence (N, T), as (N,)."""
        return torch.cat([self._log_prob(part, temperature) for part in ids.split(ROWS)])

    def _log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        grams = self._grams(ids)
        probability = torch.full_like(grams, 1 / self.vocabulary_size, dtype=torch.float64)
        total = torch.full_like(probability, self.vocabulary_size ** (1 - 1 / temperature))
        for level, mixture in zip(self._levels, self._at(temperature), strict=True):
            place, seen = level.find(grams // self._base)
            entry, counted = level.find_entry(grams)
            probability = torch.where(seen, probability * level.left[place], probability)
            probability = torch.where(counted, level.probability[entry], probability)
            total = torch.where(seen, mixture.total[place], total)
        log_probs: Tensor = probability.log() / temperature - total.log()
        return log_probs.sum(1)

    def _grams(self, ids: Tensor) -> Tensor:
        """Return for each token of ids (N, T) the number of the n-gram that it ends: (N, T)."""
        padded = torch.cat([ids.new_full((len(ids), self._order - 1), self._start_id), ids], 1)
        length = ids.shape[1]
        grams = torch.zeros_like(ids)
        for column in range(self._order):
            grams = grams * self._base + padded[:, column : column + length]
        return grams

    def _at(self, temperature: float) -> list[_Mixture]:
        if temperature not in self._mixtures:
            power, made = 1 / temperature, list[_Mixture]()
            total = self._levels[0].left.new_full((1,), self.vocabulary_size ** (1 - power))
            for level in self._levels:
                made.append(_Mixture(level, power, total))
                total = made[-1].total
            self._mixtures[temperature] = made
        return self._mixtures[temperature]


class _Level:
    """Counts after contexts of one width: the rows of a sparse matrix of C contexts and M entries."""

    def __init__(
        self, keys: Tensor, width: int, base: int, discount: float, lower: _Level | None, uniform: float
    ) -> None:
        self._base, self._modulus = base, base**width
        self._grams, counts = keys.unique(return_counts=True)  # ascending: those of a context stand together
        self.tokens = self._grams % base
        self._contexts, self.sizes = (self._grams // base).unique_consecutive(return_counts=True)
        self.starts = self.sizes.cumsum(0) - self.sizes
        self.rows = torch.arange(len(self.sizes), device=keys.device).repeat_interleave(self.sizes)
        totals = torch.zeros(len(self.sizes), dtype=torch.float64, device=keys.device)
        totals.index_add_(0, self.rows, counts.double())
        self.left = discount * self.sizes / totals
        """(C,): share of the lower order."""
        if lower is None:
            self.parents = torch.zeros_like(self.sizes)
            below = torch.full(counts.shape, uniform, dtype=torch.float64, device=keys.device)
        else:
            self.parents, _ = lower.find(self._contexts)
            below = lower.probability[lower.find_entry(self._grams)[0]]
        self.inherited = self.left[self.rows] * below
        """(M,): what the lower order gives each entry."""
        self.probability: Tensor = self.inherited + (counts - discount) / totals[self.rows]
        """(M,): p(w | c)."""

    def find(self, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the ends of longer contexts stand, and whether they were seen; of the shape given."""
        return _find(self._contexts, contexts % self._modulus)

    def find_entry(self, grams: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the ends of longer n-grams stand, and whether they were counted; of the shape given."""
        return _find(self._grams, grams % (self._modulus * self._base))


class _Mixture:
    """A level at a temperature: how often the lower order is asked, and which tokens else."""

    def __init__(self, level: _Level, power: float, below: Tensor) -> None:
        residual = (level.probability**power - level.inherited**power).clamp_(min=0.0)
        sums = torch.zeros_like(level.left).index_add_(0, level.rows, residual)
        lower = level.left**power * below[level.parents]
        self.total = lower + sums
        """(C,): the sum of q over the vocabulary."""
        self.lower = lower / self.total
        """(C,): probability that a token comes from the lower order."""
        self._sums = sums
        self._cdf = residual.cumsum(0)
        self._before = self._cdf[level.starts] - residual[level.starts]

    def draw(self, level: _Level, place: Tensor, uniforms: Tensor) -> Tensor:
        """Return an entry (N,) of each context (N,) with probability in proportion to r."""
        entries = torch.searchsorted(self._cdf, self._before[place] + uniforms * self._sums[place], right=True)
        first = level.starts[place]
        return entries.clamp(first, first + level.sizes[place] - 1)


def _find(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return place, keys[place] == wanted
