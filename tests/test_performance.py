"""What the tokenizer performance promises of its own: time in seconds, whatever the beats of the file are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import pieces
from test_tokenizers import melody

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import Meter, Note, Piece, Tempo
from seqgan_music.music.tokenizers import Tokenizer, create


def performance(**options: Any) -> Tokenizer:
    return create("performance", options, 48)


def names(tokenizer: Tokenizer, piece: Piece) -> str:
    return " ".join(tokenizer.vocabulary[token] for row in tokenizer.encode(piece) for token in row)


def test_the_example_of_the_documentation() -> None:
    piece = Piece(
        (Note(0, 48, 52, 80), Note(0, 76, 10, 70), Note(11, 79, 10, 86), Note(59, 79, 3, 86)), ticks_per_beat=12
    )
    assert names(performance(), piece) == (
        "VELOCITY(4) PITCH(48) LASTS(54) PITCH(76) LASTS(10) WAIT(11) VELOCITY(5) PITCH(79) LASTS(10)"
        " WAIT(24) WAIT(24) PITCH(79) LASTS(3) END_OF_PIECE"
    )


def test_a_second_is_a_second_at_any_tempo() -> None:
    tune = "60:12 62:6 64:18 -:12 65:12"
    slow = melody(tune, tempos=(Tempo(0, 60.0),))
    fast = Piece(
        tuple(Note(4 * note.onset, note.pitch, 4 * note.duration, note.velocity) for note in slow.notes),
        ticks_per_beat=12,
        meters=(Meter(0, 3, 4),),
        tempos=(Tempo(0, 240.0),),
    )
    tokenizer = performance()
    assert tokenizer.encode(slow) == tokenizer.encode(fast)
    assert [note.onset for note in tokenizer.normalise(fast)[0].notes] == [0, 24, 36, 96]
    assert tokenizer.qpm == tokenizer.decode([]).piece.tempos[0].qpm == 120.0
    assert tokenizer.normalise(fast)[0].meters == (Meter(0, 4, 4),)


@given(pieces(most=12))
@settings(max_examples=60, deadline=None)
def test_onsets_move_by_half_a_tick_and_lengths_by_an_eighth_at_most(piece: Piece) -> None:
    tokenizer = performance(ticks_per_second=20)
    kept, lost = tokenizer.normalise(piece)
    if lost.keys() & {"duplicate notes", "overlapping notes cut", "notes after bar 20000"}:
        return
    heard = [note for note in piece.tuned.notes if 21 <= note.pitch <= 108]
    by_pitch = sorted(heard, key=lambda note: (note.pitch, note.onset))
    for note, new in zip(by_pitch, sorted(kept.notes, key=lambda note: (note.pitch, note.onset)), strict=True):
        begin, end = piece.seconds_at(note.onset) * 20, piece.seconds_at(note.end) * 20
        assert abs(new.onset - begin) <= 0.5 + 1e-6
        length = max(1, np.floor(end + 0.5 + 1e-9) - new.onset)
        assert new.duration == 320 if length > 320 else abs(new.duration - length) <= length / 8


def test_a_file_of_years_is_bounded() -> None:
    piece = melody("60:12 -:9999999 61:12", tempos=(Tempo(0, 0.001),))
    kept, lost = performance().normalise(piece)
    assert [note.pitch for note in kept.notes] == [60]
    assert lost["notes after bar 20000"] == 1


def test_pitches_of_one_onset_ascend_and_the_piece_ends_after_a_note() -> None:
    tokenizer = performance(velocity_bins=0)
    grammar = tokenizer.grammar()
    for name in ("PITCH(60)", "LASTS(1)"):
        grammar.advance(tokenizer.vocabulary.index(name))
    allowed = {tokenizer.vocabulary[token] for token in np.flatnonzero(grammar.allowed())}
    assert {name for name in allowed if name.startswith("PITCH")} == {f"PITCH({pitch})" for pitch in range(61, 109)}
    assert "END_OF_PIECE" in allowed
    grammar.advance(tokenizer.vocabulary.index("WAIT(3)"))
    allowed = {tokenizer.vocabulary[token] for token in np.flatnonzero(grammar.allowed())}
    assert allowed == {f"PITCH({pitch})" for pitch in range(21, 109)}


@pytest.mark.parametrize("options", [{"ticks_per_second": 7}, {"ticks_per_second": 102}, {"velocity_bins": 33}])
def test_options_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f": {next(iter(options))} must be"):
        performance(**options)


def test_a_gap_with_nothing_after_it_does_not_end_in_a_wait() -> None:
    tokenizer = create("performance", {}, 12)  # bars of 48 ticks
    (wait, pitch, lasts), end = map(tokenizer.vocabulary.index, ("WAIT(24)", "PITCH(60)", "LASTS(1)")), 144
    filling = tokenizer.filling(tokenizer.encode(Piece((Note(0, 60, 105),), 12))[0])
    whole = filling.keep(48)
    filling.open(96, bound=end)  # bar 2, before a silent bar 3
    for token in (wait, wait):
        filling.advance(token)
    assert not filling.masks().leave.any()
    for token in (pitch + 1, lasts):
        filling.advance(token)
    assert filling.masks().leave.any()
    whole += [wait, wait, pitch + 1, lasts, *filling.keep(end, last=True)]
    assert not tokenizer.decode(whole).dropped
