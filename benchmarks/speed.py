"""Speed at the paper's sizes: this project, the slow reference, the floor, and what others measured.

    python benchmarks/speed.py [--threads 2] [--repeats 3] [--only "MLE epoch"] [--json]

B 64, R 16, T 20, V 5000, E = H = 32, the paper's discriminator, 9,984 sequences. The slow reference is plain torch,
as an ordinary port does it: nn.Conv1d, torch.multinomial, a loop over rollouts; a few of its steps are timed and
the rest is computed. The floor is operations over the measured matrix rate plus bytes over the measured bandwidth,
for what cannot be avoided: the products and Adam's traffic (not the exponentials). An adversarial iteration is
computed from its parts.
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
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.config import ChoiceConfig, GeneratorConfig
from seqgan_music.learning import discriminators, policy_gradient
from seqgan_music.learning.discriminators.cnn import PAPER_20
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.rollout import action_values
from seqgan_music.learning.sampling import sample

B, R, T, V, H, E = 64, 16, 20, 5000, 32, 64
N = 9984
FEATURES = sum(PAPER_20.values())

# Seconds, medians on another two-core machine with AMX: LantaoYu/SeqGAN (TensorFlow), and the fastest torch port
# (ZiJianZhao, X-czh, TextGAN). An iteration is 1 g-step and 5 d-steps of 3 epochs.
PUBLISHED = {
    "generator step": (8.9, 31.5),
    "discriminator epoch": (23.3, 18.0),
    "MLE epoch": (9.8, 3.0),
    "sampling": (4.06, 19.7),
    "adversarial iteration": (379.0, float("nan")),
}


class PlainDiscriminator(nn.Module):
    """The paper's discriminator by torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.convolutions = nn.ModuleList([nn.Conv1d(E, count, width) for width, count in PAPER_20.items()])
        self.transform, self.gate = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)
        self.output = nn.Linear(FEATURES, 1)

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.embedding(ids).transpose(1, 2)
        pooled = torch.cat([layer(embedded).relu().amax(2) for layer in self.convolutions], 1)
        gate = self.gate(pooled).sigmoid()
        mixed = gate * self.transform(pooled).relu() + (1 - gate) * pooled
        logits: Tensor = self.output(F.dropout(mixed, 0.25, self.training))
        return logits[:, 0]


