"""Scanning folders: what is kept, skipped, related, cached, split and encoded."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tunes import midi, transposed, tune, write

from seqgan_music.config import CorpusConfig, ReadingConfig
from seqgan_music.errors import InputError
from seqgan_music.music import corpus, families, gathering, tokenizers
from seqgan_music.music.cache import Cache, user_folder
from seqgan_music.music.corpus import scan, tokenize
from seqgan_music.music.finding import shown
from seqgan_music.music.notes import Meter, Note, Piece, Tempo
from seqgan_music.music.packing import PackedPiece, PackedReading
from seqgan_music.tokenset import Splits, TokenSet

CONFIG = CorpusConfig(workers=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(folder))
    return folder


def five(folder: Path) -> Path:
    return write(folder, a=tune(1), b=tune(2), c=tune(3), d=tune(4), e=tune(5))


def outcome(result: corpus.Scan) -> dict[str, str | None]:
    return {file.path: file.reason for file in result.files}


# Finding and reading


def test_a_good_folder_is_read_note_for_note(tmp_path: Path) -> None:
    result = scan(five(tmp_path), CONFIG)
    assert outcome(result) == dict.fromkeys(["a.mid", "b.mid", "c.mid", "d.mid", "e.mid"])
    first = result.pieces[0]
    lengths = [3 * sixteenths for _, sixteenths in tune(1)]
    assert [(note.pitch, note.duration) for note in first.notes] == [
        (pitch, length) for (pitch, _), length in zip(tune(1), lengths, strict=True)
    ]
    assert [note.onset for note in first.notes] == np.cumsum([0, *lengths[:-1]]).tolist()


def test_the_typical_tempo_is_the_median_and_the_program_the_commonest(tmp_path: Path) -> None:
    for number, (program, qpm) in enumerate([(40, 60), (40, 90), (73, 100), (73, 200), (40, 300)]):
        (tmp_path / f"{number}.mid").write_bytes(midi(tune(number), program=program, qpm=qpm))
    assert scan(tmp_path, CONFIG).to_json()["typical"] == {"qpm": pytest.approx(100, abs=0.01), "program": 40}


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    five(tmp_path / "good")
    (tmp_path / "good" / "UPPER.MID").write_bytes(midi(tune(6)))
    (tmp_path / "empty.mid").write_bytes(b"")
    (tmp_path / "page.mid").write_bytes(b"<html>not found</html>" * 10)
    (tmp_path / "drums.mid").write_bytes(midi(tune(7), drums=True))
    (tmp_path / "short.mid").write_bytes(midi(tune(8, notes=15)))
    (tmp_path / "._a.mid").write_bytes(b"\0\5\26\7")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "a.mid").write_bytes(b"\0\5\26\7")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "README").write_text("hello")
    result = scan(tmp_path, CONFIG)
    assert [path for path, reason in outcome(result).items() if reason is None] == [
        f"good/{name}.{suffix}" for name, suffix in [("UPPER", "MID"), *((letter, "mid") for letter in "abcde")]
    ]
    reasons = outcome(result)
    assert reasons["short.mid"] == "too few notes"
    assert reasons["drums.mid"] == "drums only"
    assert reasons["empty.mid"]
    assert reasons["page.mid"]
    assert result.found.resource_forks == 2
    assert result.found.others == {".txt": 1, "no suffix": 1}
    document = result.to_json()
    assert "drum_notes" not in document["counts"]  # it is no music that lacks them
    assert {file["path"]: file["counts"] for file in document["files"]}["drums.mid"]["drum_notes"] == 40
    assert sum(document["reasons"].values()) == document["totals"]["skipped"] == 4


@pytest.mark.skipif(os.name != "posix", reason="links and names of POSIX")
def test_loops_odd_names_and_things_that_are_not_files(tmp_path: Path) -> None:
    folder = five(tmp_path / "music")
    (folder / "loop").symlink_to(folder)
    (folder / "deeper").mkdir()
    (folder / "deeper" / "up").symlink_to(folder)
    (folder / "self.mid").symlink_to("self.mid")
    (folder / "dangling.mid").symlink_to("nowhere.mid")
    (folder / "zero.mid").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo.mid")
    (folder / "folder.mid").mkdir()
    write(folder / "folder.mid", f=tune(6))
    names = ["new\nline", "tab\t", "-dash", "%s{}*?[", "\u202egnirts", "\x1b[31m", "é", "e\u0301", "x" * 251]
    for number, name in enumerate(names):
        (folder / f"{name}.mid").write_bytes(midi(tune(10 + number)))
    (Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.mid"))).write_bytes(midi(tune(30)))
    result = scan(folder, CONFIG)
    reasons = outcome(result)
    skipped = {path for path, reason in reasons.items() if reason is not None}
    assert skipped == {"self.mid", "dangling.mid", "zero.mid", "fifo.mid"}
    assert {
        r"new\nline.mid",
        r"tab\t.mid",
        r"\u202egnirts.mid",
        r"\x1b[31m.mid",
        "é.mid",
        r"latin\udce9.mid",
    } < set(reasons)
    assert len(reasons) == 5 + 4 + 1 + len(names) + 1
    result.table().encode("utf-8")
    json.dumps(result.to_json()).encode("utf-8")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names that are not UTF-8")
def test_shown_names_survive_any_terminal() -> None:
    assert shown("plain é.mid") == "plain é.mid"
    assert shown("a\nb\udcff\u202e") == r"a\nb\udcff\u202e"


def test_wrong_folders_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(midi(tune(1)))
    (tmp_path / "none").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("")
    for path, words in [
        (tmp_path / "missing", "There is no folder"),
        (tmp_path / "a.mid", "is a file: give the folder"),
        (tmp_path / "none", "found nothing"),
        (tmp_path / "text", "other files only (1 .txt)"),
    ]:
        with pytest.raises(InputError) as caught:
            scan(path, CONFIG, check=False)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_nothing_but_bad_files_is_a_scan_without_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"scrap")
    result = scan(tmp_path, CONFIG, check=False)
    assert (result.pieces, result.related) == ((), ())
    assert result.to_json()["totals"]["pieces"] == 0
    assert "0 kept, 1 skipped" in result.table()
    with pytest.raises(InputError, match="1 music file found, 0 pieces kept"):
        result.check()


def test_too_few_pieces_says_how_many_and_why(tmp_path: Path) -> None:
    write(tmp_path, a=tune(1), b=tune(2), c=tune(1), d=tune(3, notes=3))
    with pytest.raises(InputError) as caught:
        scan(tmp_path, CONFIG)
    message = str(caught.value)
    assert "4 music files found, 2 pieces kept, but at least 4 are needed" in message
    assert "1 duplicate" in message
    assert "1 too few notes" in message
    assert len(scan(tmp_path, CONFIG, check=False).kept) == 2


def test_versions_of_two_tunes_are_not_enough_to_split(tmp_path: Path) -> None:
    write(tmp_path, a=tune(1), b=transposed(tune(1), 2), c=tune(2), d=transposed(tune(2), 3))
    with pytest.raises(InputError, match="the 4 pieces are versions of only 2 tunes"):
        scan(tmp_path, CONFIG)


def test_a_book_of_tunes_gives_several_pieces(tmp_path: Path) -> None:
    five(tmp_path)
    bars = ["C D E F | G A B c |", "G E C E | D F A c |", "c B A G | F E D C |", "E G c G | A F D B |"]
    body = "\n".join(f"X:{i}\nT:Tune {i}\nM:4/4\nL:1/4\nK:C\n{' '.join(bars[i:] + bars[:i])}\n" for i in range(2))
    (tmp_path / "book.abc").write_text(body + "\nX:9\nT:Bit\nM:4/4\nL:1/4\nK:C\nC D E F |\n")
    result = scan(tmp_path, CONFIG)
    book = next(file for file in result.files if file.path == "book.abc")
    assert [(piece.label, piece.reason) for piece in book.pieces] == [
        ("book.abc: Tune 0", None),
        ("book.abc: Tune 1", None),
        ("book.abc: Bit", "too few notes"),
    ]
    assert book.reason is None
    assert ("book.abc: Bit", "too few notes", "4 notes, at least 16 are needed") in list(result.skipped())


# Duplicates and families


def test_exact_duplicates_go_and_are_named(tmp_path: Path) -> None:
    five(tmp_path)
    (tmp_path / "z.mid").write_bytes(midi(tune(2), program=40, qpm=90))
    result = scan(tmp_path, CONFIG)
    (copy,) = [file for file in result.files if file.reason]
    assert (copy.path, copy.reason, copy.detail) == ("z.mid", "duplicate", "the same notes as b.mid")
    assert len(result.pieces) == 5


def test_transposed_and_near_duplicates_are_one_family(tmp_path: Path) -> None:
    five(tmp_path)
    varied = transposed(tune(2), -3)
    varied[7], varied[20] = (varied[7][0] + 1, 2), (varied[20][0], 6)
    write(tmp_path, up=transposed(tune(1), 5), vary=varied, part=tune(3)[5:35])
    result = scan(tmp_path, CONFIG)
    assert set(result.related) == {
        ("transposed", ("a.mid", "up.mid")),
        ("near", ("b.mid", "vary.mid")),
        ("near", ("c.mid", "part.mid")),
    }
    family = {piece.label: piece.family for piece in result.kept}
    assert family["a.mid"] == family["up.mid"]
    assert family["b.mid"] == family["vary.mid"]
    assert family["c.mid"] == family["part.mid"]
    assert len(set(family.values())) == 5


def test_tunes_with_one_section_in_common_are_one_family(tmp_path: Path) -> None:
    notes = families.SECTION + families.SHINGLE  # so many have SECTION shingles
    shared, short = tune(90, notes), tune(91, notes - 1)
    write(
        tmp_path,
        a=tune(1, 100) + shared + tune(2, 100),
        b=tune(3, 90) + transposed(shared, 4) + tune(4, 90),
        c=tune(5, 100) + short + tune(6, 100),
        d=tune(7, 90) + short + tune(8, 90),
        e=tune(9, 100),
    )
    assert scan(tmp_path, CONFIG).related == (("near", ("a.mid", "b.mid")),)


@st.composite
def relatives(draw: st.DrawFn) -> tuple[list[np.ndarray], list[int]]:
    """Pieces and the number of the tune that each is a version of."""
    pieces, origin = [], []
    for number in range(draw(st.integers(3, 8))):
        pitches, lengths = np.array(tune(draw(st.integers(0, 10**6)) * 8 + number, 60)).T
        onsets = np.cumsum(lengths * 3) - lengths[0] * 3
        notes = np.stack([onsets, pitches, lengths * 3, np.full(60, 80)], axis=1).astype(np.int32)
        for shift in draw(st.lists(st.integers(-6, 6), min_size=1, max_size=4)):
            pieces.append(notes + np.array([draw(st.integers(0, 50)), shift, 0, 0], dtype=np.int32))
            origin.append(number)
    order = draw(st.permutations(range(len(pieces))))
    return [pieces[i] for i in order], [origin[i] for i in order]


def sides(names: list[str], validation: float, test: float) -> dict[str, str]:
    found = families.sides(names, validation, test)
    return {name: families.SIDES[side] for name, side in zip(names, found, strict=True)}


@given(relatives(), st.sampled_from([0.05, 0.1, 0.4]), st.sampled_from([0.05, 0.1, 0.4]))
@settings(max_examples=40, deadline=None)
def test_no_split_tears_a_family(made: tuple[list[np.ndarray], list[int]], validation: float, test: float) -> None:
    pieces, origin = made
    family = families.kinship(pieces).family
    assert all(
        (family[i] == family[j]) == (origin[i] == origin[j]) for i in range(len(pieces)) for j in range(len(pieces))
    )
    keys = [families.family_key(notes) for notes in pieces]
    assert len(set(zip(keys, family, strict=True))) == len(set(origin))
    side = sides(keys, validation, test)
    assert set(side.values()) == {"train", "validation", "test"}


@given(st.sets(st.text(max_size=5), min_size=3, max_size=120), st.floats(0.01, 0.4), st.floats(0.01, 0.4))
@settings(deadline=None)
def test_from_three_families_on_no_side_is_empty(names: set[str], validation: float, test: float) -> None:
    side = sides(sorted(names), validation, test)
    assert side.keys() == names
    assert set(side.values()) == {"train", "validation", "test"}
    assert side == sides(sorted(names, reverse=True) * 2, validation, test)


def test_families_stay_where_they_are_when_others_come() -> None:
    names = [f"tune {number}" for number in range(400)]
    side = sides(names, 0.1, 0.1)
    for number in range(100):
        grown = sides([*names, f"newcomer {number}"], 0.1, 0.1)
        assert {name: grown[name] for name in names} == side


@pytest.mark.parametrize(
    ("total", "expected"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (20, (16, 2, 2)), (31, (25, 3, 3))]
)
def test_small_corpora_are_split_by_count(total: int, expected: tuple[int, int, int]) -> None:
    count = Counter(sides([str(number) for number in range(total)], 0.1, 0.1).values())
    assert (count["train"], count["validation"], count["test"]) == expected


def test_large_corpora_have_the_shares_asked_for() -> None:
    count = Counter(sides([str(number) for number in range(4000)], 0.1, 0.2).values())
    # 4 standard deviations of a binomial with 4,000 draws
    assert abs(count["validation"] / 4000 - 0.1) < 4 * (0.1 * 0.9 / 4000) ** 0.5
    assert abs(count["test"] / 4000 - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5


def test_a_hundred_versions_of_one_tune_are_one_family() -> None:
    dice = np.random.default_rng(0)
    pitches, lengths = np.array(tune(0, 120)).T
    notes = np.stack([np.cumsum(lengths), pitches, lengths, lengths], axis=1).astype(np.int32)
    versions = []
    for _ in range(100):
        version = notes.copy()
        version[dice.choice(120, 4, replace=False), 1] += 1
        versions.append(version)
    assert set(families.kinship(versions).family) == {0}


def test_monotonous_tunes_are_not_all_one_family() -> None:
    rows = [[(12 * i, 60, 12, 80) for i in range(16 + extra)] for extra in range(4)]
    assert families.kinship([np.array(row, dtype=np.int32) for row in rows]).family.tolist() == [0, 1, 2, 3]


# The cache


def test_a_second_scan_reads_no_file_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    five(tmp_path)
    (tmp_path / "bad.mid").write_bytes(b"MThd nonsense")
    first = scan(tmp_path, CONFIG)

    monkeypatch.setattr(gathering, "bounded_map", None)
    monkeypatch.setattr(families, "kinship", None)
    again = scan(tmp_path, CONFIG)
    assert again.to_json() == first.to_json()
    assert again.pieces == first.pieces
    assert again.table() == first.table()


@pytest.mark.parametrize("damage", ["scrap", "truncated", "schema", "value", "other tables"])
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, own_cache: Path, damage: str) -> None:
    folder = five(tmp_path)
    first = scan(folder, CONFIG)
    (file,) = own_cache.iterdir()
    if damage == "scrap":
        file.write_bytes(b"scrap" * 1000)
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "schema":  # SQLite's own message is then no text
        file.write_bytes(file.read_bytes().replace(b"TABLE entry", b"T\xffBLE entry"))
    elif damage == "value":
        with sqlite3.connect(file) as database:
            database.execute("UPDATE entry SET value = ?", (b"x\x9c not zlib",))
        database.close()
    else:
        file.unlink()
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE entry (something)")
        database.close()
    assert scan(folder, CONFIG).to_json() == first.to_json()
    if damage != "other tables":
        key = "k"
        Cache(own_cache).put({key: b"v"})
        assert Cache(own_cache).get([key]) == {key: b"v"}


def test_rows_that_no_one_asked_for_are_no_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged index of SQLite's own gives them, without a word."""
    cache = Cache(tmp_path)
    cache.put({"k": b"v"})
    rows = cache._connect(write=False).execute("SELECT key, day, value FROM entry").fetchall()  # type: ignore[union-attr]

    class Damaged:
        def execute(self, *_: object) -> list[tuple[object, ...]]:
            return [(None, 1, b"x"), ("other", *rows[0][1:]), *rows, (7, None, None)]

        def commit(self) -> None: ...

        close = commit

    monkeypatch.setattr(cache, "_connect", lambda *, write: Damaged())
    monkeypatch.setattr(cache, "_touch", lambda *_: None)
    assert cache.get(["k"]) == {"k": b"v"}


