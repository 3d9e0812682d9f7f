"""Training on a GPU: what each kind of step takes, recorded as a graph and not, and the shares of the ceilings.

    python benchmarks/gpu.py [RUN ...] [--device cuda] [--repeats 5] [--profile] [--json]

Steps of the paper's sizes (`paper20`), and those of each RUN, a run's folder, with its config and its data. Tokens
a second are those learnt from (MLE), read by D, or drawn (rollouts, sampling). The share of the rate is that of the
products alone, two operations a weight and token forwards and four backwards, in the measured float32 matrix rate;
rollouts and samples are drawn in bfloat16, so theirs is one of that rate. `--profile` names the five kernels that
take the most time, and says how much of it the GPU works at all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import speed
import torch
from beginnings import setting

from seqgan_music import config as configs
from seqgan_music.config import ChoiceConfig, Config, GeneratorConfig
from seqgan_music.learning import graphs, methods
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods.mle import Mle
from seqgan_music.learning.methods.seqgan import Seqgan
from seqgan_music.learning.rollout import prefixes
from seqgan_music.learning.sampling import sample
from seqgan_music.run_folders import check_run
from seqgan_music.tokenset import Splits, TokenSet

SAMPLES = 1024
"""Sequences drawn at once."""
NEGATIVES = 1024
"""And as many real sequences, in a timed step of D."""


@dataclass
class Part:
    """A kind of step: called, it returns how many tokens it has worked on."""

    step: Callable[[], float]
    operations: float
    """A token."""
    half: bool = False
    """Whether its products are bfloat16."""


class Steps:
    """The steps of one run's phases, on its data."""

    def __init__(self, config: Config, tokens: TokenSet, device: torch.device) -> None:
        self.setting = setting(config, tokens, device)
        self.mle: Mle | None = None
        self.seqgan: Seqgan | None = None
        for choice in config.phases:
            made = methods.create(choice, self.setting)
            self.mle = made if isinstance(made, Mle) else self.mle
            self.seqgan = made if isinstance(made, Seqgan) else self.seqgan

    def parts(self) -> dict[str, Part]:
        """Return what can be timed."""
        weights = _weights(self.setting.generator)
        found = {"sampling": Part(self.sampling, 2.0 * weights, half=True)}
        if self.mle is not None:
            found["MLE"] = Part(self.mle_group, 6.0 * weights)
        if self.seqgan is not None:
            found["D"] = Part(self.discriminator_step, 6.0 * _weights(self.setting.discriminator))
            found["generator step"] = Part(self.generator_step, 2.0 * weights, half=True)
        return found

    def sampling(self) -> float:
        """Draw sequences."""
        own = self.setting
        drawn = sample(Stepper(own.generator), SAMPLES, own.length, own.model_rng)
        return float(drawn.numel())

    def mle_group(self) -> float:
        """Teach a few groups of sequences."""
        assert self.mle is not None
        return float(sum(self.mle._learn(self.mle._next_group(), None)[1] for _ in range(8)))

    def discriminator_step(self) -> float:
        """Draw negatives and show D an epoch."""
        assert self.seqgan is not None
        self.seqgan._discriminator_step(NEGATIVES, None)
        return 2.0 * NEGATIVES * self.setting.length

    def generator_step(self) -> float:
        """Do a policy-gradient step; of its tokens those are counted that the rollouts draw."""
        assert self.seqgan is not None
        self.seqgan._generator_step()
        options, length = self.seqgan.options, self.setting.length
        rows = options.batch * options.rollouts
        return float(rows * sum(length - prefix for prefix in prefixes(length, options.rollout_stride)))


def _weights(model: torch.nn.Module) -> float:
    """Return the weights that are multiplied with: all but those of tables, which are looked up."""
    tables = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding))
    return float(sum(weight.numel() for weight in model.parameters()) - tables)


def paper() -> tuple[Config, TokenSet]:
    """Return the settings of the paper's synthetic experiment, and as many random sequences."""
    rows = np.random.default_rng(1).integers(0, speed.V, (speed.N, speed.T))
    tokens = TokenSet.from_rows(list(rows), vocabulary_size=speed.V, start_id=0, end_id=None)
    config = Config(
        sequence_length=speed.T,
        generator=GeneratorConfig(embedding=speed.H, hidden=speed.H, dropout=0.0, init_std=0.1),
        phases=(
            ChoiceConfig("mle", {"batch": speed.B, "window": speed.T, "learning_rate": 1e-2}),
            ChoiceConfig("seqgan", {"recipe": "paper"}),
        ),
    )
    return replace(config, phases=tuple(methods.resolved(phase) for phase in config.phases)), tokens


