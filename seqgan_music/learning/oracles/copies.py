"""Form in bars: each bar is new, or a noisy copy of any earlier bar.

An oracle of this project. At each bar line but the first the bar is with probability `repeat` a copy, of an earlier
bar drawn uniformly; a copied token is fresh with probability `noise`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqgan_music.errors import ConfigError
from seqgan_music.learning.oracles._copying import Copying, CopyingOptions


@dataclass(frozen=True)
class CopiesOptions(CopyingOptions):
    """Options of form in bars."""

    bar: int = 8
    """Tokens a bar."""
    repeat: float = 0.7
    """Probability that a bar after the first is a copy."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if self.bar < 1 or not 0 <= self.repeat <= 1:
            raise ConfigError("bar must be at least 1, repeat in [0, 1].")


class Copies(Copying):
    """Repeats its own bars; the latent is the bar that is copied, the last one meaning none."""

    Options = CopiesOptions

    def __init__(self, vocabulary_size: int, length: int, options: CopiesOptions, rng: torch.Generator) -> None:
        if options.bar >= length:
            raise ConfigError(f"bar must be shorter than the sequences of {length}.")
        super().__init__(vocabulary_size, length, options, rng)
        self._bar = options.bar
        self._repeat = options.repeat

    def sources(self, step: int) -> list[int]:
        """Return the same place in each earlier bar, and -1 for a new bar."""
        return [*range(step % self._bar, step - self._bar + 1, self._bar), -1]

    def prior(self, step: int) -> list[float] | None:
        """Return at a bar line the probabilities of each earlier bar and of a new one."""
        bars, place = divmod(step, self._bar)
        if place > 0:
            return None
        return [*[self._repeat / bars] * bars, 1.0 - self._repeat] if bars else [1.0]
