"""Objectives of music as a reward of ids: checked with a config, aimed at the training music, given to training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from seqgan_music.config import Config
from seqgan_music.errors import ConfigError
from seqgan_music.learning import methods
from seqgan_music.learning.mixing import Objective
from seqgan_music.music import note_tables
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.objectives import Mix
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import TokenSet

MOST_EXAMPLES = 4096
"""Training sequences from which targets are taken, evenly spaced where there are more."""


def check(config: Config, tokenizer: Tokenizer) -> Config:
    """Return the config with every option of its objectives written out. Raises ConfigError."""
    if "liked" in config.objectives:
        raise ConfigError(
            "Objective 'liked' ranks finished pieces and is not trained towards: leave it out of [objectives], and"
            " choose by it with sample --best-of 8 --prefer liked=1."
        )
    mix = Mix.of(config.objectives)
    if mix.parts and not any(methods.kind(phase).takes_objectives for phase in config.phases):
        raise ConfigError(
            "[objectives] are mixed into the reward of method 'seqgan', and no phase here is that."
            " Leave them out, or add such a [[phase]]."
        )
    total = sum(part.weight for part in mix.parts.values())
    shares = any(getattr(methods.check(phase), "reward", "") == "probability" for phase in config.phases)
    if shares and total > 1:
        raise ConfigError(
            f'[objectives] weigh {total:g} together: with reward = "probability" they are shares of the reward, so'
            " 1 at most."
        )
    for name, part in mix.parts.items():
        if part.objective.of_whole_pieces and tokenizer.end_id is None:
            raise ConfigError(
                f"Objective '{name}' looks at how pieces end, and tokenizer '{tokenizer.name}' cuts them into rows"
                " without an end. Leave it out, or take another tokenizer."
            )
    return replace(config, objectives=mix.document())


def aimed(config: Config, tokenizer: Tokenizer, train: TokenSet) -> Config:
    """Return the config with missing targets set to the median over openings of T tokens of the training music."""
    mix = Mix.of(config.objectives)
    if not mix.without_target:
        return config
    return replace(config, objectives=mix.aimed(openings(tokenizer, train, config.sequence_length)).document())


def openings(tokenizer: Tokenizer, train: TokenSet, length: int) -> NoteTable:
    """Return the first `length` ids of training sequences as notes, as the adversarial phase sees them."""
    count = min(len(train), MOST_EXAMPLES)
    chosen = np.linspace(0, max(0, len(train) - 1), count).astype(np.int64)
    ids = np.full((len(chosen), length), tokenizer.end_id or 0, dtype=np.int64)
    for row, index in zip(ids, chosen, strict=True):
        opening = train.row(int(index))[:length]
        row[: len(opening)] = opening
    return note_tables.of_ids(tokenizer, ids)


def objective(config: Config, tokenizer: Tokenizer) -> Objective | None:
    """Return the run's objectives as one reward of ids; None where it has none."""
    mix = Mix.of(config.objectives)
    if not mix.parts:
        return None

    def rewards(ids: Tensor) -> Tensor:
        found = mix.rewards(note_tables.of_ids(tokenizer, ids.cpu().numpy()))
        return torch.from_numpy(found).to(ids.device, torch.float32)

    return Objective(rewards, sum(part.weight for part in mix.parts.values()))


def probe(config: Config, tokenizer: Tokenizer) -> Callable[[Tensor], dict[str, float]] | None:
    """Return what measures samples (N, T) for the log: the mean score of each objective, `objective_NAME`."""
    mix = Mix.of(config.objectives)
    if not mix.parts:
        return None

    def measures(ids: Tensor) -> dict[str, float]:
        scores = mix.scores(note_tables.of_ids(tokenizer, ids.cpu().numpy()))
        known = {name: values[np.isfinite(values)] for name, values in scores.items()}
        return {f"objective_{name}": float(values.mean()) for name, values in known.items() if len(values)}

    return measures
