"""The oracle scored as a method: what every measure says of the truth itself ("Real" in the papers' tables).

Differences from the papers: none; its divergences must be 0 within their standard errors, which tests the measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from seqgan_music.errors import ConfigError
from seqgan_music.learning.methods import Setting
from seqgan_music.learning.methods._fixed import Fixed
from seqgan_music.learning.models import Model


@dataclass(frozen=True)
class OracleOptions:
    """No options."""


class Oracle(Fixed):
    """The distribution that the data was drawn from."""

    Options = OracleOptions
    only_in_oracle: ClassVar[str | None] = "it is the truth of the benchmark, which music does not have"

    def __init__(self, setting: Setting, options: OracleOptions) -> None:
        super().__init__(setting, options)
        if setting.oracle is None:
            raise ConfigError(f"Method 'oracle': {self.only_in_oracle}.")
        self._oracle = setting.oracle

    def model(self) -> Model:
        """Return the oracle."""
        return self._oracle
