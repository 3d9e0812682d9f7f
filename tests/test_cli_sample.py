"""`seqgan-music sample` as a user meets it: files, names, seeds, and one line for whatever is wrong."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import mido
import pretty_midi
import pytest
from random_run import make_run, teach

from seqgan_music import __version__, cli, compose
from seqgan_music.errors import ConfigError
from seqgan_music.music.formats.midi import program_number, write_midi
from seqgan_music.music.notes import Meter, Note, Piece

Sample = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("trained") / "my run", typical={"qpm": 100.0, "program": 21})


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Sample:
    """Run the command in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", "sample", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def texts(path: Path) -> list[str]:
    return [m.text for track in mido.MidiFile(path, charset="utf-8").tracks for m in track if m.type == "text"]


def test_the_newest_run_writes_sixteen_bars(sample: Sample, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(trained)
    code, out, err = sample("--out", "new/song.mid")
    heard = pretty_midi.PrettyMIDI("new/song.mid")
    (instrument,) = heard.instruments
    assert (code, err) == (0, "")
    said = re.fullmatch(
        r"new/song\.mid: 16 bars(?: and an upbeat)?, (\d+) notes, (\d+\.\d) seconds, seed \d+\n", out
    )
    assert said is not None
    assert int(said[1]) == len(instrument.notes)
    assert float(said[2]) == pytest.approx(heard.get_end_time(), abs=0.06)
    assert (instrument.program, instrument.name) == (21, "my run")
    assert heard.get_tempo_changes()[1].tolist() == [100.0]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["song.mid"]


def test_the_text_event_is_the_line_that_makes_the_same_bytes(
    sample: Sample, trained: Path, tmp_path: Path
) -> None:
    write_midi(Piece(tuple(Note(12 * i, 60 + i, 12) for i in range(8))), tmp_path / "my tune.mid")
    options = ["--primer", "my tune.mid", "--no-primer", "--key", "F# minor", "--program", "flute"]
    options += ["--bars", "3", "--tempo", "87.5", "--temperature", "0.9", "--top-k", "40", "--top-p", "0.95"]
    _, first, _ = sample("--out", "a.mid", "--run", trained, *options)
    (text,) = texts(tmp_path / "a.mid")
    version, _, line = text.partition(": ")
    program, command, *arguments = shlex.split(line)
    assert (version, program, command) == (f"seqgan-music {__version__}", "seqgan-music", "sample")
    assert arguments[:2] == ["--run", "my run"]
    code, out, err = sample("--out", "b.mid", "--run", trained, *arguments[2:])
    assert (code, err) == (0, "primer my tune.mid: 2 bars, 8 notes\n")
    assert out == first.replace("a.mid", "b.mid")
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()
    keys = [m.key for track in mido.MidiFile("b.mid").tracks for m in track if m.type == "key_signature"]
    assert keys == ["F#m"]


def test_several_are_numbered_and_each_can_be_made_again(sample: Sample, trained: Path, tmp_path: Path) -> None:
    code, out, _ = sample("--out", "song.midi", "--run", trained, "-n", "3", "--seed", "7", "--bars", "2", "--json")
    result = json.loads(out)
    assert code == 0
    assert [(file["path"], file["seed"], file["bars"]) for file in result["files"]] == [
        ("song-1.midi", 7, 2),
        ("song-2.midi", 8, 2),
        ("song-3.midi", 9, 2),
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["song-1.midi", "song-2.midi", "song-3.midi"]
    sample("--out", "again.mid", "--run", trained, "--seed", "9", "--bars", "2")
    assert (tmp_path / "again.mid").read_bytes() == (tmp_path / "song-3.midi").read_bytes()
    assert len({(tmp_path / f"song-{i}.midi").read_bytes() for i in (1, 2, 3)}) == 3


def test_several_formats_of_several_pieces_are_written_at_once(
    sample: Sample, trained: Path, tmp_path: Path
) -> None:
    line = ["--run", trained, "-n", "2", "--seed", "7", "--bars", "2"]
    code, out, _ = sample("--out", "a.mid", "--out", "b.svg", "--out", "a.ogg", *line)
    assert code == 0
    assert out.startswith("a-1.mid, b-1.svg, a-1.ogg: 2 bars, ")
    names = ["a-1.mid", "a-1.ogg", "a-2.mid", "a-2.ogg", "b-1.svg", "b-2.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (tmp_path / "a-2.ogg").unlink()
    (tmp_path / "a-2.ogg").mkdir()
    (tmp_path / "a-1.mid").write_text("former")
    code, out, err = sample("--out", "a.mid", "--out", "b.svg", "--out", "a.ogg", *line)
    assert (code, out) == (2, "")
    assert "Cannot write a-2.ogg: it is a folder." in err
    assert (tmp_path / "a-1.mid").read_text() == "former"


def test_seeds_are_drawn_anew_unless_given(sample: Sample, trained: Path) -> None:
    lines = [sample("--out", "song.mid", "--run", trained, "--bars", "1")[1] for _ in range(3)]
    assert len({line.rsplit(" ", 1)[1] for line in lines}) == 3


def test_the_numbers_in_json_are_those_of_the_file(sample: Sample, trained: Path) -> None:
    out = sample("--out", "song.mid", "--run", trained, "--seconds", "7.5", "--tempo", "150", "--json")[1]
    (file,) = json.loads(out)["files"]
    heard = pretty_midi.PrettyMIDI("song.mid")
    assert file["notes"] == len(heard.instruments[0].notes)
    assert file["seconds"] == pytest.approx(heard.get_end_time(), abs=1e-3)
    assert file["seconds"] <= 7.5
    assert (file["tempo"], file["program"], file["dropped"], file["finished"]) == (150.0, 21, {}, True)


def test_what_was_dropped_or_cut_is_said(sample: Sample, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose.composer, "_TOKENS_A_BEAT", 1)
    code, out, err = sample("--out", "song.mid", "--run", trained, "--seconds", "60", "--seed", "2")
    assert (code, out.count("\n")) == (0, 1)
    assert "song.mid: the generator did not come to the length asked for and was stopped\n" in err


def bad_inputs(folder: Path, trained: Path) -> list[tuple[list[str | Path], str]]:
    (folder / "folder.mid").mkdir()
    (folder / "file").write_text("")
    (folder / "noise.mid").write_bytes(b"\x00" * 64)
    run = ["--out", "song.mid", "--run", trained]
    return [
        ([], "'--out'"),
        (["--out", "song.mid", "--run", "nowhere"], "There is no run nowhere. Train one first"),
        (["--out", "song.mid", "--run", "file"], "There is no run file."),
        (["--out", "song.mid", "--run", "folder.mid"], "vocabulary"),
        (["--out", "song.wave", "--run", trained], "there is no format '.wave'. Did you mean '.wav'?"),
        ([*run, "--out", "song.mid"], "--out song.mid is given twice."),
        ([*run, "--score"], "--score draws notation into .svg or .png, and no --out ends in one of them."),
        ([*run, "--out", "song.wav", "--soundfont", "file"], "file is not a SoundFont 2 file that can be played."),
        (
            [*run, "--out", "song.wav", "--soundfont", "none.sf2"],
            "Cannot read the SoundFont none.sf2: ",
        ),
        (["--out", "folder.mid", "--run", trained], "Cannot write folder.mid: it is a folder."),
        (["--out", "file/song.mid", "--run", trained], "Cannot write file/song.mid: "),
        ([*run, "--bars", "0"], "bars must be 1 to 10000, not 0."),
        ([*run, "--bars", "four"], "'four' is not a valid integer"),
        ([*run, "--bars", "4", "--seconds", "4"], "Give bars or seconds, not both."),
        ([*run, "--seconds", "nan"], "seconds must be above 0 and at most 7200, not nan."),
        ([*run, "--temperature", "0"], "temperature must be above 0"),
        ([*run, "--top-p", "1.5"], "top-p must be above 0 and at most 1"),
        ([*run, "--top-k", "-3"], "top-k must be 0 (off) or more"),
        ([*run, "--tempo", "1000"], "tempo must be 10 to 400"),
        ([*run, "--seed", "-1"], "seed must be 0 to"),
        ([*run, "-n", "0"], "count must be 1 to 10000"),
        ([*run, "--program", "128"], "program must be 0 to 127 or a General MIDI name"),
        ([*run, "--program", "kazoo"], "There is no General MIDI program 'kazoo'."),
        ([*run, "--key", "H major"], "'H major' is not a key. Keys are written as 'C major'"),
        ([*run, "--primer", "missing.mid"], "Primer missing.mid is not there."),
        ([*run, "--primer", "noise.mid"], "Primer noise.mid cannot be used: "),
        ([*run, "--max-copy", "1"], "max-copy must be 2 to 1000, not 1."),
        ([*run, "--max-copy", "8"], "does not hold the music that it learnt from"),
        ([*run, "--unknown"], "--unknown"),
    ]


def test_bad_input_is_one_line_exit_code_two_and_nothing_written(
    sample: Sample, trained: Path, tmp_path: Path
) -> None:
    cases = bad_inputs(tmp_path, trained)
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in cases:
        code, out, err = sample(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (arguments, err)
        assert err.startswith("seqgan-music: ")
        assert message in err
        assert sorted(tmp_path.rglob("*")) == before


def test_damaged_checkpoints_are_one_line(sample: Sample, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (tensors,) = (run / "checkpoints").glob("*.safetensors")
    whole = tensors.read_bytes()
    for content in (whole[: len(whole) // 2], b"\x80\x04cos\nsystem\n(S'true'\ntR.", b""):
        tensors.write_bytes(content)
        code, _, err = sample("--out", "song.mid", "--run", run)
        assert (code, err.count("\n")) == (2, 1)
        assert "cannot be loaded" in err
    assert not (tmp_path / "song.mid").exists()


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("127", 127), ("Flute", 73), ("flute", 73), ("pan flute", 75), ("nylon", 24), ("church organ", 19)],
)
def test_programs_by_number_and_name(text: str, number: int) -> None:
    assert program_number(text) == number


def test_every_general_midi_name_is_its_own_number() -> None:
    for number in range(128):
        assert program_number(pretty_midi.program_to_instrument_name(number)) == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("guitar", "Program 'guitar' is several: 'Acoustic Guitar (nylon)' (24), "),
        ("Accordeon", "Did you mean 'Accordion'?"),
        ("-1", "program must be 0 to 127 or a General MIDI name, not -1."),
        ("kazoo", "Give 0 to 127, or a name as 'Flute'."),
        ("", "Give 0 to 127"),
        ("²", "Give 0 to 127"),
    ],
)
def test_what_is_no_program_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        program_number(text)
    assert message in str(caught.value)


def test_a_tune_in_three_four_keeps_its_bars(sample: Sample, trained: Path, tmp_path: Path) -> None:
    waltz = Piece(tuple(Note(12 * i, 60, 12) for i in range(12)), meters=(Meter(0, 3, 4),))
    write_midi(waltz, tmp_path / "waltz.mid")
    out = sample("--out", "next.mid", "--run", trained, "--primer", "waltz.mid", "--bars", "2", "--seed", "1")[1]
    assert out.startswith("next.mid: 6 bars, ")


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt from the very piece that it writes with seed 1."""
    run = make_run(tmp_path_factory.mktemp("copier") / "run")
    teach(run, [compose.Composer.open(run).compose(compose.Controls(bars=4), seed=1)[0].ids], ["folk/x.mid"])
    return run


def test_the_longest_copied_run_is_named_with_its_file_and_bars(sample: Sample, copier: Path) -> None:
    line = ("--out", "song.mid", "--run", copier, "--seed", "1", "--bars", "4")
    _, out, err = sample(*line, "--max-copy", "6")
    first, second, _ = out.split("\n")
    assert (first.startswith("song.mid: 4 bars, "), err) == (True, "")
    said = re.fullmatch(
        r"song\.mid: longest copied run: (\d) notes from bar \d on are those of folk/x\.mid from bar \d on.*",
        second,
    )
    assert said is not None
    assert 2 <= int(said[1]) <= 6
    assert " --max-copy 6 " in texts(Path("song.mid"))[0]
    document = json.loads(sample(*line, "--max-copy", "6", "--json")[1])
    (file,) = document["files"]
    assert (document["settings"]["max-copy"], file["copied"]["notes"]) == (6, int(said[1]))
    assert (file["copied"]["source"], file["refusals"] > 0) == ("folk/x.mid", True)
    (free,) = json.loads(sample(*line, "--json")[1])["files"]
    assert not {"copied", "refusals"} & set(free)


def test_a_bound_that_could_not_be_kept_is_said(
    sample: Sample, copier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose.composer, "_REFUSALS_A_BEAT", 0)
    line = ("--out", "song.mid", "--run", copier, "--seed", "1", "--bars", "4", "--max-copy", "6")
    code, out, err = sample(*line)
    assert (code, "those of folk/x.mid from bar 1 on" in out, err.count("\n")) == (0, True, 1)
    assert err.startswith("song.mid: no way was found to copy at most 6 notes in a row")


def test_a_piece_that_copies_nothing_says_so(sample: Sample, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    teach(run, [])
    out = sample("--out", "song.mid", "--run", run, "--bars", "1", "--max-copy", "8", "--seed", "1")[1]
    assert out.endswith("song.mid: longest copied run: none\n")
