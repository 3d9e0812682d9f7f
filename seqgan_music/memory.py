"""Memory that runs out: told by the error, and before an import that would not survive it."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_MEGABYTE = 2**20
_ROOM = {"numpy": 112 * _MEGABYTE, "torch": 128 * _MEGABYTE, "sklearn": 256 * _MEGABYTE}
"""Bytes of address space that must be free before a library and what it loads are imported: measured on Linux, with
a little to spare. Of torch, whose builds differ by gigabytes, it is what comes on top of its own files."""
_TOLD = re.compile(
    "failed to map segment|(can't|cannot|could not) allocate|out of memory|std::bad_alloc|can't start new thread",
    re.IGNORECASE,
)


def exhausted(error: BaseException) -> bool:
    """Whether an error says that there is no more memory, or no more threads, in whatever words a library has.

    A library that cannot be loaded for want of memory says so in an ImportError, or in one behind that.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MemoryError) or getattr(found, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(found, ImportError | OSError | RuntimeError) and _TOLD.search(str(found)):
            return True
        found = found.__cause__
    return False


def watch_imports() -> None:
    """Have a heavy import raise MemoryError where the process's limit of address space (`ulimit -v`) is too low.

    The libraries' own code ends the whole process there, without a word, or with one of C++.
    """
    if _address_space() is not None and not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's would take 41 MB for each core more


class _Watch(MetaPathFinder):
    """Finds nothing: it looks at what is about to be imported, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise MemoryError where there is not enough room for a library."""
        needed = _ROOM.get(fullname, 0)
        free = _address_space() if needed else None
        if free is None:
            return None
        if fullname == "torch":
            needed += _size_of_libraries(fullname)
        if free < needed:
            raise MemoryError(fullname)
        return None


def _size_of_libraries(package: str) -> int:
    """Bytes of a package's shared libraries, which are mapped whole; 0 where they are not to be found."""
    spec = PathFinder.find_spec(package)
    folder = Path(spec.origin).parent / "lib" if spec and spec.origin else None
    return sum(path.stat().st_size for path in folder.glob("*.so*")) if folder else 0


def _address_space() -> int | None:
    """Bytes of address space that this process may still take; None where there is no limit, or no telling."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except (ImportError, AttributeError, OSError, ValueError):  # Windows; macOS
        return None
    return None if limit == resource.RLIM_INFINITY else limit - pages * os.sysconf("SC_PAGE_SIZE")
