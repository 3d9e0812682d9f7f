"""`seqgan-music scan`: what it prints, as a table and as JSON, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tunes import midi, transposed, tune, write

from seqgan_music.music import scan_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    music = write(tmp_path / "music", a=tune(1), b=tune(2), c=tune(3), d=tune(4), up=transposed(tune(1), 5))
    (music / "copy.mid").write_bytes(midi(tune(2)))
    (music / "bad.mid").write_bytes(b"MThd nonsense")
    return music


def seqgan_music(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SEQGAN_MUSIC_CACHE": str(tmp_path / "cache"), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, "-m", "seqgan_music", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )


def plain_config(tmp_path: Path) -> Path:
    path = tmp_path / "plain.toml"
    path.write_text("seed = 1\n")
    return path


def test_the_table_goes_to_stdout(tmp_path: Path, folder: Path) -> None:
    done = seqgan_music(tmp_path, "scan", folder, "--config", plain_config(tmp_path))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "copy.mid: the same notes as b.mid" in done.stdout
    assert "a.mid, up.mid" in done.stdout


def test_json_holds_every_file_and_only_json(tmp_path: Path, folder: Path) -> None:
    done = seqgan_music(tmp_path, "scan", folder, "--json", "--config", plain_config(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["totals"]["files"] == 7
    assert document["totals"]["pieces"] == 5
    assert document["totals"]["different_tunes"] == 4
    assert document["related"] == [{"kind": "transposed", "pieces": ["a.mid", "up.mid"]}]
    assert document["settings"]["min_pieces"] == 4
    files = {file["path"]: file for file in document["files"]}
    assert list(files) == ["a.mid", "b.mid", "bad.mid", "c.mid", "copy.mid", "d.mid", "up.mid"]
    assert {path for path, file in files.items() if file["status"] == "skipped"} == {"bad.mid", "copy.mid"}
    assert files["a.mid"].keys() == {"path", "sha256", "status", "reason", "detail", "counts", "track", "pieces"}
    (piece,) = files["a.mid"]["pieces"]
    assert piece["notes"] == 40
    assert piece["beats"] == sum(length for _, length in tune(1)) / 4
    assert piece["seconds"] == pytest.approx(piece["beats"] / 2)
    assert (piece["lowest"], piece["highest"]) == (min(p for p, _ in tune(1)), max(p for p, _ in tune(1)))
    assert piece["family"] == files["up.mid"]["pieces"][0]["family"] != files["b.mid"]["pieces"][0]["family"]


def test_performances_are_told_which_grid_they_want(tmp_path: Path, folder: Path) -> None:
    done = seqgan_music(tmp_path, "scan", folder, "--json", "--config", plain_config(tmp_path))
    document = json.loads(done.stdout)
    hint = "--config performance"
    notes = document["totals"]["notes"]
    most = notes // 2 + 1
    for moved, grid, told in ((most - 1, 12, False), (most, 12, True), (notes, 4, False), (notes, 48, False)):
        document["counts"] = {"onsets_moved_to_grid": moved}
        document["files_with_counts"] = {"onsets_moved_to_grid": 5}
        document["settings"]["reading"]["ticks_per_beat"] = grid
        assert (hint in scan_table.table(document)) is told
    del document["settings"]  # of an older version
    assert hint not in scan_table.table(document)


def test_track_and_set_reach_the_reader(tmp_path: Path, folder: Path) -> None:
    done = seqgan_music(
        tmp_path, "scan", folder, "--json", "--track", "1", "--set", "corpus.min_notes=17",
        "--config", plain_config(tmp_path),
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["settings"]["reading"]["track"] == "1"
    assert document["settings"]["min_notes"] == 17
    assert all(file["track"] for file in document["files"] if file["status"] == "kept")


def test_too_little_music_prints_the_table_and_exits_with_2(tmp_path: Path) -> None:
    music = write(tmp_path / "music", a=tune(1), short=tune(2, notes=3))
    done = seqgan_music(tmp_path, "scan", music, "--config", plain_config(tmp_path))
    assert done.returncode == 2
    assert "short.mid: 3 notes, at least 16 are needed" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "2 music files found, 1 piece kept, but at least 4 are needed" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["missing"], ["plain.toml"], ["empty"], ["empty", "--set", "corpus.minnotes=3"]]
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    done = seqgan_music(tmp_path, "scan", *arguments, "--config", plain_config(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("seqgan-music: ")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "empty").iterdir()) == []


def test_help_is_quick_and_has_an_example(tmp_path: Path) -> None:
    code = (
        "import sys; from seqgan_music.cli import commands\n"
        "try: commands(['scan', '--help'])\n"
        "except SystemExit: print(sorted({'numpy', 'torch', 'music21'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "Example:" in done.stdout
    assert done.stdout.endswith("[]\n")
