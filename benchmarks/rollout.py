"""Seconds for one generator step at the paper's sizes: this engine, the slow reference, and published figures.

    python benchmarks/rollout.py [--repeats 5] [--threads 2] [--json]

B 64, R 16, T 20, V 5000, E = H = 32, the paper's discriminator. A generator step is: sample 64 sequences,
complete every prefix 16 times, score 19,456 sequences with D, one policy-gradient update. The slow reference
steps through each of the 304 rollouts from its start; a few of them are timed and the rest is computed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import slow_reference
import torch

from seqgan_music.config import ChoiceConfig, GeneratorConfig
from seqgan_music.learning import discriminators, policy_gradient
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.rollout import action_values, complete, prefixes
from seqgan_music.learning.sampling import sample

B, R, T, V, H = 64, 16, 20, 5000, 32

# facts of others: 2 cores, quiet machine with AMX, median (see docs/log.md for where they come from)
PUBLISHED = {
    "LantaoYu/SeqGAN (TensorFlow 1 graph)": 8.9,
    "williamSYSU/TextGAN-PyTorch": 31.5,
    "ZiJianZhao/SeqGAN-PyTorch": 33.5,
    "X-czh/SeqGAN-PyTorch": 36.0,
}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    rng = torch.Generator().manual_seed(1)
    generator = Generator(V, 0, GeneratorConfig(embedding=H, hidden=H, dropout=0.0, init_std=0.1))
    generator.initialise(rng)
    discriminator = discriminators.create(ChoiceConfig("cnn"), V, T)
    discriminator.initialise(rng)
    optimizer = torch.optim.Adam(generator.parameters(), 0.01)
    ids = sample(Stepper(generator), B, T, rng)
    completed = complete(Stepper(generator), ids, prefixes(T, 1), R, rng)
    scorer = discriminator.scorer()

    def step() -> None:
        stepper = Stepper(generator)
        ids = sample(stepper, B, T, rng)
        values = action_values(stepper, discriminator.scorer(), ids, R, rng)
        chosen = torch.ones_like(ids, dtype=torch.bool)
        optimizer.zero_grad()
        policy_gradient.loss(generator.log_probs(ids), values, chosen, mean=False).backward()
        optimizer.step()

    draw = slow_reference.multinomial(rng)
    few = 3

    @torch.no_grad()
    def slow() -> None:
        for prefix in range(1, few + 1):
            discriminator(slow_reference.complete(generator, ids, prefix, draw)).sigmoid()

    figures = {
        "generator step": seconds(step, options.repeats),
        "of it: completing the prefixes": seconds(
            lambda: complete(Stepper(generator), ids, prefixes(T, 1), R, rng), options.repeats
        ),
        "of it: scoring them": seconds(
            lambda: [scorer.completions(ids, completed[i], p) for i, p in enumerate(prefixes(T, 1))],
            options.repeats,
        ),
        "slow reference (computed)": seconds(slow, options.repeats) / few * R * (T - 1),
    }
    size = 2048
    matrix = torch.randn(size, size)
    rate = 2 * size**3 / seconds(lambda: matrix @ matrix, options.repeats)
    features = discriminator.output.in_features
    product_flops = 2.0 * B * R * (T - 1) * T / 2 * H * (V + 4 * H)  # of sampling
    product_flops += 2.0 * B * R * (T - 1) * 2 * features * features  # of the highway layer
    figures["floor: its matrix products at the measured rate"] = product_flops / rate

    if options.json:
        print(json.dumps({"machine": platform.processor(), "threads": options.threads, "seconds": figures}))
        return
    machine = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    print(f"{machine}, {rate / 1e9:.0f} Gflop/s float32")
    for name, value in figures.items():
        print(f"{value:8.2f} s  {name}")
    for name, value in PUBLISHED.items():
        print(f"{value:8.2f} s  {name}, published measurement: {value / figures['generator step']:.1f} x ours")


if __name__ == "__main__":
    main()
