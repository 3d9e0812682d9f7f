"""Named arrays in one file: an .npz that is not compressed, so that what is large is read from it by memory map.

The members of a ZIP archive that are only stored lie in it as they are, each a .npy file with a checksum. Written
piece by piece, whole or not at all; read without running code, every checksum compared first. `numpy.load` reads
these files, and this reads those that `numpy.savez_compressed` writes, into memory.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from seqgan_music import documents
from seqgan_music.files import replacing

Array = npt.NDArray[Any]

DAMAGE = (
    *(OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError, zlib.error, NotImplementedError),
    *(MemoryError, OverflowError, RuntimeError, AttributeError, struct.error),
    *(SyntaxError, TokenError),  # numpy reads an array's header as Python's literals
)
"""What `read` raises of a file that is damaged or something else."""

_TOGETHER = 1 << 22  # bytes copied at a time
_ALIGNED = 64  # where the data of a member begins in the file: a multiple of this


def write(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; memory-mapped ones are copied part by part. Raises OutputError."""
    with replacing(path) as temporary, ZipFile(temporary, "w", ZIP_STORED) as archive:
        for name, values in arrays.items():
            _add(archive, f"{name}.npy", np.ascontiguousarray(values) if values.ndim else values)


def read(path: Path, mapped: Collection[str] | None = ()) -> dict[str, Array]:
    """Return the arrays of a file, those of `mapped` (None: all) as read-only memory maps.

    Those that are compressed, or of several dimensions, are read into memory all the same. Raises one of `DAMAGE`.
    """
    found: dict[str, Array] = {}
    with documents.opened(path) as file, ZipFile(file) as archive:
        if len(archive.infolist()) != _entries(path):  # damage can hide one behind another's comment
            raise BadZipFile("some of its entries are missing")
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                kind, shape = _header(member)
                wanted = mapped is None or name in mapped
                if wanted and info.compress_type == ZIP_STORED and len(shape) == 1 and shape[0]:
                    begin = _begin(path, info) + member.tell()
                    if kind.itemsize * shape[0] != info.file_size - member.tell():
                        raise ValueError(f"{name} has not the size that it says")
                    while member.read(_TOGETHER):  # to its end, where the checksum is compared
                        pass
                    found[name] = np.memmap(path, kind, "r", begin, shape)
                    continue
            with archive.open(info) as member:
                found[name] = np.lib.format.read_array(member, allow_pickle=False)
    return found


def let_go(values: Array) -> None:
    """Give the pages that were read of a memory-mapped file back to the system; what is needed is read again.

    The system may take them at any time, but until it does they count as this process's memory.
    """
    source = getattr(values, "_mmap", None)  # np.memmap's only way to it
    if source is not None and getattr(values, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)


def _add(archive: ZipFile, name: str, values: Array) -> None:
    info = ZipInfo(name)
    # The data of a member follow its own header (30 bytes, the name, and the extra field).
    assert archive.fp is not None
    lengths = 30 + len(name.encode()) + 20  # 20 bytes of the extra field are for sizes of more than 4 GB
    padding = -(archive.fp.tell() + lengths + 4) % _ALIGNED
    info.extra = struct.pack("<HH", 0xFFFF, padding) + bytes(padding)
    with archive.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(values))
        flat = values.reshape(-1)
        step = max(1, _TOGETHER // max(1, values.itemsize))
        for start in range(0, len(flat), step):
            member.write(flat[start : start + step].tobytes())
            let_go(values)


def _header(member: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    version = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = reader(member)
    if kind.hasobject:
        raise ValueError("it holds objects")
    return kind, shape


def _entries(path: Path) -> int:
    """Return how many members the last record of an archive counts; no comment follows it in ours or numpy's."""
    with documents.opened(path) as file:
        file.seek(-22, os.SEEK_END)
        return int(struct.unpack("<4s6xH10x", file.read(22))[1])


def _begin(path: Path, info: ZipInfo) -> int:
    """Return where in the file a member's data begin: past its own header, unlike the directory's."""
    with documents.opened(path) as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return int(info.header_offset) + 30 + int(name) + int(extra)
