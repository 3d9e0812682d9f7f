"""Objectives: what music should be like besides real, one file each, found by name; each gives 0..1 a piece.

An objective *measures* a piece in a unit of its own (semitones, notes a beat, a share) and *scores* the measure,
0 at worst and 1 at best. Most aim at a target and not at a maximum, because the maximum of almost any statistic of
music is no music (one bar for ever, one note for ever); without a target given, theirs is the median of the
training pieces: "as in my folder". A piece without notes has no measure (NaN), and the least reward.

A `Mix` is some objectives with weights. It works on note tables, so that thousands of rows cost little.

Source: ORGAN (Guimaraes et al. 2017, arXiv 1705.10843), which mixes such objectives with SeqGAN's reward; its music
objectives are tonality and the ratio of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from seqgan_music import choices
from seqgan_music.config import build
from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.music import note_tables
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.notes import Piece

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_WEIGHT = 100.0
"""Of one objective; e to this power is beyond anything that training can follow."""


class Objective(Protocol):
    """What a file of this folder defines. `Options` is a frozen dataclass."""

    Options: ClassVar[type[Any]]
    unit: ClassVar[str]
    """Of the measure, for people."""
    of_whole_pieces: ClassVar[bool]
    """Whether it has no measure for music that was cut off before its end."""
    options: Any

    def __init__(self, options: Any) -> None: ...

    def measure(self, notes: NoteTable) -> Floats:
        """Return (N,) what each row is like, in `unit`; NaN where that is not defined."""
        ...

    def score(self, measure: Floats) -> Floats:
        """Return (N,) how good that is, in [0, 1]; NaN stays NaN."""
        ...


def names() -> list[str]:
    """Return the names of all objectives."""
    return choices.names(__name__)


def create(name: str, options: Mapping[str, Any]) -> Objective:
    """Build one objective. Raises ConfigError for an unknown name, option or value."""
    cls = choices.load(__name__, name, "objective")
    objective: Objective = cls(build(cls.Options, options, f"Objective '{name}'"))
    return objective


def weight_of(name: str, weight: Any) -> float:
    """Return the weight that is given to an objective. Raises ConfigError."""
    if weight is None:
        raise ConfigError(f"Objective '{name}' has no weight: write {name} = 0.5, or give it a 'weight'.")
    if type(weight) not in (int, float) or not 0 <= weight <= MOST_WEIGHT:
        raise ConfigError(f"The weight of objective '{name}' must be 0 to {MOST_WEIGHT:g}, not {weight!r}.")
    return float(weight)


@dataclass(frozen=True)
class Part:
    """One objective of a mix, and its weight, above 0."""

    weight: float
    objective: Objective


@dataclass(frozen=True)
class Mix:
    """Objectives by name, with weights."""

    parts: Mapping[str, Part]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Mix:
        """Build a mix from `{"key": 0.5, "range": {"weight": 1, "target": 24}}`: a weight, or a table with options.

        A weight of 0 leaves an objective out. Raises ConfigError, for a name that does not exist with the nearest.
        """
        parts = {}
        for name, given in document.items():
            options = dict(given) if isinstance(given, Mapping) else {"weight": given}
            objective = create(name, {key: value for key, value in options.items() if key != "weight"})
            if weight := weight_of(name, options.get("weight")):
                parts[name] = Part(weight, objective)
        return cls(parts)

    def document(self) -> dict[str, dict[str, Any]]:
        """Return what `of` takes, every option written out."""
        return {
            name: {
                "weight": part.weight,
                **{f.name: getattr(part.objective.options, f.name) for f in fields(part.objective.options)},
            }
            for name, part in self.parts.items()
        }

    @property
    def without_target(self) -> list[str]:
        """Names of those that take their target from the training pieces and have not been given it yet."""
        return [name for name, part in self.parts.items() if getattr(part.objective.options, "target", 0.0) is None]

    def aimed(self, examples: NoteTable) -> Mix:
        """Return the mix with every missing target set to the median measure of some music (0 without any)."""
        parts = dict(self.parts)
        for name in self.without_target:
            part = parts[name]
            measures = part.objective.measure(examples)
            known = measures[np.isfinite(measures)]
            target = round(float(np.median(known)), 4) if len(known) else 0.0
            parts[name] = replace(
                part, objective=type(part.objective)(replace(part.objective.options, target=target))
            )
        return Mix(parts)

    def scores(self, notes: NoteTable) -> dict[str, Floats]:
        """Return the score of each objective (N,), in [0, 1]; NaN where one is not defined."""
        return {name: part.objective.score(part.objective.measure(notes)) for name, part in self.parts.items()}

    def rewards(self, notes: NoteTable) -> Floats:
        """Return the sum of weight times score (N,), what training adds to the discriminator's reward.

        A row without notes gets 0. Where an objective is not defined for a row (no ending in music that was cut
        off), the mean of the rows where it is stands in, so that it neither pulls nor pushes there.
        """
        total = np.zeros(notes.rows)
        for name, scores in self.scores(notes).items():
            known = np.isfinite(scores)
            neutral = float(scores[known].mean()) if known.any() else 0.0
            total += self.parts[name].weight * np.where(known, scores, neutral)
        return np.where(notes.counts > 0, total, 0.0)

    def ranks(self, notes: NoteTable) -> Floats:
        """Return the weighted mean of the scores (N,), in [0, 1], over the objectives defined for a row; else 0."""
        total, weights = np.zeros(notes.rows), np.zeros(notes.rows)
        for name, scores in self.scores(notes).items():
            known = np.isfinite(scores)
            total += self.parts[name].weight * np.where(known, scores, 0.0)
            weights += self.parts[name].weight * known
        return np.asarray(total / np.where(weights > 0, weights, 1.0))


def score(piece: Piece, weights: Mapping[str, Any], examples: Sequence[Piece] = ()) -> float:
    """Return how well one whole piece meets a mix, as `Mix.of` takes it, in [0, 1].

    Missing targets are the medians of `examples`; without examples that raises ConfigError.
    """
    mix = Mix.of(weights)
    if missing := mix.without_target:
        if not examples:
            raise ConfigError(
                f"Objective '{missing[0]}' aims at what the training music is like, and there is none here:"
                f" give it a target, as in {missing[0]}.target=..."
            )
        mix = mix.aimed(note_tables.of_pieces(examples))
    return float(mix.ranks(note_tables.of_pieces([piece]))[0])


def parse(text: str, others: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Read "key=1,range=0.5,range.target=24" into what `Mix.of` takes; `others` are further names, with a weight.

    Raises ConfigError.
    """
    document: dict[str, dict[str, Any]] = {}
    for item in text.split(","):
        left, equals, right = (part.strip() for part in item.partition("="))
        name, _, option = left.partition(".")
        if not equals or not name:
            raise ConfigError(
                f"Objectives are written as key=1,range=0.5,range.target=24; '{item.strip()}' is not."
            )
        if name not in (*names(), *others):
            raise ConfigError(f"There is no objective '{name}'.{did_you_mean(name, [*names(), *others])}")
        try:
            value: Any = float(right)
        except ValueError:
            value = right
        document.setdefault(name, {})[option or "weight"] = value
    return document


def per_row(notes: NoteTable, values: npt.NDArray[Any], of: npt.NDArray[Any] | None = None) -> Floats:
    """Return the sum of values (M,) over the notes of each row (N,); `of` is their row where they are not notes."""
    found = np.zeros(notes.rows)
    np.add.at(found, notes.row if of is None else of, values)
    return found


def share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """Return part / whole, NaN where the whole is 0."""
    divisor = np.where(whole > 0, whole, 1).astype(np.float64)
    return np.where(whole > 0, part / divisor, np.nan)
