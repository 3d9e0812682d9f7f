"""Several instruments and drums, from a file to tokens and back to tracks; the sustain pedal as longer notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import odd_midi
import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_run import make_run, teach
from strategies import BANDS, pieces
from test_tokenizers import ids_of, names, quick

from seqgan_music.compose import Composer, Controls, Primer
from seqgan_music.config import ReadingConfig
from seqgan_music.errors import ConfigError
from seqgan_music.music.arrangement import Arrangement
from seqgan_music.music.arranging import arranged
from seqgan_music.music.formats.midi import midi_bytes
from seqgan_music.music.formats.musicxml import musicxml_bytes
from seqgan_music.music.formats.roll import roll_svg
from seqgan_music.music.notes import DRUMS, PROGRAMS, UNSAID, Meter, Note, Piece
from seqgan_music.music.packing import PackedPiece, PackedReading
from seqgan_music.music.reading import Reading, read
from seqgan_music.music.tokenizers import create

FIRST, SECOND, CELLO = 40, 40 + PROGRAMS, 42
TRIO = Piece(
    tuple(
        sorted(
            [
                Note(0, 67, 24, 80, FIRST), Note(24, 66, 12, 80, FIRST), Note(0, 62, 36, 80, SECOND),
                Note(0, 43, 36, 80, CELLO), Note(36, 60, 12, 80, SECOND), Note(48, 48, 60, 80, CELLO),
                Note(36, 36, 1, 80, DRUMS), Note(36, 42, 1, 80, DRUMS), Note(48, 38, 1, 80, DRUMS),
            ]
        )
    ),
    meters=(Meter(0, 3, 4),),
)  # fmt: skip


def read_bytes(tmp_path: Path, data: bytes, **changes: object) -> Reading:
    path = tmp_path / "file.mid"
    path.write_bytes(data)
    return read(path, replace(ReadingConfig(), **changes))  # type: ignore[arg-type]


def program(number: int, channel: int = 0) -> bytes:
    return bytes((0, 0xC0 | channel, number))


def players(tmp_path: Path, data: bytes, **changes: object) -> list[tuple[int, int]]:
    notes = read_bytes(tmp_path, data, instruments=True, **changes).pieces[0].notes
    return [(note.pitch, note.instrument) for note in notes]


def test_an_instrument_that_changes_inside_a_track_is_another_player(tmp_path: Path) -> None:
    flute = [program(73), odd_midi.note(60), program(40), program(41), odd_midi.note(62), odd_midi.note(64)]
    track = odd_midi.chunk(*flute, program(73), odd_midi.note(65), program(0))
    assert players(tmp_path, odd_midi.midi(track)) == [(60, 73), (62, 41), (64, 41), (65, 73)]
    # On one channel in another track, before its own programs are said, and of drums, which have none.
    other = odd_midi.chunk(odd_midi.note(70, 2 * odd_midi.BEAT), odd_midi.note(71))
    drums = odd_midi.chunk(program(9, 9), odd_midi.note(36, channel=9), program(8, 9), odd_midi.note(38, channel=9))
    assert players(tmp_path, odd_midi.midi(track, other, drums)) == [
        (36, DRUMS), (60, 73), (70, 73 + PROGRAMS), (38, DRUMS), (62, 41), (64, 41), (71, 41 + PROGRAMS), (65, 73)
    ]  # fmt: skip
    assert players(tmp_path, odd_midi.midi(track), track="1") == [(pitch, 73) for pitch in (60, 62, 64, 65)]
    found = arranged(tmp_path / "file.mid", ReadingConfig()).arrangement
    assert found
    assert [(one.program, len(one.notes)) for one in found.tracks] == [(73, 2), (41, 2)]


def test_bends_are_counted_where_they_bend(tmp_path: Path) -> None:
    bends = [bytes((0, 0xE0, *bend)) for bend in ((0, 64), (1, 64), (0, 70))]
    track = odd_midi.chunk(*bends, *(odd_midi.note(pitch) for pitch in odd_midi.SCALE))
    assert read_bytes(tmp_path, odd_midi.midi(track)).counts == {"pitch_bends_left_out": 2}


def test_a_bar_is_written_part_by_part_as_the_docstring_says() -> None:
    tokenizer = create("ensemble", {}, 12)
    [row] = tokenizer.encode(TRIO)
    assert names(tokenizer, row) == (
        "PROGRAM(40) PROGRAM(40) PROGRAM(42) PROGRAM(drums) METER(3/4) "
        "BAR PROGRAM(40) PITCH(67) END(24) PITCH(66) END(36) PROGRAM(40) PITCH(62) END(36) "
        "PROGRAM(42) PITCH(43) END(36) "
        "BAR PROGRAM(40) PROGRAM(40) PITCH(60) END(12) PROGRAM(42) AT(12) PITCH(48) END(36) HOLD "
        "PROGRAM(drums) AT(0) DRUM(36) DRUM(42) AT(12) DRUM(38) END_OF_PIECE"
    )
    assert tokenizer.decode(row).piece == TRIO
    assert tokenizer.units(row) == len(TRIO.notes)


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("METER(3/4) PROGRAM(40) PROGRAM(0) PROGRAM(40) METER(3/4) BAR PROGRAM(42)", {"METER": 1, "PROGRAM": 2}),
        ("PROGRAM(40) METER(3/4) BAR PROGRAM(40) BAR PITCH(60) END(12) PROGRAM(40)", {"BAR": 1, "PROGRAM": 1}),
        ("PROGRAM(drums) PROGRAM(drums) METER(3/4) BAR PROGRAM(drums) DRUM(36) AT(3) DRUM(36) PITCH(60) DRUM(36)", {
            "PROGRAM": 1, "DRUM": 2, "PITCH": 1}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_dropped_and_counted_by_kind(text: str, dropped: dict[str, int]) -> None:
    tokenizer = create("ensemble", {}, 12)
    assert tokenizer.decode(ids_of(tokenizer, text)).dropped == dropped


def test_a_loudness_said_twice_or_not_at_all_is_no_mistake() -> None:
    tokenizer = create("ensemble", {"velocity_bins": 8}, 12)
    decoded = tokenizer.decode(
        ids_of(
            tokenizer,
            "PROGRAM(40) PROGRAM(42) METER(3/4) BAR PROGRAM(40) PITCH(60) END(12) VELOCITY(4) PITCH(62) END(24)"
            " PROGRAM(42) VELOCITY(1) PITCH(50) END(12) VELOCITY(1) PITCH(52) END(24)",
        )
    )
    assert not decoded.dropped
    assert [(note.pitch, note.velocity) for note in decoded.piece.notes] == [(50, 24), (60, 72), (52, 24), (62, 72)]


def test_no_more_instruments_than_there_may_be() -> None:
    tokenizer = create("ensemble", {}, 12)
    piece = Piece(tuple(Note(12 * n, 60, 12, 80, n) for n in range(40)))
    normal, changed = tokenizer.normalise(piece)
    assert {note.instrument for note in normal.notes} == set(range(32))
    assert changed == {"notes of instruments after the 32nd": 8}
    assert tokenizer.decode(tokenizer.encode(piece)[0]).piece == normal


@quick
@given(pieces(most=12), st.sampled_from(["note_event", "pitch_grid"]))
def test_tokenizers_without_instruments_leave_drums_out_and_count_them(piece: Piece, name: str) -> None:
    tokenizer = create(name, {}, 12)
    drums = sum(note.drum for note in piece.notes)
    normal, changed = tokenizer.normalise(piece)
    assert changed["drums left out"] == drums
    assert normal.notes == tokenizer.normalise(piece.tuned)[0].notes
    assert {note.instrument for note in normal.notes} <= {UNSAID}


def test_tracks_of_a_file_are_instruments_and_come_back_as_tracks(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, midi_bytes(TRIO), instruments=True)
    [piece] = found.pieces
    assert piece.notes == TRIO.notes
    tracks = Arrangement.of(piece).tracks
    assert [(t.name, t.program, t.drums, len(t.notes)) for t in tracks] == [
        ("Violin 1", 40, False, 2),
        ("Violin 2", 40, False, 2),
        ("Cello", 42, False, 2),
        ("Drums", 0, True, 3),
    ]
    (tmp_path / "out.mid").write_bytes(midi_bytes(piece))
    file = pretty_midi.PrettyMIDI(str(tmp_path / "out.mid"))
    assert [(i.name, i.program, i.is_drum) for i in file.instruments] == [
        (t.name, t.program, t.drums) for t in tracks
    ]
    page = musicxml_bytes(piece).decode()
    assert page.count("<score-part ") == 4
    assert all(f"<part-name>{t.name}</part-name>" in page for t in tracks)
    assert all(f">{t.name}<" in roll_svg(piece) for t in tracks[:3])


def test_without_the_option_a_file_is_read_as_before(tmp_path: Path) -> None:
    [piece] = read_bytes(tmp_path, midi_bytes(TRIO)).pieces
    assert {note.instrument for note in piece.notes} == {UNSAID}
    assert len(piece.notes) == len(TRIO.tuned.notes)
    with_pedal = read_bytes(tmp_path, midi_bytes(TRIO), pedal_beats=2.0)
    assert with_pedal.pieces == (piece,)
    assert with_pedal.counts["drum_notes"] == 3
    assert "drum_notes" not in read_bytes(tmp_path, midi_bytes(TRIO), instruments=True).counts


def test_drums_alone_are_no_piece(tmp_path: Path) -> None:
    drums = replace(TRIO, notes=tuple(note for note in TRIO.notes if note.drum))
    assert read_bytes(tmp_path, midi_bytes(drums), instruments=True).reason == "drums only"


@pytest.mark.parametrize(("beats", "lengths"), [(0.0, [12, 12, 12]), (64.0, [30, 12, 12]), (0.5, [18, 12, 12])])
def test_the_pedal_holds_notes_within_its_bound(tmp_path: Path, beats: float, lengths: list[int]) -> None:
    """Down at half a beat, up at two and a half: the first note is held, the second is struck again."""

    def pedal(delta: int, value: int) -> bytes:
        return odd_midi.vlq(delta) + bytes((0xB0, 64, value))

    events = [
        odd_midi.on(0, 60), pedal(240, 127), odd_midi.off(240, 60),
        odd_midi.on(0, 62), odd_midi.off(480, 62), odd_midi.on(0, 62), pedal(240, 0), odd_midi.off(240, 62),
    ]  # fmt: skip
    found = read_bytes(tmp_path, odd_midi.midi(odd_midi.chunk(*events)), pedal_beats=beats)
    assert [note.duration for note in found.pieces[0].notes] == lengths
    assert found.counts.get("held_by_pedal", 0) == 2 * (beats > 0)


@quick
@given(pieces())
def test_packed_pieces_keep_instruments(piece: Piece) -> None:
    packed = PackedPiece.pack(piece)
    assert packed.unpack() == piece
    assert len(packed.tuned) == len(piece.tuned.notes)
    reading = PackedReading((packed,), None, "", {}, None)
    assert PackedReading.from_bytes(reading.to_bytes()).pieces[0].unpack() == piece


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Composer:
    run = make_run(tmp_path_factory.mktemp("run"), "ensemble", options={"keys": True, "velocity_bins": 2})
    teach(run, create("ensemble", {"keys": True, "velocity_bins": 2}, 12).encode(TRIO))
    return Composer.open(run)


@pytest.mark.parametrize("controls", [Controls(bars=3), Controls(bars=3, max_copy=3), Controls(seconds=2.0)])
def test_pieces_are_whole_and_play_on_declared_instruments(composer: Composer, controls: Controls) -> None:
    for one in composer.compose(controls, seed=5, count=3):
        assert one.finished
        assert not one.dropped
        assert all(note.instrument != UNSAID for note in one.piece.notes)
        if controls.bars:
            [*_, last] = one.piece.bars()
            assert one.piece.end <= last.end or len(list(one.piece.bars())) < 3


def test_a_primer_is_gone_on_with_and_bars_of_it_written_anew(composer: Composer) -> None:
    primer = Primer.of(TRIO, composer.tokenizer)
    assert primer is not None
    assert {note.instrument for note in primer.piece.notes} == {FIRST, SECOND, CELLO, DRUMS}
    [longer] = composer.compose(Controls(bars=2), seed=3, primer=primer)
    assert set(primer.piece.notes) <= set(longer.piece.notes)
    again = composer.infill(primer, keep=[1], seed=2, candidates=8).piece
    kept = {note for note in TRIO.notes if note.onset < 36}  # as loud as they were
    assert kept <= set(again.notes)
    assert {note.instrument for note in again.notes} <= {FIRST, SECOND, CELLO, DRUMS}


def test_a_program_cannot_be_asked_of_a_run_that_writes_its_own(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="writes its own instruments"):
        composer.compose(Controls(program=3), seed=1)


def test_bands_of_the_strategies_are_what_they_say() -> None:
    assert any(DRUMS in band for band in BANDS)
    assert np.array(BANDS[1]).max() == SECOND
