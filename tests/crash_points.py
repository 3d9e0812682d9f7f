"""A folder as a killed process would have left it: copied before every file operation, by Python's audit events.

A process that is killed leaves exactly what it has told the system so far. So one run, watched, shows every state
that any kill could leave, and nothing depends on the moment at which a signal happens to arrive.

`python crash_points.py SECONDS ARGUMENTS` is the real thing: the command line, killed so long after it has begun to
change files in the working directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqgan_music.files import is_unfinished

State = dict[str, bytes | None]
"""Path in the folder -> its bytes; None for a folder."""

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.symlink", "os.link"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_listeners: list[Any] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listeners:
        return
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITING:
            return
    elif event in CHANGES:
        path = arguments[1] if event in ("os.rename", "os.symlink", "os.link") else arguments[0]
    else:
        return
    if isinstance(path, str | bytes | os.PathLike):
        for listener in tuple(_listeners):
            listener(event, os.path.abspath(os.fsdecode(path)))


@contextmanager
def listening(listener: Any) -> Iterator[None]:
    """Call `listener(event, path)` before each file operation that changes something, in any thread."""
    if _hear not in _installed:
        sys.addaudithook(_hear)  # there is no taking it back: it does nothing where nobody listens
        _installed.append(_hear)
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


_installed: list[Any] = []


@contextmanager
def crash_points(folder: Path) -> Iterator[list[State]]:
    """Gather the different states of `folder` before each operation on it, and at the end."""
    states: list[State] = []
    root = str(folder.resolve())

    def keep(_: str, path: str) -> None:
        if path == root or path.startswith(root + os.sep):
            _listeners.remove(keep)  # looking at it must not be heard
            try:
                now = state_of(folder)
            finally:
                _listeners.append(keep)
            if not states or states[-1] != now:
                states.append(now)

    with listening(keep):
        yield states
    states.append(state_of(folder))


def state_of(folder: Path) -> State:
    """Read a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def restore(state: State, folder: Path) -> Path:
    """Put a folder into a state."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in state.items():
        if data is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def torn(states: list[State], *, appended: tuple[str, ...] = ()) -> Iterator[State]:
    """Add to the states those in which what was being written has only half arrived.

    Half a file stands under a temporary name; of `appended` files half of the last line.
    """
    before: State = {}
    for state in states:
        for name, data in state.items():
            old = before.get(name) or b""
            if data and data != old and is_unfinished(Path(name).name):
                yield {**state, name: data[: len(data) // 2]}
            if data and name in appended and data != old and data.startswith(old):
                yield {**before, name: data[: len(old) + (len(data) - len(old)) // 2]}
        yield state
        before = state


def moments(states: list[State]) -> list[State]:
    """Return one state for each that differs in finished files: that in which the most is left unfinished."""
    found: dict[str, State] = {}
    for state in torn(states):
        finished = {name: data for name, data in state.items() if not is_unfinished(Path(name).name)}
        kept = found.setdefault(repr(finished), state)
        if len(state) >= len(kept):
            found[repr(finished)] = state
    return list(found.values())


def main() -> None:
    """Be killed in the middle of a command."""
    seconds = float(sys.argv.pop(1))
    here = os.getcwd() + os.sep
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True  # a command that has ended is not waited for

    def begin(_: str, path: str) -> None:
        if path.startswith(here) and timer.ident is None:
            timer.start()

    from seqgan_music import cli

    with listening(begin):
        cli.main()


if __name__ == "__main__":
    main()
