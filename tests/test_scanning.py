"""A scan in flat memory: the same as one that holds everything, killed or not, and little alive at a time."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
import weakref
import zlib
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from tunes import transposed, tune, write

from seqgan_music import arrays
from seqgan_music.config import CorpusConfig
from seqgan_music.learning.data import Sequences
from seqgan_music.music import corpus, families, gathering, scan_files, spool, tokenizers
from seqgan_music.music.cache import Cache
from seqgan_music.music.finding import Found
from seqgan_music.music.gathering import Gathered
from seqgan_music.music.notes import Note, Piece
from seqgan_music.music.packing import PackedPiece, PackedReading
from seqgan_music.music.reading import read
from seqgan_music.music.scanning import Scan
from seqgan_music.music.spool import Spool
from seqgan_music.tokenset import Splits, TokenSet

CONFIG = CorpusConfig(workers=1)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Tunes with a copy, a transposition and a variation of some, a short one, two in one file, and no music."""
    folder = write(tmp_path / "music", **{f"t{seed:02}": tune(seed, 40) for seed in range(12)})
    write(folder / "more", copy=tune(3, 40), higher=transposed(tune(4, 40), 3), short=tune(50, 5))
    write(folder / "more", varied=[*tune(5, 40)[:30], *tune(51, 10)])
    (folder / "no music.mid").write_bytes(b"no music")
    (folder / "empty.mid").write_bytes(b"")
    abc = [
        f"X:{n}\nT:{t}\nM:4/4\nL:1/4\nK:C\n{bars}\n" for n, t, bars in ((1, "one", "CDEF|" * 5), (2, "two", "C|"))
    ]
    (folder / "book.abc").write_text("\n".join(abc))
    return folder


