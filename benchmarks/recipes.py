"""Did the adversarial phase help? Recipes side by side from one generator, over several seeds.

    python benchmarks/recipes.py RUN [--seeds 3] [--iterations 10] [--only NAME...]

RUN is a run trained by maximum likelihood. Each row starts from its best generator and takes the same number of
generator updates. What is printed is the generator's after the phase, whatever `train` would have kept:

    nats, bits   held-out loss a token and a note (the lower the better)
    entropy      nats a token, distinct-4: share of different 4-grams, of the same samples
    told apart   held-out accuracy of a new discriminator trained on it from nothing (0.5 is indistinguishable)
    bound        that discriminator's Donsker-Varadhan bound on held-out sequences (nats a sequence, 0 is ideal)

Differences are paired by seed: mean and 95% t-interval.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from seqgan_music import config as configs
from seqgan_music.config import ChoiceConfig, Config, EvaluationConfig, JudgeConfig
from seqgan_music.learning import checkpoint, discriminators, evaluation
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.judge import judge
from seqgan_music.learning.sampling import sample
from seqgan_music.learning.trainer import Silent, Trainer
from seqgan_music.oracle_benchmark.verdicts import Difference
from seqgan_music.tokenset import Splits

COMMON: dict[str, Any] = {"rollouts": 4, "rollout_stride": 8, "d_samples": 512, "pretrain": 8, "gate": False}
ONE_STEP: dict[str, Any] = {"g_steps": 2, "d_steps": 1, "d_epochs": 1}


def rows(iterations: int) -> dict[str, ChoiceConfig | None]:
    """Return the methods compared; None leaves the generator as it is."""
    common = {**COMMON, **ONE_STEP, "iterations": iterations}
    updates = 2 * iterations
    more = {"updates": updates, "round_updates": updates, "learning_rate": 1e-4, "final_rate": 1.0, "batch": 64}
    return {
        "mle": None,
        "mle continued": ChoiceConfig("mle", more),
        "anchored": ChoiceConfig("seqgan", {"recipe": "anchored", **common}),
        "paper's reward, rate 0.01": ChoiceConfig("seqgan", {"recipe": "paper", **common}),
        "paper's reward, rate 0.0001": ChoiceConfig(
            "seqgan", {"recipe": "paper", **common, "g_learning_rate": 1e-4}
        ),
    }


def after(
    choice: ChoiceConfig | None, start: Generator, config: Config, splits: Splits, seed: int
) -> dict[str, float]:
    """Run one phase from `start` and return the measures of the generator it leaves."""
    loose = EvaluationConfig(samples=1024, midi_samples=0, min_entropy_ratio=0.0, min_distinct_ratio=0.0,
                             max_discriminator_accuracy=1.0)  # fmt: skip
    phases = (choice or ChoiceConfig("mle"),)
    with tempfile.TemporaryDirectory() as folder:
        changed = replace(config, seed=seed, phases=phases, evaluation=loose)
        trainer = Trainer(Path(folder), changed, splits, torch.device("cpu"))
        trainer.generator.load_state_dict(start.state_dict())
        if choice is not None:
            trainer.train(Silent())
        return measure(trainer, config, seed)


def measure(trainer: Trainer, config: Config, seed: int) -> dict[str, float]:
    """Return held-out loss, diversity, and what a new discriminator makes of the generator."""
    generator, data = trainer.generator, trainer.train_data
    rng = torch.Generator().manual_seed(1000 + seed)
    length, end_id = config.sequence_length, data.end_id
    held_out = evaluation.held_out(generator, trainer.validation, length)
    _, diversity = evaluation.samples(generator, 1024, length, rng, end_id)
    critic = discriminators.create(config.discriminator, generator.vocabulary_size, length)
    critic.initialise(rng)
    found = judge(
        critic,
        lambda count: sample(Stepper(generator), count, length, rng, end_id),
        data.openings(2048, length, rng),
        trainer.validation.first(1024, length),
        trainer.validation.first(1024, length),
        JudgeConfig(samples=2048),
        rng,
    )
    return {**held_out, **diversity, "told apart": found["d_accuracy"], "bound": found["d_bound"]}


def interval(values: list[float]) -> str:
    """Return mean and 95% t-interval, to four places."""
    found = Difference.of(values)
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose name contains one of these, and mle")
    options = parser.parse_args()
    config = configs.load(str(options.run / "config.toml"))
    splits = Splits.load(options.run / "tokens.npz")
    start = checkpoint.load_generator(options.run)
    results: dict[str, list[dict[str, float]]] = {}
    for name, choice in rows(options.iterations).items():
        if options.only and name != "mle" and not any(part in name for part in options.only):
            continue
        for seed in range(1, options.seeds + 1):
            results.setdefault(name, []).append(after(choice, start, config, splits, seed))
            print(f"{name}, seed {seed}: {results[name][-1]}", file=sys.stderr)
    names = list(results["mle"][0])
    print("| generator | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for name, measured in results.items():
        means = [statistics.mean(m[key] for m in measured) for key in names]
        print(f"| {name} | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
    for name, measured in results.items():
        if name != "mle":
            pairs = [
                [m[key] - base[key] for m, base in zip(measured, results["mle"], strict=True)] for key in names
            ]
            print(f"| {name} − mle | " + " | ".join(interval(pair) for pair in pairs) + " |")


if __name__ == "__main__":
    main()
