"""Models: anything that draws sequences and knows their probability, at any temperature.

A temperature divides the logits of every step, which are then normalised again, in drawing and in scoring alike.
All sequences have T tokens; log-probabilities are of whole sequences, in nats.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.sampling import sample

CELLS = 1 << 22
"""Logits held at a time."""


class Model(Protocol):
    """A distribution over sequences of T tokens."""

    vocabulary_size: int
    length: int

    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        """Draw sequences: ids (N, T)."""
        ...

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return ids (N, T) and the log importance weights (N,) that make them the model's; None: all equal."""
        ...

    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        """Return log of the probability of each sequence (N, T), as (N,), float64, in nats."""
        ...


class GeneratorModel:
    """An LSTM generator as a model of sequences of T tokens."""

    def __init__(self, generator: Generator, length: int) -> None:
        self.generator = generator
        self.length = length
        self.vocabulary_size = generator.vocabulary_size

    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        """Draw ids (N, T)."""
        return sample(Stepper(tempered(self.generator, temperature)), count, self.length, rng)

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, None]:
        """Draw ids (N, T), all of equal weight."""
        return self.sample(count, temperature, rng), None

    @torch.no_grad()
    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        """Return log G_T of each sequence (N, T), as (N,)."""
        generator = tempered(self.generator, temperature)
        rows = max(1, CELLS // (self.length * self.vocabulary_size))
        return torch.cat([generator.log_probs(part).double().sum(1) for part in ids.split(rows)])


class StepwiseModel:
    """A model defined by its next-token distribution: what draws and scores is written once, here."""

    vocabulary_size: int
    length: int

    def start(self, count: int) -> Any:
        """Return the state of `count` sequences before their first token."""
        raise NotImplementedError

    def log_next(self, state: Any) -> Tensor:
        """Return log-probabilities (N, V) of the next token; -inf where it cannot be."""
        raise NotImplementedError

    def advance(self, state: Any, tokens: Tensor) -> Any:
        """Return the state after one token (N,) more."""
        raise NotImplementedError

    @torch.no_grad()
    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        """Draw ids (N, T)."""
        rows = max(1, CELLS // self.vocabulary_size)
        return torch.cat(
            [self._sample(min(rows, count - start), temperature, rng) for start in range(0, count, rows)]
        )

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, None]:
        """Draw ids (N, T), all of equal weight."""
        return self.sample(count, temperature, rng), None

    @torch.no_grad()
    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        """Return log of the probability of each sequence (N, T), as (N,)."""
        rows = max(1, CELLS // self.vocabulary_size)
        return torch.cat([self._log_prob(part, temperature) for part in ids.split(rows)])

    def _sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        state, drawn = self.start(count), []
        for _ in range(self.length):
            cdf = self._next(state, temperature).exp().double().cumsum(1)
            uniforms = torch.rand(count, 1, generator=rng, dtype=torch.float64, device=cdf.device)
            drawn.append(torch.searchsorted(cdf, uniforms * cdf[:, -1:] * (1 - 2**-52), right=True)[:, 0])
            state = self.advance(state, drawn[-1])
        return torch.stack(drawn, 1)

    def _log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        state = self.start(len(ids))
        total = torch.zeros(len(ids), dtype=torch.float64, device=ids.device)
        for tokens in ids.unbind(1):
            total += self._next(state, temperature).gather(1, tokens[:, None])[:, 0].double()
            state = self.advance(state, tokens)
        return total

    def _next(self, state: Any, temperature: float) -> Tensor:
        log_probs = self.log_next(state)
        return log_probs if temperature == 1.0 else (log_probs / temperature).log_softmax(1)


@torch.no_grad()
def tempered(generator: Generator, temperature: float) -> Generator:
    """Return a copy of a generator whose logits are divided by the temperature; itself at 1."""
    if temperature == 1.0:
        return generator
    copied = generator.copied()
    for parameter in copied.output.parameters():
        parameter.div_(temperature)
    return copied
