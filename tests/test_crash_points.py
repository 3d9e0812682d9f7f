"""Killed before any file operation of its own, a process leaves what the next one goes on from, to the same end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from crash_points import State, crash_points, restore, state_of, torn
from test_training import SEQGAN, final_state, small, trained

from seqgan_music import run_folders
from seqgan_music.config import ChoiceConfig
from seqgan_music.errors import InputError
from seqgan_music.learning import checkpoint


def test_a_checkpoint_is_the_old_one_or_the_new_one_at_every_moment(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with crash_points(run) as states:
        for value in (1.0, 2.0, 3.0):
            checkpoint.save(run, "last", {"x": torch.tensor([value])}, {"value": value})
    found = []
    for number, state in enumerate(torn(states)):
        folder = restore(state, tmp_path / str(number))
        if checkpoint.exists(folder, "last"):
            tensors, document = checkpoint.load(folder, "last")
            assert tensors["x"].tolist() == [document["value"]]
            found.append(document["value"])
        else:
            assert not found
    assert found == sorted(found)
    assert set(found) == {1.0, 2.0, 3.0}


def test_training_goes_on_to_the_same_end_from_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # a third of the time, and it changes no state
    config = small(
        phases=(
            ChoiceConfig("mle", {"updates": 2, "round_updates": 2, "batch": 4}),
            ChoiceConfig("seqgan", {**SEQGAN, "pretrain": 0, "iterations": 1}),
        )
    )
    straight = tmp_path / "straight"
    straight.mkdir()
    with crash_points(straight) as states:
        trained(straight, config)
    expected = final_state(straight)
    swept: list[State] = []
    for state in torn(states, appended=("metrics.jsonl",)):
        run = restore(state, tmp_path / "killed")
        run_folders.sweep(run, run / checkpoint.FOLDER)
        if (left := state_of(run)) in swept:  # what goes on sees no difference
            continue
        swept.append(left)
        trained(run, config)
        assert final_state(run) == expected, sorted(left)
    assert len(swept) > 20


def begun(out: Path) -> Path:
    """Begin a run as `training.Run.begin` does."""
    run_folders.check_free(out, "config.toml")
    with run_folders.new_folder(out, "config.toml") as folder:
        for name in ("vocabulary.json", "tokens.npz", "config.toml"):
            run_folders.write_text(folder / name, name)
    return folder


def test_a_beginning_that_was_killed_is_begun_again_in_the_same_folder(tmp_path: Path) -> None:
    with crash_points(tmp_path / "straight") as states:
        begun(tmp_path / "straight")
    runs = 0
    for number, state in enumerate(torn(states)):
        folder = restore(state, tmp_path / str(number))
        if "config.toml" in state:
            assert {"vocabulary.json", "tokens.npz"} <= state.keys()
            with pytest.raises(InputError, match="--resume"):
                begun(folder)
            runs += 1
        else:
            begun(folder)
            assert {name: data for name, data in state_of(folder).items() if name[0] != "."} == states[-1]
    assert runs >= 1


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        begun(tmp_path)
    (tmp_path / "lock").touch()  # somebody else's, as what stands beside it is
    with pytest.raises(InputError, match="is not empty"):
        begun(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def lines_of(state: State) -> list[Any]:
    return [json.loads(line) for line in (state.get("ratings.jsonl") or b"").splitlines()]
