"""Scores through music21: bar lines, repeats, ties and upbeats as a player reads them; untrusted text refused."""

import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.config import ReadingConfig
from seqgan_music.music.abc_tunes import read_tune
from seqgan_music.music.notes import Meter, Tempo
from seqgan_music.music.reading import read
from seqgan_music.music.score_files import pieces_from_file, scores_from_bytes
from seqgan_music.music.streams import piece_from_stream
from seqgan_music.music.unusable import UnusableError

C, D, E, F, G, A, B = 60, 62, 64, 65, 67, 69, 71


def abc(body: str, meter: str = "4/4", fields: str = "") -> str:
    return f"X:1\nT:Tune\nM:{meter}\nL:1/4\n{fields}K:C\n{body}\n"


def xml(measures: str, parts: int = 1) -> str:
    names = "".join(f'<score-part id="P{i}"><part-name>Part {i}</part-name></score-part>' for i in range(parts))
    bodies = "".join(f'<part id="P{i}">{measures}</part>' for i in range(parts))
    return f'<score-partwise version="4.0"><part-list>{names}</part-list>{bodies}</score-partwise>'


def xml_note(step: str, length: int, octave: int = 4, extra: str = "") -> str:
    grace = "<grace/>" if not length else ""
    duration = f"<duration>{length}</duration>" if length else ""
    kind = {0: "eighth", 1: "quarter", 2: "half", 4: "whole"}[length]
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{grace}{pitch}{duration}{extra}<type>{kind}</type></note>"


ATTRIBUTES = (
    "<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
)
XML_TUNE = xml(f'<measure number="1">{ATTRIBUTES}{xml_note("C", 2)}{xml_note("E", 2)}</measure>')


def packed(text: str, name: str = "score.xml", container: bool = True) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if container:
            archive.writestr("META-INF/container.xml", f'<container><rootfile full-path="{name}"/></container>')
        archive.writestr(name, text)
    return out.getvalue()


def pieces(text: str | bytes, tmp_path: Path, suffix: str = ".abc"):
    path = tmp_path / f"tune{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return pieces_from_file(path, 12)


def streamed(body: str):
    """Read a tune through music21's streams, as score_files does where tokens are not enough."""
    from music21 import converter

    return piece_from_stream(converter.parse(abc(body), format="abc"), 12, "streamed")


def notes_of(piece) -> list[tuple[int, int, int]]:
    return [(n.onset, n.pitch, n.duration) for n in piece.notes]


def pitches(piece) -> list[int]:
    return [n.pitch for n in piece.notes]


def test_a_tune_is_read_note_by_note(tmp_path):
    (piece,) = pieces(abc("C D/E/ (3F/G/A/ z | [CE]4 | z4 | B4 |", fields="Q:1/4=90\n"), tmp_path)
    first = [(0, C, 12), (12, D, 6), (18, E, 6), (24, F, 4), (28, G, 4), (32, A, 4)]
    assert notes_of(piece) == [*first, (48, C, 48), (48, E, 48), (144, B, 48)]
    assert piece.meters == (Meter(0, 4, 4),)
    assert piece.tempos == (Tempo(0, 90.0),)
    assert piece.name == "Tune"


@pytest.mark.parametrize(
    ("body", "played"),
    [
        ("|: C4 | D4 :| E4 | F4 |]", "CDCDEF"),
        ("C4 | D4 :| E4 | F4 |]", "CDCDEF"),
        ("C4 | D4 :: E4 | F4 :|", "CDCDEFEF"),
        ("C4 | D4 :| E4 | F4 :|", "CDCDEFEF"),
        ("|: C4 |1 D4 :|2 E4 | F4 |]", "CDCEF"),
        ("|: C4 |1 D4 :| E4 | F4 |]", "CDCEF"),
        ("C4 |1 D4 :|2 E4 |: F4 |1 G4 :|2 A4 |]", "CDCEFGFA"),
        ("|: C4 | D4 | E4 |]", "CDE"),
    ],
)
def test_repeats_are_played_as_a_player_reads_them(tmp_path, body, played):
    for piece in (*pieces(abc(body), tmp_path), streamed(body)):
        assert pitches(piece) == [globals()[letter] for letter in played]
        assert [n.onset for n in piece.notes] == [48 * bar for bar in range(len(played))]


