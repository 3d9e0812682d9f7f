"""Memory that runs out is one line, whatever library notices it, and however early."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from tunes import tune, write

from seqgan_music import memory

LINE = "seqgan-music: There is not enough memory for this. Close other programs, or ask for less at a time.\n"


def behind(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        behind(ImportError("Importing the numpy C-extensions failed."), ImportError("x.so: failed to map segment")),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("can't start new thread"),
    ],
)
def test_what_libraries_say_of_memory_is_understood(error: Exception) -> None:
    assert memory.exhausted(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a bug"), ImportError("No module named 'torch'"), OSError(errno.ENOSPC, "full")],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not memory.exhausted(error)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells how much a process has taken")
@pytest.mark.parametrize(
    ("megabytes", "arguments"),
    [
        (64, ("scan", "music")),
        (64, ("sample", "--out", "a.mid", "--run", "missing")),
        (400, ("score", "music/1.mid", "--run", "run")),
        (400, ("evaluate", "run")),
    ],
)
def test_too_little_for_the_libraries_is_one_line(
    tmp_path: Path, megabytes: int, arguments: tuple[str, ...]
) -> None:
    import resource

    write(tmp_path / "music", **{"1": tune(1)})
    (tmp_path / "run").mkdir()
    limit = megabytes * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "seqgan_music", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SEQGAN_MUSIC_CACHE": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", LINE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["music", "run"]
