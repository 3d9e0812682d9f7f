"""What is kept in unnamed files is what was put there, whatever the order, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgan_music.errors import OutputError
from seqgan_music.music import spool
from seqgan_music.music.spool import Column, Spool

PARTS = st.lists(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=9), max_size=9)


@pytest.fixture(autouse=True)
def written_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_WRITTEN", 13)


@given(st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=40))))
def test_a_spool_is_a_dictionary_of_numbers(puts: list[tuple[int, bytes]]) -> None:
    kept, expected = Spool(5), dict[int, bytes]()
    assert len(kept) == 5
    for number, data in puts:
        kept.put(number, data)
        expected[number] = data
        assert kept[number] == data  # reading does not disturb what is put later
    assert {number: kept[number] for number in range(5) if number in kept} == expected
    for number in set(range(5)) - expected.keys():
        with pytest.raises(KeyError):
            kept[number]


@given(PARTS, st.integers(1, 7), st.integers(-30, 30), st.integers(-30, 30))
def test_a_column_is_the_array_of_its_parts(parts: list[list[int]], most: int, start: int, stop: int) -> None:
    column = Column(np.int16)
    for part in parts:
        column.extend(np.array(part, dtype=np.int64))
        assert len(column[:]) == len(column)
    whole = np.array([value for part in parts for value in part], dtype=np.int16)
    assert np.array_equal(column[:], whole)
    assert np.array_equal(column[start:stop], whole[start:stop])
    read = list(column.parts(most))
    assert all(len(part) <= most for part in read)
    assert np.array_equal(np.concatenate([whole[:0], *read]), whole)
    assert np.array_equal(column.mapped(), whole)
    assert column.mapped().dtype == np.int16


def test_values_are_read_from_the_file_where_they_are_used() -> None:
    column = Column(np.int32)
    column.extend(np.arange(1000))
    mapped = column.mapped()
    assert isinstance(mapped, np.memmap)
    del column  # the array keeps what it needs
    assert int(mapped.sum()) == 499_500


def test_nothing_is_seen_of_it_in_its_folder(tmp_path: Path) -> None:
    kept = Spool(1, tmp_path / "new")
    kept.put(0, os.urandom(500))
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_cannot_be_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = Spool(1, tmp_path / "file")
    kept.put(0, b"kept elsewhere")
    assert kept[0] == b"kept elsewhere"


def test_no_space_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, folder: Path | None) -> None: ...

        def seek(self, place: int) -> None: ...

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None: ...

    monkeypatch.setattr(spool, "unnamed", Full)
    with pytest.raises(OutputError, match=r"no space left on device\. Free some space, or set SEQGAN_MUSIC_CACHE"):
        Spool(1).put(0, os.urandom(100))


def test_several_threads_may_put_and_read() -> None:
    kept, wrong = Spool(400), list[int]()

    def work(first: int) -> None:
        for number in range(first, 400, 4):
            kept.put(number, b"%d" % number * 20)
            wrong.extend(n for n in range(first, number + 1, 4) if kept[n] != b"%d" % n * 20)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [kept[number] for number in range(400)] == [b"%d" % number * 20 for number in range(400)]
