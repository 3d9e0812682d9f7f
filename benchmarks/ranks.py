"""Speed of training in one process and in two on the CPU, one thread each: what sharing a batch brings.

    python benchmarks/ranks.py [--config default] [--rounds 3] [--sizes 1,2] [--json]

The same global batch for each number of processes. A round starts each number once, in turn, so that what else the
machine does falls on all of them; figures are medians over rounds. Rows are random ids: time does not depend on
what they say. Efficiency is the time of the first number over that of the last, by their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from beginnings import setting

from seqgan_music import config as configs
from seqgan_music.config import Config
from seqgan_music.learning import methods
from seqgan_music.learning.methods.mle import Mle
from seqgan_music.learning.methods.seqgan import Seqgan
from seqgan_music.learning.ranks import Ranks, joined, own_device
from seqgan_music.tokenset import TokenSet

V = 340
"""Ids of the default tokenizer."""
NEGATIVES = 256
"""Samples a timed step of D, and as many real sequences."""


class Steps:
    """One step of each kind of a preset's training, on made-up rows."""

    def __init__(self, config: Config, device: torch.device, ranks: Ranks) -> None:
        rng = np.random.default_rng(1)
        rows = [rng.integers(0, V - 1, length) for length in rng.integers(150, 600, 256)]
        tokens = TokenSet.from_rows(rows, vocabulary_size=V, start_id=V, end_id=V - 1)
        own = setting(config, tokens, device, ranks)
        made = {choice.name: methods.create(choice, own) for choice in config.phases}
        mle, seqgan = made["mle"], made["seqgan"]
        assert isinstance(mle, Mle)
        assert isinstance(seqgan, Seqgan)
        self._mle, self._seqgan = mle, seqgan
        self.parts: dict[str, Callable[[], float]] = {
            "MLE update": self.mle_group,
            "generator step": self.generator_step,
            f"d-step of {2 * NEGATIVES} sequences": self.discriminator_step,
        }

    def mle_group(self) -> float:
        """Teach a group of sequences; return the updates."""
        before = self._mle.updates
        self._mle._learn(self._mle._next_group(), None)
        return self._mle.updates - before

    def generator_step(self) -> float:
        """Do a policy-gradient step, rollouts included."""
        self._seqgan._generator_step()
        return 1

    def discriminator_step(self) -> float:
        """Draw negatives and show D an epoch."""
        self._seqgan._discriminator_step(NEGATIVES, None)
        return 1


def measured(part: Callable[[], float], count: int, device: torch.device) -> float:
    """Return the median seconds of a step."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        done = part()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / done)
    return statistics.median(times)


def work(name: str, device: str) -> None:
    """Measure as one of the processes."""
    config = configs.load(name)
    phases = tuple(phase for phase in config.phases if phase.name in ("mle", "seqgan"))
    with joined(device) as ranks:
        where = own_device(device)
        found = {}
        for part_name, part in Steps(replace(config, phases=phases), where, ranks).parts.items():
            part()
            enough = max(3, round(4.0 / measured(part, 1, where)))
            found[part_name] = measured(part, ranks.agreed(enough), where)  # all must do it as often
        if ranks.first:
            print(json.dumps(found))


def start(size: int, config: str, device: str) -> dict[str, float]:
    """Start that many processes by torchrun and return what the first measures."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size), __file__]
    done = subprocess.run(
        [*line, "--worker", "--config", config, "--device", device],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", default="1,2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.config, options.device)
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(options.rounds):
        for size in sizes:
            rounds[size].append(start(size, options.config, options.device))
    medians = {
        size: {name: statistics.median(one[name] for one in found) for name in found[0]}
        for size, found in rounds.items()
    }
    if options.json:
        print(json.dumps({"rounds": rounds, "medians": medians}))
        return
    print(f"{options.config}, {options.device}, {os.cpu_count()} cores, torch {torch.__version__}; ms, medians")
    print(f"{'processes':32}" + "".join(f"{size:>10}" for size in sizes) + "   efficiency of the last")
    for name, one in medians[sizes[0]].items():
        line = "".join(f"{1000 * medians[size][name]:10.1f}" for size in sizes)
        share = one * sizes[0] / (medians[sizes[-1]][name] * sizes[-1])
        print(f"{name:32}{line}   {share:.0%}")


if __name__ == "__main__":
    main()