def test_an_upbeat_stands_at_the_end_of_the_first_bar(tmp_path):
    (piece,) = pieces(abc("C | D E F G | A3 :|"), tmp_path)
    once = [(36, C, 12), (48, D, 12), (60, E, 12), (72, F, 12), (84, G, 12), (96, A, 36)]
    assert notes_of(piece) == once + [(onset + 96, pitch, length) for onset, pitch, length in once]
    assert [bar.start for bar in piece.bars()] == [0, 48, 96, 144, 192]
    assert piece.meters == (Meter(0, 4, 4),)


def test_ties_are_one_note_and_repeated_notes_are_not(tmp_path):
    (piece,) = pieces(abc("C2 D2- | D C C-C"), tmp_path)
    assert notes_of(piece) == [(0, C, 24), (24, D, 36), (60, C, 12), (72, C, 24)]


def test_meters_change_at_bar_lines_and_come_back_with_a_repeat(tmp_path):
    def time(beats: int, unit: int) -> str:
        return f"<attributes><time><beats>{beats}</beats><beat-type>{unit}</beat-type></time></attributes>"

    back = '<barline location="right"><repeat direction="backward"/></barline>'
    measures = (
        f'<measure number="1">{ATTRIBUTES}{xml_note("C", 4)}</measure>'
        f'<measure number="2">{time(2, 4)}{xml_note("D", 2)}{back}</measure>'
        f'<measure number="3">{xml_note("E", 2)}</measure>'
    )
    (piece,) = pieces(xml(measures), tmp_path, ".xml")
    assert notes_of(piece) == [(0, C, 48), (48, D, 24), (72, C, 48), (120, D, 24), (144, E, 24)]
    assert piece.meters == (Meter(0, 4, 4), Meter(48, 2, 4), Meter(72, 4, 4), Meter(120, 2, 4))


@pytest.mark.parametrize(
    ("body", "onsets"),
    [
        # A section's upbeat that nothing makes room for stands at the end of a bar of its own.
        ("C4 | D4 || E | F4 | G4 |]", [0, 48, 132, 144, 192]),
        # A short last bar is filled up where the next section has no upbeat.
        ("C4 | D3 || E4 | F4 |]", [0, 48, 96, 144]),
        ("C4 | D3 :| E4 | F4 |]", [0, 48, 96, 144, 192, 240]),
        # The two halves of a bar that a double bar divides lack nothing.
        ("C4 | D3 || E | F4 | G4 |]", [0, 48, 84, 96, 144]),
    ],
)
def test_whole_bars_stand_on_bar_lines(tmp_path, body, onsets):
    piece = streamed(body)
    assert [note.onset for note in piece.notes] == onsets
    assert piece.meters == (Meter(0, 4, 4),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A second voice, a measure that is too long, no meter: what abc_tunes refuses.
        (abc("V:1\nC4 | D4 |\nV:2\nE4 | F4 |"), [(0, C, 48), (0, E, 48), (48, D, 48), (48, F, 48)]),
        (abc("C4 D | E4 |"), [(0, C, 48), (48, D, 12), (60, E, 48)]),
        (abc("C D | E", meter="none"), [(0, C, 12), (12, D, 12), (24, E, 12)]),
    ],
)
def test_what_tokens_cannot_give_is_read_through_streams(tmp_path, text, expected):
    (piece,) = pieces(text, tmp_path)
    assert notes_of(piece) == expected


def test_what_is_passed_over_by_tokens_is_counted():
    counts: Counter[str] = Counter()
    text = abc('"Am"{cd}C "^slow"D !trill!E F | G4 |\nQ:1/4=60\nA4 || B | c4 |')
    scores_from_bytes(text.encode(), ".abc", "x", 12, counts=counts)
    assert +counts == Counter(
        grace_notes_dropped=2, chord_symbols_dropped=1, tempo_changes_dropped=1, notes_cut_for_pickups=1
    )


