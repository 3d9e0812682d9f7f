"""What is too much for memory, kept in files without a name while a scan lasts: byte strings, and growing arrays.

The files vanish with the process, however it ends. They lie beside the cache where there is one, since a system's
folder for temporary files may itself be memory.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from seqgan_music.errors import OutputError

Array = npt.NDArray[Any]

_WRITTEN = 1 << 18  # bytes gathered before they are written


def unnamed(folder: Path | None) -> IO[bytes]:
    """Open a file without a name in a folder, or where the system keeps such files."""
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=folder, buffering=0)
        except OSError:
            pass  # a cache that cannot be written is done without
    return tempfile.TemporaryFile(buffering=0)


class _Growing:
    """Bytes that grow at the end of an unnamed file. Raises OutputError where there is no more space.

    Several threads may append and read.
    """

    def __init__(self, folder: Path | None) -> None:
        self._guard = threading.RLock()  # the file has one position
        self._file = unnamed(folder)
        weakref.finalize(self, self._file.close)
        self._written = 0
        self._tail = bytearray()

    def __len__(self) -> int:
        return self._written + len(self._tail)

    def append(self, data: bytes) -> int:
        """Add bytes; return where they begin."""
        with self._guard:
            start = len(self)
            self._tail += data
            if len(self._tail) >= _WRITTEN:
                self._flush()
            return start

    def _flush(self) -> None:
        try:
            self._file.seek(self._written)
            while self._tail:
                count = self._file.write(self._tail)
                del self._tail[:count]
                self._written += count
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(
                f"Cannot keep what was read of the music: {reason}. Free some space, or set"
                " SEQGAN_MUSIC_CACHE to a folder that has some."
            ) from None

    def read(self, start: int, length: int) -> bytes:
        with self._guard:
            if start >= self._written:
                return bytes(self._tail[start - self._written : start - self._written + length])
            if start + length > self._written:
                self._flush()
            self._file.seek(start)
            found = b""
            while len(found) < length and (some := self._file.read(length - len(found))):
                found += some
            return found

    @property
    def file(self) -> IO[bytes]:
        with self._guard:
            self._flush()
            return self._file


class Spool:
    """Byte strings by number, 0 to `count` - 1, put in any order and read as often as needed."""

    def __init__(self, count: int, folder: Path | None = None) -> None:
        self._bytes = _Growing(folder)
        self._starts = np.full(count, -1, dtype=np.int64)
        self._lengths = np.zeros(count, dtype=np.int64)

    def __len__(self) -> int:
        """How many there is a place for."""
        return len(self._starts)

    def put(self, number: int, data: bytes) -> None:
        """Keep a string. Raises OutputError where there is no space."""
        self._starts[number], self._lengths[number] = self._bytes.append(data), len(data)

    def __contains__(self, number: int) -> bool:
        """Say whether a string was put there."""
        return bool(self._starts[number] >= 0)

    def __getitem__(self, number: int) -> bytes:
        """Return a string. Raises KeyError where none was put."""
        if self._starts[number] < 0:
            raise KeyError(number)
        return self._bytes.read(int(self._starts[number]), int(self._lengths[number]))


class Column:
    """A one-dimensional array that grows; only its newest part and what is asked for is in memory."""

    def __init__(self, kind: npt.DTypeLike, folder: Path | None = None) -> None:
        self.kind = np.dtype(kind)
        self._bytes = _Growing(folder)

    def __len__(self) -> int:
        """Number of values."""
        return len(self._bytes) // self.kind.itemsize

    def extend(self, values: Array) -> None:
        """Add values at the end. Raises OutputError where there is no space."""
        self._bytes.append(np.ascontiguousarray(values, dtype=self.kind).tobytes())

    def __getitem__(self, part: slice) -> Array:
        """Return a part, read now: a copy."""
        start, stop, _ = part.indices(len(self))
        size = self.kind.itemsize
        return np.frombuffer(self._bytes.read(start * size, max(0, stop - start) * size), dtype=self.kind)

    def parts(self, most: int) -> Iterator[Array]:
        """Yield all values, at most so many at a time."""
        for start in range(0, len(self), most):
            yield self[start : start + most]

    def mapped(self) -> Array:
        """Return all values as an array that is read from the file as it is used; nothing can be added any more."""
        if not len(self):
            return np.zeros(0, dtype=self.kind)
        return np.memmap(self._bytes.file, dtype=self.kind, mode="r")
