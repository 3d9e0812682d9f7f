"""The score of the objectives that aim at a target: 1 there, halved by every `half` away from it.

    score = 2^(-|measure - target| / half)

Range 0..1; no plateau anywhere, so that training always has a direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seqgan_music.errors import ConfigError
from seqgan_music.music.objectives import Floats


@dataclass(frozen=True)
class AimOptions:
    """What every objective with a target accepts."""

    target: float | None = None
    """The measure to aim at; left out: the median of the training music."""
    half: float = 1.0
    """How far from the target the score is a half."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if self.target is not None and not 0 <= self.target <= self._most():
            raise ConfigError(f"target must be 0 to {self._most():g}, not {self.target:g}.")
        if not self.half > 0:
            raise ConfigError(f"half must be above 0, not {self.half:g}.")

    @staticmethod
    def _most() -> float:
        return 1.0


class Aim:
    """An objective with a target."""

    Options: ClassVar[type[Any]] = AimOptions
    of_whole_pieces: ClassVar[bool] = False
    options: AimOptions

    def __init__(self, options: Any) -> None:
        self.options = options

    def score(self, measure: Floats) -> Floats:
        """Return (N,) 1 at the target, a half at `half` from it."""
        if self.options.target is None:
            raise ValueError("an objective without its target: see Mix.aimed")
        return np.asarray(np.exp2(-np.abs(measure - self.options.target) / self.options.half))
