"""Arrays in one file: what was written is read, mapped or not, and damage is told, never taken for data."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from seqgan_music import arrays

KINDS = st.sampled_from([np.bool_, np.int16, np.int32, np.int64, np.uint64, np.float32, "<U4"])
SOME = st.dictionaries(
    st.text("abc.", min_size=1, max_size=6),
    arrays_of.arrays(KINDS, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)),
    max_size=4,
)


def same(found: dict[str, arrays.Array], expected: dict[str, arrays.Array]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == values.dtype
        and found[name].shape == values.shape
        and found[name].tobytes() == values.tobytes()
        for name, values in expected.items()
    )


@given(SOME)
@settings(max_examples=40)
def test_what_was_written_is_read_here_and_by_numpy_and_so_is_numpys(
    made: dict[str, arrays.Array],
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "some.npz"
        arrays.write(path, made)
        assert same(arrays.read(path), made)
        assert same(arrays.read(path, mapped=made), made)
        with np.load(path) as theirs:
            assert same(dict(theirs), made)
        np.savez_compressed(path, **made)
        assert same(arrays.read(path, mapped=made), made)


def test_what_is_asked_for_is_mapped_in_place_and_cannot_be_written_to(tmp_path: Path) -> None:
    large, small = np.arange(100_000, dtype=np.int16), np.arange(7)
    arrays.write(tmp_path / "a.npz", {"odd name of an odd length": small, "large": large, "small": small})
    found = arrays.read(tmp_path / "a.npz", mapped=["large"])
    assert isinstance(found["large"], np.memmap)
    assert not isinstance(found["small"], np.memmap)
    assert found["large"].offset % 64 == 0
    assert not found["large"].flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found["large"][0] = 1


def test_a_mapped_array_is_written_again_as_it_is(tmp_path: Path) -> None:
    large = np.arange(3_000_000, dtype=np.int16)  # more than is copied at a time
    arrays.write(tmp_path / "a.npz", {"large": large})
    arrays.write(tmp_path / "b.npz", arrays.read(tmp_path / "a.npz", mapped=["large"]))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_flipped_byte_is_told_or_changes_nothing(tmp_path: Path) -> None:
    made = {"ids": np.arange(9, dtype=np.int16), "more": np.eye(1), "unit": np.asanyarray("note")}
    path = tmp_path / "a.npz"
    arrays.write(path, made)
    whole, told = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert same(arrays.read(path, mapped=["ids"]), made), place
        except arrays.DAMAGE:
            told += 1
    assert told > sum(values.nbytes for values in made.values())


def test_a_file_cut_anywhere_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays.write(path, {"ids": np.arange(9, dtype=np.int16)})
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(arrays.DAMAGE):
            arrays.read(path, mapped=["ids"])


@pytest.mark.parametrize("header", [b"{'descr': ('<i2', ", b"{'a': '''", b" {\n  1\n 2}", b"\x00", b"[1L"])
def test_a_header_that_is_no_literal_is_told(tmp_path: Path, header: bytes) -> None:
    with ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("ids.npy", b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(0x75) + b"\n")
    with pytest.raises(arrays.DAMAGE):
        arrays.read(tmp_path / "a.npz", mapped=["ids"])


def test_objects_are_refused_mapped_or_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.array([{"run": "code"}], dtype=object))
    for mapped in ((), ("ids",)):
        with pytest.raises(ValueError, match=r"[Oo]bject"):
            arrays.read(tmp_path / "a.npz", mapped)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux alone says whose pages are in memory")
def test_what_is_let_go_is_no_memory_any_more_and_can_be_read_again(tmp_path: Path) -> None:
    def of_files() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")

    values = np.arange(4_000_000)
    arrays.write(tmp_path / "x.npz", {"values": values})
    found = arrays.read(tmp_path / "x.npz", mapped=["values"])["values"]
    before = of_files()
    assert np.array_equal(found, values)
    assert of_files() > before + 30_000_000
    arrays.let_go(found)
    assert of_files() < before + 2_000_000
    assert np.array_equal(found, values)
    arrays.let_go(values)  # of no file: nothing happens
