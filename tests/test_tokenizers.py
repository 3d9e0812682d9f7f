"""The contract of every tokenizer of the folder, then what each promises of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqgan_music import choices
from seqgan_music.errors import ConfigError, OutputError, RunError
from seqgan_music.music import vocabulary
from seqgan_music.music.notes import DEFAULT_VELOCITY, PITCHES, Meter, Note, Piece, Tempo
from seqgan_music.music.tokenizers import Grammar, Tokenizer, create
from seqgan_music.music.tokenizers._ensemble_language import HITS

FOLDER = "seqgan_music.music.tokenizers"

# Every file of the folder as it comes, and these settings of the ones that have some.
VARIANTS: list[tuple[str, dict[str, Any], int]] = [
    *((name, {}, 12) for name in choices.names(FOLDER)),
    ("note_event", {"velocity_bins": 5}, 12),
    ("note_event", {"velocity_bins": 32}, 4),
    ("note_event", {"keys": True}, 12),
    ("note_event", {"keys": True, "velocity_bins": 3}, 4),
    ("note_event", {"keys": True, "returns": 16}, 12),
    ("note_event", {"returns": 3, "velocity_bins": 3}, 4),
    ("ensemble", {"velocity_bins": 3, "keys": True}, 12),
    ("ensemble", {"velocity_bins": 8}, 4),
    ("performance", {"ticks_per_second": 100, "velocity_bins": 32}, 12),
    ("performance", {"velocity_bins": 0}, 4),
    ("pitch_grid", {"rest": False, "length": 7}, 12),
    ("pitch_grid", {"step_beats": 0.25, "length": 16}, 4),
]
TOKENIZERS = [create(*variant) for variant in VARIANTS]
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: f"{t.name}-{t.ticks_per_beat}")
quick = settings(max_examples=60, deadline=None)


def note_event(**options: Any) -> Tokenizer:
    return create("note_event", options, 12)


def names(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return " ".join(tokenizer.vocabulary[token] for token in ids)


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return [tokenizer.vocabulary.index(token) for token in text.split()]


def joined(rows: list[list[int]]) -> list[int]:
    return [token for row in rows for token in row]


def melody(text: str, **changes: Any) -> Piece:
    """A tune from "60:12 -:6 62:6": pitch and duration in ticks, "-" for a rest."""
    notes, onset = [], 0
    for item in text.split():
        pitch, _, ticks = item.partition(":")
        if pitch != "-":
            notes.append(Note(onset, int(pitch), int(ticks)))
        onset += int(ticks)
    return replace(Piece(tuple(notes)), **changes)


def walk(grammar: Grammar, seed: int, most: int = 100_000) -> list[int]:
    """Ids drawn evenly from what is allowed, until the grammar has finished."""
    rng = random.Random(seed)
    ids: list[int] = []
    while not grammar.finished:
        open_ids = np.flatnonzero(grammar.allowed())
        assert len(open_ids), "nothing may follow, but the piece has not ended"
        ids.append(int(open_ids[rng.randrange(len(open_ids))]))
        grammar.advance(ids[-1])
        assert len(ids) < most
    assert not grammar.allowed().any()
    return ids


def bars_heard(piece: Piece) -> int:
    """Bars up to the one in which the last note ends."""
    *_, last = piece.bars()
    return sum(1 for _ in piece.bars()) - 1 + -(-(piece.end - last.start) // last.length)


# The contract


@every_tokenizer
def test_decoding_what_was_encoded_gives_the_normalised_piece(tokenizer: Tokenizer) -> None:
    @quick
    @given(strategies.pieces())
    def law(piece: Piece) -> None:
        rows = tokenizer.encode(piece)
        decoded = tokenizer.decode(joined(rows))
        assert decoded.piece == tokenizer.normalise(piece)[0]
        assert not decoded.dropped
        assert rows == tokenizer.encode(piece)
        assert all(0 <= token < len(tokenizer.vocabulary) for token in joined(rows))

    law()


@every_tokenizer
def test_normalise_changes_nothing_twice(tokenizer: Tokenizer) -> None:
    @quick
    @given(strategies.pieces())
    def law(piece: Piece) -> None:
        once, _ = tokenizer.normalise(piece)
        again, _ = tokenizer.normalise(once)
        assert again == once

    if tokenizer.end_id is not None:  # rows of fixed length cut a piece at another place the second time
        law()


@every_tokenizer
def test_any_ids_decode_to_a_playable_piece_and_only_disallowed_ones_are_dropped(tokenizer: Tokenizer) -> None:
    size = len(tokenizer.vocabulary)

    @quick
    @given(st.lists(st.integers(-2, size + 1), max_size=60), st.integers(0, 2**32))
    def law(ids: list[int], seed: int) -> None:
        # Alternating noise with steps that are allowed reaches deeper than noise alone.
        rng = random.Random(seed)
        grammar, mixed, kept = tokenizer.grammar(), [], 0
        for token in ids:
            if not grammar.finished and rng.random() < 0.7:
                token = int(rng.choice(np.flatnonzero(grammar.allowed())))
            mixed.append(token)
            allowed = 0 <= token < size and bool(grammar.allowed()[token])
            kept += allowed
            grammar.advance(token)
        decoded = tokenizer.decode(mixed)
        unfinished = decoded.dropped["unfinished"]
        assert sum(decoded.dropped.values()) - unfinished == len(mixed) - kept
        check_playable(decoded.piece, tokenizer)
        assert tokenizer.normalise(decoded.piece)[0].notes == decoded.piece.notes or tokenizer.end_id is None

    law()


def check_playable(piece: Piece, tokenizer: Tokenizer) -> None:
    assert piece.ticks_per_beat == tokenizer.ticks_per_beat
    assert list(piece.notes) == sorted(piece.notes)
    assert piece.meters[0].onset == piece.tempos[0].onset == 0
    sounding: dict[tuple[int, int], int] = {}
    for note in piece.notes:
        assert note.pitch in (HITS if note.drum else PITCHES)
        assert note.duration >= 1
        assert 1 <= note.velocity <= 127
        assert note.onset >= sounding.get((note.pitch, note.instrument), 0)
        sounding[note.pitch, note.instrument] = note.end


@every_tokenizer
def test_a_token_repeated_without_end_costs_no_memory_that_it_does_not_write(tokenizer: Tokenizer) -> None:
    for token in range(len(tokenizer.vocabulary)):
        prefix = joined(tokenizer.encode(melody("60:12 64:12 67:24 -:24 72:48 " * 4)))[:9]
        piece = tokenizer.decode([*prefix, *[token] * 1000]).piece
        assert len(piece.notes) <= 1010
        assert sum(1 for _ in piece.bars()) <= 20_000
        check_playable(piece, tokenizer)


@every_tokenizer
def test_encode_stays_in_the_grammar(tokenizer: Tokenizer) -> None:
    @quick
    @given(strategies.pieces(most=15))
    def law(piece: Piece) -> None:
        for row in tokenizer.encode(piece):
            grammar = tokenizer.grammar()
            for token in row:
                assert grammar.allowed()[token], tokenizer.vocabulary[token]
                grammar.advance(token)
            assert grammar.finished == (tokenizer.end_id is not None)

    law()


@every_tokenizer
@pytest.mark.parametrize("seed", range(12))
def test_a_walk_through_the_grammar_ends_after_the_bars_and_with_the_pitches_asked_for(
    tokenizer: Tokenizer, seed: int
) -> None:
    rng = random.Random(seed)
    bars = rng.randint(1, 12)
    pitches = rng.choice([None, [60], range(50, 55), {21, 108, 500}, range(0, 200, 7)])
    decoded = tokenizer.decode(walk(tokenizer.grammar(bars=bars, pitches=pitches), seed))
    assert not decoded.dropped
    assert decoded.piece.notes
    assert pitches is None or {note.pitch for note in decoded.piece.tuned.notes} <= set(pitches)
    assert bars_heard(decoded.piece) <= bars
    if tokenizer.end_id is not None:  # a grid may end in rests
        assert bars_heard(decoded.piece) == bars


@pytest.mark.parametrize("options", [{}, {"keys": True, "returns": 4}, {"velocity_bins": 3}])
def test_an_upbeat_is_not_counted_where_that_is_asked_for(options: dict[str, object]) -> None:
    tokenizer, seen = create("note_event", options, 12), set[bool]()
    for seed in range(30):
        ids = walk(tokenizer.grammar(bars=3, upbeat=True), seed)
        piece = tokenizer.decode(ids).piece
        first = next(iter(piece.bars()))
        upbeat = first.length <= 2 * piece.notes[0].onset < 2 * first.length
        seen.add(upbeat)
        assert bars_heard(piece) == 3 + upbeat
        # What is written already says as much as what is to come.
        follows = tokenizer.grammar(bars=3, upbeat=True)
        for place, token in enumerate(ids[:-1]):
            follows.advance(token)
            again = tokenizer.grammar(bars=3, upbeat=True, prefix=ids[: place + 1])
            assert np.array_equal(follows.allowed(), again.allowed())
    assert seen == {False, True}


@every_tokenizer
@pytest.mark.parametrize("ticks", [1, 5, 48, 100, 500])
def test_a_walk_through_the_grammar_ends_by_the_ticks_asked_for(tokenizer: Tokenizer, ticks: int) -> None:
    for seed in range(3):
        decoded = tokenizer.decode(walk(tokenizer.grammar(ticks=ticks), seed))
        assert not decoded.dropped
        longest_step = getattr(tokenizer, "step_ticks", 1)
        assert 0 < decoded.piece.end <= -(-ticks // longest_step) * longest_step


@every_tokenizer
def test_any_prefix_can_be_continued_to_an_end(tokenizer: Tokenizer) -> None:
    size = len(tokenizer.vocabulary)
    limits = st.one_of(st.builds(lambda n: {"bars": n}, st.integers(1, 4)), st.just({"ticks": 9}))

    @quick
    @given(st.integers(0, 60), st.integers(0, 2**32), limits, st.sampled_from([None, [60], [60, 61]]))
    def law(length: int, seed: int, limit: dict[str, int], pitches: list[int] | None) -> None:
        rng = random.Random(seed)
        primer, prefix = tokenizer.grammar(pitches=rng.choice([None, [60]])), []
        while len(prefix) < length and not primer.finished:
            token = int(rng.choice(np.flatnonzero(primer.allowed())))
            if rng.random() < 0.1:
                token = rng.randrange(size)
            if token != tokenizer.end_id:
                prefix.append(token)
                primer.advance(token)
        new = walk(tokenizer.grammar(**limit, pitches=pitches, prefix=prefix), seed)
        written = tokenizer.decode([*prefix, *new])
        assert not written.dropped - tokenizer.decode(prefix).dropped
        assert written.piece.notes

    law()


@every_tokenizer
def test_shifts_transpose(tokenizer: Tokenizer) -> None:
    semitones = [0, -5, 6, 24, -100]
    maps = tokenizer.shifts(semitones)
    assert maps.shape == (5, len(tokenizer.vocabulary))
    assert (maps[0] == np.arange(len(tokenizer.vocabulary))).all()
    assert all((np.unique(row[row >= 0], return_counts=True)[1] == 1).all() for row in maps)

    in_c = getattr(tokenizer.options, "keys", False)  # only the key changes, and not by octaves

    @quick
    @given(strategies.pieces(lowest=40, highest=80))
    def law(piece: Piece) -> None:
        for row, shift in zip(maps[:4], semitones, strict=False):
            ids = row[np.array(joined(tokenizer.encode(piece)), dtype=int)]
            if (ids >= 0).all() or not in_c:
                moved = tokenizer.decode(ids.tolist()).piece
                assert moved == tokenizer.normalise(piece)[0].transposed(shift)

    law()
    lowest = joined(tokenizer.encode(melody("21:96 " * 10)))
    assert (maps[1][lowest] == -1).any()
    assert in_c or (maps[2][lowest] >= 0).all()


def test_with_keys_a_piece_and_its_transposition_differ_in_the_key_alone() -> None:
    tokenizer = note_event(keys=True)
    semitones = list(range(-11, 12))
    maps = tokenizer.shifts(semitones)

    @quick
    @given(strategies.pieces(lowest=40, highest=80), st.sampled_from(semitones))
    def law(piece: Piece, shift: int) -> None:
        here, there = (joined(tokenizer.encode(one)) for one in (piece, piece.transposed(shift)))
        assert here[:1] == [] or tokenizer.vocabulary[here[0]].startswith("KEY(")
        row = maps[semitones.index(shift)]
        if here and (row[here] >= 0).all() and row[here[0]] == there[0]:
            assert row[here].tolist() == there

    law()
    tune = melody("62:12 64:12 66:12 67:12 69:12 66:12 62:24")  # D E F# G A F# D
    names = [tokenizer.vocabulary[token] for token in tokenizer.encode(tune)[0]]
    assert names[0] == "KEY(D)"
    assert [name for name in names if name.startswith("PITCH")][:3] == ["PITCH(60)", "PITCH(62)", "PITCH(64)"]
    minor = melody("69:12 71:12 72:12 74:12 76:12 72:12 69:24 68:12 69:36")
    assert tokenizer.vocabulary[tokenizer.encode(minor)[0][0]] == "KEY(C)"


def test_a_scale_asked_for_leaves_the_keys_that_hold_it() -> None:
    tokenizer = note_event(keys=True)
    dorian = [pitch for pitch in range(21, 109) if pitch % 12 in {2, 4, 5, 7, 9, 11, 0}]
    allowed = tokenizer.grammar(pitches=dorian).allowed()
    assert [tokenizer.vocabulary[token] for token in np.flatnonzero(allowed)] == ["KEY(C)"]
    assert tokenizer.grammar().allowed().sum() == 12


@every_tokenizer
def test_units_add_up_over_a_piece(tokenizer: Tokenizer) -> None:
    piece = melody("60:24 62:24 64:24 65:24 " * 40)
    units = sum(tokenizer.units(row) for row in tokenizer.encode(piece))
    expected = sum(map(len, tokenizer.encode(piece))) if tokenizer.end_id is None else 160
    assert units == expected


@every_tokenizer
def test_ids_of_numpy_are_as_good_as_others(tokenizer: Tokenizer) -> None:
    ids = joined(tokenizer.encode(melody("60:24 107:24 108:24 95:24 " * 40)))
    decoded, grammar = tokenizer.decode(np.array(ids, dtype=np.int32)), tokenizer.grammar(bars=100)
    assert decoded == tokenizer.decode(ids)
    assert all(
        type(value) is int for note in decoded.piece.notes for value in (note.onset, note.pitch, note.duration)
    )
    for token in np.array(ids, dtype=np.int64)[:-1]:
        assert grammar.allowed()[token]
        grammar.advance(token)
    primed = tokenizer.grammar(bars=100, prefix=np.array(ids), pitches=np.array([107, 108]))
    assert (primed.allowed() <= grammar.allowed()).all()


@every_tokenizer
def test_ids_are_named_once_and_the_start_is_none_of_them(tokenizer: Tokenizer) -> None:
    assert len(set(tokenizer.vocabulary)) == len(tokenizer.vocabulary) == tokenizer.start_id
    assert tokenizer.end_id is None or 0 <= tokenizer.end_id < tokenizer.start_id


@every_tokenizer
def test_no_music_gives_no_rows(tokenizer: Tokenizer) -> None:
    empty = Piece(())
    assert tokenizer.encode(empty) == []
    assert tokenizer.normalise(empty)[0].notes == tokenizer.decode([]).piece.notes == ()


@every_tokenizer
def test_impossible_requests_are_refused_in_words(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="bars must be"):
        tokenizer.grammar(bars=0)
    with pytest.raises(ConfigError, match="ticks must be"):
        tokenizer.grammar(ticks=-3)
    with pytest.raises(ConfigError, match="88 keys"):
        tokenizer.grammar(pitches=[3, 109])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("note_event", {"velocity_bins": 33}, "velocity_bins must be 0 to 32"),
        ("note_event", {"velocities": 4}, "Did you mean 'velocity_bins'"),
        ("pitch_grid", {"step_seconds": 0.0}, "step_seconds must be"),
        ("pitch_grid", {"step_seconds": float("inf")}, "step_seconds must be"),
        ("pitch_grid", {"length": 0}, "length must be"),
        ("pitch_grid", {"hop": 33}, "hop must be"),
        ("pitch_grid", {"step_beats": 0.1}, "no whole number of ticks"),
        ("note_events", {}, "Did you mean 'note_event'"),
    ],
)
def test_options_that_cannot_be_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        create(name, options, 12)


# note_event


def test_a_tune_without_gaps_costs_two_tokens_a_note_whatever_its_bar_lines() -> None:
    tokenizer = note_event()
    [row] = tokenizer.encode(melody("60:12 62:12 64:12 65:18 67:6 69:36 71:48 72:12"))
    assert names(tokenizer, row) == (
        "METER(4/4) BAR PITCH(60) END(12) PITCH(62) END(24) PITCH(64) END(36) PITCH(65) END(6) "
        "PITCH(67) END(12) PITCH(69) END(48) PITCH(71) END(48) PITCH(72) END(12) END_OF_PIECE"
    )


def test_rests_chords_held_notes_and_meters_are_written_as_the_docstring_says() -> None:
    tokenizer = note_event()
    notes = [
        Note(0, 67, 12), Note(12, 60, 36), Note(12, 64, 36), Note(12, 72, 6),  # a chord under a short note
        Note(48 + 6, 60, 6),  # after a rest over the bar line
        Note(192, 48, 48 + 36),  # after two bars of rest; held over the change to 3/4 at 240
        Note(276, 50, 12),  # where the held note ended, which is the next bar line
        Note(300, 52, 36 * 3),
        Note(408, 53, 1),
    ]  # fmt: skip
    piece = Piece(tuple(sorted(notes)), meters=(Meter(0, 4, 4), Meter(240, 3, 4)))
    [row] = tokenizer.encode(piece)
    assert names(tokenizer, row) == (
        "METER(4/4) BAR PITCH(67) END(12) PITCH(60) PITCH(64) END(48) AT(12) PITCH(72) END(18) "
        "BAR AT(6) PITCH(60) END(12) "
        "BAR BAR BAR PITCH(48) END(36) HOLD METER(3/4) BAR PITCH(50) END(12) "
        "AT(24) PITCH(52) END(24) HOLD HOLD PITCH(53) END(25) END_OF_PIECE"
    )


def test_a_chord_that_fills_the_bar_leaves_the_bar_open_for_its_other_notes() -> None:
    tokenizer = note_event()
    piece = Piece((Note(0, 48, 48), Note(0, 60, 12), Note(12, 62, 36), Note(48, 64, 48)))
    [row] = tokenizer.encode(piece)
    assert names(tokenizer, row) == (
        "METER(4/4) BAR PITCH(48) END(48) AT(0) PITCH(60) END(12) PITCH(62) END(48) PITCH(64) END(48) END_OF_PIECE"
    )


def test_velocity_is_written_where_it_changes() -> None:
    tokenizer = note_event(velocity_bins=4)
    loud = [Note(0, 60, 12, 100), Note(12, 62, 12, 127), Note(24, 64, 12, 1), Note(36, 65, 12, 31)]
    [row] = tokenizer.encode(Piece(tuple(loud)))
    assert names(tokenizer, row) == (
        "METER(4/4) BAR VELOCITY(3) PITCH(60) END(12) PITCH(62) END(24) "
        "VELOCITY(0) PITCH(64) END(36) PITCH(65) END(48) END_OF_PIECE"
    )
    assert [note.velocity for note in tokenizer.decode(row).piece.notes] == [112, 112, 16, 16]


def test_normalise_counts_what_it_changes() -> None:
    notes = (
        Note(0, 60, 40, 90), Note(0, 60, 20), Note(30, 60, 30), Note(50, 20, 10), Note(60, 62, 7),
    )  # fmt: skip
    meters = (Meter(0, 4, 4), Meter(50, 12, 4), Meter(90, 3, 4))
    piece = Piece(notes, 10, meters, (Tempo(0, 90.0), Tempo(5, 60.0)), program=5, name="x")
    normal, changed = note_event().normalise(piece)
    assert normal == Piece(
        (Note(0, 60, 36), Note(36, 60, 36), Note(72, 62, 8)), 12, (Meter(0, 4, 4),), (Tempo(0, 120.0),), 0
    )
    assert changed == {
        "duplicate notes": 1,
        "overlapping notes cut": 1,
        "notes outside the 88 keys": 1,
        "notes moved to the grid": 1,
        "velocities left out": 1,
        "tempo changes left out": 1,
    }


@pytest.mark.parametrize(
    ("meter", "token"),
    [
        ((9, 4), (9, 8)),
        ((12, 4), (6, 4)),
        ((6, 2), (3, 2)),
        ((16, 8), (8, 4)),
        ((4, 16), (2, 8)),
        ((13, 16), (3, 4)),
    ],
)
def test_a_meter_without_a_token_becomes_one_of_equal_bars_or_the_nearest(
    meter: tuple[int, int], token: tuple[int, int]
) -> None:
    normal, changed = note_event().normalise(melody("60:96 60:96 60:96", meters=(Meter(0, *meter),)))
    assert normal.meters == (Meter(0, *token),)
    assert changed == {"meters replaced": 1}


def test_a_meter_that_changes_inside_a_bar_waits_for_the_bar_line() -> None:
    piece = melody("60:48 " * 4, meters=(Meter(0, 4, 4), Meter(60, 3, 4), Meter(65, 2, 4)))
    normal, changed = note_event().normalise(piece)
    assert normal.meters == (Meter(0, 4, 4), Meter(96, 2, 4))
    assert changed == {"meter changes moved to a bar line": 2}
    assert list(piece.bars()) == list(normal.bars())


@given(strategies.pieces())
@quick
def test_bars_of_a_piece_on_the_grid_stay_as_they_are(piece: Piece) -> None:
    usual = tuple(
        meter for meter in piece.meters if (meter.numerator, meter.denominator) in strategies.USUAL_METERS
    )
    on_grid = replace(piece.tuned, ticks_per_beat=12, meters=(Meter(0, 3, 4), *(m for m in usual if m.onset)))
    normal, _ = note_event().normalise(on_grid)
    assert list(normal.bars()) == list(on_grid.bars())


def test_notes_are_bounded_in_length_and_place_and_that_is_counted() -> None:
    tokenizer = note_event()
    piece = Piece((Note(0, 60, 48 * 100), Note(48 * 19_999, 61, 1), Note(48 * 20_000, 62, 1)))
    normal, changed = tokenizer.normalise(piece)
    assert normal.notes == (Note(0, 60, 48 * 65), Note(48 * 19_999, 61, 1))
    assert changed == {"notes longer than 65 bars cut": 1, "notes after bar 20000": 1}
    assert tokenizer.decode(tokenizer.encode(piece)[0]).piece == normal


def test_a_stream_of_bars_or_holds_builds_no_more_than_the_bounds() -> None:
    tokenizer = note_event()
    opening = ids_of(tokenizer, "METER(8/4) BAR PITCH(60) END(1)")
    bars = tokenizer.decode([*opening, *ids_of(tokenizer, "BAR") * 60_000, *ids_of(tokenizer, "PITCH(62) END(5)")])
    assert bars.piece.notes[1].onset == 19_999 * 96
    assert bars.dropped == {"BAR": 60_000 - 19_999}
    held = tokenizer.decode([*opening, *ids_of(tokenizer, "HOLD") * 1000])
    assert held.piece.notes == (Note(0, 60, 1 + 64 * 96),)
    assert held.dropped == {"HOLD": 1000 - 64}


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("PITCH(60) METER(3/4) AT(3) BAR PITCH(60) END(12)", {"PITCH": 1, "AT": 1}),
        ("METER(3/4) BAR END(3) HOLD PITCH(64) PITCH(60) PITCH(64) PITCH(65) END(37) END(36)", {
            "END": 2, "HOLD": 1, "PITCH": 2}),
        ("METER(3/4) BAR END_OF_PIECE AT(12) AT(24) PITCH(60) END(24) AT(0) AT(24) AT(36)", {
            "END_OF_PIECE": 1, "AT": 4}),
        ("METER(3/4) BAR PITCH(60) END(36) METER(3/4) METER(2/4) METER(6/8) AT(0) BAR END_OF_PIECE BAR", {
            "METER": 2, "AT": 1, "after the end": 1}),
        ("METER(3/4) BAR PITCH(60) END(12) PITCH(62)", {"unfinished": 1}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_dropped_and_counted_by_kind(text: str, dropped: dict[str, int]) -> None:
    tokenizer = note_event()
    assert tokenizer.decode(ids_of(tokenizer, text)).dropped == dropped


def test_a_later_note_cuts_one_of_its_pitch_that_still_sounds() -> None:
    tokenizer = note_event()
    ids = ids_of(tokenizer, "METER(4/4) BAR PITCH(60) PITCH(64) END(48) AT(12) PITCH(60) END(24) END_OF_PIECE")
    assert tokenizer.decode(ids).piece.notes == (Note(0, 60, 12), Note(0, 64, 48), Note(12, 60, 12))


def test_the_end_is_open_only_once_the_last_bar_sounds_and_forced_when_nothing_fits() -> None:
    tokenizer = note_event()
    end = tokenizer.end_id
    grammar = tokenizer.grammar(bars=2)
    for token in ids_of(tokenizer, "METER(4/4) BAR PITCH(60) END(48)"):
        assert not grammar.allowed()[end]
        grammar.advance(token)
    assert not grammar.allowed()[end]
    for token in ids_of(tokenizer, "PITCH(60)"):
        grammar.advance(token)
    assert names(tokenizer, np.flatnonzero(grammar.allowed())[-48:]) == " ".join(f"END({p})" for p in range(1, 49))
    for token in ids_of(tokenizer, "END(47)"):
        grammar.advance(token)
    assert grammar.allowed()[end]
    for token in ids_of(tokenizer, "PITCH(60)"):
        grammar.advance(token)
    held = [name for name in names(tokenizer, np.flatnonzero(grammar.allowed())).split() if name.startswith("END")]
    assert held == ["END(48)"]  # no note is held beyond bar 2
    for token in ids_of(tokenizer, "END(48)"):
        grammar.advance(token)
    assert names(tokenizer, np.flatnonzero(grammar.allowed())) == "END_OF_PIECE"


def test_where_notes_overlap_the_other_voices_may_finish_the_last_bar() -> None:
    tokenizer = note_event()
    grammar = tokenizer.grammar(
        bars=1,
        prefix=ids_of(tokenizer, "METER(2/4) BAR PITCH(50) END(24) AT(0) PITCH(60) END(22) PITCH(62) END(24)"),
    )
    assert names(tokenizer, np.flatnonzero(grammar.allowed())) == "END_OF_PIECE AT(22) AT(23)"


def test_a_chord_held_to_the_end_does_not_end_the_voices_above_it() -> None:
    tokenizer = note_event()
    grammar = tokenizer.grammar(bars=5, prefix=ids_of(tokenizer, "METER(2/4) BAR PITCH(50) END(24)" + " HOLD" * 4))
    # No METER: the held note would end after bar 5 if the others were shorter. No PITCH: bar 5 is full.
    positions = [f"AT({position})" for position in range(24)]
    assert names(tokenizer, np.flatnonzero(grammar.allowed())).split() == ["BAR", *positions]
    for token in ids_of(tokenizer, "AT(0) PITCH(60) END(12) BAR BAR BAR"):
        grammar.advance(token)
        assert not grammar.allowed()[tokenizer.end_id]


def test_a_primer_counts_among_the_bars_and_its_end_is_not_taken() -> None:
    tokenizer = note_event()
    [primer] = tokenizer.encode(melody("60:48 62:48 64:48"))
    for seed in range(8):
        new = walk(tokenizer.grammar(bars=5, prefix=primer), seed)
        piece = tokenizer.decode([*primer[:-1], *new]).piece
        assert bars_heard(piece) == 5
        assert piece.notes[:3] == (Note(0, 60, 48), Note(48, 62, 48), Note(96, 64, 48))


def test_allowed_and_decode_speak_of_the_same_language() -> None:
    tokenizer = note_event(velocity_bins=3)
    rng = random.Random(7)
    ids: list[int] = []
    grammar = tokenizer.grammar()
    for _ in range(40):
        mask = grammar.allowed()
        before = sum(tokenizer.decode(ids).dropped.values()) - tokenizer.decode(ids).dropped["unfinished"]
        for token in rng.sample(range(len(mask)), 25):
            dropped = tokenizer.decode([*ids, token]).dropped
            assert mask[token] == (sum(dropped.values()) - dropped["unfinished"] == before)
        ids.append(int(rng.choice(np.flatnonzero(mask)[1:] if mask[0] else np.flatnonzero(mask))))
        grammar.advance(ids[-1])


# pitch_grid


def grid(**options: Any) -> Tokenizer:
    return create("pitch_grid", options, 12)


def test_the_grid_samples_every_two_fifths_of_a_second_from_id_1_for_a0() -> None:
    # At 150 quarter notes a minute a quarter lasts one step of 0.4 s.
    piece = melody("21:12 -:12 108:24 60:6 62:6", tempos=(Tempo(0, 150.0),))
    assert grid(length=5).encode(piece) == [[1, 0, 88, 88, 40]]
    assert len(grid().vocabulary) == 89
    _, lost = grid(length=5).normalise(piece)
    assert lost == {"notes below the highest or between two steps": 1}


def test_the_default_rows_are_the_papers() -> None:
    [first, second] = grid().encode(melody("60:12 " * 70, tempos=(Tempo(0, 150.0),)))
    assert first == second == [40] * 32
    _, lost = grid().normalise(melody("60:12 " * 70, tempos=(Tempo(0, 150.0),)))
    assert lost["steps after the last whole row"] == 6


def test_the_highest_note_is_taken_and_equal_neighbours_are_one_note() -> None:
    piece = Piece(
        (Note(0, 48, 48), Note(12, 60, 12), Note(24, 40, 12), Note(36, 48, 12)), tempos=(Tempo(0, 150.0),)
    )
    tokenizer = grid(length=4)
    assert tokenizer.encode(piece) == [[28, 40, 28, 28]]
    decoded = tokenizer.decode([28, 40, 28, 28]).piece
    assert decoded.notes == (Note(0, 48, 6), Note(6, 60, 6), Note(12, 48, 12))
    assert decoded.seconds_at(6) == pytest.approx(0.4)


def test_without_a_rest_the_last_pitch_lasts_and_the_ids_are_the_papers_88() -> None:
    piece = melody("-:24 60:12 -:24 62:12", tempos=(Tempo(0, 150.0),))
    tokenizer = grid(rest=False, length=4)
    assert tokenizer.encode(piece) == [[39, 39, 39, 41]]
    assert len(tokenizer.vocabulary) == 88
    assert tokenizer.normalise(piece)[1] == {"silent steps": 4}


def test_rows_of_rests_are_left_out_and_short_pieces_filled() -> None:
    piece = melody("60:12 -:108 62:12", tempos=(Tempo(0, 150.0),))
    assert grid(length=3).encode(piece) == [[40, 0, 0]]
    assert grid(length=3).normalise(piece)[1] == {"rows of rests": 2, "steps after the last whole row": 2}
    assert grid(length=4).encode(melody("60:12", tempos=(Tempo(0, 150.0),))) == [[40, 0, 0, 0]]


def test_a_hop_makes_overlapping_rows() -> None:
    piece = melody("60:12 61:12 62:12 63:12 64:12", tempos=(Tempo(0, 150.0),))
    assert grid(length=3, hop=1).encode(piece) == [[40, 41, 42], [41, 42, 43], [42, 43, 44]]


def test_steps_in_beats_do_not_hear_the_tempo() -> None:
    tune = "60:6 62:6 64:12 -:12 65:12"
    slow, fast = melody(tune, tempos=(Tempo(0, 20.0),)), melody(tune, tempos=(Tempo(0, 300.0), Tempo(7, 50.0)))
    tokenizer = grid(step_beats=0.5, length=8)
    assert tokenizer.encode(slow) == tokenizer.encode(fast) == [[40, 42, 44, 44, 0, 0, 45, 45]]
    assert tokenizer.normalise(slow)[0].notes == slow.notes


@given(strategies.pieces(most=12))
@example(melody("60:7 62:1 64:400", tempos=(Tempo(0, 33.0), Tempo(3, 200.0))))
@quick
def test_each_step_is_the_highest_pitch_at_its_instant(piece: Piece) -> None:
    spans = [(piece.seconds_at(note.onset), piece.seconds_at(note.end), note.pitch) for note in piece.tuned.notes]
    # One row holds all of it, so that none is left out.
    for instant, token in enumerate(joined(grid(length=20_000).encode(piece))[:3000:11]):
        at = 0.4 * 11 * instant
        # Rounding decides for a note that begins or ends on the instant.
        if all(abs(edge - at) > 1e-5 for begin, end, _ in spans for edge in (begin, end)):
            assert token == max((pitch - 20 for begin, end, pitch in spans if begin < at < end), default=0)


def test_a_tempo_of_years_is_cut() -> None:
    tokenizer = grid()
    piece = melody("60:12 -:9999999 61:12", tempos=(Tempo(0, 0.001),))
    assert len(joined(tokenizer.encode(piece))) <= 200_000
    assert tokenizer.normalise(piece)[1]["steps after step 200000"] > 0


def test_the_grid_counts_bars_of_four_beats() -> None:
    assert len(walk(grid().grammar(bars=3), 1)) == 3 * 8
    assert len(walk(grid(step_beats=0.25).grammar(bars=3), 1)) == 3 * 16
    assert len(walk(grid().grammar(bars=3, prefix=[40] * 10), 1)) == 3 * 8 - 10


# vocabulary.json


@every_tokenizer
def test_a_saved_vocabulary_gives_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    vocabulary.save(tokenizer, path)
    loaded = vocabulary.load(path)
    assert type(loaded) is type(tokenizer)
    assert (loaded.options, loaded.ticks_per_beat) == (tokenizer.options, tokenizer.ticks_per_beat)
    assert loaded.vocabulary == tokenizer.vocabulary
    assert [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": "../note_event"},
        {"tokenizer": 3},
        {"tokenizer": "__init__"},
        {"options": {"velocity_bins": 2}},
        {"options": {"velocity_bins": 10**9}},
        {"options": {"velocity_bins": "2"}},
        {"options": {"no_such": 1}},
        {"options": None},
        {"ticks_per_beat": 24},
        {"ticks_per_beat": 10**12},
        {"ticks_per_beat": 0},
        {"ticks_per_beat": True},
        {"ticks_per_beat": 12.0},
        {"tokens": []},
        {"tokens": "PITCH"},
        {"tokens": [None] * 5},
    ],
)
def test_another_vocabulary_is_refused_in_one_line_that_names_the_file(
    change: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "vocabulary.json"
    vocabulary.save(note_event(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError) as refused:
        vocabulary.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"tokenizer": NaN}',
        b"1" * 5_000,
        b" " * 5_000_000,
    ],
)
def test_damaged_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"vocabulary\.json"):
        vocabulary.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(RunError, match="Cannot read"):
            vocabulary.load(path)
    with pytest.raises(OutputError):
        vocabulary.save(note_event(), tmp_path)
    assert DEFAULT_VELOCITY == 80  # the docstring of note_event's options says so
