"""What several test files share: where the checkout is, and the command line run as a user runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is the machine's business.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: tests that interrupt
# a child would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


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
