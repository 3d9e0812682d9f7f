"""Folders of runs: made under a time's name, locked while a process works in them, swept of unfinished files."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from seqgan_music import documents
from seqgan_music.errors import InputError, OutputError, RunError
from seqgan_music.files import check_writable, is_unfinished, replacing

RUNS = Path("runs")
LOCK = "lock"
_BEGINNING = ".beginning.part"
"""In a folder from before the first file of a run on until after the last: those files are ours, and no run yet."""


def check_free(folder: Path, files: Sequence[str]) -> None:
    """Check that a new run can be written to a folder; `files` as `new_folder` takes them.

    Raises InputError where there is something already, OutputError where nothing can be written.
    """
    if os.path.isfile(folder):
        raise InputError(f"{folder} is a file. Give --out a new folder.")
    check_writable(folder / files[-1])
    _check_empty(folder, files)


def _check_empty(folder: Path, files: Sequence[str]) -> None:
    there = _names(folder)
    if files[-1] in there:
        raise InputError(f"{folder} is not empty. Give --out a new folder. To go on with it: --resume {folder}.")
    begun = _BEGINNING in there  # and killed: what it has written goes, and what others have put there stays
    others = {name for name in there if not (_is_ours(name, files) if begun else name == LOCK)}
    if others:
        raise InputError(f"{folder} is not empty: there is {min(others)}. Give --out a new folder.")


def _is_ours(name: str, files: Collection[str]) -> bool:
    return name in (LOCK, _BEGINNING, *files) or is_unfinished(name)


def check_run(folder: Path) -> None:
    """Raise RunError where a folder is no training run."""
    if not os.path.isfile(folder / "config.toml"):
        raise RunError(f"{folder} is not a run: it has no config.toml. Train one: seqgan-music train DIR.")


def stamp() -> str:
    """Return the time as the name of a run."""
    return time.strftime("%Y-%m-%d_%H-%M-%S")


@contextmanager
def new_folder(out: Path | None, files: Sequence[str], prefix: str = "") -> Iterator[Path]:
    """Make the folder of a new run, `out` or `runs/` and the time, and lock it; it goes again if the block fails.

    `files` are the names of all that the block may write. The last is what makes the folder a run of this kind, and
    is written last. Nothing else is ever removed.

    Raises InputError or RunError where it is taken, OutputError where it cannot be made.
    """
    name = prefix + stamp()
    # Other runs may begin in the same second.
    candidates = [RUNS / (name + end) for end in ("", *(f"-{n}" for n in range(2, 1000)))] if out is None else [out]
    for path in candidates:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=out is not None)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise _cannot_make(path, error) from None
    else:
        raise InputError(f"{path} is taken. Give --out a new folder.")
    with locked(path):
        if (path / files[-1]).exists():
            raise InputError(f"Another process has begun a run in {path}. Give --out a new folder.")
        _check_empty(path, files)
        try:
            _clear(path, files, keep={LOCK, _BEGINNING})
            (path / _BEGINNING).touch()
            yield path
            (path / _BEGINNING).unlink()
        except BaseException as error:
            _clear(path, files)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()
            if isinstance(error, OSError) and error.filename == str(path / _BEGINNING):
                raise _cannot_make(path, error) from None
            raise


def _cannot_make(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"Cannot make the folder {folder}: {documents.why(error)}.")


def _names(folder: Path) -> set[str]:
    """What stands in a folder; nothing where there is none. Raises InputError where it cannot be listed."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise InputError(f"Cannot list the folder {folder}: {documents.why(error)}.") from None


def _clear(folder: Path, files: Collection[str], keep: Collection[str] = ()) -> None:
    """Remove what a run's beginning has written, what marks it last: killed in between, it is still a beginning."""
    ours = {name for name in _names(folder) - set(keep) if _is_ours(name, files)}
    for name in sorted(ours, key=lambda name: name == _BEGINNING):
        with suppress(OSError):
            (folder / name).unlink()


def point_latest(run: Path) -> None:
    """Let `latest` beside the run name it; where links are not to be had, the newest folder is found anyway."""
    latest = run.parent / "latest"
    with suppress(OSError):
        if latest.is_symlink() or not latest.exists():
            temporary = run.parent / ".latest.part"
            temporary.unlink(missing_ok=True)  # of a process that was killed right here
            temporary.symlink_to(run.name)
            os.replace(temporary, latest)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run's lock; it goes with the process, however that ends. Raises RunError where another holds it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    try:
        file = documents.lengthened(run / LOCK)
    except OSError as error:
        raise OutputError(
            f"Cannot write {run / LOCK}: {documents.why(error)}. Remove it, or work on a copy."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"Another process is at work on {run}. Wait for it, or stop it.") from None
        except OSError:
            pass  # a file system without locks
        yield


def sweep(*folders: Path) -> None:
    """Remove what a killed process was in the middle of writing."""
    for folder in folders:
        for path in folder.glob(".*.part*"):
            if is_unfinished(path.name):
                with suppress(OSError):
                    path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
