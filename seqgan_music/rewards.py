"""Objectives of music as a reward of ids: checked with a config, aimed at the training music, given to training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_music import preference
from seqgan_music.config import Config
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.learning import methods
from seqgan_music.learning.mixing import Objective
from seqgan_music.music import note_tables
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Mix, weight_of
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.preference import Preference, taste
from seqgan_music.tokenset import TokenSet

MOST_EXAMPLES = 4096
"""Training sequences from which targets are taken, evenly spaced where there are more."""
LIKED = "liked"
TASTE = "taste.json"
"""The taste that a run is trained towards, as it was when the run began."""


@dataclass(frozen=True)
class _Liked:
    """`[objectives.liked]`: a weight, and the run whose ratings say what is liked."""

    weight: float
    run: str


def check(config: Config, tokenizer: Tokenizer) -> Config:
    """Return the config with every option of its objectives written out. Raises ConfigError."""
    mix, liked = _split(config.objectives)
    total = sum(part.weight for part in mix.parts.values()) + (liked.weight if liked else 0.0)
    if total and not any(methods.kind(phase).takes_objectives for phase in config.phases):
        raise ConfigError(
            "[objectives] are mixed into the reward of method 'seqgan', and no phase here is that."
            " Leave them out, or add such a [[phase]]."
        )
    shares = any(getattr(methods.check(phase), "reward", "") == "probability" for phase in config.phases)
    if shares and total > 1:
        raise ConfigError(
            f'[objectives] weigh {total:g} together: with reward = "probability" they are shares of the'
            " reward, so 1 at most."
        )
    for name, part in mix.parts.items():
        if part.objective.of_whole_pieces and tokenizer.end_id is None:
            raise ConfigError(
                f"Objective '{name}' looks at how pieces end, and tokenizer '{tokenizer.name}' cuts them into rows"
                " without an end. Leave it out, or take another tokenizer."
            )
    return replace(config, objectives=_document(mix, liked))


def aimed(config: Config, tokenizer: Tokenizer, train: TokenSet) -> Config:
    """Return the config with missing targets set to the median over openings of T tokens of the training music."""
    mix, liked = _split(config.objectives)
    if not mix.without_target:
        return config
    mix = mix.aimed(openings(tokenizer, train, config.sequence_length))
    return replace(config, objectives=_document(mix, liked))


def openings(tokenizer: Tokenizer, train: TokenSet, length: int) -> NoteTable:
    """Return the first `length` ids of training sequences as notes, as the adversarial phase sees them."""
    count = min(len(train), MOST_EXAMPLES)
    chosen = np.linspace(0, max(0, len(train) - 1), count).astype(np.int64)
    ids = np.full((len(chosen), length), tokenizer.end_id or 0, dtype=np.int64)
    for row, index in zip(ids, chosen, strict=True):
        opening = train.row(int(index))[:length]
        row[: len(opening)] = opening
    return note_tables.of_ids(tokenizer, ids)


def rated(config: Config) -> Preference | None:
    """Return the taste that a new run is to be trained towards; None where it is to be towards none.

    Raises RunError where the run that is named has no ratings that say anything.
    """
    _, liked = _split(config.objectives)
    if liked is None:
        return None
    found = preference.fit(Path(liked.run))
    if found.neutral:
        raise RunError(f"Objective '{LIKED}' cannot learn from {liked.run}. {found.describe()}")
    return found


def keep(found: Preference | None, run: Path) -> None:
    """Write the taste into the new run's folder, so that later ratings do not change what it is trained towards."""
    if found is not None:
        taste.save(found, run / TASTE)


def objective(config: Config, tokenizer: Tokenizer, run: Path) -> Objective | None:
    """Return the run's objectives as one reward of ids; None where it has none. Raises RunError."""
    mix, liked = _split(config.objectives)
    if not mix.parts and liked is None:
        return None
    likes = _likes(liked, run)

    def rewards(ids: Tensor) -> Tensor:
        array = ids.cpu().numpy()
        table = note_tables.of_ids(tokenizer, array)
        found = mix.rewards(table)
        if liked is not None:
            found += liked.weight * np.where(table.counts > 0, likes(tokenizer, array), 0.0)
        return torch.from_numpy(found).to(ids.device, torch.float32)

    total = sum(part.weight for part in mix.parts.values()) + (liked.weight if liked else 0.0)
    return Objective(rewards, total)


def probe(config: Config, tokenizer: Tokenizer, run: Path) -> Callable[[Tensor], dict[str, float]] | None:
    """Return what measures samples (N, T) for the log: the mean score of each objective, `objective_NAME`."""
    mix, liked = _split(config.objectives)
    if not mix.parts and liked is None:
        return None
    likes = _likes(liked, run)

    def measures(ids: Tensor) -> dict[str, float]:
        array = ids.cpu().numpy()
        scores = mix.scores(note_tables.of_ids(tokenizer, array))
        if liked is not None:
            scores[LIKED] = likes(tokenizer, array)
        known = {name: values[np.isfinite(values)] for name, values in scores.items()}
        return {f"objective_{name}": float(values.mean()) for name, values in known.items() if len(values)}

    return measures


def _likes(liked: _Liked | None, run: Path) -> Callable[[Tokenizer, npt.NDArray[Any]], npt.NDArray[np.float64]]:
    """Return the probability that rows of ids (N, T) are liked (N,), by the taste kept in the run's folder."""
    found = preference.load(run, TASTE) if liked is not None else None
    if liked is not None and found is None:
        raise RunError(f"{run} is trained towards what a person likes, and has no {TASTE} that says what that is.")

    def likes(tokenizer: Tokenizer, ids: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        assert found is not None
        return found.scores([tokenizer.decode(row).piece for row in ids.tolist()])

    return likes


def _split(document: Mapping[str, Any]) -> tuple[Mix, _Liked | None]:
    """Return the objectives that music alone knows, and `liked`. Raises ConfigError."""
    rest = dict(document)
    given = rest.pop(LIKED, None)
    mix = Mix.of(rest)
    if given is None:
        return mix, None
    options = dict(given) if isinstance(given, Mapping) else {"weight": given}
    if not isinstance(options.get("run"), str):
        raise ConfigError(
            f"Objective '{LIKED}' learns from ratings: name the run that has them, as in"
            f' {LIKED} = {{ weight = 1, run = "runs/first" }}.'
        )
    if unknown := options.keys() - {"weight", "run"}:
        raise ConfigError(f"Objective '{LIKED}' has no option '{min(unknown)}'. Choices: run, weight.")
    weight = weight_of(LIKED, options.get("weight"))
    return mix, _Liked(weight, options["run"]) if weight else None


def _document(mix: Mix, liked: _Liked | None) -> dict[str, Any]:
    return {**mix.document(), **({LIKED: {"weight": liked.weight, "run": liked.run}} if liked else {})}
