"""Files of ours that others may have changed: plain ones alone, of a bounded size, numbers that any code can hold.

A pipe in a file's place would be waited for, a device read without end, and a whole number of JSON or TOML may be
larger than any float. All that is read whole is read through here, so that none of it can hang or surprise.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

LARGEST = 1 << 28
"""Bytes of a document: twice what 200,000 files took in the longest of them."""
_LONGEST_LINE = 1 << 24
_MOST_DIGITS = 18
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


def opened(path: Path) -> BufferedReader:
    """Open a plain file to be read. Raises OSError, at once for a folder, pipe, socket or device too."""
    _check_plain(path, os.stat(path))  # to open a device may do something already
    return open(_plain(path, os.O_RDONLY), "rb")


def lengthened(path: Path) -> FileIO:
    """Open a plain file, or a new one, to write at its end, unbuffered. Raises OSError as `opened` does."""
    return open(_plain(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b", buffering=0)


def append(path: Path, line: bytes) -> None:
    """Add a line to a file, whole or not at all, and see it on the disk; other writers are waited for.

    What a killed process has left of a line is ended, so that this one stands alone. Raises OSError.
    """
    with lengthened(path) as file:
        _lock(file.fileno())
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def read(path: Path, most: int = LARGEST) -> bytes:
    """Return the bytes of a plain file. Raises OSError, also where there are more than `most`."""
    with opened(path) as file:
        data = b"" if os.fstat(file.fileno()).st_size > most else file.read(most + 1)
        if len(data) > most or (not data and os.fstat(file.fileno()).st_size > most):
            raise OSError(errno.EFBIG, f"it has more than {max(1, most >> 20)} MB", str(path))
        return data


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a plain file, however many. Raises OSError, also where one is longer than any of ours."""
    with opened(path) as file:
        while line := file.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise OSError(errno.EFBIG, f"a line has more than {_LONGEST_LINE >> 20} MB", str(path))
            yield line


def parsed(data: bytes | str) -> Any:
    """Return what JSON says. Raises ValueError, for numbers past any float and for nesting without end, too."""
    try:
        return json.loads(data, parse_int=_whole, parse_float=_real)
    except RecursionError:
        raise ValueError("it is nested without end") from None


def load(path: Path) -> Any:
    """Return what a file of JSON says. Raises OSError and ValueError, as `read` and `parsed` do."""
    return parsed(read(path))


def why(error: Exception) -> str:
    """Return what is wrong with a file, as the system or a reader says it, for the middle of a sentence."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text[:1].lower() + text[1:]


def _plain(path: Path, flags: int) -> int:
    # Without waiting: a pipe may have come there since, and would want another process at its other end.
    flags |= _NONBLOCK | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        _check_plain(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int) -> None:
    """Wait for other writers; the lock goes with the file."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except (ImportError, OSError):  # not on Windows; a file system without locks
        pass


def _check_plain(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, socket or device", str(path))


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("it holds a number that is too large")
    return value
