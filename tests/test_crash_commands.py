"""Killed at any moment, every command gives, when it is run again, what it gives without a kill; and its streams.

A row of `COMMANDS` is all that a command needs to be tried so. What a kill leaves under a temporary name is gone
after the next run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

import crash_points
import pytest
from conftest import ROOT
from crash_points import State, moments, restore, state_of
from report_run import make_run
from tunes import tune, write

from seqgan_music import cli
from seqgan_music.files import is_unfinished

BRIEF = ("--pieces", "4", "--temperatures", "1")
COMMANDS = {
    "scan": ("scan", "music", "--json"),
    "sample": (
        *("sample", "--run", "run", "--seed", "3", "--bars", "2", "--out", "new/song.mid"),
        *("--out", "new/song.flac", "--out", "new/song.svg", "--out", "new/song.musicxml"),
    ),
    "report": ("report", "run", "--samples", "1", "--no-evaluation"),
    "report that evaluates": ("report", "run", "--samples", "0", "--out", "pages/run.html"),
    "evaluate": ("evaluate", "run", *BRIEF),
    "score": ("score", "music/1.mid", "--run", "run", "--out", "heat.svg"),
    "compare": ("compare", "run", "other", "--out", "both.json", *BRIEF),
    "render": ("render", "music/1.mid", "--out", "new/a.mid", "--out", "new/a.png"),
}
QUICK = ("scan", "sample", "report", "evaluate", "score", "render")
CACHE = "cache"

Command = Callable[..., str]

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A folder with music and two small runs, in which nothing has been done yet."""
    folder = tmp_path_factory.mktemp("begun")
    run = make_run(folder, name="run")
    shutil.copytree(run, folder / "other")
    shutil.rmtree(folder / "music")
    write(folder / "music", **{str(number): tune(number, 40) for number in range(12)})
    return state_of(folder)


@pytest.fixture
def command(
    begun: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in that folder; return stdout."""
    restore(begun, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", CACHE)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["seqgan-music", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        assert not exit_.value.code, err
        return out

    return run


def results(folder: Path) -> dict[str, object]:
    """What a command has made, without what tells of time; of the cache, whose bytes are its own, the names."""
    found: dict[str, object] = {}
    for name, data in state_of(folder).items():
        assert not is_unfinished(Path(name).name)
        if name.split(os.sep)[0] == CACHE or data is None:
            found[name] = None
        elif name.endswith(".json") and b'"seconds"' in data:
            found[name] = {k: v for k, v in json.loads(data).items() if k not in ("seconds", "read")}
        else:
            found[name] = data
    return found


def again(command: Command, arguments: tuple[str, ...], state: State, told: str, expected: object) -> None:
    """Run a command again from a state that a kill left."""
    here = Path.cwd()
    os.chdir(restore(state, here))  # the folder of that name is a new one
    assert command(*arguments) == told
    assert results(here) == expected, sorted(state)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_before_any_file_operation_a_command_gives_the_same_when_run_again(
    name: str, command: Command, begun: State
) -> None:
    arguments, here = COMMANDS[name], Path.cwd()
    with crash_points.crash_points(here) as states:
        told = command(*arguments)
    expected = results(here)
    assert state_of(here) != begun
    killed = moments(states)
    assert len(killed) >= 2
    for state in killed:
        again(command, arguments, state, told, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("name", QUICK)
def test_killed_at_a_random_moment_a_command_gives_the_same_when_run_again(name: str, command: Command) -> None:
    arguments, here = COMMANDS[name], Path.cwd()
    after = random.SystemRandom().uniform(0, 1.5)
    before = state_of(here)
    line = [sys.executable, crash_points.__file__, f"{after:.4f}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killed = state_of(here)
    os.chdir(restore(before, here))
    told = command(*arguments)
    again(command, arguments, killed, told, results(here))


@contextmanager
def nowhere(kind: str) -> Iterator[TextIO]:
    """A stream that takes nothing: a full disk, or a pipe whose reader has gone."""
    if kind == "full":
        with open("/dev/full", "w") as full, suppress(OSError):
            yield full
        return
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        yield closed


@needs_full
@pytest.mark.parametrize("name", QUICK)
def test_a_result_that_cannot_be_printed_is_one_line_and_its_files_are_whole(
    name: str, command: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with nowhere("full") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        patch.setattr(sys, "argv", ["seqgan-music", *COMMANDS[name]])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == (
        "seqgan-music: Cannot print the result: no space left on device. Free some space, or send it elsewhere."
    )
    made = results(Path.cwd())
    command(*COMMANDS[name])
    assert results(Path.cwd()).items() >= made.items()


@needs_full
@pytest.mark.parametrize(
    ("arguments", "out", "err", "code"),
    [
        (("--help",), "full", "there", 2),
        (("--help",), "closed", "there", 1),
        (("scan", "music", "--json"), "closed", "there", 1),
        (("scan", "music", "--json"), "closed", "closed", 1),
        (("scan", "music", "--json"), "full", "full", 2),
        (("scan", "missing"), "there", "full", 2),
        (("scan", "missing"), "there", "closed", 2),
    ],
)
def test_streams_that_are_full_or_closed_end_a_command_without_a_trace(
    arguments: tuple[str, ...], out: str, err: str, code: int, begun: State, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        streams = {
            name: subprocess.PIPE if kind == "there" else stack.enter_context(nowhere(kind))
            for name, kind in (("stdout", out), ("stderr", err))
        }
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SEQGAN_MUSIC_CACHE": ""}
        line = [sys.executable, "-m", "seqgan_music", *arguments]
        done = subprocess.run(line, cwd=restore(begun, tmp_path), env=environment, text=True, **streams)
    assert done.returncode == code
    assert "Traceback" not in (done.stderr or "")
    assert len((done.stderr or "").splitlines()) == (code == 2 and err == "there")
