"""Sequences that copy themselves: what the oracles with form share, with an exact likelihood.

A token is either a copy of an earlier one or fresh from a random LSTM over the whole history (the paper's oracle).
From where is copied is a latent z, known by its posterior alone:

    p(x_t | x_<t) = sum over z of P(z | x_<t) (c_z 1(x_t = x_source(z)) + (1 - c_z) base(x_t | x_<t))
    P(z | x_<=t) is in proportion to P(z | x_<t) p(x_t | z, x_<t)

with c_z = 1 - noise where z has a source at t, else 0. The sums are float64, the LSTM's logits float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning.generator import Stepper, StepState
from seqgan_music.learning.models import StepwiseModel
from seqgan_music.learning.oracles.lstm import Lstm, LstmOptions


@dataclass(frozen=True)
class CopyingOptions(LstmOptions):
    """Options of what copies: those of the LSTM that draws the fresh tokens, and the noise."""

    noise: float = 0.1
    """Probability that a token to be copied is fresh instead; 1 leaves the LSTM alone."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if not 0 < self.noise <= 1:
            raise ConfigError("noise must be above 0 and at most 1.")


@dataclass
class CopyState:
    """State of N sequences before their token `step`; `advance` changes it in place."""

    step: int
    ids: Tensor
    """(N, T): the tokens so far, and zeros."""
    lstm: StepState
    fresh: Tensor
    """(N, V): the LSTM's probabilities of the next token, float64."""
    posterior: Tensor
    """(N, Z): P(z | x_<t), float64."""


class Copying(StepwiseModel):
    """Copies with noise from where a latent says; a subclass says what the latent means."""

    def __init__(self, vocabulary_size: int, length: int, options: CopyingOptions, rng: torch.Generator) -> None:
        self.vocabulary_size = vocabulary_size
        self.length = length
        self.noise = options.noise
        self.base = Lstm(vocabulary_size, length, options, rng)
        """The LSTM that draws the fresh tokens."""
        self.start_id = self.base.start_id
        self._stepper = Stepper(self.base.generator, torch.float32)

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self.base.to(device)
        self._stepper = Stepper(self.base.generator, torch.float32)

    def sources(self, step: int) -> list[int]:
        """Return for each z the position that is copied at `step`; -1: none, the token is fresh."""
        raise NotImplementedError

    def prior(self, step: int) -> list[float] | None:
        """Return P(z) where the latent is drawn anew before the token `step`; None where it stays."""
        raise NotImplementedError

    def start(self, count: int) -> CopyState:
        """Return the state of `count` sequences before their first token."""
        device = self._stepper.device
        lstm = self._stepper.start(count, self.length)
        tokens = torch.full((count,), self.start_id, device=device)
        ids = torch.zeros(count, self.length, dtype=torch.long, device=device)
        return CopyState(0, ids, lstm, self._fresh(tokens, lstm), self._drawn_anew(0, count))

    def log_next(self, state: CopyState) -> Tensor:
        """Return log p(x_t | x_<t) of all x_t: (N, V), float64."""
        copied = state.posterior * self._shares(state.step)  # (N, Z)
        probabilities = state.fresh * (1.0 - copied.sum(1, keepdim=True))
        return probabilities.scatter_add_(1, self._candidates(state), copied).log()

    def advance(self, state: CopyState, tokens: Tensor) -> CopyState:
        """Return the state after one token (N,) more: the posterior by Bayes' rule, then the LSTM's step."""
        shares = self._shares(state.step)
        hit = self._candidates(state) == tokens[:, None]  # (N, Z)
        state.posterior *= shares * hit + (1.0 - shares) * state.fresh.gather(1, tokens[:, None])
        state.posterior /= state.posterior.sum(1, keepdim=True)
        state.ids[:, state.step] = tokens
        state.step += 1
        if state.step < self.length:
            state.fresh = self._fresh(tokens, state.lstm)
            if self.prior(state.step) is not None:
                state.posterior = self._drawn_anew(state.step, len(tokens))
        return state

    def _fresh(self, tokens: Tensor, lstm: StepState) -> Tensor:
        """Feed the last token (N,) to the LSTM; return its probabilities (N, V) of the next."""
        self._stepper.advance(tokens, lstm)
        return self._stepper.logits(lstm)[:, : self.vocabulary_size].double().softmax(1)

    def _drawn_anew(self, step: int, count: int) -> Tensor:
        prior = torch.tensor(self.prior(step), dtype=torch.float64, device=self._stepper.device)
        return prior.repeat(count, 1)

    def _shares(self, step: int) -> Tensor:
        """Return c_z (Z,), float64."""
        shares = [1.0 - self.noise if source >= 0 else 0.0 for source in self.sources(step)]
        return torch.tensor(shares, dtype=torch.float64, device=self._stepper.device)

    def _candidates(self, state: CopyState) -> Tensor:
        """Return the token (N, Z) that each z copies at this step; without meaning where it copies none."""
        return state.ids[:, self.sources(state.step)]
