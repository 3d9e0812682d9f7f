"""`bounded_map`: what hangs, eats memory or dies becomes a Failure, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from seqgan_music.errors import WorkerError
from seqgan_music.music.workers import CRASHED, OUT_OF_MEMORY, TIMED_OUT, Failure, bounded_map

BOUNDS = {"max_seconds": 20.0, "max_memory_megabytes": 512}


def misbehave(item: str | int) -> object:
    if item == "hang":
        while True:
            time.sleep(0.01)
    if item == "eat":
        return len(bytearray(2 << 30))
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(item, str) and item.startswith("die once") and not (mark := Path(item.split(":")[1])).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "exit":
        os._exit(3)
    if item == "raise":
        raise ValueError("no good")
    if item == "print":
        print("between the answers", flush=True)  # noqa: T201
        os.write(1, b"and below them")
    if item == "pid":
        return os.getpid()
    if item == "torch":
        return "torch" in sys.modules
    return item


def outcomes(items: list[str | int], *, workers: int = 1, **bounds: float) -> dict[str | int, object]:
    return dict(bounded_map(misbehave, items, workers=workers, **{**BOUNDS, **bounds}))  # type: ignore[arg-type]


def test_every_item_comes_back_with_its_own_result() -> None:
    items: list[str | int] = list(range(300))
    assert sorted(bounded_map(misbehave, items, workers=2, max_seconds=20, max_memory_megabytes=512)) == [
        (item, item) for item in items
    ]


def test_no_items_no_workers() -> None:
    assert outcomes([]) == {}


def test_a_hanging_item_times_out_and_the_next_is_served() -> None:
    failure = Failure(TIMED_OUT, "takes more than 2 seconds")
    assert outcomes(["hang", 1], max_seconds=2) == {"hang": failure, 1: 1}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not limit address space")
def test_a_greedy_item_is_out_of_memory_and_the_next_is_served() -> None:
    failure = Failure(OUT_OF_MEMORY, "needs more than 512 MB of memory")
    assert outcomes(["eat", 1]) == {"eat": failure, 1: 1}


def test_death_and_exceptions_are_named_and_the_next_is_served() -> None:
    assert outcomes(["die", "exit", "raise", 1]) == {
        "die": Failure(CRASHED, "the reading process died (SIGKILL)"),
        "exit": Failure(CRASHED, "the reading process died (exit code 3)"),
        "raise": Failure(CRASHED, "ValueError: no good"),
        1: 1,
    }


def test_an_item_whose_worker_others_killed_is_tried_again(tmp_path: Path) -> None:
    item = f"die once:{tmp_path / 'died'}"
    assert outcomes([item, 1]) == {item: item, 1: 1}
    assert (tmp_path / "died").exists()


def test_a_worker_that_others_kill_while_it_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/died ] || {{ touch {tmp_path}/died; kill -9 $$; }}\n"
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert outcomes([1, 2]) == {1: 1, 2: 2}
    assert (tmp_path / "died").exists()


def test_printing_does_not_disturb_the_answers() -> None:
    assert outcomes(["print", 1]) == {"print": "print", 1: 1}


def test_a_worker_serves_many_items_and_is_not_a_copy_of_its_parent() -> None:
    pids = [pid for _, pid in bounded_map(misbehave, ["pid"] * 5, workers=1, **BOUNDS)]  # type: ignore[arg-type]
    assert len(set(pids)) == 1
    assert os.getpid() not in pids
    assert outcomes(["torch"]) == {"torch": False}


def test_leaving_early_ends_the_workers() -> None:
    running = bounded_map(misbehave, ["pid", "hang"], workers=1, max_seconds=60, max_memory_megabytes=512)
    _, pid = next(running)
    assert isinstance(pid, int)
    assert alive(pid)
    running.close()
    assert not alive(pid)


def test_a_function_that_workers_cannot_import_is_an_error_not_a_wait() -> None:
    def local(item: int) -> int:
        return item

    with pytest.raises((AttributeError, RuntimeError)):
        list(bounded_map(local, [1], workers=1, **BOUNDS))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "the reading process died (exit code 3)"),
        (None, "no such file or directory"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="a script in Python's place")
def test_a_worker_that_does_not_start_is_one_line(
    script: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(WorkerError) as told:
        outcomes(["pid", "pid"], workers=2)
    assert str(told.value).startswith(f"A worker process does not start ({reason}). ")
    assert "\n" not in str(told.value)


def test_a_scan_whose_workers_do_not_start_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"MThd")
    boot = "import sys; from seqgan_music import cli; sys.executable += '-none'; cli.main()"
    line = [sys.executable, "-c", boot, "scan", str(tmp_path)]
    ended = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "SEQGAN_MUSIC_CACHE": ""})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("seqgan-music: A worker process does not start (no such file or directory). ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupting_the_parent_leaves_no_orphans(tmp_path: Path, blow: signal.Signals) -> None:
    (tmp_path / "sleeper.py").write_text(
        textwrap.dedent("""
            import os, pathlib, sys, time
            def note_and_wait(name):
                pathlib.Path(name).write_text(str(os.getpid()))
                while sys.argv:
                    time.sleep(0.01)
        """)
    )
    (tmp_path / "parent.py").write_text(
        textwrap.dedent("""
            from sleeper import note_and_wait
            from seqgan_music.music.workers import bounded_map
            if __name__ == "__main__":
                try:
                    list(bounded_map(note_and_wait, ["a", "b"], workers=2, max_seconds=1, max_memory_megabytes=512))
                except KeyboardInterrupt:
                    pass
        """).replace("max_seconds=1", f"max_seconds={60 if blow is signal.SIGINT else 2}")
    )
    # A session of its own: the blow goes to the whole group where it is Ctrl-C, to the parent alone where it is -9.
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, start_new_session=True)
    files = [tmp_path / "a", tmp_path / "b"]
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    workers = [int(file.read_text()) for file in files]
    if blow is signal.SIGINT:
        os.killpg(parent.pid, blow)
    else:
        parent.kill()
    parent.wait(timeout=120)
    wait_until(lambda: not any(map(alive, workers)))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended waits for a reaper, which containers may lack.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition: object) -> None:
    for _ in range(2400):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("waited two minutes in vain")
