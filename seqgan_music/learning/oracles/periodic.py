"""Periodic repetition: each token copies, with noise, the one a hidden lag before it.

An oracle of this project. The lag is drawn uniformly once a sequence; the first `lag` tokens are fresh.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqgan_music.errors import ConfigError
from seqgan_music.learning.oracles._copying import Copying, CopyingOptions


@dataclass(frozen=True)
class PeriodicOptions(CopyingOptions):
    """Options of periodic repetition."""

    lags: tuple[int, ...] = (4, 6, 8)
    """Lags (periods) that a sequence may have, in tokens, all equally likely."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if not self.lags or min(self.lags) < 1 or len(set(self.lags)) < len(self.lags):
            raise ConfigError("lags must be different whole numbers of at least 1.")


class Periodic(Copying):
    """Repeats itself at one lag throughout; the latent is the lag."""

    Options = PeriodicOptions

    def __init__(self, vocabulary_size: int, length: int, options: PeriodicOptions, rng: torch.Generator) -> None:
        if max(options.lags) >= length:
            raise ConfigError(f"lags must be shorter than the sequences of {length}.")
        super().__init__(vocabulary_size, length, options, rng)
        self._lags = options.lags

    def sources(self, step: int) -> list[int]:
        """Return the position one lag back, for each lag."""
        return [max(step - lag, -1) for lag in self._lags]

    def prior(self, step: int) -> list[float] | None:
        """Return the uniform prior before the first token."""
        return [1 / len(self._lags)] * len(self._lags) if step == 0 else None
