"""`evaluate`, `compare` and `train --seeds` as a user meets them: files, tables, and one line for what is wrong."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_music import splits, tune
from report_run import make_critic
from tunes import tune as random_tune
from tunes import write

from seqgan_music import cli, config
from seqgan_music.config import ChoiceConfig, GeneratorConfig
from seqgan_music.critic import training as critic_training
from seqgan_music.evaluate import evaluation, result
from seqgan_music.learning import checkpoint
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.trainer import Trainer
from seqgan_music.music import tokenizers, vocabulary
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.tokenset import Splits
from seqgan_music.training import Run

Command = Callable[..., tuple[int, str, str]]

TOKENIZER = tokenizers.create("note_event", {}, 12)
TRAINED = splits(TOKENIZER, 30, 24)
TINY = """
sequence_length = 16
[corpus]
validation_share = 0.2
test_share = 0.2
[generator]
embedding = 4
hidden = 16
[discriminator]
name = "cnn"
scale = 0.02
[evaluation]
samples = 8
midi_samples = 1
[[phase]]
method = "mle"
updates = 4
round_updates = 4
batch = 4
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def save(run: Path, name: str, seed: int) -> None:
    size = len(TOKENIZER.vocabulary)
    generator = Generator(size, size, GeneratorConfig(embedding=4, hidden=8))
    generator.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():  # tokens as frequent as in the tunes, so that there are windows to compare
        counts = np.bincount(TRAINED.train.ids, minlength=size)
        counts[TRAINED.train.ids[:2]] *= 15  # meter and bar line, without which nothing is heard
        generator.output.bias.copy_(torch.from_numpy(np.log(counts + 0.01)))
    tensors = checkpoint.prefixed(generator.state_dict(), "generator")
    checkpoint.save(run, name, tensors, {"generator": checkpoint.describe_generator(generator)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on made-up tunes with a phase of each kind, its generators as random as they began."""
    run = tmp_path_factory.mktemp("runs") / "jigs"
    run.mkdir()
    phases = (ChoiceConfig("mle", {}), ChoiceConfig("seqgan", {}))
    document = config.to_document(replace(config.load("quick"), phases=phases))
    (run / "config.toml").write_text(config.to_toml(document))
    vocabulary.save(TOKENIZER, run / "vocabulary.json")
    TRAINED.save(run / "tokens.npz")
    for name, seed in (("phase-1", 1), ("phase-2", 2), ("best", 2)):
        save(run, name, seed)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs" / "jigs"))


QUICK = ("--temperatures", "1", "--pieces", "40")


def test_an_evaluation_is_a_table_a_file_and_a_choice(command: Command, run: Path) -> None:
    (run / "evaluation.json").write_text('{"format": 1, "read": ["2026-01-01 00:00:00"]}')
    code, out, err = command("evaluate", run, *QUICK, "--paper-metrics")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 100
    for label in ("real", "copies", "random", "markov", "mle", "seqgan"):
        assert any(line.startswith(label) for line in out.splitlines())
    assert "`sample` uses " in out
    document = json.loads((run / "evaluation.json").read_text())
    assert (document["format"], document["features"], document["split"]) == (1, "features-v1", "test")
    assert document["data"]["test_pieces"] == document["data"]["windows_compared"] == 24
    shown = ["real", "copies", "random", "markov", "mle", "seqgan", f"{document['chosen']['name']}+grammar"]
    assert [row["name"] for row in document["rows"]] == shown
    assert "+grammar: as `sample` writes" in " ".join(out.split())
    free, held = (row["figures"]["valid_share"]["value"] for row in document["rows"][-2:])
    assert free < 1
    assert held == 1
    assert "paper_mse" in document["rows"][0]["figures"]
    assert [one["name"] for one in document["verdicts"]] == ["seqgan"]
    assert document["read"][0] == "2026-01-01 00:00:00"
    assert len(document["read"]) == 2

    chosen = result.chosen(run)
    assert (chosen.checkpoint, chosen.name) == (document["chosen"]["checkpoint"], document["chosen"]["name"])
    code, out, err = command("sample", "--run", run, "--out", "song.mid", "--bars", "1", "--json")
    assert json.loads(out)["chosen"]["checkpoint"] == chosen.checkpoint
    assert err.startswith(f"generator {chosen.name}: ")
    save(run, chosen.checkpoint, 3)  # trained on since
    assert result.chosen(run) == result.BEST


def test_a_run_compared_with_itself_has_no_effect(command: Command, run: Path) -> None:
    code, out, err = command("compare", run, run, *QUICK, "--out", "both.json")
    assert code == 0, err
    document = json.loads(Path("both.json").read_text())
    (verdict,) = document["verdicts"]
    assert (verdict["name"], verdict["verdict"]) == ("jigs-2", "NO EFFECT")
    assert all(figure["value"] == 0 for figure in document["differences"][0]["figures"].values())
    assert "The first, jigs, stands where MLE does." in out.replace("\n  ", " ")


def test_runs_of_other_music_are_not_compared(command: Command, run: Path) -> None:
    other = Path(shutil.copytree(run, run.with_name("other")))
    splits(TOKENIZER, 20, 24).save(other / "tokens.npz")
    code, _, err = command("compare", run, other)
    assert code == 2
    assert "learnt from different music" in err
    assert command("compare", run)[0] == 2


def test_an_old_run_is_judged_by_its_best_state(command: Command, run: Path) -> None:
    for path in (run / "checkpoints").glob("phase-*"):
        path.unlink()
    code, out, err = command("evaluate", run, *QUICK, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document == json.loads((run / "evaluation.json").read_text())
    assert "only its best state" in document["notes"][0]
    assert result.chosen(run).checkpoint == "best"
    for path in (run / "checkpoints").glob("best*"):
        path.unlink()
    code, _, err = command("evaluate", run, *QUICK)
    assert (code, err.count("\n")) == (2, 1)
    assert "has no checkpoint 'best'" in err


def test_other_music_takes_the_place_of_the_test_split(command: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    for seed in range(500, 510):
        write_midi(tune(seed), tmp_path / "others" / f"{seed}.mid")
    code, out, err = command("evaluate", run, "--against", "others", *QUICK)
    assert code == 0, err
    assert out.startswith("Evaluated on 5 pieces against others; 5 windows")
    assert not (run / "evaluation.json").exists()
    document = json.loads((run / "evaluation-others.json").read_text())
    assert (document["split"], document["read"]) == ("against others", [])


@pytest.fixture
def capped(run: Path) -> Path:
    """The run with less to look at than it has."""
    document = config.to_document(config.load(str(run / "config.toml")))
    document["evaluation"] |= {"held_out_pieces": 12, "training_pieces": 20}
    (run / "config.toml").write_text(config.to_toml(document))
    return run


def test_an_evaluation_looks_at_no_more_pieces_than_it_is_told_to(command: Command, capped: Path) -> None:
    code, out, err = command("evaluate", capped, *QUICK, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["data"]["train_pieces"], document["data"]["test_pieces"]) == (20, 12)
    assert document["notes"] == [
        f"Of {len(TRAINED.train)} train sequences 20 are looked at (evaluation.training_pieces).",
        "Of 24 validation sequences 12 are looked at (evaluation.held_out_pieces).",
        "Of 24 test sequences 12 are looked at (evaluation.held_out_pieces).",
    ]
    other = Path(shutil.copytree(capped, capped.with_name("other")))  # more of the same music is looked at there
    text = (other / "config.toml").read_text().replace("held_out_pieces = 12", "held_out_pieces = 13")
    (other / "config.toml").write_text(text)
    first = evaluation.Opened.of(capped)
    evaluation._check_same_music(first, evaluation.Opened.of(other))

    Path("others").mkdir()
    for seed in range(500, 530):
        write_midi(tune(seed), Path("others") / f"{seed}.mid")
    assert [len(half) for half in evaluation._halves(Path("others"), first)] == [12, 12]


def test_the_critic_is_a_row_and_a_choice(command: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = make_critic()
    known.told["sha256"] = json.loads((run / "checkpoints" / "phase-1.json").read_bytes())["sha256"]
    known.save(run)

    def evaluated(*asked: str) -> dict[str, Any]:
        code, out, err = command("evaluate", run, *QUICK, "--json", *asked)
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    # Two generators as random as each other: where the second is chosen, the critic knows another one.
    document = evaluated()
    chosen = document["chosen"]
    rows = {row["name"]: row for row in document["rows"]}
    measured: list[object] = []
    figures = evaluation._figures
    monkeypatch.setattr(evaluation, "_figures", lambda *of: (measured.append(of), figures(*of))[1])
    asked = evaluated("--critic", "2")
    # On the validation split each generator is measured once, and the critic's choice beside them.
    assert len(measured) == 1 + len({phase.weights for phase in evaluation.Opened.of(run).phases})
    assert ("particles" in chosen) == ("mle+critic" in rows) == (chosen["name"] == "mle")
    (row,) = (row for row in asked["rows"] if row["name"].endswith("+critic"))
    assert "bits_per_note" not in row["figures"]  # a filter has no likelihood
    assert "frechet" in row["figures"]
    assert asked["chosen"]["particles"] in (None, 2)
    assert "critic" in asked["chosen"]["why"]
    assert {one["name"] for one in asked["verdicts"]} >= {row["name"]}
    without = evaluated("--critic", "0")
    assert "particles" not in without["chosen"]
    assert result.lacks_critic(run)
    assert command("evaluate", run, *QUICK, "--critic", "-3")[0] == 2
    # Of many or long pieces it takes so long that it has to be asked for.
    monkeypatch.setattr(evaluation, "_MOST_WRITTEN", 1.0)
    if chosen["name"] == "mle":
        patient = evaluated()
        assert patient["chosen"]["particles"] is None
        assert "its critic was not tried" in patient["chosen"]["why"]
        assert [row["name"] for row in patient["rows"]] == [row["name"] for row in without["rows"]]
        assert not result.lacks_critic(run)


def test_neither_do_the_rounds_of_training_nor_the_critic(capped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(capped, "last", 2)  # which is not gone on from here
    monkeypatch.setattr(Trainer, "resume", lambda self: None)
    run = Run.open(capped, torch.device("cpu"))
    assert len(run.trainer.validation) == 12
    assert len(run.splits.validation) == 24
    assert len(run.trainer.train_data) == len(TRAINED.train)  # what is learnt from is all of it

    class SeenError(Exception):
        pass

    def seen(splits: Splits, *_: object) -> None:
        assert [len(side) for side in vars(splits).values()] == [20, 12, 12]
        raise SeenError

    monkeypatch.setattr(critic_training, "train", seen)
    with pytest.raises(SeenError):
        critic_training.learn(capped, print)


def test_what_cannot_be_is_one_line(command: Command, run: Path) -> None:
    cases = [
        (("evaluate", "nowhere"), "nowhere is not a run"),
        (("evaluate",), "runs/jigs"),
        (("evaluate", run, "--temperatures", "hot"), "--temperatures must be numbers"),
        (("evaluate", run, "--temperatures", "0"), "temperatures must be 0.05 to 10"),
        (("evaluate", run, "--pieces", "-1"), "pieces must be"),
        (("evaluate", run, "--seed", "-1"), "seed must be"),
        (("evaluate", run, "--against", "nowhere"), "nowhere"),
    ]
    empty = splits(TOKENIZER, 4, 2)
    replace(empty, test=empty.test.select([])).save(run / "tokens.npz")
    for arguments, expected in cases:
        code, out, err = command(*arguments)
        assert (code, out) == (2, "") if arguments != ("evaluate",) else code == 2
        assert expected in err or arguments == ("evaluate",)
    code, _, err = command("evaluate", run)
    assert code == 2
    assert err.endswith("The test split of this run is empty. Train with more pieces.\n")


def test_seeds_are_trained_gone_on_with_and_judged(command: Command) -> None:
    write(Path("music"), **{f"tune{seed}": random_tune(seed) for seed in range(12)})
    Path("tiny.toml").write_text(TINY)
    arguments = ("train", "music", "--config", "tiny.toml", "--seeds", "2", "--out", "both")
    code, out, err = command(*arguments)
    assert code == 0, err
    assert out.startswith("Evaluated on 2 pieces of the test split")
    document = json.loads(Path("both/evaluation.json").read_text())
    assert document["runs"] == ["both/seed-1", "both/seed-2"]
    seeds = [config.load(f"both/seed-{k}/config.toml").seed for k in (1, 2)]
    assert seeds[1] == seeds[0] + 1
    before = Path("both/seed-1/checkpoints/last.json").read_text()
    assert command(*arguments)[0] == 0
    assert Path("both/seed-1/checkpoints/last.json").read_text() == before
