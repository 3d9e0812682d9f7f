"""The loop over phases: a run that is stopped anywhere and resumed ends in the very state of one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqgan_music.config import ChoiceConfig, Config, EvaluationConfig, GeneratorConfig
from seqgan_music.errors import RunError
from seqgan_music.learning import checkpoint
from seqgan_music.learning.evaluation import held_out
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.methods.mle import Mle
from seqgan_music.learning.methods.seqgan import Seqgan, SeqganOptions
from seqgan_music.learning.trainer import METRICS, Line, Trainer, phase_name
from seqgan_music.tokenset import Splits, TokenSet

SIZE = 11
END = 10


def counting_rows(count: int, seed: int) -> TokenSet:
    """Rows that count upwards modulo 10 from a random start, of random length, ended by END."""
    rng = np.random.default_rng(seed)
    rows = [[*((start + np.arange(n)) % 10), END] for start, n in rng.integers((0, 5), (10, 25), (count, 2))]
    shift = np.array([np.arange(SIZE), [*((np.arange(10) + 1) % 10), END]], dtype=np.int32)
    return TokenSet.from_rows(
        rows,
        vocabulary_size=SIZE,
        start_id=SIZE,
        end_id=END,
        shifts=shift,
        shift_allowed=np.ones((count, 2), dtype=np.bool_),
    )


def splits() -> Splits:
    return Splits(counting_rows(60, 1), counting_rows(12, 2), counting_rows(12, 3))


SEQGAN: dict[str, Any] = {
    "pretrain": 2,
    "iterations": 2,
    "batch": 8,
    "rollouts": 2,
    "rollout_stride": 3,
    "rollout_lag": 0.5,
    "d_samples": 32,
    "d_batch": 16,
    "gate": False,
}


def small(**changes: Any) -> Config:
    values: dict[str, Any] = {
        "sequence_length": 10,
        "generator": GeneratorConfig(embedding=6, hidden=12, dropout=0.2),
        "discriminator": ChoiceConfig("cnn", {"embedding": 4, "scale": 0.03}),
        "evaluation": EvaluationConfig(samples=16, max_discriminator_accuracy=1.0, min_entropy_ratio=0.0),
        "phases": (
            ChoiceConfig("mle", {"updates": 16, "round_updates": 4, "batch": 8}),
            ChoiceConfig("seqgan", SEQGAN),
        ),
    }
    return Config(**{**values, **changes})


class Silent:
    """A listener that may stop the run after a number of its calls, as a power cut would."""

    def __init__(self, calls: int = -1) -> None:
        self.left = calls
        self.notes: list[str] = []
        self.lines: list[Line] = []

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        self._count()

    def progress(self, measures: dict[str, float]) -> None:
        self._count()

    def evaluated(self, line: Line, generator: Generator, is_best: bool) -> None:
        self.lines.append(line)
        self._count()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._count()


def trained(run: Path, config: Config, listener: Silent | None = None) -> Trainer:
    run.mkdir(exist_ok=True)
    trainer = Trainer(run, config, splits(), torch.device("cpu"))
    if checkpoint.exists(run, "last"):
        trainer.resume()
    trainer.train(listener or Silent())
    return trainer


def final_state(run: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    _, document = checkpoint.load(run, "last")
    state = {}
    for checkpoint_name in ("last", "best", *(phase_name(phase) for phase in range(document["progress"]["phase"]))):
        tensors, _ = checkpoint.load(run, checkpoint_name)
        state |= {f"{checkpoint_name}.{name}": tensor.numpy().tobytes() for name, tensor in tensors.items()}
    assert document["progress"]["finished"]
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return state, lines


def test_resumed_run_equals_straight_one_wherever_it_stopped(tmp_path: Path) -> None:
    straight = Silent()
    trained(tmp_path / "straight", small(), straight)
    calls = -1 - straight.left
    expected = final_state(tmp_path / "straight")
    for stop in range(1, calls, 7):
        run = tmp_path / f"stopped{stop}"
        with pytest.raises(KeyboardInterrupt):
            trained(run, small(), Silent(stop))
        trained(run, small())
        assert final_state(run) == expected, f"stopped after {stop} of {calls} calls"


def test_same_seed_same_run_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(tmp_path / name, small(seed=seed))
    assert final_state(tmp_path / "a") == final_state(tmp_path / "b")
    assert final_state(tmp_path / "a") != final_state(tmp_path / "c")


def test_mle_learns_to_count(tmp_path: Path) -> None:
    # Given its start, a row is certain but for where it ends: about ln 10 / 15 + ln 20 / 15 = 0.35 nats a token.
    phases = (ChoiceConfig("mle", {"updates": 500, "round_updates": 100, "batch": 16, "learning_rate": 0.02}),)
    listener = Silent()
    trained(tmp_path / "run", small(phases=phases), listener)
    losses = [line["validation_nats"] for line in listener.lines]
    assert losses[0] == pytest.approx(np.log(SIZE), abs=0.2)
    assert losses[-1] < 0.5
    assert listener.lines[-1]["validation_bits_per_token"] == pytest.approx(losses[-1] / np.log(2))


def test_best_is_the_lowest_held_out_loss_and_the_next_phase_starts_from_it(tmp_path: Path) -> None:
    listener = Silent()
    trained(tmp_path / "run", small(), listener)
    best = min(listener.lines, key=lambda line: line["validation_nats"])
    _, document = checkpoint.load(tmp_path / "run", "best")
    assert document["best"]["line"] == best["line"]
    mle = [line for line in listener.lines if line["method"] == "mle"]
    first = next(line for line in listener.lines if line["method"] == "seqgan")
    assert first["validation_nats"] == min(line["validation_nats"] for line in mle)
    assert first["kl"] == pytest.approx(0.0, abs=1e-6)
    last = listener.lines[-1]
    assert last["kl"] != first["kl"]
    assert {f"reward_q{quarter}" for quarter in range(1, 5)} <= last.keys()


def test_each_phase_leaves_the_generator_that_it_ended_with(tmp_path: Path) -> None:
    trainer = trained(tmp_path / "run", small())
    first, last = (checkpoint.load_generator(tmp_path / "run", phase_name(phase)) for phase in range(2))
    for mine, theirs in zip(trainer.generator.parameters(), last.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    best_of_mle = min(
        line["validation_nats"]
        for line in map(json.loads, (tmp_path / "run" / METRICS).read_text().splitlines())
        if line["method"] == "mle"
    )
    window = trainer.config.sequence_length
    assert held_out(first, trainer.validation, window)["validation_nats"] == best_of_mle


def test_mle_ends_when_held_out_loss_stops_falling(tmp_path: Path) -> None:
    phases = (
        ChoiceConfig(
            "mle", {"updates": 400, "round_updates": 4, "learning_rate": 3.0, "clip": 100.0, "patience": 2}
        ),
    )
    listener = Silent()
    trained(tmp_path / "run", small(phases=phases), listener)
    assert "has not fallen for 2 rounds" in listener.notes[0]
    assert len(listener.lines) < 100


def test_nan_ends_the_phase_and_never_reaches_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Mle.advance

    def poisoned(self: Mle, progress: Any = None) -> dict[str, float]:
        measures = advance(self, progress)
        if self._updates >= 8:
            with torch.no_grad():
                self._setting.generator.output.bias[0] = float("nan")
        return measures

    monkeypatch.setattr(Mle, "advance", poisoned)
    listener = Silent()
    trainer = trained(tmp_path / "run", small(phases=small().phases[:1]), listener)
    assert "NaN" in listener.notes[0]
    assert all(bool(torch.isfinite(p).all()) for p in trainer.generator.parameters())
    tensors, _ = checkpoint.load(tmp_path / "run", "last")
    assert all(bool(torch.isfinite(t.float()).all()) for t in tensors.values())


def test_collapse_ends_the_adversarial_phase_and_rolls_back(tmp_path: Path) -> None:
    # Rewards without baseline or anchor at a huge step: entropy falls at once (facts of REINFORCE).
    options = {**SEQGAN, "recipe": "paper", "g_learning_rate": 0.5, "iterations": 30, "g_steps": 3, "gate": False}
    config = small(
        phases=(small().phases[0], ChoiceConfig("seqgan", options)),
        evaluation=EvaluationConfig(samples=64, max_discriminator_accuracy=1.0, min_entropy_ratio=0.7),
    )
    listener = Silent()
    trainer = trained(tmp_path / "run", config, listener)
    assert any("collapse" in note for note in listener.notes)
    assert listener.notes[-1].startswith("back to the best generator: mle")
    best = checkpoint.load_generator(tmp_path / "run")
    for mine, theirs in zip(trainer.generator.parameters(), best.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run", small())
    other = Trainer(tmp_path / "run", small(generator=GeneratorConfig(hidden=13)), splits(), torch.device("cpu"))
    with pytest.raises(RunError, match="does not fit"):
        other.resume()


def test_a_share_of_less_than_one_iteration_takes_fewer_negatives() -> None:
    options = SeqganOptions(pretrain=50, iterations=200, d_samples=10_000)
    tenth, sliver = Seqgan.scaled(options, 0.1), Seqgan.scaled(options, 0.001)
    assert (tenth.pretrain, tenth.iterations, tenth.d_samples) == (5, 20, 10_000)
    assert (sliver.pretrain, sliver.iterations, sliver.d_samples) == (1, 1, 2_000)
    assert Seqgan.scaled(SeqganOptions(pretrain=0), 0.1).pretrain == 0


def test_that_the_models_fit_is_found_out_without_torchs_compiler() -> None:
    # Drawing weights where nothing is allocated would import it: 75 MB, and more time than all else at the start.
    code = """
        import sys
        from seqgan_music import config, training
        for preset in ("default", "long", "ensemble"):
            training.check_sizes(training.check(config.load(preset)))
        assert "torch._dynamo" not in sys.modules and "sympy" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
