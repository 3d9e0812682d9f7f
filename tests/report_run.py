"""A tiny trained run with hostile file names, and a made-up evaluation of it: what reports are tried on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tunes import midi, transposed, tune

from seqgan_music import config, training
from seqgan_music.critic import Critic
from seqgan_music.critic.judging import Sizes
from seqgan_music.critic.network import Network
from seqgan_music.critic.ranks import Ranks
from seqgan_music.evaluate import result
from seqgan_music.learning.trainer import Silent

HOSTILE = "<img src=x onerror=alert(1)>"
"""Part of a name: what would be a script in a page that does not escape."""

TOML = """
sequence_length = 24
[corpus]
validation_share = 0.2
test_share = 0.2
[generator]
embedding = 8
hidden = 24
[discriminator]
name = "cnn"
scale = 0.02
[evaluation]
samples = 16
midi_samples = 1
min_entropy_ratio = 0.0
min_distinct_ratio = 0.0
max_discriminator_accuracy = 1.0
[[phase]]
method = "mle"
updates = 40
round_updates = 10
batch = 4
patience = 0
[[phase]]
method = "seqgan"
pretrain = 2
iterations = 3
batch = 8
rollouts = 2
d_samples = 32
gate = false
"""


def make_critic() -> Critic:
    """A critic that has learnt nothing, with made-up ranks."""
    sizes = Sizes(embedding=4, channels=4, hidden=4, dropout=0.1)
    network = Network(**vars(sizes))
    network.initialise(torch.Generator().manual_seed(1))
    ranks = Ranks.of({1: [number / 20 - 1 for number in range(40)]}, [[number / 20 - 1 for number in range(40)]])
    return Critic(network.requires_grad_(False), sizes, ranks, ranks, {"generator": "mle"})


def make_run(folder: Path, *, name: str = f"run {HOSTILE}") -> Path:
    """Train on a few tunes for a second, all of whose file names are hostile."""
    music = folder / "music"
    music.mkdir()
    for number in range(12):
        (music / f"{number} {HOSTILE}.mid").write_bytes(midi(tune(number, 90)))
    (music / f"again {HOSTILE}.mid").write_bytes(midi(transposed(tune(3, 90), 0)))
    (music / f"empty {HOSTILE}.mid").write_bytes(midi([]))
    settings = folder / "tiny.toml"
    settings.write_text(TOML)
    run = training.Run.begin(
        music, config.load(str(settings), ()), out=folder / name, device=torch.device("cpu"), say=lambda text: None
    )
    run.train(Silent())
    make_critic().save(run.folder)
    return run.folder


def evaluation(run: Path, **changes: Any) -> dict[str, Any]:
    """Write and return an evaluation of a run: figures that are made up, in the form that `evaluate` gives them."""
    saved = json.loads((run / "checkpoints" / "phase-1.json").read_bytes())
    rows = [
        row("real", "reference", None, 0.900, 4.0),
        row("copies", "baseline", None, 0.905, 5.0),
        row("random", "baseline", None, 0.100, 400.0),
        *(
            row(name, "method", temperature, bleu + 0.05 * (1 - temperature), distance + 8 * abs(1 - temperature))
            for name, bleu, distance in (("mle", 0.90, 30.0), ("seqgan", 0.91, 26.0))
            for temperature in (0.8, 1.0, 1.2)
        ),
    ]
    document: dict[str, Any] = {
        "format": result.FORMAT,
        "features": "features-v1",
        "version": "0",
        "runs": [str(run)],
        "seed": 1,
        "split": "test",
        "data": {"train_pieces": 8, "test_pieces": 1234, "test_windows": 5678, "windows_compared": 432},
        "temperatures": [0.8, 1.0, 1.2],
        "metrics": [
            {"name": "frechet", "title": "Fréchet distance", "unit": "", "better": "lower", "format": ".2f"},
            {"name": "self_bleu_4", "title": "self-BLEU-4", "unit": "", "better": "real", "format": ".3f"},
            {"name": "novelty_8", "title": "novelty-8", "unit": "", "better": "real", "format": ".3f"},
            {"name": "frechet_bars_1_16", "title": "bars 1–16", "unit": "", "better": "lower", "format": ".2f"},
            {"name": "frechet_bars_17_32", "title": "bars 17–32", "unit": "", "better": "lower", "format": ".2f"},
        ],
        "rows": rows,
        "differences": [
            {
                "name": "seqgan",
                "against": "mle",
                "temperature": 1.0,
                "figures": {
                    "frechet": {"value": -4.0, "low": -6.0, "high": -2.0},
                    "self_bleu_4": {"value": 0.01, "low": -0.01, "high": 0.03},
                },
            }
        ],
        "verdicts": [{"name": "seqgan", "verdict": "MIXED", "why": f"a Fréchet distance 4.00 lower {HOSTILE}"}],
        "chosen": {
            "phase": 1,
            "name": "mle",
            "checkpoint": "phase-1",
            "sha256": saved["sha256"],
            "why": "of seed 1",
        },
        "read": ["2026-01-01 10:00:00", "2026-01-02 10:00:00"],
        "copies": [{"file": "mle-7", "notes": 14, "bar": 26, "source": f"{HOSTILE}.mid", "source_bar": 3}],
        "notes": ["A note on this evaluation."],
        "seconds": 41.0,
        **changes,
    }
    result.write(run / result.FILE, document)
    return document


def row(name: str, kind: str, temperature: float | None, self_bleu: float, frechet: float) -> dict[str, Any]:
    """One row with intervals; distributions for two features at temperature 1."""
    figures = {
        "frechet": {"value": frechet, "low": frechet - 1.5, "high": frechet + 1.5},
        "self_bleu_4": {"value": self_bleu, "low": self_bleu - 0.004, "high": self_bleu + 0.004},
        "frechet_bars_1_16": {"value": frechet},
        "frechet_bars_17_32": {"value": frechet + 2},
    }
    found = {
        "name": name,
        "kind": kind,
        "phase": None if temperature is None else 1,
        "temperature": temperature,
        "figures": figures,
        "lag_curve": [0.6 + 0.01 * (lag % 4) if lag < 30 else None for lag in range(32)],
    }
    if temperature in (None, 1.0):
        found["features"] = {
            feature: {
                "overlap": overlap,
                "w1": 0.1,
                "histogram": {"edges": [0.0, 1.0, 2.0, 3.0], "counts": [1, 2, int(frechet) % 7]},
            }
            for feature, overlap in (("pitch_range", 0.9), ("note_density", 0.4))
        }
    return found
