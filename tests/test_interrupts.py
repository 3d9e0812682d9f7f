"""Ctrl-C and SIGTERM, once, twice in a hurry, and again because it takes long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

COMMAND = textwrap.dedent(
    """
    import atexit, signal, sys
    import click
    from seqgan_music import cli
    from seqgan_music.cli import _terminal

    _terminal._ONCE = float(sys.argv.pop(1))

    def wait(for_what):
        print(for_what, flush=True)
        sys.stdin.readline()

    @click.command("wait")
    def command():
        signal.signal(signal.SIGTERM, _terminal.interrupt)
        try:
            wait("work")
        finally:
            wait("tidying")

    atexit.register(wait, "libraries end")
    cli.commands.get_command = lambda context, name: command
    cli.main()
    """
)
LONG = 1e9


def started(tmp_path: Path, once: float) -> subprocess.Popen[str]:
    """A command that waits for a line at every stage; signals are one for so many seconds."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    return subprocess.Popen(
        [sys.executable, str(script), str(once), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_twice_in_a_hurry_is_once(tmp_path: Path, blow: signal.Signals) -> None:
    process = started(tmp_path, LONG)
    assert said(process) == "work"
    process.send_signal(blow)
    assert said(process) == "tidying"
    process.send_signal(blow)
    go_on(process)
    assert said(process) == "libraries end"
    process.send_signal(blow)  # what libraries still do at the end is no one's loss
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.strip()) == (-blow, "", "seqgan-music: interrupted")


def test_again_because_it_takes_long_is_the_end(tmp_path: Path) -> None:
    process = started(tmp_path, -1)
    assert said(process) == "work"
    process.send_signal(signal.SIGINT)
    assert said(process) == "tidying"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, "", "")


def test_after_the_result_it_is_a_quiet_end(tmp_path: Path) -> None:
    process = started(tmp_path, LONG)
    for stage in ("work", "tidying", "libraries end"):
        assert said(process) == stage
        if stage != "libraries end":
            go_on(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")
