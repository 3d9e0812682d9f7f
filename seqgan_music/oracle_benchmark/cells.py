"""One cell of the benchmark: one method, one oracle draw, one seed; trained, measured, judged, written down.

A cell takes one thread and its own random generators, so that its result is the same to the last digit whatever
runs beside it. Cells of one draw and seed share the baseline's generator and their random numbers: differences
between them are paired.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqgan_music import documents
from seqgan_music.config import Config, EvaluationConfig
from seqgan_music.errors import RunError
from seqgan_music.learning import checkpoint, discriminators, oracles
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.divergence import HeldOut, distinct_4, measure
from seqgan_music.learning.judge import judge
from seqgan_music.learning.models import GeneratorModel, Model
from seqgan_music.learning.oracles import Oracle
from seqgan_music.learning.trainer import METRICS, Silent, Trainer
from seqgan_music.oracle_benchmark.settings import NOTHING, Row, Settings, slug
from seqgan_music.run_folders import sweep, write_text
from seqgan_music.tokenset import Splits, TokenSet

RESULT, TRUTH, TOKENS, COST = "result.json", "truth.json", "tokens.npz", "cost.json"
FINAL = "final"
"""Checkpoint of the generator that a cell leaves."""

CURVE = ("nll_oracle", "validation_nats", "entropy", "distinct_4", "d_accuracy", "d_bound")


def draw_folder(folder: Path, draw: int) -> Path:
    """Return where a draw's data are."""
    return folder / "draws" / str(draw)


def cell_folder(folder: Path, row: Row, draw: int, seed: int) -> Path:
    """Return where a cell's files are."""
    return folder / "cells" / f"{draw}-{seed}-{slug(row.label)}"


@contextmanager
def told(path: Path) -> Iterator[dict[str, Any]]:
    """Give the JSON object in a file; raises RunError where it is none, or not what the block can read."""
    try:
        document = documents.load(path)
        if not isinstance(document, dict):
            raise TypeError("it is no JSON object")
        yield document
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{path} cannot be read: {reason}. Delete its folder and go on with --resume.") from None


def make_oracle(settings: Settings, draw: int, device: torch.device) -> Oracle:
    """Draw the oracle again: its weights follow from the seed and the draw's number alone."""
    rng = torch.Generator().manual_seed(1_000_003 * settings.seed + draw)
    oracle = oracles.create(settings.oracle, settings.vocabulary_size, settings.length, rng)
    oracle.to(device)
    return oracle


def prepare(folder: Path, settings: Settings, draw: int) -> None:
    """Sample a draw's training, validation and held-out sequences, and measure the oracle itself."""
    oracle = make_oracle(settings, draw, torch.device("cpu"))
    rng = torch.Generator().manual_seed(1_000_003 * settings.seed + 500_009 + draw)
    counts = (settings.train, settings.validation, settings.held_out)
    parts = oracle.sample(sum(counts), 1.0, rng).split(counts)
    Splits(*(oracles.token_set(oracle, part) for part in parts)).save(draw_folder(folder, draw) / TOKENS)
    uniform = torch.randint(settings.vocabulary_size, (settings.curve_samples, settings.length), generator=rng)
    entropy, entropy_se = HeldOut.of(oracle, parts[2]).entropy
    truth = {
        "draw": draw,
        "entropy": entropy,
        "entropy_se": entropy_se,
        "distinct_4": distinct_4(parts[2]),
        "uniform_nll": -float(oracle.log_prob(uniform, 1.0).mean()) / settings.length,
    }
    write_text(draw_folder(folder, draw) / TRUTH, json.dumps(truth, indent=1))


