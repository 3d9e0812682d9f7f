"""Which pieces `seqgan-music sample` writes: sweeps of seeds, bars that are kept, variations; and what is wrong."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import mido
import pytest
from random_run import make_run

from seqgan_music import cli
from seqgan_music.config import ReadingConfig
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.notes import Meter, Note, Piece, Tempo
from seqgan_music.music.reading import read

Sample = Callable[..., tuple[int, str, str]]
# Six bars of 3/4, one of them with an upbeat into the next, loudness and a change of tempo.
TUNE = Piece(
    tuple(Note(12 * beat, 60 + (5 * beat) % 12, 12 if beat != 8 else 24, 50 + beat) for beat in range(18)),
    meters=(Meter(0, 3, 4),),
    tempos=(Tempo(0, 90.0), Tempo(72, 60.0)),
    program=40,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Sample:
    """Run the command in a folder with `tune.mid`; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    write_midi(TUNE, tmp_path / "tune.mid")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", "sample", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def heard(path: str) -> Piece:
    (piece,) = read(Path(path), ReadingConfig()).pieces
    return piece


def bars(piece: Piece, numbers: list[int]) -> list[Note]:
    return [note for note in piece.notes if note.onset // 36 + 1 in numbers]


def test_a_sweep_of_seeds_writes_each_as_it_would_be_alone(sample: Sample, trained: Path, tmp_path: Path) -> None:
    line = ("--run", trained, "--bars", "1")
    code, out, _ = sample("--out", "s.mid", *line, "--seed", "4,8-9", "--json")
    files = json.loads(out)["files"]
    assert (code, [(file["path"], file["seed"]) for file in files]) == (
        0,
        [("s-1.mid", 4), ("s-2.mid", 8), ("s-3.mid", 9)],
    )
    for number, seed in ((1, "4"), (2, "8"), (3, "9")):
        sample("--out", "alone.mid", *line, "--seed", seed)
        assert (tmp_path / "alone.mid").read_bytes() == (tmp_path / f"s-{number}.mid").read_bytes()


def test_kept_bars_are_those_of_the_file_to_the_note(sample: Sample, trained: Path) -> None:
    code, out, _ = sample(
        "--out", "new.mid", "--run", trained, "--primer", "tune.mid", "--keep-bars", "1-2,4,6", "--seed", "1"
    )
    new = heard("new.mid")
    assert (code, out.startswith("new.mid: 6 bars, ")) == (0, True)
    assert bars(new, [1, 2, 4, 6]) == bars(TUNE, [1, 2, 4, 6])
    assert bars(new, [3]) != bars(TUNE, [3])
    assert bars(new, [5]) != bars(TUNE, [5])
    assert (new.meters, new.tempos, new.program) == (TUNE.meters, TUNE.tempos, TUNE.program)


def test_the_line_in_a_changed_file_makes_the_same_bytes(sample: Sample, trained: Path, tmp_path: Path) -> None:
    for options in (
        ("--primer", "tune.mid", "--keep-bars", "1-3, 5", "--track", "melody", "--key", "C major"),
        ("--primer", "tune.mid", "--keep-bars", "none"),
        ("--vary", "tune.mid", "--distance", "0.5", "--range", "C4-G5"),
    ):
        sample("--out", "a.mid", "--run", trained, *options)
        (text,) = [m.text for track in mido.MidiFile("a.mid").tracks for m in track if m.type == "text"]
        arguments = shlex.split(text.partition(": ")[2])[2:]
        assert arguments[:2] == ["--run", "run"]
        assert "--bars" not in arguments
        assert sample("--out", "b.mid", "--run", trained, *arguments[2:])[0] == 0
        assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def test_variations_say_how_far_they_are(sample: Sample, trained: Path) -> None:
    line = ("--out", "v.mid", "--run", trained, "--vary", "tune.mid", "--seed", "3", "--json")
    same, far = (json.loads(sample(*line, "--distance", distance)[1]) for distance in ("0", "1"))
    assert (same["files"][0]["changed"], same["settings"]["distance"]) == (0.0, 0.0)
    assert far["files"][0]["changed"] > 0.8
    assert " of the notes changed, seed 3\n" in sample(*line[:-1], "--distance", "0.4")[1]


def test_what_cannot_be_is_one_line_exit_code_two_and_nothing_written(
    sample: Sample, trained: Path, tmp_path: Path
) -> None:
    run = ["--out", "song.mid", "--run", trained]
    tune = [*run, "--primer", "tune.mid"]
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in (
        ([*run, "--seed", "one"], "seed must be numbers and ranges as 1-4,9-12, not 'one'."),
        ([*run, "--seed", ""], "seed must be numbers and ranges"),
        ([*run, "--seed", "5-2"], "seed 5-2: a range goes upwards"),
        ([*run, "--seed", "0-10000"], "at most 10000 numbers"),
        ([*run, "--seed", "1-3,2"], "seed 1-3,2 has a number twice."),
        ([*run, "--seed", "9223372036854775807"], "seed must be 0 to 2^63 - 10001"),
        ([*run, "--seed", "1-3", "-n", "3"], "Give several seeds or --count, not both."),
        ([*run, "--keep-bars", "1-4"], "name its file with --primer."),
        ([*tune, "--keep-bars", "four"], "keep-bars must be numbers and ranges"),
        ([*tune, "--keep-bars", "1-7"], "There is no bar 7: tune.mid has 6 bars."),
        ([*tune, "--keep-bars", "0-2"], "There is no bar 0"),
        ([*tune, "--keep-bars", "1", "--bars", "4"], "Leave bars out"),
        ([*tune, "--keep-bars", "1", "--seconds", "4"], "Leave seconds out"),
        ([*tune, "--keep-bars", "1", "--no-primer"], "Leave --no-primer out"),
        ([*tune, "--vary", "tune.mid"], "Give --vary or --primer, not both."),
        ([*run, "--vary", "tune.mid", "--keep-bars", "1"], "name its file with --primer."),
        ([*run, "--distance", "0.5"], "name the file to vary with --vary."),
        ([*run, "--vary", "tune.mid", "--distance", "1.5"], "distance must be 0 to 1, not 1.5."),
        ([*run, "--vary", "tune.mid", "--distance", "nan"], "distance must be 0 to 1, not nan."),
        ([*run, "--vary", "gone.mid"], "Primer gone.mid is not there."),
        ([*run, "--track", "2"], "--track is one of a file"),
        ([*tune, "--track", "2"], "It has no track '2'"),
        ([*run, "--density", "many"], "'many' is no density."),
        ([*run, "--density", "8-4"], "the fewer first, not 8-4."),
        ([*run, "--range", "C4"], "'C4' is no range."),
        ([*run, "--range", "G5-C4"], "the lower first, not G5-C4."),
        ([*run, "--range", "C-1-C4"], "is no pitch."),
        ([*run, "--range", "C#4-C#4", "--key", "C major"], "No note of C major lies in the range C#4-C#4."),
    ):
        code, out, err = sample(*arguments)
        said = err.splitlines()[-1]
        assert (code, out) == (2, ""), (arguments, err)
        assert said.startswith("seqgan-music: ")
        assert message in said, (arguments, said)
        assert sorted(tmp_path.rglob("*")) == before
