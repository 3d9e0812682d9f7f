"""Objectives in training: the mixed reward is what its formula says, targets are the folder's, and runs resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_music
import numpy as np
import pytest
import torch
from test_cli_train import CONFIG
from test_methods import OPTIONS, Stopping, config, splits, state
from test_methods import lstm as oracle_lstm
from tunes import tune, write

from seqgan_music import config as configs
from seqgan_music import preference, rewards, training
from seqgan_music.config import ChoiceConfig, Config
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.learning.discriminators import PlainScorer
from seqgan_music.learning.mixing import MixedScorer, Objective
from seqgan_music.learning.trainer import Trainer
from seqgan_music.music import note_tables, tokenizers
from seqgan_music.music.notes import Note, Piece
from seqgan_music.music.objectives import Mix
from seqgan_music.oracle_benchmark import settings
from seqgan_music.preference import ratings
from seqgan_music.tokenset import TokenSet

TOKENIZER = tokenizers.create("note_event", {}, 12)
NOWHERE = Path("no-run")


def row(*pitches: int) -> list[int]:
    (ids,) = TOKENIZER.encode(Piece(tuple(Note(12 * i, pitch, 12) for i, pitch in enumerate(pitches))))
    return ids


def token_set(*rows: list[int]) -> TokenSet:
    size = len(TOKENIZER.vocabulary)
    return TokenSet.from_rows(rows, vocabulary_size=size, start_id=size, end_id=TOKENIZER.end_id)


class Fixed(PlainScorer):
    """Logits that are known: the mean id of a row."""

    def __init__(self) -> None:
        pass

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        return ids.float().mean(-1)


def test_the_mixed_reward_is_a_share_of_f_of_d_plus_the_objective() -> None:
    last = Objective(lambda ids: 0.25 * (ids[:, -1] % 2).float(), 0.25)
    mixed = MixedScorer(Fixed(), torch.sigmoid, last, share=0.75)
    ids = torch.tensor([[0, 1, 2], [1, 1, 1]])
    expected = 0.75 * torch.sigmoid(torch.tensor([1.0, 1.0])) + torch.tensor([0.0, 0.25])
    assert torch.equal(mixed(ids), expected)
    completed = torch.stack([ids, ids.flip(1)])  # (B, R, T)
    found = mixed.completions(ids, completed, 1)
    assert found.shape == (2, 2)
    assert torch.equal(found, torch.stack([mixed(rows) for rows in completed]))


def test_targets_are_the_median_over_openings_of_the_training_music() -> None:
    train = token_set(row(60, 62, 64, 90), row(60, 65, 60, 60), row(60, 67, 60, 60))
    # METER BAR and three notes of two tokens each: the 90 lies beyond the opening.
    aimed = rewards.aimed(Config(sequence_length=8, objectives={"range": 1}), TOKENIZER, train)
    assert aimed.objectives == {"range": {"weight": 1.0, "target": 5.0, "half": 6.0}}
    given = Config(objectives={"range": {"weight": 1, "target": 20}})
    assert rewards.aimed(given, TOKENIZER, train) is given


def test_the_reward_of_ids_is_that_of_the_pieces_they_decode_to() -> None:
    ids = torch.tensor([row(60, 62, 64), row(60, 72, 84), row(60, 61, 62)])
    document = {"range": {"weight": 0.5, "target": 4}, "ending": 1}
    found = rewards.objective(Config(objectives=document), TOKENIZER, NOWHERE)
    assert found is not None
    assert found.weight == 1.5
    pieces = [TOKENIZER.decode(one).piece for one in ids.tolist()]
    expected = Mix.of(document).rewards(note_tables.of_pieces(pieces))
    torch.testing.assert_close(found.rewards(ids), torch.from_numpy(expected).float())
    assert rewards.objective(Config(), TOKENIZER, NOWHERE) is None


def test_the_log_has_the_mean_score_of_each_objective() -> None:
    probe = rewards.probe(Config(objectives={"range": {"weight": 1, "target": 0}, "ending": 1}), TOKENIZER, NOWHERE)
    assert probe is not None
    cut = torch.tensor([row(60, 60)[:-1], row(66, 60)[:-1]])
    assert probe(cut) == {"objective_range": pytest.approx((1 + 0.5) / 2)}  # no ending without an end


MLE, SEQGAN = ChoiceConfig("mle"), ChoiceConfig("seqgan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": {"kee": 1}}, "no objective 'kee'. Did you mean 'key'?"),
        ({"objectives": {"liked": 1}}, "name the run that has them"),
        ({"objectives": {"liked": {"weight": 1, "run": "x", "half": 2}}}, "'liked' has no option 'half'"),
        ({"objectives": {"liked": {"run": "x"}}}, "'liked' has no weight"),
        ({"phases": (MLE,)}, "no phase here is that"),
        ({"tokenizer": ChoiceConfig("pitch_grid"), "sequence_length": 32}, "tokenizer 'pitch_grid' cuts them"),
        ({"phases": (MLE, ChoiceConfig("seqgan", {"recipe": "paper"}))}, "weigh 1.5 together"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(changes: dict[str, Any], message: str) -> None:
    good = Config(phases=(MLE, SEQGAN), objectives={"key": 0.5, "ending": 1})
    checked = training.check(good)
    assert checked.objectives["key"]["weight"] == 0.5
    with pytest.raises(ConfigError) as caught:
        training.check(replace(good, **changes))
    assert message in str(caught.value)


def test_weights_are_set_on_the_command_line_and_written_out() -> None:
    loaded = configs.load("quick", ["objectives.key=1", "objectives.range.weight=1", "objectives.range.target=24"])
    document = configs.to_document(training.check(loaded))
    text = configs.to_toml(document)
    assert "[objectives.range]\nweight = 1.0\ntarget = 24.0\nhalf = 6.0\n" in text
    with pytest.raises(ConfigError, match="objectives must be a table"):
        configs.load("quick", ["objectives=1"])
    with pytest.raises(ConfigError, match="no music, so it has no"):
        settings.load("quick", ["objectives.key=1"])


def odd_share(ids: torch.Tensor) -> torch.Tensor:
    return 4.0 * (ids % 2).float().mean(-1)


@pytest.mark.parametrize("reward", ["logit", "probability"])
def test_a_run_with_objectives_resumes_bit_for_bit_and_moves_towards_them(tmp_path: Path, reward: str) -> None:
    weight = 4.0 if reward == "logit" else 1.0
    objective = Objective(lambda ids: odd_share(ids) * weight / 4, weight)

    def train(run: Path, listener: Stopping, objective: Objective | None = objective) -> None:
        options = {**OPTIONS["seqgan"], "batch": 32, "iterations": 4, "reward": reward, "mle_weight": 0.0}
        run.mkdir(exist_ok=True)
        trainer = Trainer(
            run,
            config(ChoiceConfig("seqgan", options)),
            splits(oracle_lstm()),
            torch.device("cpu"),
            objective=objective,
            probe=lambda ids: {"odd": float(odd_share(ids).mean())},
        )
        if (run / "checkpoints").exists():
            trainer.resume()
        trainer.train(listener)

    train(tmp_path / "straight", Stopping())
    for stop in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / f"stopped{stop}", Stopping(stop))
        train(tmp_path / f"stopped{stop}", Stopping())
        assert state(tmp_path / f"stopped{stop}") == state(tmp_path / "straight")
    train(tmp_path / "without", Stopping(), None)
    ends = [state(tmp_path / name)[1][-1]["odd"] for name in ("without", "straight")]
    assert ends[1] > ends[0] + 0.05


def test_a_whole_run_takes_its_targets_from_its_folder_and_keeps_them(tmp_path: Path) -> None:
    """From TOML to config.toml, and a run opened again."""
    write(tmp_path / "music", **{f"tune{seed}": tune(seed) for seed in range(12)})
    (tmp_path / "small.toml").write_text(CONFIG + "[objectives]\nrange = 0.5\n")
    short = configs.load(str(tmp_path / "small.toml"), ["phase.seqgan.iterations=1", "corpus.workers=1"])
    cpu = torch.device("cpu")
    run = training.Run.begin(tmp_path / "music", short, out=tmp_path / "run", device=cpu, say=lambda text: None)
    run.train(Stopping())
    kept = configs.load(str(tmp_path / "run" / "config.toml")).objectives
    examples = rewards.openings(run.tokenizer, run.splits.train, 24)
    median = np.median(Mix.of(kept).parts["range"].objective.measure(examples))
    assert kept == {"range": {"weight": 0.5, "target": median, "half": 6.0}}
    assert training.Run.open(tmp_path / "run", cpu).config.objectives == kept


def test_a_run_is_trained_towards_the_taste_that_there_was_when_it_began(tmp_path: Path) -> None:
    write(tmp_path / "music", **{f"tune{seed}": tune(seed) for seed in range(12)})
    first = tmp_path / "first"
    first.mkdir()
    (first / "config.toml").touch()
    (tmp_path / "small.toml").write_text(CONFIG)
    set_ = ["corpus.workers=1", f"objectives.liked.run={json.dumps(str(first))}", "objectives.liked.weight=2"]
    towards = configs.load(str(tmp_path / "small.toml"), set_)
    cpu = torch.device("cpu")

    def begin() -> training.Run:
        out = tmp_path / "run"
        return training.Run.begin(tmp_path / "music", towards, out=out, device=cpu, say=lambda text: None)

    with pytest.raises(RunError, match=r"'liked' cannot learn from .*first\. No taste known"):
        begin()
    assert not (tmp_path / "run").exists()
    some = [made_up_music.tune(seed) for seed in range(8)]
    for number, piece in enumerate(some):
        ratings.add(first, piece.transposed(number % 2 * 12), bool(number % 2))
    run = begin()
    high = preference.fit(first)
    ids = torch.zeros(3, 200, dtype=torch.long)
    for row, piece in zip(ids, some, strict=False):
        encoded = run.tokenizer.encode(piece)[0][:200]
        row[: len(encoded)] = torch.tensor(encoded)

    def reward(opened: training.Run) -> torch.Tensor:
        found = rewards.objective(opened.config, opened.tokenizer, opened.folder)
        assert found is not None
        assert found.weight == 2.0
        return found.rewards(ids)

    expected = 2 * high.scores([run.tokenizer.decode(row).piece for row in ids.tolist()])
    torch.testing.assert_close(reward(run), torch.from_numpy(expected).float())
    silent = rewards.objective(run.config, run.tokenizer, run.folder)
    assert silent is not None
    assert silent.rewards(torch.zeros(1, 5, dtype=torch.long)).tolist() == [0.0]
    ratings.add(first, some[0], True)  # later ratings, and the first run itself, make no difference
    preference.fit(first)
    (first / "config.toml").unlink()
    torch.testing.assert_close(reward(training.Run.open(tmp_path / "run", cpu)), reward(run), rtol=0, atol=0)
    (tmp_path / "run" / rewards.TASTE).unlink()
    with pytest.raises(RunError, match=r"has no taste\.json"):
        training.Run.open(tmp_path / "run", cpu)
