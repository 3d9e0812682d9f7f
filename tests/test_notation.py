"""Notation: any piece on the grid reads back note for note, and its page follows the rules that readers rely on."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from music21 import converter

from seqgan_music.music import formats
from seqgan_music.music.arrangement import Arrangement, Track, separate
from seqgan_music.music.formats.musicxml import musicxml_bytes
from seqgan_music.music.notation.layout import Event, lay_out
from seqgan_music.music.notation.rhythm import TYPES, beams, meter_tree, values
from seqgan_music.music.notation.spelling import Signature, find
from seqgan_music.music.notation.voices import staves
from seqgan_music.music.notes import Meter, Note, Piece, Tempo
from seqgan_music.music.score_files import scores_from_bytes
from seqgan_music.music.scores import piece_from_score

METERS = [(4, 4), (3, 4), (2, 4), (6, 8), (9, 8), (12, 8), (2, 2), (3, 8), (5, 8), (7, 8), (5, 4), (3, 2), (6, 16)]
Sounding = list[tuple[int, int, int]]
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes where each try goes through music21


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """Anything that a grid of 12 can hold: chords, held notes, syncopes, triplets against sixteenths."""
    numerator, denominator = draw(st.sampled_from(METERS))
    step = draw(st.sampled_from([1, 2, 3, 4, 6]))
    notes = draw(
        st.lists(
            st.builds(
                Note,
                st.integers(0, 150 // step).map(lambda n: n * step),
                st.integers(30, 95),
                st.integers(1, 60 // step).map(lambda n: n * step),
            ),
            min_size=1,
            max_size=14,
        )
    )
    return Piece(tuple(sorted(separate(notes))), 12, (Meter(0, numerator, denominator),))


def sounding(piece: Piece) -> Sounding:
    """Onset, pitch and duration in ticks, from the first bar that sounds on."""
    length = piece.meters[0].bar_ticks(piece.ticks_per_beat)
    start = piece.notes[0].onset // length * length
    return [(note.onset - start, note.pitch, note.duration) for note in piece.notes]


def read_by_ourselves(data: bytes) -> Piece:
    (score,) = scores_from_bytes(data, ".musicxml", "x", 12)
    return piece_from_score(score)


def read_by_music21(data: bytes) -> Sounding:
    """Notes as music21 has them, ties merged here: its own merging gives up on chords that are tied in part."""
    heads: list[tuple[Fraction, Fraction, int, str]] = []
    score = converter.parseData(data.decode(), format="musicxml")
    for element in score.recurse().notes:
        onset = Fraction(element.getOffsetInHierarchy(score))
        for note in getattr(element, "notes", (element,)):
            kind = note.tie.type if note.tie else ""
            heads.append((onset * 12, Fraction(note.quarterLength) * 12, note.pitch.midi, kind))
    found: list[list[Any]] = []
    open_: dict[int, list[Any]] = {}
    for onset, length, pitch, tie in sorted(heads):
        if tie in ("stop", "continue"):
            assert open_[pitch][0] + open_[pitch][2] == onset
            open_[pitch][2] += length
        else:
            found.append([onset, pitch, length])
        if tie in ("start", "continue"):
            open_[pitch] = open_[pitch] if tie == "continue" else found[-1]
    return sorted((int(onset), pitch, int(length)) for onset, pitch, length in found)


@settings(max_examples=60, deadline=None, phases=QUICK)
@given(piece=pieces())
def test_a_score_reads_back_note_for_note(piece: Piece) -> None:
    back = read_by_ourselves(musicxml_bytes(piece))
    assert sounding(back) == sounding(piece)
    assert [(m.numerator, m.denominator) for m in back.meters] == [
        (m.numerator, m.denominator) for m in piece.meters
    ]


@settings(max_examples=15, deadline=None, phases=QUICK)
@given(piece=pieces())
def test_music21_reads_the_same_notes(piece: Piece) -> None:
    found = read_by_music21(musicxml_bytes(piece))
    first = min(onset for onset, _, _ in found)
    # A pickup bar begins with its first note.
    assert [(o - first, p, d) for o, p, d in found] == [
        (o - sounding(piece)[0][0], p, d) for o, p, d in sounding(piece)
    ]


@settings(max_examples=100, deadline=None)
@given(piece=pieces(), key=st.sampled_from(["C major", "F# minor", "Eb major", "Bb minor"]))
def test_every_bar_of_every_voice_is_full(piece: Piece, key: str) -> None:
    score = lay_out(Arrangement.of(piece), key)
    for staff in score.parts[0].staves:
        for measure in staff.measures:
            assert len(measure.voices) <= 2
            for events in measure.voices:
                edges = [measure.first, *(event.value.end for event in events)]
                assert [event.value.start for event in events] == edges[:-1]
                assert edges[-1] == measure.bar.length


@settings(max_examples=200, deadline=None)
@given(
    meter=st.sampled_from(METERS),
    grid=st.sampled_from([12, 24, 48]),
    cuts=st.sets(st.integers(1, 200), max_size=6),
    silent=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_written_values_last_as_long_as_the_notes(
    meter: tuple[int, int], grid: int, cuts: set[int], silent: list[bool]
) -> None:
    tree = meter_tree(*meter, grid)
    edges = [0, *sorted(cut for cut in cuts if cut < tree.length), tree.length]
    for index, written in values(edges, silent[: len(edges) - 1], tree, grid):
        assert [value.start for value in written] == [edges[index], *(value.end for value in written[:-1])]
        assert written[-1].end == edges[index + 1]
        for value in written:
            length = Fraction(4 * grid, 2**value.type) * Fraction(2 ** (value.dots + 1) - 1, 2**value.dots)
            assert length * (Fraction(2, 3) if value.tuplet else 1) == value.end - value.start
            if value.tuplet:
                assert value.tuplet[0] <= value.start < value.end <= value.tuplet[1]


def shown(edges: list[int], meter: tuple[int, int] = (4, 4), rests: str = "") -> str:
    """Written values of consecutive notes on a grid of 12, as "4. 8-8": dots, ties, "t" for a triplet."""
    tree = meter_tree(*meter, 12)
    silent = [str(n) in rests for n in range(len(edges) - 1)]
    names = dict(zip(TYPES, ("1", "2", "4", "8", "16", "32", "64", "128", "256"), strict=True))
    return " ".join(
        "-".join(names[TYPES[v.type]] + "." * v.dots + "t" * bool(v.tuplet) for v in written)
        for _, written in values(edges, silent, tree, 12)
    )


@pytest.mark.parametrize(
    ("edges", "meter", "expected"),
    [
        ([0, 48], (4, 4), "1"),
        ([0, 18, 24, 42, 48], (4, 4), "4. 8 4. 8"),
        ([0, 6, 18, 24, 48], (4, 4), "8 4 8 2"),
        ([0, 12, 36, 48], (4, 4), "4 2 4"),
        ([0, 18, 30, 48], (4, 4), "4. 8-8 4."),  # the middle of the bar is seen
        ([0, 9, 12, 24], (2, 4), "8. 16 4"),
        ([0, 4, 8, 12, 20, 24], (2, 4), "8t 8t 8t 4t 8t"),
        ([0, 8, 16, 24], (2, 4), "4t 4t 4t"),
        ([0, 2, 4, 6, 9, 12, 24], (2, 4), "16t 16t 16t 16 16 4"),
        ([0, 12, 18, 24, 36], (6, 8), "4 8 8 4"),
        ([0, 24, 36], (6, 8), "4.-8 4"),  # two dotted quarters are seen
        ([0, 36], (6, 8), "2."),
        ([0, 24, 36], (3, 4), "2 4"),
        ([0, 30], (5, 8), "4.-4"),
    ],
)
def test_values_let_beats_be_seen(edges: list[int], meter: tuple[int, int], expected: str) -> None:
    assert shown(edges, meter) == expected


def test_rests_are_written_beat_by_beat() -> None:
    assert shown([0, 12, 48], rests="1") == "4 4-2"
    assert shown([0, 6, 48], rests="1") == "8 8-4-2"
    assert shown([0, 6, 36], (6, 8), rests="1") == "8 8-8-4."


def beamed(edges: list[int], meter: tuple[int, int]) -> list[list[str]]:
    tree = meter_tree(*meter, 12)
    written = [value for _, parts in values(edges, [False] * (len(edges) - 1), tree, 12) for value in parts]
    found = beams(written, tree, 12)
    return [[beam.kind for beam in found.get(index, [])] for index in range(len(written))]


def test_beams_show_the_meter() -> None:
    eighths = [*range(0, 49, 6)]
    assert beamed(eighths, (4, 4)) == [["start"], ["continue"], ["continue"], ["stop"]] * 2
    assert beamed(eighths[:7], (3, 4)) == [["start"], ["stop"]] * 3
    assert beamed(eighths[:7], (6, 8)) == [["start"], ["continue"], ["stop"]] * 2
    assert beamed([0, 9, 12], (1, 4)) == [["start"], ["stop", "partial-left"]]
    assert beamed([0, 3, 12], (1, 4)) == [["start", "partial-right"], ["stop"]]
    assert beamed([0, 12, 24], (2, 4)) == [[], []]
    assert beamed([0, 3, 6, 9, 12], (1, 4)) == [
        ["start", "start"],
        ["continue", "continue"],
        ["continue", "continue"],
        ["stop", "stop"],
    ]


@pytest.mark.parametrize(
    ("key", "pitches", "names"),
    [
        ("D major", [62, 66, 68, 73], ["D0", "F1", "G1", "C1"]),
        ("G minor", [67, 70, 66, 63], ["G0", "B-1", "F1", "E-1"]),
        ("C major", [61, 63, 66, 68, 70], ["C1", "E-1", "F1", "G1", "B-1"]),
        ("A minor", [68, 66], ["G1", "F1"]),
        ("Ab major", [68, 61, 63], ["A-1", "D-1", "E-1"]),
    ],
)
def test_pitches_are_spelt_in_their_key(key: str, pitches: list[int], names: list[str]) -> None:
    signature = Signature.parse(key)
    assert [f"{letter}{alter}" for letter, alter, _ in map(signature.spell, pitches)] == names


@given(st.integers(0, 127), st.integers(-7, 7), st.booleans())
def test_a_spelt_pitch_is_that_pitch(pitch: int, fifths: int, minor: bool) -> None:
    letter, alter, octave = Signature(fifths, minor).spell(pitch)
    assert 12 * (octave + 1) + {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[letter] + alter == pitch


@pytest.mark.parametrize(("tonic", "fifths"), [(0, 0), (7, 1), (2, 2), (5, -1), (3, -3), (6, 6), (1, -5)])
def test_the_key_of_a_scale_is_found(tonic: int, fifths: int) -> None:
    notes = [Note(12 * i, 60 + tonic + s, 12) for i, s in enumerate((0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0))]
    assert find(notes) == Signature(fifths, False)


def test_accidentals_are_written_once_a_bar_and_taken_back() -> None:
    pitches = [66, 66, 65, 66, 65, 65, 66, 67]
    piece = Piece(tuple(Note(12 * i, pitch, 12) for i, pitch in enumerate(pitches)))
    (staff,) = lay_out(Arrangement.of(piece), "C major").parts[0].staves
    marks = [event.heads[0].shown for measure in staff.measures for event in measure.voices[0]]
    assert marks == [True, False, True, True, False, False, True, False]


def test_a_pickup_is_a_short_bar_that_reads_back(tmp_path: Path) -> None:
    jig = Piece(
        tuple(Note(30 + 6 * i, 62 + i % 5, 6) for i in range(13)), 12, (Meter(0, 6, 8),), (Tempo(0, 180.0),)
    )
    formats.write(jig, tmp_path / "jig.musicxml", formats.Options(title="A jig", key="D major"))
    data = (tmp_path / "jig.musicxml").read_bytes()
    assert b'<measure implicit="yes" number="0">' in data
    assert b"<per-minute>120</per-minute>" in data
    assert b"<beat-unit-dot />" in data
    assert b"<work-title>A jig</work-title>" in data
    back = read_by_ourselves(data)
    assert sounding(back) == sounding(jig)
    assert back.tempos == jig.tempos


def chorale() -> Piece:
    lines = ((72, 74, 76, 77), (67, 67, 67, 69), (64, 62, 60, 60), (48, 47, 48, 53))
    moving = (Note(60, 65, 6), Note(66, 64, 6))
    notes = [Note(12 * i, pitch, 12) for line in lines for i, pitch in enumerate(line)]
    return Piece(tuple(sorted([*notes, Note(48, 76, 24), Note(48, 67, 12), *moving, Note(48, 48, 24)])))


def test_a_chorale_has_two_hands_and_a_moving_voice_its_own_stem() -> None:
    piece = chorale()
    upper, lower = staves(piece.notes)
    # No hand reaches further than an octave where it need not.
    assert [n.pitch for n in upper if n.onset == 0] == [64, 67, 72]
    assert [n.pitch for n in lower if n.onset == 0] == [48]
    part = lay_out(Arrangement.of(piece)).parts[0]
    assert [staff.clef for staff in part.staves] == ["treble", "bass"]
    first, second = part.staves[0].measures
    assert (len(first.voices), len(second.voices)) == (1, 2)

    def pitches(events: list[Event]) -> list[list[int]]:
        return [[head.pitch for head in event.heads] for event in events if event.heads]

    assert pitches(second.voices[0]) == [[76]]
    assert pitches(second.voices[1]) == [[67], [65], [64]]


def test_a_melody_has_one_staff_in_its_clef() -> None:
    for pitch, clef in ((70, "treble"), (45, "bass")):
        tune = Piece(tuple(Note(12 * i, pitch + i % 5, 12) for i in range(8)))
        (staff,) = lay_out(Arrangement.of(tune)).parts[0].staves
        assert staff.clef == clef


def test_drums_stand_on_a_percussion_staff_and_are_no_pitches() -> None:
    hits = tuple(Note(6 * i, (36, 42)[i % 2], 3) for i in range(16))
    band = Arrangement((Track(chorale().notes, 0, "Piano"), Track(hits, 0, "Kit", drums=True)))
    data = musicxml_bytes(band)
    assert data.count(b"<sign>percussion</sign>") == 1
    assert data.count(b"<unpitched>") == 16
    assert sounding(read_by_ourselves(data)) == sounding(chorale())


def test_the_same_music_is_the_same_file_and_mxl_holds_it(tmp_path: Path) -> None:
    for name in ("a.musicxml", "b.musicxml", "a.mxl", "b.mxl"):
        formats.write(chorale(), tmp_path / name, formats.Options(title="x"))
    assert (tmp_path / "a.musicxml").read_bytes() == (tmp_path / "b.musicxml").read_bytes()
    assert (tmp_path / "a.mxl").read_bytes() == (tmp_path / "b.mxl").read_bytes()
    with zipfile.ZipFile(BytesIO((tmp_path / "a.mxl").read_bytes())) as packed:
        assert packed.read("score.musicxml") == (tmp_path / "a.musicxml").read_bytes()


def test_played_music_is_written_on_a_grid_that_can_be_read() -> None:
    played = tuple(Note(480 * i + (-1) ** i * 7 + 7, 60 + i, 430) for i in range(8))
    (staff,) = lay_out(Arrangement((Track(played),), 480)).parts[0].staves
    assert [
        TYPES[event.value.type] for measure in staff.measures for event in measure.voices[0] if event.heads
    ] == ["quarter"] * 8


def test_an_engraved_score_has_each_note_once() -> None:
    pytest.importorskip("verovio", reason="the extra 'score' is not installed")
    from seqgan_music.music.formats.score import score_svg

    svg = score_svg(chorale(), title="A & B")
    assert svg.count('class="note"') == len(chorale().notes)
    assert ">A &amp; B</text>" in svg
    assert svg == score_svg(chorale(), title="A & B")


def test_a_score_is_engraved_in_another_thread_too() -> None:
    pytest.importorskip("verovio", reason="the extra 'score' is not installed")
    from concurrent.futures import ThreadPoolExecutor

    from seqgan_music.music.formats.score import score_svg

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(score_svg, chorale()).result() == score_svg(chorale())
