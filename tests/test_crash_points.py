"""Killed before any file operation of its own, a process leaves what the next one goes on from, to the same end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from crash_points import State, crash_points, moments, restore, state_of, torn
from test_training import SEQGAN, final_state, small, trained
from tunes import tune, write

from seqgan_music import run_folders, training
from seqgan_music.config import ChoiceConfig
from seqgan_music.errors import InputError
from seqgan_music.files import is_unfinished
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


FILES = ("vocabulary.json", "tokens.npz", "config.toml")


def begun(out: Path) -> Path:
    """Begin a run as `training.Run.begin` does."""
    run_folders.check_free(out, FILES)
    with run_folders.new_folder(out, FILES) as folder:
        for name in FILES:
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


def test_files_that_were_put_into_a_killed_beginning_are_never_removed(tmp_path: Path) -> None:
    with crash_points(tmp_path / "straight") as states:
        begun(tmp_path / "straight")
    mine: State = {"notes.txt": b"mine", ".hidden.part": b"mine", "songs": None, "songs/1.mid": b"mine"}
    for number, state in enumerate(torn(states)):
        folder = restore({**state, **mine}, tmp_path / str(number))
        with pytest.raises(InputError, match="is not empty"):
            begun(folder)
        left = state_of(folder)
        assert left.items() >= mine.items()
        assert all(is_unfinished(name) for name in state.keys() - left.keys())  # looked at, and of no use to anyone


def test_files_put_into_a_beginning_that_fails_are_kept(tmp_path: Path) -> None:
    def fail() -> None:
        with run_folders.new_folder(tmp_path / "run", FILES) as folder:
            (folder / FILES[0]).touch()
            (folder / "notes.txt").write_text("mine")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert state_of(tmp_path / "run") == {"notes.txt": b"mine"}


def test_a_training_that_was_killed_at_its_beginning_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the run's own list of its files is whole: what stands in the folder and not there is refused."""
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr(training.Run, "plan", lambda *arguments: None)  # which measures, and writes nothing
    music = write(tmp_path / "music", **{f"tune{seed}": tune(seed, 90) for seed in range(12)})
    config = small(phases=(ChoiceConfig("mle", {"updates": 2, "batch": 4}),))

    def begin() -> State:
        with suppress(InputError):  # a run already, of which the last thing is missing: its name in `latest`
            training.Run.begin(music, config, out=run, device=torch.device("cpu"), say=lambda text: None)
        return {name: data for name, data in state_of(run).items() if name[0] != "."}

    run = tmp_path / "runs" / "one"
    with crash_points(tmp_path / "runs") as states:
        expected = begin()
    assert "config.toml" in expected
    for state in moments(states):
        restore(state, tmp_path / "runs")
        assert begin() == expected, sorted(state)


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        begun(tmp_path)
    (tmp_path / "lock").touch()  # somebody else's, as what stands beside it is
    with pytest.raises(InputError, match="is not empty"):
        begun(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