@pytest.mark.parametrize("part", ["{", "[", "(3", "^", "[K:", "C>", "[1 C4:|", "1,2-", '"C', "C-|", "K:C\n"])
def test_a_tune_of_any_characters_costs_no_more_than_linear_time(tmp_path, part):
    path = tmp_path / "hostile.abc"
    path.write_text(abc(part * (390_000 // len(part))))
    # Quadratic scans of so much text would take hours; music21, which is slow, sees none of it.
    with pytest.raises(UnusableError):
        read_tune(path.read_text() + "&", "hostile", max_notes=1_000)
    assert read(path, ReadingConfig(max_notes=1_000)).reason == "too many notes"


def test_grace_notes_and_chord_symbols_are_left_out_and_counted():
    counts: Counter[str] = Counter()
    text = abc('"Am"{D}C "G"D [CE]2 |')
    (score,) = scores_from_bytes(text.encode(), ".abc", "x", 12, counts=counts)
    assert sorted((n.onset, n.pitch) for n in score.parts[0].notes) == [(0, C), (12, D), (24, C), (24, E)]
    assert counts == {"grace_notes_dropped": 1, "chord_symbols_dropped": 2} | {
        k: 0 for k, v in counts.items() if not v
    }


def test_a_tune_book_gives_a_piece_a_tune_named_by_its_title(tmp_path):
    book = "%abc\nM:3/4\nL:1/4\n\n" + "\n".join(f"X:{i}\nT:Tune {i}\nK:C\n{'CDE|' * i}\n" for i in (1, 2, 3))
    got = pieces(book, tmp_path)
    assert [(piece.name, len(piece.notes), piece.meters[0]) for piece in got] == [
        (f"Tune {i}", 3 * i, Meter(0, 3, 4)) for i in (1, 2, 3)
    ]


def test_line_ends_and_codings_do_not_matter(tmp_path):
    text = abc("C D E F |").replace("T:Tune", "T:Sk\xe5l")
    expected = pieces(text, tmp_path)
    for data in (text.replace("\n", "\r\n"), text.encode("latin-1"), text.encode("utf-16"), "\ufeff" + text):
        got = pieces(data, tmp_path)
        assert [notes_of(piece) for piece in got] == [notes_of(piece) for piece in expected]
        assert got[0].name == "Sk\xe5l"


@pytest.mark.parametrize("suffix", [".xml", ".musicxml", ".XML"])
def test_music_xml_is_read(tmp_path, suffix):
    (piece,) = pieces(XML_TUNE, tmp_path, suffix)
    assert notes_of(piece) == [(0, C, 24), (24, E, 24)]


@pytest.mark.parametrize("container", [True, False])
def test_compressed_music_xml_is_read(tmp_path, container):
    (piece,) = pieces(packed(XML_TUNE, container=container), tmp_path, ".mxl")
    assert notes_of(piece) == [(0, C, 24), (24, E, 24)]


def test_transposing_instruments_sound_where_they_sound(tmp_path):
    transpose = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>"
    (piece,) = pieces(XML_TUNE.replace("</attributes>", transpose), tmp_path, ".xml")
    assert pitches(piece) == [C - 2, E - 2]


def test_parts_that_double_each_other_become_one_note(tmp_path):
    measure = f'<measure number="1">{ATTRIBUTES}{xml_note("C", 4)}</measure>'
    (piece,) = pieces(xml(measure, parts=3), tmp_path, ".xml")
    assert notes_of(piece) == [(0, C, 48)]


def test_da_capo_al_fine_returns_without_repeats(tmp_path):
    def bar(number: int, step: str, sign: str = "", end: str = "") -> str:
        start = ATTRIBUTES if number == 1 else ""
        return f'<measure number="{number}">{start}{xml_note(step, 4)}{sign}{end}</measure>'

    words = "<direction><direction-type><words>{}</words></direction-type></direction>"
    back = '<barline location="right"><repeat direction="backward"/></barline>'
    music = bar(1, "C") + bar(2, "D", words.format("Fine"), back) + bar(3, "E", words.format("D.C. al Fine"))
    (piece,) = pieces(xml(music), tmp_path, ".xml")
    assert pitches(piece) == [C, D, C, D, E, C, D]


def test_humdrum_is_read(tmp_path):
    (piece,) = pieces("**kern\n*M3/4\n=1\n4c\n4d\n4e\n=2\n2.f\n==\n*-\n", tmp_path, ".krn")
    assert notes_of(piece) == [(0, C, 12), (12, D, 12), (24, E, 12), (36, F, 36)]
    assert piece.meters == (Meter(0, 3, 4),)


def test_a_stream_without_measures_is_read():
    from music21 import meter, note, stream

    part = stream.Part(
        [meter.TimeSignature("3/4"), note.Note("C4"), note.Rest(), note.Note("E4", quarterLength=0.5)]
    )
    piece = piece_from_stream(part, 24, "flat")
    assert notes_of(piece) == [(0, C, 24), (48, E, 12)]
    assert piece.meters == (Meter(0, 3, 4),)
    assert (piece.name, piece.ticks_per_beat) == ("flat", 24)


def test_staves_that_do_not_share_their_bars_are_read_as_written():
    from music21 import bar, note, stream

    long, short = stream.Part(), stream.Part()
    for start in (0.0, 4.0):
        long.insert(start, stream.Measure([note.Note("C4", quarterLength=4)]))
    short.insert(0.0, stream.Measure([note.Note("E4", quarterLength=8)]))
    long.getElementsByClass("Measure")[0].rightBarline = bar.Repeat(direction="end")
    piece = piece_from_stream(stream.Score([long, short]), 12, "x")
    assert notes_of(piece) == [(0, C, 48), (0, E, 96), (48, C, 48)]


def test_repeats_cannot_explode(tmp_path):
    body = "|: C4 | " * 40 + "D4 :| " * 40
    (piece,) = pieces(abc(body), tmp_path)
    assert len(piece.notes) <= 2 * 80
    with pytest.raises(UnusableError) as caught:
        scores_from_bytes(abc(body).encode(), ".abc", "x", 12, max_notes=60)
    assert caught.value.reason == "too many notes"


BOMB = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;">]>' + XML_TUNE


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        (".xml", BOMB.encode(), "unsafe XML"),
        (".xml", BOMB.encode("utf-16"), "unsafe XML"),
        (".mxl", packed(BOMB), "unsafe XML"),
        (".xml", b'<!DOCTYPE a SYSTEM "file:///etc/passwd" [ ]>' + XML_TUNE.encode(), "unsafe XML"),
        (".xml", b"<html/>", "not MusicXML"),
        (".xml", b"<score-timewise/>", "not MusicXML"),
        (".xml", XML_TUNE[:-40].encode(), "damaged"),
        (".mxl", packed(XML_TUNE)[:-30], "damaged"),
        (".mxl", packed("x", "readme.txt", container=False), "not MusicXML"),
        (".mxl", packed(XML_TUNE + " " * 40_000_000), "too large"),
        (".abc", b"\x00\x01\x02", "damaged"),
        (".abc", b"X:1\nK:C\n", "no notes"),
        (".krn", b"nothing", "damaged"),
    ],
)
def test_bad_scores_give_their_reason_and_leave_nothing_behind(tmp_path, suffix, data, reason):
    path = tmp_path / f"score{suffix}"
    path.write_bytes(data)
    got = read(path, ReadingConfig())
    assert got.reason == reason, got
    assert got.detail.isprintable()
    assert os.listdir(tmp_path) == [path.name]


def test_an_external_doctype_is_nothing_to_fear(tmp_path):
    doctype = (
        '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://x.invalid/p.dtd">'
    )
    (piece,) = pieces(f'<?xml version="1.0" encoding="UTF-8"?>{doctype}{XML_TUNE}', tmp_path, ".xml")
    assert pitches(piece) == [C, E]


def test_one_bad_tune_does_not_cost_the_book(tmp_path):
    path = tmp_path / "book.abc"
    path.write_text(abc("C D E F |") + "\n" + "X:2\nM:4/x\nK:C\nCDEF|\n\n" + abc("G A B c |").replace("X:1", "X:3"))
    got = read(path, ReadingConfig())
    assert len(got.pieces) == 2
    assert got.counts["unreadable_tunes"] == 1


def test_the_melody_of_a_score_is_its_top_part(tmp_path):
    low = f'<measure number="1">{ATTRIBUTES}{xml_note("C", 4, 3)}</measure>'
    high = f'<measure number="1">{ATTRIBUTES}{xml_note("C", 2, 5)}{xml_note("E", 2, 5)}</measure>'
    text = xml(low, parts=2)
    path = tmp_path / "two.xml"
    path.write_text(text.replace(f'<part id="P1">{low}', f'<part id="P1">{high}'))
    got = read(path, ReadingConfig(track="melody"))
    assert pitches(got.pieces[0]) == [C + 12, E + 12]
    assert got.track == "track 2 'Part 1', 2 notes"


@settings(deadline=None, max_examples=40)
@given(text=st.text(alphabet="CDEFGABcz|:[]12 ^_/,'(){}\"-<>\nXTMLKQV=3", max_size=60))
def test_any_abc_is_read_or_refused_with_a_reason(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.abc"
    path.write_text(abc(text))
    got = read(path, ReadingConfig())
    assert got.reason != "failed", got.detail
    assert (got.reason is None) == bool(got.pieces)
    assert all(n.duration >= 1 and 21 <= n.pitch <= 108 for piece in got.pieces for n in piece.notes)
