"""What an update costs as pieces grow longer: maximum likelihood, and policy gradient by windows.

    python benchmarks/length.py RUN [--lengths 64 128 ... 2048] [--batch 4] [--repeats 3] [--threads 1] [--json]

RUN is a run of preset `long`, whose generator is kept from ending, so that all sequences have T tokens. Seconds of
one update, medians, all of `--batch` sequences:

    MLE          a group of sequences learnt window by window: T / window updates of the optimizer
    truncated    a step of `windowed`: rollouts as the run has them, to the end of the last window of their block
    whole        the same with rollouts to T, which serve the same windows; only up to `--longest` tokens
    no rollouts  the same step with R = 0

Each with the exponent of T, the slope of log seconds over log T: over all lengths, and over those from 512 on.
Below that no cost can be linear that is linear in the end: attention costs in proportion to what there is to look
back on until its memory is full, and a piece that ends before its windows do has shorter rollouts.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgan_music import config as configs
from seqgan_music.config import ChoiceConfig, Config
from seqgan_music.learning import checkpoint, discriminators, methods
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.methods import windowed
from seqgan_music.learning.methods.mle import Mle
from seqgan_music.learning.methods.windowed import Windowed
from seqgan_music.learning.sampling import sample
from seqgan_music.learning.window_rollout import block_values
from seqgan_music.tokenset import Splits, TokenSet

LARGE = 512
"""Tokens from which on the second exponent is fitted."""
COLUMNS = ("MLE", "no rollouts", "truncated", "whole")


def endless(run: Path) -> tuple[Generator, TokenSet]:
    """Return a run's generator, which will not end any more, and the tokens that it learnt from."""
    generator, train = checkpoint.load_generator(run), Splits.load(run / "tokens.npz").train
    if train.end_id is not None:
        with torch.no_grad():
            generator.output.bias[train.end_id] = -1e4
    return generator.requires_grad_(True), train


def setting(generator: Generator, train: TokenSet, config: Config, length: int, batch: int) -> methods.Setting:
    """Return what methods work with, for sequences of exactly `length` tokens, written by the generator."""
    rng = torch.Generator().manual_seed(length)
    ids = sample(Stepper(generator), 2 * batch, length, rng)
    identity = np.arange(train.vocabulary_size, dtype=np.int32)[None]
    rows = replace(
        TokenSet.from_rows(
            list(ids.numpy()),
            vocabulary_size=train.vocabulary_size,
            start_id=train.start_id,
            end_id=train.end_id,
            shifts=identity,
        ),
        effects=train.effects,
    )
    made = discriminators.create(config.discriminator, train.vocabulary_size, length, train)
    made.initialise(rng)
    return methods.Setting(generator, made, Sequences(rows, torch.device("cpu")), length, rng, rng)


def updates(placed: methods.Setting, config: Config, batch: int) -> dict[str, Callable[[], object]]:
    """Return an update of each kind."""
    by_name = {phase.name: phase for phase in config.phases}

    def made(name: str, **options: object) -> methods.Method:
        changed = ChoiceConfig(name, {**by_name[name].options, "batch": batch, **options})
        # Each on a generator of its own, or one would teach another's to write differently.
        return methods.create(changed, replace(placed, generator=copy.deepcopy(placed.generator)))

    mle = made("mle")
    with_rollouts, without = made("windowed", lengths=[]), made("windowed", lengths=[], rollouts=0)
    assert isinstance(mle, Mle)
    assert isinstance(with_rollouts, Windowed)
    assert isinstance(without, Windowed)
    index = torch.arange(batch)

    def whole() -> None:
        values = windowed.block_values
        windowed.block_values = partial(block_values, truncated=False)
        try:
            with_rollouts._generator_step()
        finally:
            windowed.block_values = values

    return {
        "MLE": lambda: mle._learn(index, None),
        "no rollouts": without._generator_step,
        "truncated": with_rollouts._generator_step,
        "whole": whole,
    }


def seconds(update: Callable[[], object], repeats: int) -> float:
    """Return the median CPU seconds of an update, after one to warm up."""
    update()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        update()
        times.append(time.process_time() - start)
    return statistics.median(times)


def exponent(of: dict[int, float], least: int = 0) -> float | None:
    """Return the slope of log seconds over log T from `least` tokens on; None with fewer than two lengths."""
    lengths = [length for length in of if length >= least]
    if len(lengths) < 2:
        return None
    return float(np.polyfit(np.log(lengths), np.log([of[length] for length in lengths]), 1)[0])


def bars_written(placed: methods.Setting) -> float:
    """Return the tokens a bar of the data."""
    found: Tensor = placed.discriminator.get_submodule("bars").of(placed.train.first(64, placed.length))  # type: ignore[operator]
    return placed.length * len(found) / float((found.amax(1) + 1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--longest", type=int, default=1024, help="for rollouts to T")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = configs.load(str(options.run / "config.toml"))
    generator, train = endless(options.run)
    table: dict[str, dict[int, float]] = {name: {} for name in COLUMNS}
    for length in options.lengths:
        placed = setting(generator, train, config, length, options.batch)
        print(f"T {length}: {bars_written(placed):.1f} tokens a bar", file=sys.stderr)
        for name, update in updates(placed, config, options.batch).items():
            if name != "whole" or length <= options.longest:
                table[name][length] = seconds(update, options.repeats)
    found: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": options.threads,
        "seconds": table,
        "exponents": {name: [exponent(of), exponent(of, LARGE)] for name, of in table.items()},
    }
    if options.json:
        print(json.dumps(found))
        return
    print("| T | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
    for length in options.lengths:
        cells = [f"{table[name][length]:.2f}" if length in table[name] else "" for name in COLUMNS]
        print(f"| {length:,} | " + " | ".join(cells) + " |")
    for row, name in ((0, "exponent of T"), (1, f"from {LARGE} on")):
        values = [found["exponents"][column][row] for column in COLUMNS]
        print(f"| {name} | " + " | ".join("" if value is None else f"{value:.2f}" for value in values) + " |")


if __name__ == "__main__":
    main()