class Bench:
    """What is timed: a step of each kind, by this project and by the slow reference."""

    def __init__(self, device: torch.device) -> None:
        self.rng = torch.Generator(device).manual_seed(1)
        self.device = device
        self.generator = Generator(V, 0, GeneratorConfig(embedding=H, hidden=H, dropout=0.0, init_std=0.1))
        self.generator.to(device).initialise(self.rng)
        self.discriminator = discriminators.create(ChoiceConfig("cnn"), V, T).to(device)
        self.discriminator.initialise(self.rng)
        self.plain = PlainDiscriminator().to(device)
        self.ids = torch.randint(V, (B, T), generator=self.rng, device=device)
        self.labels = (torch.arange(B, device=device) < B // 2).float()
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), 1e-3, fused=True)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), 1e-4, fused=True)
        self.plain_g_optimizer = torch.optim.Adam(self.generator.parameters(), 1e-3)
        self.plain_d_optimizer = torch.optim.Adam(self.plain.parameters(), 1e-4)

    def generator_step(self) -> None:
        stepper = Stepper(self.generator)
        ids = sample(stepper, B, T, self.rng)
        values = action_values(stepper, self.discriminator.scorer(), ids, R, self.rng)
        chosen = torch.ones_like(ids, dtype=torch.bool)
        loss = policy_gradient.loss(self.generator.log_probs(ids), values, chosen, mean=False)
        self._update(loss, self.g_optimizer)

    def discriminator_step(self) -> None:
        logits = self.discriminator(self.ids, self.rng)
        loss = F.binary_cross_entropy_with_logits(logits, self.labels) + self.discriminator.penalty()
        self._update(loss, self.d_optimizer)

    def mle_step(self) -> None:
        self._update(self.generator.loss(self.generator.inputs_for(self.ids), self.ids)[0], self.g_optimizer)

    def sampling(self) -> None:
        sample(Stepper(self.generator), N, T, self.rng)

    @torch.no_grad()
    def slow_rollouts(self) -> None:
        draw = slow_reference.multinomial(self.rng)
        for prefix in (1, T // 2, T - 1):
            self.plain(slow_reference.complete(self.generator, self.ids, prefix, draw)).sigmoid()

    def slow_discriminator_step(self) -> None:
        loss = F.binary_cross_entropy_with_logits(self.plain(self.ids), self.labels)
        self._update(loss, self.plain_d_optimizer)

    def slow_mle_step(self) -> None:
        logits, _ = self.generator(self.generator.inputs_for(self.ids))
        self._update(F.cross_entropy(logits.flatten(0, 1), self.ids.flatten()), self.plain_g_optimizer)

    @torch.no_grad()
    def slow_sampling(self) -> None:
        slow_reference.complete(self.generator, self.ids, 0, slow_reference.multinomial(self.rng))

    def _update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> tuple[float, float]:
    """Return the least and the median wall time, after one run to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:]), statistics.median(times[1:])


def ceilings(device: torch.device) -> tuple[float, float]:
    """Return the measured float32 matrix rate (operations a second) and bandwidth (bytes a second, both ways)."""
    size = 2048 if device.type == "cpu" else 8192
    matrix = torch.randn(size, size, device=device)
    array, other = torch.rand(2, 1 << 25, device=device)
    rate = 2 * size**3 / seconds(lambda: matrix @ matrix, 5, device)[0]
    return rate, 3 * array.nbytes / seconds(lambda: array.add_(other), 5, device)[0]


def operations() -> dict[str, tuple[float, float]]:
    """Return the operations and the bytes of each part that no implementation of it avoids.

    Convolutions forward, and backward at the winning windows; three products of every other layer that learns.
    Adam reads weight, gradient and both moments and writes all but the gradient: 28 bytes a weight.
    """
    step = 2.0 * H * (V + 4 * H) + 2.0 * H * 4 * H  # of G, one token
    filters = sum(count * width for width, count in PAPER_20.items()) * E
    windows = sum(count * width * (T - width + 1) for width, count in PAPER_20.items()) * E
    highway = 2.0 * FEATURES * FEATURES
    rolled = B * R * T * (T - 1) / 2  # tokens drawn in a generator step
    d_weights = filters + highway + V * E
    g_weights = V * (2 * H + 1) + 8 * H * H
    return {
        "generator step": (rolled * step + B * R * (T - 1) * 2 * highway, 0.0),
        "discriminator epoch": (
            2 * N * (2.0 * windows + 4.0 * filters + 6 * highway),
            2 * N / B * 28 * d_weights,
        ),
        "MLE epoch": (3 * N * T * step, N / B * 28 * g_weights),
        "sampling": (N * T * step, 0.0),
    }


def measure(bench: Bench, repeats: int, only: str | None) -> dict[str, dict[str, float]]:
    """Return for each part: least and median seconds, and the slow reference's median."""
    d_steps, g_steps = 2 * N / B, N / B
    parts = {
        "generator step": (bench.generator_step, 1.0, 1, bench.slow_rollouts, R * (T - 1) / 3),
        "discriminator epoch": (bench.discriminator_step, d_steps, 5, bench.slow_discriminator_step, d_steps),
        "MLE epoch": (bench.mle_step, g_steps, 5, bench.slow_mle_step, g_steps),
        "sampling": (bench.sampling, 1.0, 1, bench.slow_sampling, N / B),
    }
    found = {}
    for name, (work, times, more, slow, slow_times) in parts.items():
        if only is not None and name != only:
            continue
        least, median = seconds(work, repeats * more, bench.device)
        slowly = seconds(slow, repeats, bench.device)[1]
        found[name] = {"least": least * times, "median": median * times, "slow": slowly * slow_times}
    if only is None:
        found["adversarial iteration"] = {key: _iteration(found, key) for key in ("least", "median", "slow")}
    return found


def _iteration(parts: dict[str, dict[str, float]], key: str) -> float:
    d_step = parts["sampling"][key] + 3 * parts["discriminator epoch"][key]
    return parts["generator step"][key] + 5 * d_step


def report(device: torch.device, repeats: int, only: str | None = None) -> dict[str, object]:
    """Measure everything: seconds, floors and ceilings, as JSON can hold them."""
    rate, bandwidth = ceilings(device)
    parts = measure(Bench(device), repeats, only)
    for name, (products, bytes_) in operations().items():
        if name in parts:
            parts[name]["floor"] = products / rate + bytes_ / bandwidth
            parts[name]["operations"], parts[name]["bytes"] = products, bytes_
    if only is None:
        parts["adversarial iteration"]["floor"] = _iteration(parts, "floor")
    machine = platform.processor() or platform.machine()
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    return {
        "machine": machine,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "matrix_rate": rate,
        "bandwidth": bandwidth,
        "parts": parts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=list(operations()))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = report(torch.device("cpu"), options.repeats, options.only)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['machine']}, {options.threads} threads, torch {found['torch']}: ", end="")
    print(f"{found['matrix_rate'] / 1e9:.0f} Gflop/s float32, {found['bandwidth'] / 1e9:.1f} GB/s")
    print(f"{'seconds':22}{'least':>8}{'median':>8}{'slow':>9}{'floor':>8}{'x floor':>8}   published: TF, torch")
    for name, part in found["parts"].items():
        print(
            f"{name:22}{part['least']:8.2f}{part['median']:8.2f}{part['slow']:9.1f}{part['floor']:8.2f}"
            f"{part['least'] / part['floor']:8.1f}   {PUBLISHED[name][0]:.1f}, {PUBLISHED[name][1]:.1f}"
        )


if __name__ == "__main__":
    main()
