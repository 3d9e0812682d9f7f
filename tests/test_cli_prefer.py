"""`sample --best-of N --prefer ...`: the best candidate is what is written, and its own line makes it again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from test_cli_sample import Sample, sample, texts, trained

from seqgan_music import compose
from seqgan_music.music import note_tables, objectives

__all__ = ["sample", "trained"]  # fixtures

PREFER = "range=1,range.target=30,density=0.5,density.target=1"
MIX = objectives.Mix.of({"range": {"weight": 1, "target": 30}, "density": {"weight": 0.5, "target": 1}})


def test_the_best_candidate_is_written(sample: Sample, trained: Path, tmp_path: Path) -> None:
    arguments = ["--run", trained, "--bars", 4, "--seed", 5]
    status, out, err = sample("--out", "best.mid", *arguments, "--best-of", 5, "--prefer", PREFER, "--json")
    assert status == 0, err
    (result,) = json.loads(out)["files"]
    seeds = [5 + 1_000_003 * number for number in range(5)]
    composer = compose.Composer.open(trained)
    pieces = [composer.compose(compose.Controls(bars=4), seed=seed)[0].piece for seed in seeds]
    scores = MIX.ranks(note_tables.of_pieces(pieces))
    assert result["seed"] == seeds[int(scores.argmax())]
    assert result["chosen"]["score"] == pytest.approx(scores.max(), abs=1e-4)
    assert result["chosen"]["mean"] == pytest.approx(scores.mean(), abs=1e-4)
    assert result["chosen"]["of"] == 5
    # The file's own line, without --best-of, makes the same file again.
    (line,) = [text for text in texts(tmp_path / "best.mid") if "seqgan-music" in text]
    assert "--best-of" not in line
    again = shlex.split(line.partition(": ")[2])[2:]
    again[again.index("--run") + 1] = str(trained)
    assert sample("--out", "again.mid", *again)[0] == 0
    assert (tmp_path / "again.mid").read_bytes() == (tmp_path / "best.mid").read_bytes()


def test_it_is_said_why(sample: Sample, trained: Path) -> None:
    arguments = ["--run", trained, "--bars", 2, "--seed", 1, "--best-of", 2]
    status, out, err = sample("--out", "one.mid", *arguments, "--prefer", "density=1,density.target=4,liked=1")
    assert status == 0, err
    assert "best of 2 (density " in out
    assert "liked 0.50; " in out
    assert "No piece of this run is rated yet" in err


def test_choosing_leaves_other_pieces_as_they_are(sample: Sample, trained: Path, tmp_path: Path) -> None:
    arguments = ["--run", trained, "--bars", 2, "--seed", 1]
    assert sample("--out", "plain.mid", *arguments)[0] == 0
    assert sample("--out", "one.mid", *arguments, "--best-of", 1, "--prefer", "ending=1")[0] == 0
    assert (tmp_path / "plain.mid").read_bytes() == (tmp_path / "one.mid").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--best-of", 0, "--prefer", "ending=1"], "--best-of must be 1 to 1000, not 0"),
        (["--best-of", 1001, "--prefer", "ending=1"], "--best-of must be 1 to 1000, not 1001"),
        (["--prefer", "ending=1"], "say how many with --best-of"),
        (["--best-of", 2, "--prefer", "endin=1"], "no objective 'endin'. Did you mean 'ending'?"),
        (["--best-of", 2, "--prefer", "ending"], "Objectives are written as"),
        (["--best-of", 2, "--prefer", "steps=1"], "came without its music: give a target, as in steps.target="),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    sample: Sample, trained: Path, tmp_path: Path, arguments: list[str | Path], message: str
) -> None:
    status, _, err = sample("--out", "none.mid", "--run", trained, *arguments)
    assert status == 2
    assert message in err
    assert not (tmp_path / "none.mid").exists()
