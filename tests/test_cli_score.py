"""`seqgan-music score`, and `sample` with a critic, as a user meets them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import mido
import pytest
from random_run import make_run
from report_run import make_critic
from tunes import midi, tune

from seqgan_music import cli
from seqgan_music.compose import BUNDLED

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_run(tmp_path_factory.mktemp("trained") / "my run", "pitch_grid")
    make_critic().save(made)
    return made


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in a folder with some music; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "songs").mkdir()
    for number in (1, 2):
        (tmp_path / "songs" / f"{number}.mid").write_bytes(midi(tune(number)))
    (tmp_path / "bad.mid").write_bytes(b"not music")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def test_files_and_folders_are_ranked_and_bad_ones_named(command: Command, trained: Path) -> None:
    code, out, err = command("score", "songs", "bad.mid", "no.mid", "songs/1.mid", "--run", trained)
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("songs/1.mid: ")
    assert second.startswith("songs/2.mid: ")
    assert "% of 40 held-out pieces cut to 1 bar, and " in first
    bad, missing = err.splitlines()
    assert bad.startswith("bad.mid: skipped: ")
    assert missing == "no.mid: skipped: there is no such file"


def test_json_tells_every_bar(command: Command, trained: Path) -> None:
    code, out, _ = command("score", "songs", "bad.mid", "--run", trained, "--json")
    found = json.loads(out)
    assert code == 0
    assert [one["path"] for one in found["pieces"]] == ["songs/1.mid", "songs/2.mid"]
    for one in found["pieces"]:
        assert len(one["by_bar"]) == one["bars"]
        assert all(0 <= rank <= 1 for rank in (*one["by_bar"], one["above_held_out"], one["above_generated"]))
        assert one["weakest"] == sorted(one["weakest"], key=lambda bar: one["by_bar"][bar - 1])
    assert [one["path"] for one in found["skipped"]] == ["bad.mid"]


def test_the_heat_strip_is_drawn_under_the_roll(command: Command, trained: Path) -> None:
    code, _, err = command("score", "songs/1.mid", "--run", trained, "--out", "new/heat.svg")
    assert code == 0, err
    assert "held-out bar" in "".join(ElementTree.parse("new/heat.svg").getroot().itertext())
    assert command("score", "songs/1.mid", "--run", trained, "--out", "heat.png")[0] == 0
    assert Path("heat.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bad.mid"], "Nothing could be scored."),
        (["empty"], "empty: no music there."),
        (["songs", "--out", "a.svg"], "--out draws one file, not 2."),
        (["songs/1.mid", "--out", "a.mid"], "--out must end in .svg or .png, not 'a.mid'."),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    command: Command, trained: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = command("score", *arguments, "--run", trained)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_without_a_critic_says_how_to_get_one(command: Command, tmp_path: Path) -> None:
    bare = make_run(tmp_path / "bare")
    assert "nor the music to train one from" in command("score", "songs", "--run", bare)[2]
    (bare / "tokens.npz").touch()
    code, _, err = command("score", "songs", "--run", bare)
    assert code == 2
    assert f"{bare} has no critic yet. Train one: seqgan-music train --resume {bare}" in err
    assert command("sample", "--run", bare, "--out", "x.mid", "--critic")[0] == 2
    assert not Path("x.mid").exists()


def test_the_bundled_run_has_a_critic_or_says_in_a_line_that_it_has_none(command: Command) -> None:
    code, out, err = command("score", "songs/1.mid", "--run", "bundled")
    there = (BUNDLED / "checkpoints" / "critic.json").exists()
    assert (code == 0) == there
    assert ("held-out pieces" in out) == there
    assert ("has no critic" in err) != there


@pytest.mark.parametrize("asked", [["--critic", "4"], ["--best-of", "3"]])
def test_sampling_with_a_critic_can_be_done_again_to_the_byte(
    command: Command, trained: Path, asked: list[str]
) -> None:
    line = ["sample", "--run", trained, "--bars", "4", "--seed", "5"]
    code, said, err = command(*line, *asked, "--out", "a.mid")
    assert (code, err) == (0, "")
    assert said.startswith("a.mid: 4 bars")
    assert command(*line, *asked, "--out", "b.mid")[0] == 0
    assert Path("a.mid").read_bytes() == Path("b.mid").read_bytes()
    assert command(*line, "--out", "plain.mid")[0] == 0
    if "best of" not in said:
        assert Path("plain.mid").read_bytes() != Path("a.mid").read_bytes()
    (text,) = [m.text for track in mido.MidiFile("a.mid").tracks for m in track if m.type == "text"]
    again = text.partition(": seqgan-music ")[2].split(" --")
    options = [part for option in again[1:] for part in f"--{option}".split(" ", 1)]
    options[options.index("--run") + 1] = str(trained)
    assert command("sample", *options, "--out", "c.mid")[0] == 0
    assert Path("c.mid").read_bytes() == Path("a.mid").read_bytes()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--critic", "1001"], "--critic must be 0 (without it) to 1000, not 1001."),
        (["--critic", "--vary", "songs/1.mid"], "not with --vary"),
    ],
)
def test_what_does_not_go_together_is_said(command: Command, trained: Path, asked: list[str], said: str) -> None:
    code, _, err = command("sample", "--run", trained, "--out", "x.mid", *asked)
    assert code == 2
    assert said in err
    assert not Path("x.mid").exists()


def test_the_critic_writes_along_where_the_evaluation_chose_it(command: Command, tmp_path: Path) -> None:
    run = make_run(tmp_path / "judged", "pitch_grid")
    make_critic().save(run)
    saved = json.loads((run / "checkpoints" / "best.json").read_bytes())
    choice = {"checkpoint": "best", "name": "mle", "why": "with the critic", "sha256": saved["sha256"]}

    def write(particles: object) -> None:
        document = {"format": 1, "chosen": {**choice, "particles": particles}}
        (run / "evaluation.json").write_text(json.dumps(document))

    def bytes_of(*asked: str) -> bytes:
        code, _, err = command("sample", "--run", run, "--bars", "4", "--seed", "5", "--out", "x.mid", *asked)
        assert code == 0, err
        return Path("x.mid").read_bytes()

    def notes(made: bytes) -> list[str]:
        Path("y.mid").write_bytes(made)
        return [str(m) for track in mido.MidiFile("y.mid").tracks for m in track if not m.is_meta]

    write(None)
    plain, asked = bytes_of(), bytes_of("--critic", "4")
    assert b"--critic 4" in asked
    assert b"--critic" not in plain
    write(4)
    assert bytes_of() == asked
    without = bytes_of("--critic", "0")
    assert b"--critic 0" in without
    assert notes(without) == notes(plain) != notes(asked)
    # Where bars have wishes of their own nobody compared what the critic does, and it is not asked.
    assert b"--critic" not in bytes_of("--density", "2")
    for nonsense in (0, -3, 10**9, "four", True):
        write(nonsense)
        assert notes(bytes_of()) == notes(plain)
