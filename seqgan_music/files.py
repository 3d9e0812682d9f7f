"""Results appear whole or not at all: written under a temporary name in the same folder, then renamed.

The temporary name follows from the result's. What a killed process has left is taken over by the next that writes
the same result, so that such files do not pile up. A lock, which goes with its process, tells it from one in use.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seqgan_music.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "Free some space, or choose another place.",
    errno.EDQUOT: "Free some space, or choose another place.",
    errno.EACCES: "Choose a place that you may write to.",
    errno.EPERM: "Choose a place that you may write to.",
    errno.EROFS: "Choose a place that you may write to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "One of the folders in its path is a file; choose another place.",
}

_UNFINISHED = re.compile(r"\.[0-9a-f]{12}(-\w+)?\.part(\..*)?", re.DOTALL)
"""Names of temporary files; without a number those of former versions."""
_AT_ONCE = 16
"""Processes that write one result at the same time, before names are drawn."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `path`, that becomes `path` when the block ends without an error.

    Missing folders are made. On any error the temporary file is removed and a former `path` stays as it was.
    A symbolic link is followed, so that it still points at the result. Raises OutputError where the system
    refuses: no space, no permission, a folder in its place. Errors about other files pass through.
    """
    target = _file_or_nothing(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(target) as temporary:
            yield temporary
            os.replace(temporary, target)
    except OSError as error:
        if error.filename is not None and not _is_about(Path(os.fsdecode(error.filename)), target):
            raise
        raise _refusal(path, error) from None


def check_writable(path: Path) -> None:
    """Raise OutputError now where `replacing(path)` would raise it later. Makes nothing that stays.

    For commands to call before minutes of work; a disk that fills up meanwhile is still `replacing`'s to report.
    """
    target = _file_or_nothing(path)
    folder = next(parent for parent in target.parents if os.path.lexists(parent))
    try:
        # Permission bits do not tell of read-only mounts, and root ignores them: try.
        with _unfinished(folder / target.name) as probe:
            probe.touch()
    except OSError as error:
        raise _refusal(path, error) from None


def _is_about(path: Path, target: Path) -> bool:
    return path in (target, *target.parents) or (path.parent == target.parent and is_unfinished(path.name))


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is one that `replacing` was in the middle of writing."""
    return _UNFINISHED.fullmatch(name) is not None


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` that is this process's alone, of an empty file or none; it goes in the end."""
    path, descriptor = _taken(target)
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()
        if descriptor is not None:
            os.close(descriptor)


def _taken(target: Path) -> tuple[Path, int | None]:
    """Return the first of a target's temporary paths that no living process writes, and what holds its lock."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    for number in range(_AT_ONCE):
        path = target.with_name(f".{digest}-{number}.part{target.suffix}")
        descriptor = _locked(path)
        if descriptor is not None:
            return path, descriptor
    return target.with_name(f".{secrets.token_hex(6)}-r.part{target.suffix}"), None


def _locked(path: Path) -> int | None:
    """Lock an empty file, a new one or one that a killed process of ours has left. None: another has it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    # Others may write to the folder, as to /tmp: a link or a file of theirs under our name must do no harm.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor, new = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:
        try:
            descriptor, new = os.open(path, flags), False
        except OSError:
            return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, here = os.fstat(descriptor), path.lstat()
        # Renamed or removed since it was opened, it is no longer the file of this name.
        if os.path.samestat(found, here) and _is_our_own(found):
            os.truncate(descriptor, 0)
            return descriptor
    except BlockingIOError:
        pass
    except OSError:
        if new:  # a file system without locks
            return descriptor
    os.close(descriptor)
    return None


def _is_our_own(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()


def _file_or_nothing(path: Path) -> Path:
    """Return where `path` leads through symbolic links, if a file may stand there."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return target
    except OSError as error:
        raise _refusal(path, error) from None
    if stat.S_ISDIR(mode):
        raise OutputError(f"Cannot write {path}: it is a folder. Give the name of a file.")
    if not stat.S_ISREG(mode):
        # Renaming over a device or a pipe would replace it by a plain file.
        raise OutputError(f"Cannot write {path}: it is not a plain file. Choose another name.")
    return target


def _refusal(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"Cannot write {path}: {reason}. {_ADVICE.get(error.errno or 0, 'Choose another place.')}")
