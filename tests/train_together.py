"""What torchrun starts in tests/test_ranks.py: the same small runs as one process does, one folder each."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from test_methods import MUSICAL, OPTIONS, config, music

from seqgan_music import machine
from seqgan_music.config import ChoiceConfig, GeneratorConfig
from seqgan_music.learning import methods
from seqgan_music.learning.ranks import Ranks, joined
from seqgan_music.learning.trainer import Silent, Trainer

TOGETHER = [name for name in MUSICAL if not hasattr(methods.kind(ChoiceConfig(name)), "only_alone")]
RUNS = {name: config(ChoiceConfig(name, OPTIONS[name])) for name in TOGETHER}
"""By their folders."""
# Batches that two ranks cannot share evenly; the last of an epoch has one row, so that a rank has none.
RUNS["odd"] = replace(
    config(
        ChoiceConfig("mle", {"updates": 6, "round_updates": 3, "batch": 29, "window": 5, "shifted": 0.5}),
        ChoiceConfig("seqgan", {**OPTIONS["seqgan"], "batch": 5, "d_samples": 16, "d_batch": 31, "beta": 0.5}),
    ),
    generator=GeneratorConfig(embedding=4, hidden=6, dropout=0.2, layers=2, heads=2, head_size=2, summary=True),
)


def train(folder: Path, ranks: Ranks) -> None:
    """Train each for a few updates; every rank has a trainer, the first one writes."""
    for name, wanted in RUNS.items():
        run = folder / name
        if ranks.first:
            run.mkdir(parents=True, exist_ok=True)
        Trainer(run, wanted, music(), torch.device("cpu"), ranks=ranks).train(Silent())


if __name__ == "__main__":
    with joined("cpu") as together:
        os.fsync = lambda descriptor: None  # type: ignore[assignment]
        train(Path(sys.argv[1]), together)
    machine.leave(0)
