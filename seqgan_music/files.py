"""Results appear whole or not at all: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import errno
import os
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `path`, that becomes `path` when the block ends without an error.

    Missing folders are made. On any error the temporary file is removed and a former `path` stays as it was.
    A symbolic link is followed, so that it still points at the result. Raises OutputError where the system
    refuses: no space, no permission, a folder in its place. Errors about other files pass through.
    """
    target = _file_or_nothing(path)
    temporary = target.with_name(f".{secrets.token_hex(6)}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        ours = (None, str(temporary), *map(str, (target, *target.parents)))
        if error.filename is not None and os.fspath(error.filename) not in ours:
            raise
        raise _refusal(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Raise OutputError now where `replacing(path)` would raise it later. Makes nothing that stays.

    For commands to call before minutes of work; a disk that fills up meanwhile is still `replacing`'s to report.
    """
    target = _file_or_nothing(path)
    folder = next(parent for parent in target.parents if os.path.lexists(parent))
    probe = folder / f".{secrets.token_hex(6)}.part"
    try:
        # Permission bits do not tell of read-only mounts, and root ignores them: try.
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _refusal(path, error) from None


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
