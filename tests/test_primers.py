"""Primers of every kind that is read: where the new music begins, in which meter, after which of the tracks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from random_run import make_run

from seqgan_music.compose import Composer, Controls, bars_of
from seqgan_music.errors import InputError
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.notes import Meter, Note, Piece

JIG = "X:1\nT:With an upbeat\nM:6/8\nL:1/8\nK:D\nA|dfd ecA|dfd a3|dfd ecA|Bcd e2A|\n"

DUO = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="4.0"><part-list>
<score-part id="P1"><part-name>Flute</part-name></score-part>
<score-part id="P2"><part-name>Cello</part-name></score-part></part-list>
<part id="P1">{flute}</part><part id="P2">{cello}</part></score-partwise>"""


def measures(notes: list[tuple[str, int]], duration: int) -> str:
    """Two bars of 3/4 in quarters, each with these notes, all of one duration."""
    heads = "".join(
        f"<note><pitch><step>{step}</step><octave>{octave}</octave></pitch><duration>{duration}</duration></note>"
        for step, octave in notes
    )
    attributes = (
        "<attributes><divisions>1</divisions><time><beats>3</beats><beat-type>4</beat-type></time></attributes>"
    )
    return f'<measure number="1">{attributes}{heads}</measure><measure number="2">{heads}</measure>'


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Composer:
    return Composer.open(make_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


def test_an_abc_tune_with_an_upbeat_goes_on_at_its_bar_line(
    composer: Composer, write: Callable[[str, str], Path]
) -> None:
    primer = composer.read_primer(write("jig.abc", JIG))
    assert primer.piece.notes[0] == Note(30, 69, 6)  # the last eighth of the first bar
    assert (primer.full_bars, len(primer.piece.notes)) == (5, 22)
    (made,) = composer.compose(Controls(bars=2), seed=1, primer=primer)
    assert made.piece.notes[:22] == primer.piece.notes
    assert min(note.onset for note in made.piece.notes[22:]) >= 5 * 36
    assert [bar.meter for bar in bars_of(made.piece)[:6]] == [(6, 8)] * 6
    kept = composer.infill(primer, keep=[1, 2, 3, 5], seed=1, candidates=4).piece
    assert [note for note in kept.notes if note.onset // 36 != 3] == [
        note for note in primer.piece.notes if note.onset // 36 != 3
    ]


def test_a_score_of_two_staves_goes_on_as_a_whole_or_from_one_of_them(
    composer: Composer, write: Callable[[str, str], Path]
) -> None:
    score = DUO.format(
        flute=measures([("E", 5), ("F", 5), ("G", 5)], 1),
        cello=measures([("C", 3)], 3),
    )
    path = write("duo.musicxml", score)
    flute = [Note(12 * beat, (76, 77, 79)[beat % 3], 12) for beat in range(6)]
    cello = [Note(36 * bar, 48, 36) for bar in range(2)]
    assert list(composer.read_primer(path).piece.notes) == sorted(flute + cello)
    assert list(composer.read_primer(path, track="Cello").piece.notes) == cello
    assert list(composer.read_primer(path, track="melody").piece.notes) == flute
    assert composer.read_primer(path, track="2").changes["other_tracks_dropped"] == 1
    with pytest.raises(
        InputError, match=r"no such track\. It has no track '3'; with notes are: 1 'Flute', 2 'Cello'"
    ):
        composer.read_primer(path, track="3")
    (made,) = composer.compose(Controls(bars=2), seed=1, primer=composer.read_primer(path))
    assert bars_of(made.piece)[0].meter == (3, 4)
    assert len(bars_of(made.piece)) == 4


@pytest.mark.parametrize("meter", [(7, 8), (2, 2), (12, 8), (1, 4), (9, 16)])
def test_new_music_counts_its_bars_in_the_primers_meter(
    composer: Composer, tmp_path: Path, meter: tuple[int, int]
) -> None:
    tune = Piece(tuple(Note(6 * step, 60 + step % 7, 6) for step in range(40)), meters=(Meter(0, *meter),))
    write_midi(tune, tmp_path / "tune.mid")
    primer = composer.read_primer(tmp_path / "tune.mid")
    (made,) = composer.compose(Controls(bars=1), seed=1, primer=primer)
    length = bars_of(primer.piece)[0].length
    assert {bar.length for bar in bars_of(primer.piece)} == {length}
    assert bars_of(made.piece)[primer.full_bars].start == 40 * 6 // length * length
    assert len(bars_of(made.piece)) == primer.full_bars + 1


def test_the_primer_sounds_as_loud_as_it_was(composer: Composer, tmp_path: Path) -> None:
    tune = Piece(tuple(Note(12 * beat, 60 + beat, 12, 30 + 10 * beat) for beat in range(7)))
    write_midi(tune, tmp_path / "tune.mid")
    (made,) = composer.compose(Controls(bars=2), seed=1, primer=composer.read_primer(tmp_path / "tune.mid"))
    assert made.piece.notes[:7] == tune.notes
    assert {note.velocity for note in made.piece.notes[7:]} == {60}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rests.abc", "X:1\nM:4/4\nK:C\nz4|z4|\n"),
        ("empty.abc", ""),
        ("empty.musicxml", DUO.format(flute="", cello="")),
    ],
)
def test_a_primer_without_music_is_one_line(
    composer: Composer, write: Callable[[str, str], Path], name: str, text: str
) -> None:
    with pytest.raises(InputError, match=f"^Primer .*{name} cannot be used: [^\n]*$"):
        composer.read_primer(write(name, text))
