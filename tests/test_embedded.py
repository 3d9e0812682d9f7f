"""The embedded corpus: ABC as players read it, files that match their manifest, restarts that change nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import mido
import pytest
from conftest import Run

from seqgan_music.errors import ConfigError, InputError, OutputError
from seqgan_music.music import embedded
from seqgan_music.music.abc_tunes import read_tune
from seqgan_music.music.notes import Piece
from seqgan_music.music.scores import piece_from_score
from seqgan_music.music.unusable import UnusableError

HEAD = "X:1\nT:A Tune\nM:2/4\nL:1/8\nK:C\n"
COUNT = 6


def tune(music: str, head: str = HEAD) -> Piece:
    return piece_from_score(read_tune(head + music, "a tune", top_line=True)[0])


def pitches(music: str, head: str = HEAD) -> str:
    """Pitches as letters, with an apostrophe in the octave above the middle one."""
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    return " ".join(names[note.pitch % 12] + "'" * (note.pitch // 12 - 5) for note in tune(music, head).notes)


def durations(music: str, head: str = HEAD) -> list[Fraction]:
    return [Fraction(note.duration, 480) for note in tune(music, head).notes]


@pytest.mark.parametrize(
    ("music", "played"),
    [
        ("CDEF|GABc:|", "C D E F G A B C' C D E F G A B C'"),
        ("CDEF|:GABc:|", "C D E F G A B C' G A B C'"),
        ("CCCC|:DDDD::EEEE:|", "C C C C D D D D D D D D E E E E E E E E"),
        # A repeat without a beginning goes back to the double bar, but not past a sign that is there.
        ("CCCC||DDDD:|", "C C C C D D D D D D D D"),
        ("|:CCCC||DDDD:|", "C C C C D D D D C C C C D D D D"),
        # endings, in the ways the books write them
        ("|:CCCC|1DDDD:|2EEEE|]", "C C C C D D D D C C C C E E E E"),
        ("CCCC|[1DDDD:|[2EEEE||FFFF:|", "C C C C D D D D C C C C E E E E F F F F F F F F"),
        ("|:CCCC [1 DDDD :|2 EEEE :|FFFF|]", "C C C C D D D D C C C C E E E E F F F F"),
        # chords by their top note; ornaments, words, fingerings and chord symbols are passed over
        ('[C2E2G2]!trill!{ab}.c"Am"d|HT(EF)~G2|', "G C' D' E F G"),
        # an accidental lasts to the bar line, and in the octave above too
        ("^FFff|F4|", "F# F# F#' F#' F"),
        ("^FF=FF|", "F# F# F F"),
        ("[^F2D2]F2|F4|", "F# F# F"),
    ],
)
def test_abc_is_played_as_players_read_it(music: str, played: str) -> None:
    assert pitches(music) == played


@pytest.mark.parametrize(
    ("music", "beats"),
    [
        ("C>D E<F|", ["3/4", "1/4", "1/4", "3/4"]),
        ("(C>(D) E)>>F|", ["3/4", "1/4", "7/8", "1/8"]),
        ("(3CDE F2|", ["1/3", "1/3", "1/3", "1"]),
        ("C2-C2|-C2D2|", ["3", "1"]),
        ("C2-D2|", ["1", "1"]),
        ("[C2-E2-][C2E2]|", ["2"]),
        ("C->D E>-F|A>\nB c2|", ["1/2", "1/2", "3/4", "1/4", "3/4", "1/4", "1"]),
        ("(3:2:4CDEF C4/3|", ["1/3", "1/3", "1/3", "1/3", "2/3"]),
        ("C/D/E3|", ["1/4", "1/4", "3/2"]),
    ],
)
def test_lengths(music: str, beats: list[str]) -> None:
    assert durations(music) == [Fraction(beat) for beat in beats]


def test_a_pickup_stands_before_the_first_bar_line() -> None:
    piece = tune("G|CDEF|G3:|")
    assert [note.onset for note in piece.notes[:3]] == [720, 960, 1200]
    assert [(bar.start, bar.length) for bar in piece.bars()] == [(960 * i, 960) for i in range(5)]
    assert [note.onset for note in piece.notes[5:8]] == [1920, 2640, 2880]  # G3, and the pickup played again


def test_a_pickup_at_a_seam_takes_its_time_from_the_note_before() -> None:
    notes = tune("CDEF|G4||A|cccc|").notes
    assert [(n.onset, n.duration) for n in notes[4:7]] == [(960, 720), (1680, 240), (1920, 240)]


def test_a_short_bar_at_a_seam_is_filled_by_a_rest() -> None:
    notes = tune("CDEF|G3||cccc|").notes
    assert [(n.onset, n.duration) for n in notes[4:6]] == [(960, 720), (1920, 240)]


def test_meter_tempo_and_key_are_read() -> None:
    score, key = read_tune("X:1\nT:t\nM:6/8\nL:1/8\nQ:3/8=80\nK:ADor\nABc dcB|[M:2/4]A2B2|\n", "t")
    piece = piece_from_score(score)
    assert [(m.onset, m.numerator, m.denominator) for m in piece.meters] == [(0, 6, 8), (1440, 2, 4)]
    assert [t.qpm for t in piece.tempos] == [120.0]
    assert key == "E minor"


@pytest.mark.parametrize(
    ("field", "played", "name"),
    [
        ("C", "C D E F G A B", "C major"),
        ("Ebmaj", "C D D# F G G# A#", "Eb major"),
        ("F#m", "C# D E F# G# A B", "F# minor"),
        ("D Mixolydian", "C D E F# G A B", "G major"),
        ("Ador", "C D E F# G A B", "E minor"),
        ("Glyd", "C# D E F# G A B", "D major"),
        ("EPhrygian", "C D E F G A B", "A minor"),
        ("HP", "C# D E F# G A B", "D major"),
        ("D ^g _b clef=bass", "C# D E F# G# A A#", "D major"),
        ("none", "C D E F G A B", "C major"),
    ],
)
def test_keys(field: str, played: str, name: str) -> None:
    head = HEAD.replace("K:C", f"K:{field}").replace("2/4", "7/8")
    assert pitches("CDEFGAB|", head) == played
    assert read_tune(head + "CDEFGAB|", "t")[1] == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEAD + "CDEF|GAB|cccc|", "out of meter"),
        (HEAD + "CDEF|GABcd|cccc|", "out of meter"),
        (HEAD + "V:1\nCDEF|\nV:2\nCDEF|", "several voices"),
        (HEAD + "CDEF & E4|", "several voices"),
        (HEAD + "|:" + "CDEF|" * 9_000 + "[1CDEF:|[2CDEF:|[3CDEF:|", "too many notes"),
        (HEAD.replace("M:2/4\n", "") + "CDEF|", "without a meter"),
        ("X:1\nT:t\n", "without a key"),
    ],
)
def test_a_tune_that_cannot_be_trusted_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(UnusableError) as refusal:
        read_tune(text, "t")
    assert refusal.value.reason == reason


def test_any_number_of_tunes_is_spread_over_the_books_and_holds_the_smaller_one() -> None:
    sources = embedded.sources("folk")
    assert len({source.stem for source in sources}) == len(sources) > 4_000
    of_all = Counter(source.file.split("/")[0] for source in sources)
    of_some = Counter(source.file.split("/")[0] for source in sources[:400])
    for book, count in of_all.items():
        assert of_some[book] / 400 == pytest.approx(count / len(sources), abs=0.06)
    assert all(source.stem.isascii() and source.stem == source.stem.lower() for source in sources)


@pytest.fixture(scope="module")
def folk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "folk"
    done = embedded.write("folk", folder, limit=COUNT, workers=2, progress=False)
    assert len(done.written) == len(done.pieces) == COUNT
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


def manifest(folder: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found


def test_the_folder_is_its_manifest(folk: Path) -> None:
    pieces = manifest(folk)["pieces"]
    assert {str(piece["file"]) for piece in pieces} == {path.name for path in folk.glob("*.mid")}
    assert {path.name for path in folk.iterdir()} == {"manifest.json", *(str(piece["file"]) for piece in pieces)}
    for piece in pieces:
        assert hashlib.sha256((folk / str(piece["file"])).read_bytes()).hexdigest() == piece["sha256"]


def test_files_read_back_note_for_note(folk: Path) -> None:
    sources = {(source.file, source.index): source for source in embedded.sources("folk")}
    for entry in manifest(folk)["pieces"]:
        source = sources[entry["source"], entry["index"]]  # type: ignore[index]
        piece = piece_from_score(read_tune(source.text, source.title)[0])
        midi = mido.MidiFile(folk / str(entry["file"]))
        assert midi.ticks_per_beat == 480
        read, begun, now = [], {}, 0
        for message in midi.tracks[-1]:
            now += message.time
            if message.type == "note_on" and message.velocity:
                begun[message.note] = now
            elif message.type in ("note_on", "note_off"):
                read.append((begun[message.note], message.note, now - begun.pop(message.note)))
        assert sorted(read) == [(note.onset, note.pitch, note.duration) for note in piece.notes]
        assert len(read) == entry["notes"]


def test_only_what_is_missing_or_damaged_is_written_again(folk: Path) -> None:
    before = snapshot(folk)
    lost, damaged, *_ = sorted(name for name in before if name.endswith(".mid"))
    (folk / lost).unlink()
    (folk / damaged).write_bytes(b"MThd")
    done = embedded.write("folk", folk, limit=COUNT, workers=1, progress=False)
    assert sorted(done.written) == sorted([lost, damaged])
    after = snapshot(folk)
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in before.items()}
    assert {name for name in after if after[name] != before[name]} == {lost, damaged}


def test_a_larger_number_adds_and_a_smaller_one_changes_nothing(folk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folk"
    folder.mkdir()
    for name, (data, _) in snapshot(folk).items():
        (folder / name).write_bytes(data)
    before = snapshot(folder)
    assert embedded.write("folk", folder, limit=2, workers=1, progress=False).written == []
    assert snapshot(folder) == before
    # Without its manifest, as a killed run leaves it: the good files are known again by their content.
    (folder / "manifest.json").unlink()
    done = embedded.write("folk", folder, limit=COUNT + 1, workers=1, progress=False)
    assert len(done.written) == 1
    after = snapshot(folder)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: value for name, value in before.items() if name != "manifest.json"
    }


def test_killed_and_run_again_gives_the_same_folder(folk: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "seqgan_music", "corpus", "folk", "--limit", str(COUNT), "--out", str(tmp_path)]
    scratch = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=scratch)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("folk/*.mid")) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    (tmp_path / "folk" / ".0123456789ab.part.mid").write_bytes(b"half")  # killed while a file was being written
    embedded.write("folk", tmp_path / "folk", limit=COUNT, workers=1, progress=False)
    straight, again = snapshot(folk), snapshot(tmp_path / "folk")
    assert {name: data for name, (data, _) in again.items()} == {name: data for name, (data, _) in straight.items()}


def test_duplicates_in_any_key_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    music = "CDEF|GABc|BAGF|EDC2|CEGE|DFAF|EGcG|B2c2|]"
    in_d = "DEFG|ABcd|cBAG|FED2|DFAF|EGBG|FAdA|c2d2|]"
    there = [
        embedded.Source("a.abc", 0, "1", "In C", "in-c", HEAD + music),
        embedded.Source(
            "a.abc",
            1,
            "2",
            "In D",
            "in-d",
            HEAD.replace("K:C", "K:D") + in_d,
        ),
        embedded.Source("a.abc", 2, "3", "In C Again", "in-c-again", HEAD + music),
        embedded.Source("a.abc", 3, "4", "Short", "short", HEAD + "CDEF|"),
    ]
    monkeypatch.setattr(embedded, "sources", lambda name: there)
    done = embedded.write("folk", tmp_path, workers=1, progress=False)
    assert done.written == ["in-c.mid"]
    assert [(entry["title"], entry["reason"], entry["detail"]) for entry in done.left_out] == [
        ("In D", "duplicate", "the same notes in another key as in-c.mid"),
        ("In C Again", "duplicate", "the same notes as in-c.mid"),
        ("Short", "too short", "4 notes, fewer than 24"),
    ]


def test_chorales_have_four_voices(tmp_path: Path) -> None:
    done = embedded.write("chorales", tmp_path, limit=2, workers=1, progress=False)
    assert len(done.pieces) == 2
    for entry in done.pieces:
        changes, now = [], 0
        for message in mido.MidiFile(tmp_path / entry["file"]).tracks[-1]:
            now += message.time
            if message.type in ("note_on", "note_off"):
                changes.append((now, 1 if message.type == "note_on" and message.velocity else -1))
        sounding = list(accumulate(change for _, change in sorted(changes)))
        assert max(sounding) == 4
        assert sounding[-1] == 0


def test_ensure_writes_what_the_settings_name_once(tmp_path: Path) -> None:
    assert embedded.ensure(tmp_path, progress=False) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "corpus.toml").write_text("[folk]\npieces = 3\n")
    said = embedded.ensure(tmp_path, progress=False)
    assert said is not None
    assert said.startswith("Wrote 3 folk tunes from music21's corpus into ")
    before = snapshot(tmp_path / "folk")
    assert embedded.ensure(tmp_path, progress=False) is None
    assert snapshot(tmp_path / "folk") == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("[folck]\npieces = 3", "there is no collection 'folck'. Did you mean 'folk'?"),
        ("[folk]\npiece = 3", '[folk] needs `pieces`, a number or "all".'),
        ("[folk]\npieces = 3\nbooks = 2", "[folk] has no key 'books'. Choices: pieces."),
        ("[folk]\npieces = 0", '[folk] pieces must be a number from 1 on, or "all"; not 0.'),
        ("[folk]\npieces = true", '[folk] pieces must be a number from 1 on, or "all"; not True.'),
        ("folk = 3", '[folk] needs `pieces`, a number or "all".'),
        ("[folk", "is not TOML"),
    ],
)
def test_settings_that_say_something_else(tmp_path: Path, settings: str, says: str) -> None:
    (tmp_path / "corpus.toml").write_text(settings)
    with pytest.raises(ConfigError) as refusal:
        embedded.ensure(tmp_path, progress=False)
    assert says in str(refusal.value)
    assert str(tmp_path / "corpus.toml") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_default_folder_is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "DEFAULT_SETTINGS", "[folk]\npieces = 1\n")
    folder = embedded.default_folder(progress=False)
    assert folder.is_relative_to(tmp_path)
    assert len(list(folder.glob("folk/*.mid"))) == 1
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", "")
    with pytest.raises(InputError, match="give a folder"):
        embedded.default_folder(progress=False)


def test_music21_without_its_corpus_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(embedded, "find_spec", lambda name: Bare)
    with pytest.raises(InputError, match=r"without its corpus .* run `pip install"):
        embedded.write("folk", tmp_path / "out", progress=False)
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="music21 is not installed"):
        embedded.write("folk", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folk").write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"):
        embedded.write("folk", tmp_path / "folk", limit=1, progress=False)
    assert (tmp_path / "folk").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Cannot write into"):
        embedded.write("folk", tmp_path / "folk", limit=1, progress=False)


def test_the_command(run: Run, tmp_path: Path) -> None:
    done = run("corpus", "folk", "--limit", "2", "--workers", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert [item["name"] for item in told] == ["folk"]
    assert {piece["file"] for piece in told[0]["pieces"]} == {p.name for p in tmp_path.glob("midi_data/folk/*.mid")}
    assert len(told[0]["written"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["folks"], "There is no collection 'folks' in the corpus. Did you mean 'folk'?"),
        (["folk", "--limit", "0"], "0 is not in the range x>=1"),
        (["folk", "--out", "/dev/null"], "Cannot write into /dev/null/folk: /dev/null is not a folder."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, arguments: list[str], says: str) -> None:
    done = run("corpus", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_committed_settings_are_the_embedded_ones(root: Path) -> None:
    assert (root / "midi_data" / "corpus.toml").read_text("utf-8") == embedded.DEFAULT_SETTINGS


def test_the_committed_pieces_are_whole_and_have_a_source(root: Path) -> None:
    folder = root / "midi_data" / "public_domain"
    counts = {
        path.name: sum(
            m.type == "note_on" and m.velocity > 0 for track in mido.MidiFile(path).tracks for m in track
        )
        for path in folder.glob("*.mid")
    }
    assert counts == {
        "allor_che_ignuda.mid": 380,
        "aloha_oe.mid": 350,
        "concertino_clarinet.mid": 4613,
        "lift_every_voice.mid": 328,
    }
    assert all(name in (folder / "SOURCES.md").read_text("utf-8") for name in counts)
