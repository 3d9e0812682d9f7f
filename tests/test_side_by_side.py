"""Pieces written side by side and judged on the way: as long as plain ones, and what is liked comes more often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from random_run import make_run, teach

from seqgan_music.compose import Composer, Controls, Key, bars_of
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.notes import Meter, Note, Piece

TOKENIZERS = ["note_event", "pitch_grid"]
FEW = 6


@pytest.fixture(scope="module")
def composers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Composer]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: Composer.open(make_run(folder / name, name)) for name in TOKENIZERS}


def alike(pieces: Sequence[Piece]) -> list[float]:
    return [0.0] * len(pieces)


def low(pieces: Sequence[Piece]) -> list[float]:
    """Log weights that like low notes, by what is there so far."""
    return [-sum(note.pitch - 60 for note in piece.notes) / 12 for piece in pieces]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("bars", [1, 5])
def test_exactly_the_bars_asked_for(composers: dict[str, Composer], name: str, bars: int) -> None:
    composer = composers[name]
    for made in composer.compose(Controls(bars=bars), seed=1, count=3, score=alike, candidates=FEW):
        assert (made.finished, made.dropped.total()) == (True, 0)
        assert len(bars_of(made.piece)) == bars or name == "pitch_grid"  # a grid may end in rests
        assert name == "note_event" or len(made.ids) == 8 * bars
        assert composer.tokenizer.decode(made.ids).piece.notes == made.piece.notes


def test_seconds_and_a_key_are_kept(composers: dict[str, Composer]) -> None:
    controls = Controls(seconds=6, tempo=120.0, key=Key.parse("D major"))
    for made in composers["note_event"].compose(controls, seed=5, count=3, score=alike, candidates=FEW):
        assert made.piece.end <= 12 * 12
        assert {note.pitch % 12 for note in made.piece.notes} <= {2, 4, 6, 7, 9, 11, 1}


def test_music_goes_on_where_a_primer_ends(composers: dict[str, Composer], tmp_path: Path) -> None:
    tune = Piece(tuple(Note(12 * beat, 60 + beat, 12) for beat in range(8)), meters=(Meter(0, 4, 4),))
    write_midi(tune, tmp_path / "tune.mid")
    composer = composers["note_event"]
    primer = composer.read_primer(tmp_path / "tune.mid")
    (made,) = composer.compose(Controls(bars=2), seed=1, primer=primer, score=alike, candidates=FEW)
    assert made.piece.notes[:8] == primer.piece.notes
    assert len(bars_of(made.piece)) == 4


def test_what_is_liked_comes_more_often_and_the_seed_decides(composers: dict[str, Composer]) -> None:
    composer, controls = composers["note_event"], Controls(bars=2)

    def mean(pieces: Sequence[Piece]) -> float:
        pitches = [note.pitch for piece in pieces for note in piece.notes]
        return sum(pitches) / len(pitches)

    plain, liked = (
        [made.piece for made in composer.compose(controls, seed=1, count=6, score=score, candidates=FEW)]
        for score in (alike, low)
    )
    assert mean(liked) < mean(plain) - 3
    (third,) = composer.compose(controls, seed=3, score=low, candidates=FEW)
    assert third.piece == liked[2]


def test_what_copies_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "copier", "note_event")
    free = Composer.open(run).compose(Controls(bars=12), seed=1, count=3, score=alike, candidates=FEW)
    teach(run, [one.ids for one in free], ["a.mid", "b.mid", "c.mid"])
    controls = Controls(bars=12, max_copy=4)
    kept = Composer.open(run).compose(controls, seed=1, count=3, score=alike, candidates=FEW)
    for before, after in zip(free, kept, strict=True):
        assert len(before.piece.notes) > 8
        assert after.copied is None or after.copied.notes <= 4