def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything done in so small parts that borders between them fall everywhere."""
    for module, name, value in (
        (gathering, "_BATCH", 2),
        (gathering, "_LOOKED_UP", 3),
        (families, "_TOGETHER", 50),
        (spool, "_WRITTEN", 100),
        (corpus, "_BATCH", 2),
    ):
        monkeypatch.setattr(module, name, value)


def plain(splits: Splits) -> dict[str, Any]:
    return {
        f"{side}.{name}": np.asarray(value).tolist()
        for side, tokens in vars(splits).items()
        for name, value in vars(tokens).items()
    }


def test_a_scan_is_what_one_that_holds_everything_would_find(music: Path) -> None:
    found = corpus.scan(music, CONFIG, cache=None)
    names = sorted(str(path.relative_to(music)) for path in music.rglob("*.*") if path.is_file())
    assert [file.path for file in found.files] == names
    readings = {name: PackedReading.pack(read(music / name, CONFIG.reading)) for name in names}
    candidates = [
        piece for name in names for piece in readings[name].pieces if piece.facts.notes >= CONFIG.min_notes
    ]
    kinship = families.kinship([piece.tuned for piece in candidates])
    kept = [number for number, copy in enumerate(kinship.copy_of) if copy == number]
    facts = [candidates[number].facts for number in kept]
    roots = [kinship.family[number] for number in kept]

    assert list(found.pieces) == [candidates[number].unpack() for number in kept]
    assert [bytes(row).hex() for row in found.digests] == [candidates[number].digest for number in kept]
    groups: dict[str, set[int]] = {}
    for name, root in zip(found.family_names, roots, strict=True):
        groups.setdefault(name, set()).add(root)
    assert all(len(some) == 1 for some in groups.values())
    assert len(groups) == len(set(roots)) == found.summary()["totals"]["different_tunes"] == 13

    summary = found.summary()
    assert summary["totals"] | {"resource_forks": 0} == {
        "files": 19,
        "kept_files": 15,
        "pieces": 15,
        "skipped": 5,
        "different_tunes": 13,
        "notes": sum(one.notes for one in facts),
        "beats": round(sum(one.beats for one in facts), 3),
        "seconds": round(sum(one.seconds for one in facts), 3),
        "onsets": sum(one.onsets for one in facts),
        "chords": sum(one.chords for one in facts),
        "lowest": min(one.lowest for one in facts),
        "highest": max(one.highest for one in facts),
        "other_files": 0,
        "resource_forks": 0,
    }
    assert summary["typical"]["qpm"] == round(median(one.qpm for one in facts), 2)
    assert summary["meters"] == dict(Counter(meter for one in facts for meter in one.meters).most_common())
    counts = sum((Counter(dict(reading.counts)) for reading in readings.values()), Counter[str]())
    assert summary["counts"] == dict(counts.most_common())
    assert dict(found.related) == {
        "transposed": ("more/higher.mid", "t04.mid"),
        "near": ("more/varied.mid", "t05.mid"),
    }
    assert sorted(reason for _, reason, _ in found.skipped()) == sorted(
        ["duplicate", "empty", "not MIDI", "too few notes", "too few notes"]
    )


def test_small_steps_lead_to_the_same_place(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizers.create("note_event", {}, 12)
    scan = corpus.scan(music, CONFIG, cache=None)
    splits, counts = corpus.tokenize(scan, CONFIG, tokenizer)
    small_steps(monkeypatch)
    for store in (None, tmp_path / "cache", tmp_path / "cache"):  # the third time all is known
        again = corpus.scan(music, CONFIG, cache=store)
        assert again.to_json() == scan.to_json()
        assert json.loads("".join(again.json_text())) == json.loads(json.dumps(scan.to_json()))
        assert again.table() == scan.table()
        others, same = corpus.tokenize(again, CONFIG, tokenizer)
        assert plain(others) == plain(splits)
        assert same == counts


def test_a_folder_of_a_run_tells_names_and_tunes_as_the_scan_does(music: Path, tmp_path: Path) -> None:
    scan = corpus.scan(music, CONFIG, cache=None)
    scan_files.write(scan, tmp_path)
    told = json.loads((tmp_path / scan_files.SCAN).read_bytes())
    lines = [json.loads(line) for line in (tmp_path / scan_files.FILES).read_text().splitlines()]
    assert {**told, "files": lines} == json.loads(json.dumps(scan.to_json()))
    names = [piece.label for piece in scan.kept]
    assert scan_files.labels(tmp_path / scan_files.SCAN) == names
    assert scan_files.known_families(tmp_path / scan_files.SCAN) == set(scan.family_names)

    (tmp_path / "old").mkdir()  # a run of before there was a second file
    (tmp_path / "old" / scan_files.SCAN).write_text(json.dumps(scan.to_json()))
    assert scan_files.labels(tmp_path / "old" / scan_files.SCAN) == names
    assert scan_files.known_families(tmp_path / "old" / scan_files.SCAN) == set(scan.family_names)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("moment", ["in put 1", "before put 7", "in put 10", "before put 11", "in put 13"])
def test_a_scan_that_is_killed_goes_on_to_the_same_result(music: Path, tmp_path: Path, moment: str) -> None:
    """Puts 1 to 10 are readings two by two, the eleventh what is related, then come tokens."""
    script = textwrap.dedent(
        """
        import os, signal, sqlite3, sys
        from pathlib import Path
        from seqgan_music.config import CorpusConfig
        from seqgan_music.music import corpus, gathering, tokenizers
        from seqgan_music.music.cache import Cache

        gathering._BATCH = corpus._BATCH = 2
        folder, store, place, number = sys.argv[1:]
        put, done = Cache.put, 0

        class Killing(sqlite3.Connection):
            def commit(self):
                os.kill(os.getpid(), signal.SIGKILL)  # all is written but not yet true

        def counted(self, values):
            global done
            done += bool(values)
            if done == int(number) and values:
                if place == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                connect = sqlite3.connect
                sqlite3.connect = lambda *some, **named: connect(*some, factory=Killing, **named)
            put(self, values)

        Cache.put = counted
        config = CorpusConfig(workers=1)
        scan = corpus.scan(Path(folder), config, cache=Path(store))
        corpus.tokenize(scan, config, tokenizers.create("note_event", {}, 12))
        """
    )
    place, _, number = moment.split()
    store = tmp_path / "cache"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(
        [sys.executable, "-c", script, str(music), str(store), place, number], env=environment, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    known = sum(
        bool(Cache(store).get([gathering._Origin([path.name], CONFIG.reading).of(0, sha256(path))[0]]))
        for path in music.rglob("*.*")
        if path.is_file()
    )
    assert known == min(2 * (int(number) - 1), 19)

    tokenizer = tokenizers.create("note_event", {}, 12)
    scans = [corpus.scan(music, CONFIG, cache=cache) for cache in (store, None)]
    assert scans[0].to_json() == scans[1].to_json()
    splits = [corpus.tokenize(scan, CONFIG, tokenizer)[0] for scan in scans]
    assert plain(splits[0]) == plain(splits[1])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Memory


def many(count: int, notes: int) -> Gathered:
    """Return so many readings of one long tune each, without files."""
    readings = Spool(count)
    dice = np.random.default_rng(1)
    first = PackedPiece.pack(Piece(tuple(Note(6 * number, 60, 6) for number in range(notes)), 12))
    for number in range(count):
        some = first.notes.copy()
        some[:, 1] = dice.integers(40, 90, notes)
        piece = PackedPiece(f"{number}", 12, first.meters, first.tempos, 0, first.facts, some)
        readings.put(number, zlib.compress(PackedReading((piece,), None, "", {}, None).to_bytes()))
    return Gathered(readings, np.zeros((count, 32), dtype=np.uint8), np.ones(count, dtype=np.bool_))


def scanned(gathered: Gathered) -> Scan:
    names = [f"{number:06}.mid" for number in range(len(gathered.readings))]
    return Scan(Path("folder"), CONFIG, Found(files=names), gathered, cache=None)


def test_no_more_readings_are_alive_than_are_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0
    unpack = PackedReading.from_bytes.__func__  # type: ignore[attr-defined]

    class Reading(PackedReading):
        __hash__ = object.__hash__

    def counted(cls: type, data: bytes) -> PackedReading:
        nonlocal most
        found: PackedReading = unpack(Reading, data)
        alive.add(found)
        most = max(most, len(alive))
        return found

    monkeypatch.setattr(PackedReading, "from_bytes", classmethod(counted))
    scan = scanned(many(120, 50))
    tokenizer = tokenizers.create("note_event", {}, 12)
    corpus.tokenize(scan, CONFIG, tokenizer)
    scan_files.write(scan, tmp_path)
    assert len(list(scan.pieces)) == 120
    assert most <= 3  # the one at work, the one before it, and the one that was kept


def peak(function: Any, *arguments: Any) -> int:
    """Return the most bytes that Python and numpy had allocated at a time while a function ran."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_scan_grows_by_facts_and_not_by_music(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_TOGETHER", 5000)
    monkeypatch.setattr(spool, "_WRITTEN", 1000)

    def whole(gathered: Gathered) -> None:
        scan = scanned(gathered)
        assert sum(1 for _ in scan.file_entries()) == sum(1 for _ in scan.pieces)

    few, more = many(15, 800), many(45, 800)
    whole(many(4, 800))  # what is made once
    # Other threads of the process are counted too, and only ever add: the least of three is the scan's own.
    least = [min(peak(whole, some) for _ in range(3)) for some in (more, few)]
    grown = (least[0] - least[1]) / 30
    # A piece's notes are 16,000 bytes, its shingles 6,400, and as objects they are many times that.
    assert grown < 4000


def test_training_reads_ids_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_TOGETHER", 1 << 14)
    dice = np.random.default_rng(1)
    rows = [dice.integers(0, 88, 20_000) for _ in range(100)]
    tokens = TokenSet.from_rows(rows, vocabulary_size=89, start_id=89, end_id=88)
    splits = Splits(tokens, tokens.select([0]), tokens.select([1]))
    splits.save(tmp_path / "tokens.npz")
    found: list[Splits] = []

    def load() -> None:
        found.append(Splits.load(tmp_path / "tokens.npz"))
        data = Sequences(found[0].train, torch.device("cpu"))
        assert data.rows(torch.tensor([7]), 64, 0).tolist() == [rows[7][:64].tolist()]

    load()  # what is made once
    found.clear()
    assert peak(load) < tokens.ids.nbytes / 10
    assert isinstance(found[0].train.ids, np.memmap)
    assert np.array_equal(found[0].train.ids, tokens.ids)


def test_ids_are_never_all_in_memory_between_tokenizer_and_file() -> None:
    splits, _ = corpus.tokenize(scanned(many(12, 60)), CONFIG, tokenizers.create("note_event", {}, 12))
    assert all(isinstance(side.ids, np.memmap) for side in vars(splits).values())
