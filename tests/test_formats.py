"""Formats: what is written reads back tick for tick, by a reader that is not ours."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import mido
import pretty_midi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgan_music.errors import OutputError
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.formats.roll import roll_svg
from seqgan_music.music.notes import Meter, Note, Piece, Tempo

in_folder = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read_back(path: Path) -> tuple[int, dict[str, list[tuple]], list[tuple[int, int, int, int]]]:
    """Resolution, meta events by type as (tick, message), notes as (onset, pitch, end, velocity), in file ticks."""
    file = mido.MidiFile(path, charset="utf-8")
    meta, notes = defaultdict(list), []
    for track in file.tracks:
        now, sounding = 0, {}
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity:
                assert message.note not in sounding, "a pitch struck while it sounds"
                sounding[message.note] = (now, message.velocity)
            elif message.type in ("note_on", "note_off"):
                onset, velocity = sounding.pop(message.note)
                assert now > onset, "a note without length"
                notes.append((onset, message.note, now, velocity))
            else:
                meta[message.type].append((now, message))
        assert not sounding, "a stuck note"
    assert file.type == 1
    return file.ticks_per_beat, meta, sorted(notes)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    grid = draw(st.sampled_from([4, 8, 12, 16, 24, 48, 7, 480]))
    notes, free = [], defaultdict(int)
    for onset in sorted(draw(st.lists(st.integers(0, 4000), max_size=30))):
        pitch = draw(st.integers(0, 127))
        if free[pitch] <= onset:
            notes.append(Note(onset, pitch, draw(st.integers(1, 300)), draw(st.integers(1, 127))))
            free[pitch] = notes[-1].end
    changes = sorted(draw(st.sets(st.integers(1, 4000), max_size=6)))
    tempos = tuple(Tempo(onset, draw(st.floats(4, 990))) for onset in [0, *changes])
    meters = tuple(
        Meter(onset, draw(st.integers(1, 31)), draw(st.sampled_from([1, 2, 4, 8, 16, 32])))
        for onset in [0, *changes[::2]]
    )
    return Piece(tuple(sorted(notes)), grid, meters, tempos, draw(st.integers(0, 127)))


@in_folder
@given(piece=pieces())
def test_midi_reads_back_tick_for_tick(piece: Piece, tmp_path: Path) -> None:
    write_midi(piece, tmp_path / "song.mid")
    resolution, meta, notes = read_back(tmp_path / "song.mid")
    scale, rest = divmod(resolution, piece.ticks_per_beat)
    assert (rest, resolution <= 480, resolution * 2 > 480) == (0, True, True)
    assert notes == sorted((n.onset * scale, n.pitch, n.end * scale, n.velocity) for n in piece.notes)
    assert [(tick, e.tempo) for tick, e in meta["set_tempo"]] == [
        (t.onset * scale, round(6e7 / t.qpm)) for t in piece.tempos
    ]
    assert [(tick, e.numerator, e.denominator) for tick, e in meta["time_signature"]] == [
        (m.onset * scale, m.numerator, m.denominator) for m in piece.meters
    ]
    assert [e.program for _, e in meta["program_change"]] == [piece.program]


@in_folder
@given(piece=pieces())
def test_pretty_midi_hears_the_seconds_of_the_piece(piece: Piece, tmp_path: Path) -> None:
    write_midi(piece, tmp_path / "song.mid")
    heard = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    starts = sorted(note.start for instrument in heard.instruments for note in instrument.notes)
    assert starts == pytest.approx([piece.seconds_at(n.onset) for n in piece.notes], rel=1e-4)


@in_folder
@given(
    notes=st.lists(
        st.builds(Note, st.integers(0, 60), st.integers(60, 62), st.integers(0, 40), st.integers(1, 127)),
        min_size=1,
    )
)
def test_notes_of_one_pitch_never_overlap_or_get_stuck(notes: list[Note], tmp_path: Path) -> None:
    write_midi(Piece(tuple(sorted(notes))), tmp_path / "song.mid")
    _, _, written = read_back(tmp_path / "song.mid")
    assert {(onset // 40, pitch) for onset, pitch, _, _ in written} == {(n.onset, n.pitch) for n in notes}
    assert len(written) == len({(n.onset, n.pitch) for n in notes})
    # Where nothing is struck again, the longest of the notes that share an onset sounds to its end.
    for onset, pitch, end, velocity in written:
        same = [n for n in notes if (n.onset, n.pitch) == (onset // 40, pitch)]
        following = [n.onset for n in notes if n.pitch == pitch and n.onset > onset // 40]
        assert end // 40 == min([max(n.onset + max(1, n.duration) for n in same), *following])
        assert velocity == max(n.velocity for n in same)


def test_midi_holds_key_title_comment_and_the_same_bytes(tmp_path: Path) -> None:
    piece = Piece((Note(0, 60, 12),), tempos=(Tempo(0, 93.0),), meters=(Meter(0, 6, 8),), program=73)
    for name in ("a.mid", "b.mid"):
        write_midi(piece, tmp_path / name, title="Müller 音", comment="seed 7 – é", key="F# minor")
    _, meta, _ = read_back(tmp_path / "a.mid")
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()
    assert [e.key for _, e in meta["key_signature"]] == ["F#m"]
    assert [e.text for _, e in meta["text"]] == ["seed 7 – é"]
    assert [e.name for _, e in meta["track_name"]] == ["Müller 音"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mid", "b.mid"]


def test_every_whole_tempo_survives(tmp_path: Path) -> None:
    tempos = tuple(Tempo(i, float(qpm)) for i, qpm in enumerate(range(10, 401)))
    write_midi(Piece((Note(0, 60, 500),), tempos=tempos), tmp_path / "song.mid")
    _, meta, _ = read_back(tmp_path / "song.mid")
    assert [mido.tempo2bpm(e.tempo) for _, e in meta["set_tempo"]] == pytest.approx(
        [t.qpm for t in tempos], rel=1e-5
    )
    assert [round(mido.tempo2bpm(e.tempo), 2) for _, e in meta["set_tempo"]] == [t.qpm for t in tempos]


def test_a_piece_of_ten_thousand_bars_stays_readable(tmp_path: Path) -> None:
    onset = 10_000 * 48 - 12
    write_midi(Piece((Note(onset, 60, 12),)), tmp_path / "song.mid")
    resolution, _, notes = read_back(tmp_path / "song.mid")
    assert (notes[0][0] * 12, resolution % 12) == (onset * resolution, 0)
    assert pretty_midi.PrettyMIDI(str(tmp_path / "song.mid")).instruments[0].notes[0].start == pytest.approx(
        (onset / 12) * 0.5
    )


def test_a_silent_piece_is_a_valid_file(tmp_path: Path) -> None:
    write_midi(Piece(()), tmp_path / "song.mid")
    assert read_back(tmp_path / "song.mid")[2] == []


@pytest.mark.parametrize("note", [Note(0, 128, 1), Note(0, -1, 1), Note(0, 60, 1, 0), Note(0, 60, 1, 128)])
def test_what_midi_cannot_hold_is_refused_and_leaves_nothing(note: Note, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside"):
        write_midi(Piece((note,)), tmp_path / "song.mid")
    with pytest.raises(ValueError):  # noqa: PT011, the message is mido's
        write_midi(Piece((), meters=(Meter(0, 4, 3),)), tmp_path / "song.mid")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_files_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "song.mid").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_midi(Piece(()), tmp_path / "song.mid")
    assert list((tmp_path / "song.mid").iterdir()) == []


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def test_the_roll_shows_each_note_where_it_sounds() -> None:
    notes = (Note(0, 60, 12, 127), Note(12, 62, 24, 1), Note(48, 72, 6))
    notes_drawn = [
        (float(rect.get("x", "")), float(rect.get("y", "")), float(rect.get("width", "")), rect.get("opacity"))
        for rect in parsed(roll_svg(Piece(notes))).findall("g/rect")
    ]
    left, top, _, _ = notes_drawn[0]
    assert [(x - left, top - y) for x, y, _, _ in notes_drawn] == [(0, 0), (16, 2 * 7), (4 * 16, 12 * 7)]
    assert [round(width) for _, _, width, _ in notes_drawn] == [15, 31, 7]
    assert [opacity for *_, opacity in notes_drawn] == ["1", "0.31", "0.74"]


def test_the_roll_numbers_bars_and_names_octaves() -> None:
    piece = Piece((Note(0, 59, 12), Note(100, 73, 12)), meters=(Meter(0, 4, 4), Meter(48, 3, 4)))
    labels = [text.text for text in parsed(roll_svg(piece)).iter("text")]
    assert labels == ["C4", "C5", "1", "2", "3"]
    _, beats, _, bars = (path.get("d", "") for path in parsed(roll_svg(piece)).findall("path"))
    # Bars of 4, 3 and 3 beats: four bar lines, and the beats between them.
    assert (bars.count("M"), beats.count("M")) == (4, 3 + 2 + 2)


@in_folder
@given(piece=pieces(), title=st.none() | st.text(max_size=20))
def test_the_roll_is_xml_that_holds_all_its_notes(piece: Piece, title: str | None) -> None:
    svg = parsed(roll_svg(piece, title=title))
    width, height = float(svg.get("width", "")), float(svg.get("height", ""))
    rects = svg.findall("g/rect")
    assert len(rects) == len(piece.notes)
    for rect in rects:
        x, y = float(rect.get("x", "")), float(rect.get("y", ""))
        assert 0 <= x <= x + float(rect.get("width", "")) <= width
        assert 0 <= y <= y + float(rect.get("height", "")) <= height


def test_a_roll_of_nothing_is_one_bar() -> None:
    labels = [text.text for text in parsed(roll_svg(Piece(()), title="a < b & c")).iter("text")]
    assert (labels[0], labels[-1]) == ("a < b & c", "1")


def test_a_tune_takes_a_few_kilobytes() -> None:
    tune = Piece(tuple(Note(6 * i, 60 + i % 12, 6) for i in range(128)))
    assert len(roll_svg(tune)) < 90 * 128