@pytest.mark.skipif(os.name != "posix", reason="a file in the place of a folder")
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    folder = five(tmp_path / "music")
    (tmp_path / "file").write_text("")
    assert len(scan(folder, CONFIG, cache=tmp_path / "file" / "cache").pieces) == 5
    assert len(scan(folder, CONFIG, cache=None).pieces) == 5


def test_other_settings_and_other_contents_are_other_entries(tmp_path: Path) -> None:
    folder = five(tmp_path)
    scan(folder, CONFIG)
    coarse = scan(folder, dataclasses.replace(CONFIG, reading=ReadingConfig(ticks_per_beat=4)))
    assert coarse.pieces[0].ticks_per_beat == 4
    (folder / "a.mid").write_bytes(midi(tune(9)))
    assert [note.pitch for note in scan(folder, CONFIG).pieces[0].notes] == [pitch for pitch, _ in tune(9)]


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQGAN_MUSIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_folder() == Path("/somewhere/seqgan-music")
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", "/elsewhere")
    assert user_folder() == Path("/elsewhere")
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", "")
    assert user_folder() is None


def test_entries_that_nobody_uses_are_forgotten(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Cache(own_cache)
    store.put({"old": b"1", "used": b"2"})
    now = __import__("seqgan_music.music.cache", fromlist=["today"]).today()
    monkeypatch.setattr("seqgan_music.music.cache.today", lambda: now + 60)
    assert store.get(["used"]) == {"used": b"2"}
    monkeypatch.setattr("seqgan_music.music.cache.today", lambda: now + 100)
    store.put({"new": b"3"})
    assert store.get(["old", "used", "new"]) == {"used": b"2", "new": b"3"}


@given(
    st.lists(
        st.tuples(st.integers(0, 999), st.integers(0, 127), st.integers(1, 99), st.integers(1, 127)), max_size=20
    ),
    st.text(max_size=8),
    st.floats(10, 400),
)
@settings(deadline=None)
def test_packing_loses_nothing(notes: list[tuple[int, int, int, int]], name: str, qpm: float) -> None:
    piece = Piece(
        notes=tuple(sorted(Note(*note) for note in notes)),
        meters=(Meter(0, 3, 4), Meter(36, 6, 8)),
        tempos=(Tempo(0, qpm), Tempo(99, 60.5)),
        program=5,
        name=name + "\udcff",
    )
    packed = PackedReading((PackedPiece.pack(piece),) * 2, None, "fine", {"drum_notes": 3}, "track 2")
    loaded = PackedReading.from_bytes(packed.to_bytes())
    assert [one.unpack() for one in loaded.pieces] == [piece, piece]
    assert loaded.pieces[1].name == piece.name
    assert loaded.pieces[1].facts == packed.pieces[0].facts
    assert loaded.pieces[0].digest == packed.pieces[0].digest
    assert (loaded.reason, loaded.detail, loaded.counts, loaded.track) == (
        None,
        "fine",
        {"drum_notes": 3},
        "track 2",
    )


# Tokens


class Pitches:
    """A tokenizer with one id a key (0..87) and an end."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        keep: int = 10**6

    name: ClassVar[str] = "pitches"
    unit_name: ClassVar[str] = "note"
    qpm = None
    vocabulary = (*map(str, range(21, 109)), "end")
    start_id, end_id = 89, 88

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        self.encoded = 0

    def normalise(self, piece: Piece) -> tuple[Piece, Counter[str]]:
        return piece, Counter({"durations lost": len(piece.notes)})

    def encode(self, piece: Piece) -> list[list[int]]:
        self.encoded += 1
        ids = [note.pitch - 21 for note in piece.notes][: self.options.keep]
        return [[*ids, 88]] if ids else []

    def units(self, ids: list[int]) -> int:
        return len(ids) - 1

    def effects(self) -> None:
        return None

    def shifts(self, semitones: list[int]) -> np.ndarray:
        table = np.arange(88)[None] + np.array(semitones)[:, None]
        table[(table < 0) | (table > 87)] = -1
        return np.concatenate([table, np.full((len(semitones), 1), 88)], axis=1).astype(np.int32)


def rows(some: TokenSet) -> set[tuple[int, ...]]:
    return {tuple(some.row(index).tolist()) for index in range(len(some))}


def test_tokens_are_split_encoded_counted_and_cached(tmp_path: Path) -> None:
    folder = five(tmp_path)
    write(folder, up=transposed(tune(1), 5))
    tokenizer = Pitches()
    result = scan(folder, CONFIG)
    splits, counts = tokenize(result, CONFIG, tokenizer)  # type: ignore[arg-type]
    assert counts == {"durations lost": 240}
    sides = [splits.train, splits.validation, splits.test]
    expected = {
        (*(pitch - 21 for pitch, _ in some), 88) for some in [*map(tune, range(1, 6)), transposed(tune(1), 5)]
    }
    assert set.union(*map(rows, sides)) == expected
    assert sum(map(len, sides)) == 6
    assert min(map(len, sides)) >= 1
    twins = {(*(pitch - 21 for pitch, _ in some), 88) for some in [tune(1), transposed(tune(1), 5)]}
    assert [len(rows(side) & twins) for side in sides].count(2) == 1
    assert all((side.units == side.lengths - 1).all() for side in sides)
    assert tokenizer.encoded == 6
    again, same = tokenize(scan(folder, CONFIG), CONFIG, tokenizer)  # type: ignore[arg-type]
    assert tokenizer.encoded == 6
    assert same == counts
    assert (again.train.ids == splits.train.ids).all()
    other = Pitches(Pitches.Options(keep=5))
    tokenize(scan(folder, CONFIG), CONFIG, other)  # type: ignore[arg-type]
    assert other.encoded == 6


def test_only_training_rows_are_transposed_and_only_within_the_keys(tmp_path: Path) -> None:
    deep = [(pitch - 37, length) for pitch, length in tune(1)]  # its lowest may be B0
    write(tmp_path, **{f"t{seed}": [(pitch - 37, length) for pitch, length in tune(seed)] for seed in range(2, 9)})
    write(tmp_path, deep=deep)
    config = dataclasses.replace(CONFIG, transpose_down=5, transpose_up=6)
    splits, _ = tokenize(scan(tmp_path, config), config, Pitches())  # type: ignore[arg-type]
    train = splits.train
    assert train.shifts.shape == (12, 89)
    assert (train.shifts[0] == np.arange(89)).all()
    assert train.shifts.min() >= 0
    semitones = [0, -1, -2, -3, -4, -5, 1, 2, 3, 4, 5, 6]
    for index in range(len(train)):
        ids = train.row(index)[:-1]
        assert train.shift_allowed[index].tolist() == [
            ids.min() + s >= 0 and ids.max() + s <= 87 for s in semitones
        ]
        for k in np.flatnonzero(train.shift_allowed[index]):
            assert (train.shifts[k][ids] == ids + semitones[k]).all()
    assert not train.shift_allowed.all()
    for side in (splits.validation, splits.test):
        assert side.shifts.tolist() == [list(range(89))]
        assert side.shift_allowed.shape == (len(side), 1)


@pytest.mark.parametrize(
    ("name", "options"),
    [("note_event", {}), ("pitch_grid", {}), ("pitch_grid", {"length": 16, "hop": 3, "step_beats": 0.25})],
)
def test_token_sets_become_the_pieces_of_their_files_again(
    tmp_path: Path, name: str, options: dict[str, float]
) -> None:
    result = scan(five(tmp_path / "music"), CONFIG)
    (tmp_path / "scan.json").write_text(json.dumps(result.to_json()))
    names = corpus.labels(tmp_path / "scan.json")
    assert names == ["a.mid", "b.mid", "c.mid", "d.mid", "e.mid"]
    tokenizer = tokenizers.create(name, options, 12)
    splits, _ = tokenize(result, CONFIG, tokenizer)
    splits.save(tmp_path / "tokens.npz")
    again = Splits.load(tmp_path / "tokens.npz")
    sides = [again.train, again.validation, again.test]
    found = [piece for side in sides for piece in corpus.pieces(side, tokenizer, names)]
    assert sorted(piece.name for piece in found) == names
    for piece in found:
        held, _ = tokenizer.normalise(result.pieces[names.index(piece.name)])
        # Rows that overlap end later than rows that do not.
        assert piece.notes[: len(held.notes) - 1] == held.notes[:-1]
    chosen = again.train.select([len(again.train) - 1, 0])
    assert chosen.sources is not None
    assert chosen.sources.tolist() == [again.train.sources[-1], again.train.sources[0]]  # type: ignore[index]


def test_a_run_of_before_sources_were_kept_gives_pieces_without_names(tmp_path: Path) -> None:
    tokenizer = tokenizers.create("note_event", {}, 12)
    splits, _ = tokenize(scan(five(tmp_path), CONFIG), CONFIG, tokenizer)
    old = dataclasses.replace(splits.train, sources=None)
    assert corpus.pieces(old, tokenizer, ["x"] * 5) == corpus.pieces(splits.train, tokenizer)
    assert {piece.name for piece in corpus.pieces(old, tokenizer, ["x"] * 5)} == {""}
    assert old.select([0]).sources is None


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": [{"pieces": [{}]}]}', "[" * 10_000])
def test_a_damaged_scan_only_costs_the_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "scan.json").write_text(text)
    assert corpus.labels(tmp_path / "scan.json") == corpus.labels(tmp_path / "nowhere.json") == []


def test_a_side_without_rows_is_one_clear_line(tmp_path: Path) -> None:
    result = scan(five(tmp_path), CONFIG)
    with pytest.raises(InputError, match="tokenizer 'pitches' makes no row"):
        tokenize(result, CONFIG, Pitches(Pitches.Options(keep=0)))  # type: ignore[arg-type]


# For people


def test_the_table_says_it_all_in_80_columns(tmp_path: Path) -> None:
    folder = five(tmp_path)
    for number in range(5):
        (folder / f"bad {number} with quite a long name indeed.mid").write_bytes(b"<html>not found</html>" * 10)
    (folder / "z.mid").write_bytes(midi(tune(2)))
    write(folder, up=transposed(tune(1), 5))
    table = scan(folder, CONFIG).table()
    lines = table.splitlines()
    assert max(map(len, lines)) <= 80 or len(str(folder)) > 60
    assert "Files         6 kept, 6 skipped" in table
    assert "Pieces        6, 1 of them versions of others" in table
    assert "z.mid: the same notes as b.mid" in table
    assert "            and 2 more" in table
    assert "a.mid, up.mid" in table
    assert "Meters      4/4 100%" in table
