"""What all test files share: workers on all cores, a cache of their own, and the command line as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from seqgan_music.machine import usable_cores

MOST_WORKERS = 8
A_WORKER = 2 << 30
"""Bytes of memory for one of the processes that the suite is spread over, with those that it starts."""

IN_PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
if IN_PARALLEL:
    # Before torch is imported: pools of threads that share cores keep each other waiting.
    os.environ["OMP_NUM_THREADS"] = "1"

# How long an example takes is the machine's business.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: tests that interrupt
# a child would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread a run of folders over the cores where pytest-xdist is there: files named one by one need no workers.

    `-n` says otherwise, `-n 0` one process, which --pdb and -s want. Idle workers take tests off busy ones.
    """
    named = any(".py" in argument for argument in config.args)
    alone = named or config.getoption("usepdb") or config.getoption("capture") == "no"
    if IN_PARALLEL or alone or config.getoption("numprocesses", 0) is not None:
        return
    workers = min(usable_cores(), MOST_WORKERS, _memory() // A_WORKER)
    if workers > 1:
        config.option.numprocesses = workers
        config.option.dist = "worksteal"


def _memory() -> int:
    """Bytes of memory that this machine has; more than enough where it does not say."""
    if not hasattr(os, "sysconf"):
        return MOST_WORKERS * A_WORKER
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that no other worker, no earlier run and no user shares, for all that does not choose its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `seqgan-music ARGUMENTS` in an empty folder, in its own process, without input."""

    def command(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        settings: dict[str, object] = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, "text": True}
        if "stdout" not in options:
            settings["capture_output"] = True
        line = [sys.executable, "-m", "seqgan_music", *map(str, arguments)]
        return subprocess.run(line, **{**settings, **options})  # type: ignore[call-overload,no-any-return]

    return command