def run(folder: Path, settings: Settings, label: str, draw: int, seed: int, device: torch.device) -> None:
    """Train one cell, from where it stands, and write its result."""
    started = time.perf_counter()
    row = settings.row(label)
    here = cell_folder(folder, row, draw, seed)
    here.mkdir(parents=True, exist_ok=True)
    sweep(here, here / checkpoint.FOLDER)
    oracle = make_oracle(settings, draw, device)
    splits = Splits.load(draw_folder(folder, draw) / TOKENS)

    def probe(ids: Tensor) -> dict[str, float]:
        return {"nll_oracle": -float(oracle.log_prob(ids, 1.0).mean()) / settings.length}

    config = cell_config(settings, row, draw, seed)
    trainer = Trainer(here, config, splits, device, oracle=oracle, probe=probe)
    if row.start != NOTHING:
        start = cell_folder(folder, settings.row(row.start), draw, seed)
        trainer.generator.load_state_dict(checkpoint.load_generator(start, FINAL).state_dict())
    if checkpoint.exists(here, "last"):
        trainer.resume()
        if trainer.progress.finished:  # killed while it was measured: what a method made is not in its checkpoint
            _discard_training(here)
            run(folder, settings, label, draw, seed, device)
            return
    trainer.train(Silent())
    assert trainer.model is not None
    points = curve(here)
    result = {
        "label": label,
        "method": row.method.name,
        "role": row.role,
        "draw": draw,
        "seed": seed,
        **_measured(trainer.model, oracle, splits, settings, config, device),
        "updates": points[-1]["updates"] + _updates_before(folder, settings, row, draw, seed),
        # The log is the generator's: where something else is the model, it has no curve.
        "curve": points if isinstance(trainer.model, GeneratorModel) else [],
        "notes": trainer.progress.notes,
    }
    described = {"generator": checkpoint.describe_generator(trainer.generator)}
    checkpoint.save(here, FINAL, checkpoint.prefixed(trainer.generator.state_dict(), "generator"), described)
    write_text(here / COST, json.dumps({"seconds": round(time.perf_counter() - started, 1)}))
    write_text(here / RESULT, json.dumps(result, indent=1))
    _discard_training(here)


def cell_config(settings: Settings, row: Row, draw: int, seed: int) -> Config:
    """Return the run of one cell: one phase, without a collapse watch, since a collapse is a result here."""
    own = 0 if row.start == NOTHING else 7_000_003  # what goes on must not see the baseline's random numbers again
    return Config(
        seed=own + 1_000_003 * settings.seed + 1009 * draw + seed,
        sequence_length=settings.length,
        generator=settings.generator,
        discriminator=settings.discriminator,
        phases=(row.method,),
        evaluation=EvaluationConfig(
            samples=settings.curve_samples,
            midi_samples=0,
            min_entropy_ratio=0.0,
            min_distinct_ratio=0.0,
            max_discriminator_accuracy=1.0,
        ),
    )


def curve(here: Path) -> list[dict[str, Any]]:
    """Return the learning curve of a cell from its log: one point an evaluation after the generator has changed."""
    points: list[dict[str, Any]] = []
    for text in documents.lines(here / METRICS):
        line = documents.parsed(text)
        point = {"updates": line["updates"], **{name: line[name] for name in CURVE if name in line}}
        if points and points[-1]["updates"] == point["updates"]:
            points[-1] = point  # a round of D alone
        else:
            points.append(point)
    return points


def _measured(
    model: Model, oracle: Oracle, splits: Splits, settings: Settings, config: Config, device: torch.device
) -> dict[str, Any]:
    """Return the divergences at every temperature, and the judge's findings at 1."""
    held_out = HeldOut.of(oracle, _ids(splits.test, settings.length, device))
    grid = []
    for number, temperature in enumerate(settings.temperatures):
        rng = torch.Generator(device).manual_seed(config.seed % 7_000_003 + 100_003 * (number + 1))
        found = measure(model, oracle, held_out, temperature, settings.samples, rng)
        grid.append({"temperature": temperature, **found})
    rng = torch.Generator(device).manual_seed(config.seed % 7_000_003 + 99_991)
    discriminator = discriminators.create(settings.discriminator, settings.vocabulary_size, settings.length)
    discriminator.initialise(torch.Generator().manual_seed(config.seed % 7_000_003))
    found = judge(
        discriminator.to(device),
        lambda count: model.sample(count, 1.0, rng),
        _ids(splits.train, settings.length, device),
        _ids(splits.validation, settings.length, device),
        held_out.ids,
        settings.judge,
        rng,
    )
    return {"temperatures": grid, "judge": found}


def _discard_training(here: Path) -> None:
    """Remove the checkpoints that only going on with the training needs."""
    for path in (here / checkpoint.FOLDER).glob("*.json"):
        if path.stem != FINAL:
            checkpoint.discard(here, path.stem)


def _ids(tokens: TokenSet, length: int, device: torch.device) -> Tensor:
    return Sequences(tokens, device).first(len(tokens), length)


def _updates_before(folder: Path, settings: Settings, row: Row, draw: int, seed: int) -> int:
    """Generator updates of the cell that a row goes on from, with those before it."""
    if row.start == NOTHING:
        return 0
    with told(cell_folder(folder, settings.row(row.start), draw, seed) / RESULT) as found:
        return int(found["updates"])
