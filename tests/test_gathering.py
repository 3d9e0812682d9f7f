"""What is read of files, and kept by the hash of the very bytes that it came of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tunes import midi, tune, write

from seqgan_music.config import CorpusConfig
from seqgan_music.music import gathering
from seqgan_music.music.cache import Cache
from seqgan_music.music.gathering import Gathered, gather
from seqgan_music.music.packing import PackedReading
from seqgan_music.music.workers import TIMED_OUT, Failure

CONFIG = CorpusConfig(workers=1)
Work = Callable[[Any], Any]

ONE, OTHER = midi(tune(1)), midi(tune(2))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lines_of(found: Gathered, number: int) -> list[list[int]]:
    return [note[:2] for piece in found[number].pieces for note in piece.notes.tolist()]


def in_this_process(monkeypatch: pytest.MonkeyPatch, outcome: Callable[[Work, Any], object]) -> list[Any]:
    """Do the work of workers here, by `outcome(function, item)`; return the items that they were given."""
    given: list[Any] = []

    def bounded_map(function: Work, items: Iterable[Any], **_: object) -> Iterator[tuple[Any, object]]:
        for item in items:
            given.append(item)
            yield item, outcome(function, item)

    monkeypatch.setattr(gathering, "bounded_map", bounded_map)
    return given


def becomes(path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file change after it was first hashed."""
    hashed, pending = gathering._hashed, [data]

    def then_changed(*arguments: Any) -> Any:
        found = hashed(*arguments)
        if pending:
            path.write_bytes(pending.pop())
        return found

    monkeypatch.setattr(gathering, "_hashed", then_changed)


def test_a_file_that_changes_between_hash_and_reading_poisons_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = tmp_path / "music" / "a.mid", Cache(tmp_path / "cache")
    path.parent.mkdir()
    path.write_bytes(ONE)
    becomes(path, OTHER, monkeypatch)
    changed = gather(path.parent, ["a.mid"], CONFIG, store)
    assert changed.sha256(0) == sha256(OTHER)  # what was read, not what was hashed

    monkeypatch.setattr(gathering, "bounded_map", None)  # from the cache alone
    assert lines_of(gather(path.parent, ["a.mid"], CONFIG, store), 0) == lines_of(changed, 0)
    monkeypatch.undo()
    path.write_bytes(ONE)
    found = gather(path.parent, ["a.mid"], CONFIG, store)
    assert found.sha256(0) == sha256(ONE)
    assert lines_of(found, 0) == lines_of(gather(path.parent, ["a.mid"], CONFIG, Cache(None)), 0)
    assert lines_of(found, 0) != lines_of(changed, 0)


@pytest.mark.parametrize("changes", [True, False])
def test_a_failure_is_kept_under_a_hash_only_where_that_is_still_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    path, store = tmp_path / "music" / "a.mid", Cache(tmp_path / "cache")
    path.parent.mkdir()
    path.write_bytes(ONE)
    given = in_this_process(monkeypatch, lambda _, item: Failure(TIMED_OUT, "takes more than 20 seconds"))
    if changes:
        becomes(path, OTHER, monkeypatch)
    failed = gather(path.parent, ["a.mid"], CONFIG, store)
    assert (failed[0].reason, len(given)) == (TIMED_OUT, 1)
    assert failed.sha256(0) == (None if changes else sha256(ONE))
    path.write_bytes(ONE)
    assert gather(path.parent, ["a.mid"], CONFIG, store)[0].reason == TIMED_OUT
    assert len(given) == (2 if changes else 1)


def test_a_file_that_vanishes_or_is_none_is_known_by_no_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a=tune(1), b=tune(2))
    (tmp_path / "folder.mid").mkdir()
    (tmp_path / "empty.mid").write_bytes(b"")

    def vanishing(function: Work, item: Any) -> object:
        (tmp_path / "a.mid").unlink(missing_ok=True)
        return function(item)

    in_this_process(monkeypatch, vanishing)
    names = ["a.mid", "b.mid", "empty.mid", "folder.mid"]
    found = gather(tmp_path, names, CONFIG, Cache(None))
    assert [found[number].reason for number in range(4)] == ["unreadable", None, "empty", "not a file"]
    assert [found.sha256(number) for number in range(4)] == [None, sha256(OTHER), sha256(b""), None]


def test_an_interrupted_gathering_keeps_all_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    music = write(tmp_path / "music", **{f"t{number}": tune(number) for number in range(9)})
    names, store = [f"t{number}.mid" for number in range(9)], Cache(tmp_path / "cache")
    monkeypatch.setattr(gathering, "_BATCH", 2)

    def read_five(function: Work, item: Any) -> object:
        if len(given) > 5:
            raise KeyboardInterrupt
        return function(item)

    given = in_this_process(monkeypatch, read_five)
    with pytest.raises(KeyboardInterrupt):
        gather(music, names, CONFIG, store)
    read = {item[0] for item in given[:5]}

    again = in_this_process(monkeypatch, lambda function, item: function(item))
    found = gather(music, names, CONFIG, store)
    assert {item[0] for item in again} == set(range(9)) - read
    fresh = gather(music, names, CONFIG, Cache(None))
    assert [found.readings[number] for number in range(9)] == [fresh.readings[number] for number in range(9)]


def test_the_largest_files_are_read_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a=tune(1, 20), b=tune(2, 60), c=tune(3, 40))
    given = in_this_process(monkeypatch, lambda function, item: function(item))
    found = gather(tmp_path, ["a.mid", "b.mid", "c.mid"], CONFIG, Cache(None))
    assert [item[0] for item in given] == [1, 2, 0]
    assert [found[number].pieces[0].facts.notes for number in range(3)] == [20, 60, 40]
    assert all(isinstance(found[number], PackedReading) for number in range(3))