def given(run: Path) -> tuple[Config, TokenSet]:
    """Return a run's settings and what it learns from."""
    check_run(run)
    return configs.load(str(run / "config.toml")), Splits.load(run / "tokens.npz").train


def timed(step: Callable[[], float], repeats: int, device: torch.device) -> tuple[float, float]:
    """Return the median seconds of a step, after two to warm up and record, and its tokens a second."""
    seconds, rates = [], []
    for turn in range(repeats + 2):
        began = time.perf_counter()
        tokens = step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if turn >= 2:
            seconds.append(time.perf_counter() - began)
            rates.append(tokens / seconds[-1])
    return statistics.median(seconds), statistics.median(rates)


def profiled(step: Callable[[], float]) -> dict[str, object]:
    """Return the share of a step's time in which the GPU works, its kernels, and the five that take most of it."""
    began = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
        wall = time.perf_counter() - began
    rows = sorted(profile.key_averages(), key=lambda row: -row.self_device_time_total)
    busy = sum(row.self_device_time_total for row in rows) / 1e6
    return {
        "kernels": sum(row.count for row in rows),
        "busy": busy,
        "wall": wall,
        "top": [(row.key[:90], row.count, row.self_device_time_total / 1e6) for row in rows[:5]],
    }


def rates(device: torch.device) -> dict[str, float]:
    """Return the measured ceilings: operations a second by type, and bytes a second, both ways."""
    single, bandwidth = speed.ceilings(device)
    size = 2048 if device.type == "cpu" else 8192
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    half = 2 * size**3 / speed.seconds(lambda: matrix @ matrix, 5, device)[0]
    return {"float32": single, "bfloat16": half, "bandwidth": bandwidth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = torch.device(options.device)
    ceilings = rates(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    told: dict[str, object] = {"device": name, "torch": torch.__version__, **ceilings}
    if not options.json:
        print(
            f"{name}, torch {torch.__version__}: {ceilings['float32'] / 1e12:.1f} Tflop/s float32,"
            f" {ceilings['bfloat16'] / 1e12:.1f} bfloat16, {ceilings['bandwidth'] / 1e9:.0f} GB/s"
        )
        print(f"{'':28}{'as it is':>10}{'recorded':>10}{'tokens/s':>14}{'of the rate':>12}")
    for label, (config, tokens) in {"paper20": paper(), **{run.name: given(run) for run in options.runs}}.items():
        found: dict[str, dict[str, object]] = {}
        for recorded in (False, True):
            graphs.RECORD = recorded
            steps = Steps(config, tokens, device)
            for part, work in steps.parts().items():
                seconds, rate = timed(work.step, options.repeats, device)
                share = rate * work.operations / ceilings["bfloat16" if work.half else "float32"]
                entry = found.setdefault(part, {})
                entry["recorded" if recorded else "plain"] = {"seconds": seconds, "rate": rate, "share": share}
                if options.profile and device.type == "cuda":
                    entry["profile recorded" if recorded else "profile"] = profiled(work.step)
                if not options.json and recorded:
                    _line(label, part, entry)
        told[label] = found
    if options.json:
        print(json.dumps(told))


def _line(label: str, part: str, entry: dict[str, object]) -> None:
    plain, recorded = entry["plain"], entry["recorded"]
    print(
        f"{label + ' ' + part:28}{plain['seconds']:8.4f} s{recorded['seconds']:8.4f} s"
        f"{recorded['rate']:14,.0f}{recorded['share']:12.2%}",
        flush=True,
    )
    for name in ("profile", "profile recorded"):
        if name not in entry:
            continue
        found = entry[name]
        print(
            f"    {name}: {found['kernels']:,} kernels, the GPU works {found['busy']:.4f} of {found['wall']:.4f} s"
        )
        for key, count, seconds in found["top"]:
            print(f"      {seconds:8.5f} s {count:6,} x {key}")


if __name__ == "__main__":
    main()
