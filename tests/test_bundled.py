"""The model that comes with the package: small, without anybody's music, and good for a song at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pretty_midi
from conftest import ROOT

from seqgan_music.compose import BUNDLED
from seqgan_music.music import vocabulary


def test_it_is_small_and_holds_no_music() -> None:
    files = {path.relative_to(BUNDLED).as_posix() for path in BUNDLED.rglob("*") if path.is_file()}
    tensors = {name for name in files if name.endswith(".safetensors")}
    expected = {"MODEL_CARD.md", "config.toml", "vocabulary.json", "scan.json", "checkpoints/best.json"}
    expected |= {"evaluation.json"} & files  # what was chosen; models from before the choice have none
    expected |= {"checkpoints/critic.json"} & files  # models from before the critic have none
    assert len(tensors) == len([name for name in expected if name.startswith("checkpoints/")])
    assert files == expected | tensors
    assert sum((BUNDLED / name).stat().st_size for name in files) <= 8_000_000
    assert json.loads((BUNDLED / "scan.json").read_bytes()).keys() == {"typical"}


def test_its_vocabulary_is_this_versions() -> None:
    assert vocabulary.load(BUNDLED / "vocabulary.json").name == "note_event"


def test_a_song_before_any_training(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "seqgan_music", "sample", "--out", "song.mid", "--seed", "1"]
    done = subprocess.run(line, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith("song.mid: 16 bars")) == (0, True), done.stderr
    assert done.stderr == "no run of your own yet: using the model that comes with seqgan-music\n"
    assert len(pretty_midi.PrettyMIDI(str(tmp_path / "song.mid")).instruments[0].notes) >= 30
