"""What the benchmark found, as typed data and as JSON: one cell a method, oracle draw and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar, cast

from seqgan_music import documents
from seqgan_music.errors import InputError

_Kind = TypeVar("_Kind")
_LARGEST = 1e100
"""More than any measure, and small enough to be squared."""

Pair = tuple[int, int]
"""Oracle draw and seed: what a cell shares with the cell of another method that it is compared with."""


@dataclass(frozen=True)
class Measures:
    """What `learning.divergence.measure` found at one temperature; nats a token, `..._se` standard errors."""

    temperature: float
    """Of drawing and of scoring."""
    nll_oracle: float
    """-E_G[log P] / T."""
    nll_oracle_se: float
    nll_gen: float
    """-E_P[log G] / T on held-out sequences of the oracle."""
    nll_gen_se: float
    entropy: float
    """H(G)."""
    entropy_se: float
    kl_rev: float
    """KL(G || P) / T."""
    kl_rev_se: float
    kl_fwd: float
    """KL(P || G) / T."""
    kl_fwd_se: float
    j: float
    """kl_rev + kl_fwd, Jeffreys."""
    j_se: float
    j_chosen: float
    """J of the half of the sequences by which a temperature is chosen."""
    j_judged: float
    """J of the other half."""
    effective: float
    """Share of the samples that carry the weight; 1 where all weigh the same."""
    distinct_4: float
    """Share of different 4-grams."""


@dataclass(frozen=True)
class Point:
    """One point of a learning curve; nats a token."""

    updates: int
    """Of the generator, since this cell began."""
    nll_oracle: float
    validation_nats: float
    """NLL_gen on the validation sequences."""
    entropy: float
    distinct_4: float = math.nan
    d_accuracy: float = math.nan
    """Of the method's own discriminator, as `d_bound`; NaN without one."""
    d_bound: float = math.nan


@dataclass(frozen=True)
class Cell:
    """One method on one oracle draw with one seed."""

    label: str
    """The row's name."""
    method: str
    """The method's."""
    role: str
    """"baseline", "placebo", "control", "truth" or ""."""
    draw: int
    seed: int
    temperatures: tuple[Measures, ...]
    """In rising order of temperature; 1 is one of them."""
    d_accuracy: float
    """Held-out accuracy of the judge."""
    d_bound: float
    """Held-out Donsker-Varadhan bound of the judge, nats a sequence."""
    updates: int
    """Of the generator, those of the cell that it started from included."""
    curve: tuple[Point, ...]
    notes: tuple[str, ...]
    """What a reader should know: stopped early, an option without effect."""

    @property
    def pair(self) -> Pair:
        """What it shares with the cells that it is compared with."""
        return self.draw, self.seed

    @property
    def before(self) -> int:
        """Updates of the generator before this cell began."""
        return self.updates - self.curve[-1].updates if self.curve else self.updates

    @cached_property
    def plain(self) -> Measures:
        """The measures at temperature 1."""
        return next(measures for measures in self.temperatures if measures.temperature == 1.0)

    @cached_property
    def best(self) -> Measures:
        """The measures at T*, where `j_chosen` is least; judge them by `j_judged`."""
        return min(self.temperatures, key=lambda m: (math.isnan(m.j_chosen), m.j_chosen))


@dataclass(frozen=True)
class Truth:
    """One oracle draw, measured on its held-out sequences; nats a token."""

    draw: int
    entropy: float
    """H(P)."""
    entropy_se: float
    distinct_4: float
    uniform_nll: float
    """NLL_oracle of uniform tokens."""


@dataclass(frozen=True)
class Results:
    """A whole benchmark."""

    name: str
    """Of its settings."""
    settings: Mapping[str, Any]
    """As `settings.to_document` gives them."""
    truth: tuple[Truth, ...]
    cells: tuple[Cell, ...]

    @cached_property
    def methods(self) -> dict[str, list[Cell]]:
        """The cells by label, in order of first appearance; those of a label by draw and seed."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.label, []).append(cell)
        return {label: sorted(cells, key=lambda cell: cell.pair) for label, cells in found.items()}

    @cached_property
    def baseline(self) -> list[Cell]:
        """The cells that all others are compared with; none while they have not run."""
        return next((cells for cells in self.methods.values() if cells[0].role == "baseline"), [])

    @cached_property
    def oracles(self) -> dict[int, Truth]:
        """The truth by draw."""
        return {truth.draw: truth for truth in self.truth}

    @property
    def entropy(self) -> float:
        """H(P), the mean over oracle draws."""
        return fmean(truth.entropy for truth in self.truth)

    def to_document(self) -> dict[str, Any]:
        """Return a plain document. Floats survive `json` exactly; what is not finite is written as text."""
        return {
            "name": self.name,
            "settings": _plain(dict(self.settings)),
            "truth": [_plain(truth) for truth in self.truth],
            "cells": [cell_to_document(cell) for cell in self.cells],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Results:
        """Undo `to_document`. Raises KeyError, TypeError or ValueError where the document is another."""
        truth = tuple(map(truth_from_document, document["truth"]))
        cells = tuple(cell_from_document(entry) for entry in document["cells"])
        return cls(str(document["name"]), document["settings"], truth, cells)


def load(path: Path) -> Results:
    """Read the results of a benchmark. Raises InputError where the file is missing or another."""
    try:
        return Results.from_document(documents.load(path))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {documents.why(error)}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold results of the oracle benchmark ({error!r}).") from None


def truth_from_document(document: Mapping[str, Any]) -> Truth:
    """Return what is known of a draw. Raises KeyError, TypeError or ValueError where the document is another."""
    return _typed(Truth, document)


def cell_to_document(cell: Cell) -> dict[str, Any]:
    """Return a cell as a plain document; its seconds are kept elsewhere, so that tables do not depend on them."""
    document: dict[str, Any] = _plain(cell)
    document["judge"] = {key: document.pop(key) for key in ("d_accuracy", "d_bound")}
    return document


def cell_from_document(document: Mapping[str, Any]) -> Cell:
    """Undo `cell_to_document`. Raises KeyError, TypeError or ValueError where the document is another."""
    rest = {**document, **document["judge"]}
    temperatures = sorted((_typed(Measures, entry) for entry in rest["temperatures"]), key=lambda m: m.temperature)
    if 1.0 not in [measures.temperature for measures in temperatures]:
        raise ValueError("not measured at temperature 1")
    curve = tuple(_typed(Point, entry) for entry in rest["curve"])
    if not all(isinstance(text, str) for text in (rest["label"], rest["method"], rest["role"], *rest["notes"])):
        raise ValueError("its label, method, role and notes must be text")
    rest |= {"temperatures": tuple(temperatures), "curve": curve, "notes": tuple(rest["notes"])}
    return _typed(Cell, rest)


def _typed(kind: type[_Kind], entry: Mapping[str, Any]) -> _Kind:
    """Build a dataclass from the keys it knows; numbers become what its fields say."""
    made: dict[Any, Callable[[Any], Any]] = {"float": _float, "int": _int}
    known = [f for f in fields(cast(Any, kind)) if f.name in entry or f.default is MISSING]
    return kind(**{f.name: made.get(f.type, lambda value: value)(entry[f.name]) for f in known})


def _int(value: Any) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no whole number")
    return int(value)


def _float(value: Any) -> float:
    try:
        made = float(value)
    except OverflowError:
        made = 1e308
    if _LARGEST < abs(made) < math.inf:
        raise ValueError("a number that is too large")
    return made


def _plain(value: Any) -> Any:
    """Return dataclasses as dictionaries, and floats that JSON cannot hold as text that `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value
