"""What a method that has nothing to train answers the trainer: no rounds, no state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from seqgan_music.learning.methods import Progress, Setting
from seqgan_music.learning.models import GeneratorModel, Model


class Fixed:
    """A distribution that is there as soon as the method is built."""

    adversarial = False
    uses_discriminator = False
    takes_objectives = False
    only_in_oracle: ClassVar[str | None] = None
    keeps_best = False
    rounds = 0
    generator_changed = False

    def __init__(self, setting: Setting, options: Any) -> None:
        self.options = options
        self._setting = setting

    @property
    def updates(self) -> int:
        """Updates of the generator: none."""
        return 0

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do nothing."""
        return {}

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """Never end early."""
        return None

    def model(self) -> Model:
        """Return the generator as it is."""
        return GeneratorModel(self._setting.generator, self._setting.length)

    def expected_seconds(self) -> float:
        """Return 0."""
        return 0.0

    @staticmethod
    def scaled(options: Any, share: float) -> Any:
        """Return the options unchanged."""
        return options

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def counters(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Do nothing: building the method was all."""
