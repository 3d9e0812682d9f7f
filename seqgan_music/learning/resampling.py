"""A model re-weighted by a discriminator: the residual energy-based model G(x) e^s(x) / Z (Deng et al. 2020).

s is `strength` times the logit of D. Where D is ideal for G and the strength is 1 this is the distribution of the
real data itself, without any change to G; where it is not, the mean of s over real data less log Z is what the
held-out log-likelihood gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from seqgan_music.learning.models import Model

ROWS = 1 << 14
"""Candidates held at a time."""


class ResampledModel:
    """A base model whose samples are weighted by e^s.

    `score` gives the logits (N,) of ids (N, T). log Z is estimated once a temperature from `pool` samples; its
    error shifts both KL divergences by as much in opposite directions, so that their sum does not have it.
    """

    def __init__(
        self,
        base: Model,
        score: Callable[[Tensor], Tensor],
        *,
        strength: float = 1.0,
        candidates: int = 16,
        pool: int = 16_384,
        seed: int = 0,
    ) -> None:
        self.vocabulary_size = base.vocabulary_size
        self.length = base.length
        self._base = base
        self._score = score
        self._strength = strength
        self._candidates = candidates
        self._pool = pool
        self._seed = seed
        self._log_z: dict[float, float] = {}

    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        """Draw ids (N, T): of `candidates` samples of the base one, in proportion to e^s."""
        rows = max(1, ROWS // self._candidates)
        parts = [min(rows, count - start) for start in range(0, count, rows)]
        return torch.cat([self._choose(part, temperature, rng) for part in parts])

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw ids (N, T) of the base, and s (N,) as their log importance weights."""
        ids = self._base.sample(count, temperature, rng)
        return ids, self.energy(ids)

    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        """Return log of the probability of each sequence (N, T), as (N,), up to the error of log Z."""
        return self._base.log_prob(ids, temperature) + self.energy(ids) - self.log_z(temperature, ids.device)

    def energy(self, ids: Tensor) -> Tensor:
        """Return s (N,) of ids (N, T), float64."""
        return self._strength * torch.cat([self._score(part).double() for part in ids.split(ROWS)])

    def log_z(self, temperature: float, device: torch.device) -> float:
        """Return log of the mean of e^s over samples of the base at a temperature."""
        if temperature not in self._log_z:
            rng = torch.Generator(device).manual_seed(self._seed)
            _, energies = self.draw(self._pool, temperature, rng)
            self._log_z[temperature] = float(energies.logsumexp(0)) - math.log(self._pool)
        return self._log_z[temperature]

    def _choose(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        ids, energies = self.draw(count * self._candidates, temperature, rng)
        weights = energies.view(count, -1).softmax(1)  # (N, candidates)
        chosen = torch.multinomial(weights, 1, generator=rng)  # (N, 1)
        return ids.view(count, self._candidates, -1)[torch.arange(count, device=ids.device), chosen[:, 0]]


def effective(log_weights: Tensor) -> float:
    """Return the share of samples that carry the weight (N,): 1 / (N * sum of squares), Kish 1965."""
    return float(1.0 / log_weights.double().softmax(0).square().sum() / len(log_weights))


def strength_for(scores: Tensor, most: float, share: float) -> float:
    """Return the largest strength up to `most` at which e^(strength * s) leaves a share of samples effective.

    `scores` (N,) are those of the base's samples. Where D is far ahead of G, one of them would have all the weight.
    """
    if effective(most * scores) >= share:
        return most
    low, high = 0.0, most
    for _ in range(30):  # the effective share falls as the strength grows
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle * scores) >= share else (low, middle)
    return low
