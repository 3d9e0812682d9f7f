"""What an evaluation found, of one run or of several together: to print, and to look figures up in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqgan_music.arguments import checked
from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.evaluate.bootstrap import Estimate


@dataclass(frozen=True, repr=False)
class Evaluation:
    """An evaluation: `print` it for the tables that the command shows.

    `document` holds all of it as plain values, as `evaluation.json` does; docs/metrics.md defines the figures.
    """

    document: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the tables and what is said of them, 100 columns wide."""
        from seqgan_music.evaluate import table

        return table.terminal(self.document)

    def __repr__(self) -> str:
        """Return which runs it is of, and what its rows are."""
        names = ", ".join(Path(run).name for run in self.document["runs"])
        return f"<Evaluation of {names}: {', '.join(self.rows)}>"

    @property
    def rows(self) -> list[str]:
        """Names of the rows, "real", "copies", "random" and "markov", then the run's methods in their order."""
        return list(dict.fromkeys(row["name"] for row in self.document["rows"]))

    @property
    def verdicts(self) -> dict[str, str]:
        """What is said of each method but maximum likelihood, as "NO EFFECT" of "seqgan"."""
        return {verdict["name"]: verdict["verdict"] for verdict in self.document["verdicts"]}

    @property
    def chosen(self) -> str | None:
        """The method that `sample` uses, by the validation split; None where several runs were compared."""
        choice = self.document["chosen"]
        return None if choice is None else str(choice["name"])

    @checked()
    def figures(self, row: str, temperature: float = 1.0) -> dict[str, Estimate]:
        """Return a row's figures by name, with their 95% intervals; what is not known is absent.

        `temperature` matters for methods alone. Raises ConfigError where there is no such row.
        """
        for found in self.document["rows"]:
            if found["name"] == row and found["temperature"] in (None, temperature):
                return {name: _estimate(values) for name, values in found["figures"].items()}
        if row in self.rows:
            raise ConfigError(f"Row '{row}' was not measured at temperature {temperature:g}.")
        raise ConfigError(f"There is no row '{row}'.{did_you_mean(row, self.rows)}")


def _estimate(values: Mapping[str, float]) -> Estimate:
    return Estimate(values["value"], values.get("low", math.nan), values.get("high", math.nan))
