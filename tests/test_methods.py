"""The contract of every method: a run that is stopped after any round and resumed is one that was not."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import counting_rows

from seqgan_music import choices
from seqgan_music.config import ChoiceConfig, Config, EvaluationConfig, GeneratorConfig
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.learning import checkpoint, discriminators, methods, oracles
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.methods.seqgan import Seqgan
from seqgan_music.learning.oracles.lstm import Lstm, LstmOptions
from seqgan_music.learning.trainer import METRICS, Line, Trainer
from seqgan_music.tokenset import Splits

SIZE, LENGTH = 5, 4
NAMES = choices.names("seqgan_music.learning.methods")
ADVERSARIAL: dict[str, Any] = {"iterations": 2, "g_steps": 2, "batch": 6, "g_learning_rate": 1e-2}
D_STEPS: dict[str, Any] = {"d_samples": 16, "d_batch": 8}
OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {**ADVERSARIAL, "baseline": False},
    "cot": {"updates": 4, "round_updates": 2, "pretrain": 2, "batch": 6, "mle_weight": 0.5},
    "distilled": {
        "iterations": 2,
        "d_rounds": 1,
        "d_samples": 16,
        "d_batch": 8,
        "g_updates": 5,
        "g_batch": 8,
        "pool": 24,
        "real_share": 0.2,
        "gate": False,
    },
    "mle": {"updates": 6, "round_updates": 3, "window": 5, "average": 0.8, "openings": 2},
    "ngram": {"order": 3},
    "oracle": {},
    "pg_bleu": {**ADVERSARIAL, "rollouts": 2, "rollout_stride": 2, "order": 2, "references": 10},
    "random": {},
    "resampled": {"rounds": 2, "samples": 16, "batch": 8, "learning_rate": 1e-2},
    "scheduled_sampling": {"updates": 6, "round_updates": 3, "window": 5, "sampled": 0.9},
    "seqgan": {**ADVERSARIAL, **D_STEPS, "pretrain": 1, "rollout_stride": 2, "rollout_lag": 0.5, "gate": False},
    "windowed": {**ADVERSARIAL, **D_STEPS, "pretrain": 1, "block": 1, "gate": False, "lengths": [3, 4]},
    "shuffled": {**ADVERSARIAL, **D_STEPS, "pretrain": 1, "rollout_stride": 2, "gate": False},
}
MUSICAL = [name for name in NAMES if methods.kind(ChoiceConfig(name)).only_in_oracle is None]


def lstm() -> Lstm:
    return Lstm(SIZE, LENGTH, LstmOptions(embedding=4, hidden=6), torch.Generator().manual_seed(1))


def splits(oracle: Lstm) -> Splits:
    rng = torch.Generator().manual_seed(2)
    train, validation, test = (oracles.token_set(oracle, oracle.sample(count, 1.0, rng)) for count in (40, 20, 20))
    return Splits(train, validation, test)


def music() -> Splits:
    return Splits(counting_rows(30, 1), counting_rows(12, 2), counting_rows(12, 3))


D_OPTIONS: dict[str, dict[str, Any]] = {
    "cnn": {"embedding": 4, "scale": 0.02},
    "bar_windows": {"scales": [2, 4], "embedding": 4, "channels": 4, "hidden": 4},
}


def config(*phases: ChoiceConfig) -> Config:
    needed = getattr(methods.kind(phases[0]), "needs_discriminator", "cnn")
    return Config(
        sequence_length=LENGTH,
        generator=GeneratorConfig(embedding=4, hidden=6, dropout=0.2),
        discriminator=ChoiceConfig(needed, D_OPTIONS[needed]),
        evaluation=EvaluationConfig(samples=16, max_discriminator_accuracy=1.0, min_entropy_ratio=0.0),
        phases=phases,
    )


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Stopping:
    """A listener that stops the run once that many lines were measured, before the last is saved."""

    def __init__(self, lines: int = -1) -> None:
        self.left = lines
        self.lines: list[Line] = []
        self.notes: list[str] = []

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        pass

    def progress(self, measures: dict[str, float]) -> None:
        pass

    def evaluated(self, line: Line, generator: Generator, is_best: bool) -> None:
        self.lines.append(line)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(run: Path, configuration: Config, data: Splits, oracle: Lstm | None, listener: Stopping) -> Trainer:
    run.mkdir(exist_ok=True)
    trainer = Trainer(run, configuration, data, torch.device("cpu"), oracle=oracle)
    if checkpoint.exists(run, "last"):
        trainer.resume()
    trainer.train(listener)
    return trainer


def state(run: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    tensors, document = checkpoint.load(run, "last")
    assert document["progress"]["finished"]
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}, lines


def assert_resumes(folder: Path, name: str, data: Splits, oracle: Lstm | None, step: int = 1) -> None:
    configuration = config(ChoiceConfig(name, OPTIONS[name]))
    straight = Stopping()
    trained(folder / "straight", configuration, data, oracle, straight)
    expected = state(folder / "straight")
    for stop in range(1, len(straight.lines) + 1, step):
        run = folder / f"stopped{stop}"
        with pytest.raises(KeyboardInterrupt):
            trained(run, configuration, data, oracle, Stopping(stop))
        trained(run, configuration, data, oracle, Stopping())
        assert state(run) == expected, f"stopped at line {stop} of {len(straight.lines)}"


@pytest.mark.parametrize("name", NAMES)
def test_resumed_equals_straight_on_an_oracle(name: str, tmp_path: Path) -> None:
    oracle = lstm()
    assert_resumes(tmp_path, name, splits(oracle), oracle)


@pytest.mark.parametrize("name", MUSICAL)
def test_resumed_equals_straight_on_ragged_rows_with_an_end(name: str, tmp_path: Path) -> None:
    assert_resumes(tmp_path, name, music(), None, step=2)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_method_leaves_is_a_distribution_that_it_samples(name: str, tmp_path: Path) -> None:
    oracle = lstm()
    run, choice = tmp_path / "run", ChoiceConfig(name, OPTIONS[name])
    model = trained(run, config(choice), splits(oracle), oracle, Stopping()).model
    assert model is not None
    assert (model.vocabulary_size, model.length) == (SIZE, LENGTH)
    every = torch.cartesian_prod(*[torch.arange(SIZE)] * LENGTH)
    for temperature in (1.0, 0.7):
        log_prob = model.log_prob(every, temperature)
        assert float(log_prob.exp().sum()) == pytest.approx(1.0, abs=0.02 if name == "resampled" else 1e-5)
        ids = model.sample(4000, temperature, torch.Generator().manual_seed(3))
        surprise = -model.log_prob(ids, temperature)
        entropy = -float((log_prob.exp() * log_prob).sum())
        assert float(surprise.mean()) == pytest.approx(entropy, abs=4 * float(surprise.std()) / 4000**0.5 + 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_the_options_is_valid_and_takes_fewer_rounds(name: str) -> None:
    cls = methods.kind(ChoiceConfig(name))
    whole = methods.check(ChoiceConfig(name))
    part = cls.scaled(whole, 0.01)
    assert type(part) is type(whole)
    assert methods.check(ChoiceConfig(name, vars(part))) == part


def test_a_finished_run_of_another_device_is_opened(tmp_path: Path) -> None:
    """So that a run trained on a GPU is judged and heard elsewhere."""
    configuration = config(ChoiceConfig("mle", OPTIONS["mle"]))
    trained(tmp_path / "run", configuration, music(), None, Stopping())
    last = tmp_path / "run" / "checkpoints" / "last.json"
    document = json.loads(last.read_text())
    assert document["device"] == "cpu"
    last.write_text(json.dumps(document | {"device": "cuda"}))
    assert trained(tmp_path / "run", configuration, music(), None, Stopping()).progress.finished
    document["progress"]["finished"] = False
    last.write_text(json.dumps(document | {"device": "cuda"}))
    with pytest.raises(RunError, match="--device cuda"):
        trained(tmp_path / "run", configuration, music(), None, Stopping())


def test_the_oracle_is_only_there_where_it_is_known(tmp_path: Path) -> None:
    tmp_path.joinpath("run").mkdir()
    with pytest.raises(ConfigError, match="truth of the benchmark"):
        trained(tmp_path / "run", config(ChoiceConfig("oracle")), music(), None, Stopping())


def setting(oracle: Lstm, seed: int = 0) -> methods.Setting:
    configuration = config(ChoiceConfig("mle"))
    generator = Generator(SIZE, 0, configuration.generator)
    discriminator = discriminators.create(configuration.discriminator, SIZE, LENGTH)
    for model in (generator, discriminator):
        model.initialise(torch.Generator().manual_seed(seed))
    return methods.Setting(
        generator=generator,
        discriminator=discriminator,
        train=Sequences(splits(oracle).train, torch.device("cpu")),
        length=LENGTH,
        data_rng=torch.Generator().manual_seed(seed + 1),
        model_rng=torch.Generator().manual_seed(seed + 2),
        oracle=oracle,
    )


def test_the_average_is_that_of_the_weights_after_each_update_and_does_not_change_them() -> None:
    def learnt(rounds: int, **options: Any) -> tuple[Generator, methods.Method, list[list[torch.Tensor]]]:
        given = setting(lstm())
        method = methods.create(ChoiceConfig("mle", {"updates": 6, "batch": 4, "window": LENGTH, **options}), given)
        seen = [[p.detach().clone().double() for p in given.generator.parameters()]]
        for _ in range(rounds):
            method.advance()
            seen.append([p.detach().clone().double() for p in given.generator.parameters()])
        return given.generator, method, seen

    last, _, weights = learnt(6, round_updates=1)
    averaged, method, _ = learnt(2, round_updates=3, average=0.6)
    assert method.updates == 6
    mean = weights[0]
    for update, now in enumerate(weights[1:], 1):
        decay = min(0.6, update / (update + 10))
        mean = [decay * old + (1 - decay) * new for old, new in zip(mean, now, strict=True)]
    for mine, theirs in zip(averaged.parameters(), mean, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-6)
    raw = checkpoint.unprefixed(method.tensors(), "last")
    for index, weight in enumerate(last.parameters()):
        assert torch.equal(raw[str(index)], weight)


def test_one_update_in_so_many_learns_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = setting(lstm())
    options = {"updates": 10, "round_updates": 10, "batch": 4, "window": 1, "openings": 3}
    method = methods.create(ChoiceConfig("mle", options), given)
    plain, seen = given.generator.loss, []

    def watched(inputs: torch.Tensor, targets: torch.Tensor, state: Any, *rest: Any) -> Any:
        seen.append(state is None)
        assert state is not None or bool((inputs[:, 0] == given.generator.start_id).all())
        return plain(inputs, targets, state, *rest)

    monkeypatch.setattr(given.generator, "loss", watched)
    method.advance()
    assert seen == [True, False, True, False, False] * 2  # the third is of other sequences
    with pytest.raises(ConfigError, match="openings must be 0"):
        methods.create(ChoiceConfig("mle", {"openings": 1}), given)


def test_random_is_exactly_uniform() -> None:
    model = methods.create(ChoiceConfig("random"), setting(lstm())).model()
    every = torch.cartesian_prod(*[torch.arange(SIZE)] * LENGTH)
    expected = torch.full((len(every),), -LENGTH * math.log(SIZE), dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(every, 1.0), expected, rtol=1e-6, atol=0.0)


def test_a_constant_reward_does_nothing_against_its_own_baseline() -> None:
    placed = setting(lstm())
    before = [parameter.clone() for parameter in placed.generator.parameters()]
    options = {**ADVERSARIAL, "baseline": True, "beta": 0.0, "mle_weight": 0.0}
    measures = methods.create(ChoiceConfig("constant", options), placed).advance()
    assert measures["reward"] == 1.0
    assert all(map(torch.equal, before, placed.generator.parameters()))


def test_shuffled_gives_each_sequence_the_rewards_of_another() -> None:
    oracle, found = lstm(), []
    ids = oracle.sample(64, 1.0, torch.Generator().manual_seed(1))
    for name in ("seqgan", "shuffled"):
        method = methods.create(ChoiceConfig(name, OPTIONS[name]), setting(oracle))
        assert isinstance(method, Seqgan)
        found.append(method.action_values(ids).tolist())
    plain, shuffled = found
    assert plain != shuffled
    assert sorted(plain) == sorted(shuffled)


def test_resampled_ends_with_the_discriminator_of_the_best_bound_and_an_untouched_generator(tmp_path: Path) -> None:
    oracle, listener = lstm(), Stopping()
    options = {**OPTIONS["resampled"], "rounds": 6, "learning_rate": 0.1}
    trainer = trained(
        tmp_path / "run", config(ChoiceConfig("resampled", options)), splits(oracle), oracle, listener
    )
    _, *bounds, last = [line["d_bound"] for line in listener.lines]
    assert bounds[-1] < max(bounds) == last
    start = Trainer(tmp_path / "other", trainer.config, splits(oracle), torch.device("cpu"))
    assert all(map(torch.equal, start.generator.parameters(), trainer.generator.parameters()))
