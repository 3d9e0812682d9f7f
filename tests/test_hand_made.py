"""Pieces that a caller has put together: in order and with Python's numbers, or one line says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import pieces

import seqgan_music
from seqgan_music.errors import InputError
from seqgan_music.music.hand_made import sound
from seqgan_music.music.notes import Meter, Note, Piece, Tempo

NOTES = (Note(0, 60, 12), Note(12, 64, 12, 90), Note(12, 67, 6))


@given(pieces())
def test_a_piece_as_the_package_makes_them_is_sound(piece: Piece) -> None:
    assert sound(piece) == piece


def test_notes_come_in_any_order_and_from_anywhere() -> None:
    assert sound(Piece(iter(NOTES[::-1]))).notes == tuple(sorted(NOTES))  # type: ignore[arg-type]
    small = Piece(tuple(Note(np.int64(n.onset), np.uint8(n.pitch), np.int8(n.duration)) for n in NOTES[:1]))
    assert sound(small) == Piece(NOTES[:1])
    assert {type(value) for note in sound(small).notes for value in (note.onset, note.pitch)} == {int}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"notes": [Note(0.5, 60, 6)]}, "note 1 cannot be: onset must be a whole number, 0 to 2400000, not 0.5"),  # type: ignore[arg-type]
        ({"notes": [*NOTES, Note(0, 128, 6)]}, "note 4 cannot be: pitch must be a whole number, 0 to 127, not 128"),
        ({"notes": [Note(0, "C4", 6)]}, "pitch must be a whole number, 0 to 127, not 'C4'"),  # type: ignore[arg-type]
        ({"notes": [Note(0, 60, 0)]}, "duration must be a whole number, 1 to"),
        ({"notes": [Note(0, 60, 6, 0)]}, "velocity must be a whole number, 1 to 127, not 0"),
        ({"notes": [Note(10**12, 60, 6)]}, "onset must be a whole number, 0 to 2400000, not 1000000000000"),
        ({"notes": [(0, 60, 6)]}, "The piece's note 1 must be a Note, not (0, 60, 6)."),
        ({"ticks_per_beat": 0}, "The piece's ticks_per_beat must be a whole number, 1 to 960, not 0."),
        ({"meters": ()}, "The piece has no meter at its start, tick 0."),
        (
            {"meters": [Meter(0, 4, 3)]},
            "meter 1 cannot be: denominator must be one of (1, 2, 4, 8, 16, 32, 64), not 3.",
        ),
        ({"tempos": [Tempo(12, 90.0)]}, "The piece has no tempo at its start, tick 0."),
        ({"tempos": [Tempo(0, float("nan"))]}, "tempo 1 cannot be: qpm must be 10 to 400, not nan."),
        ({"program": 128}, "The piece's program must be a whole number, 0 to 127, not 128."),
    ],
)
def test_what_no_piece_can_be_is_one_line(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        seqgan_music.write(replace(Piece(NOTES), **wrong), tmp_path / "song.mid")
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_fraction_is_a_tempo() -> None:
    assert sound(Piece(NOTES, tempos=(Tempo(0, Fraction(181, 2)),))).tempos == (Tempo(0, 90.5),)  # type: ignore[arg-type]
