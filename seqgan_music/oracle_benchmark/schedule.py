"""All cells in parallel processes: what is missing is done, what a cell needs before it, first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqgan_music.errors import ConfigError, RunError, SeqganMusicError
from seqgan_music.oracle_benchmark.settings import NOTHING, Settings

DATA = "data"
"""Label of the tasks that sample a draw's data."""


@dataclass(frozen=True, order=True)
class Task:
    """A cell, or a draw's data (seed 0)."""

    number: int
    """Position of its row."""
    draw: int
    seed: int
    label: str

    @property
    def key(self) -> tuple[int, int, str]:
        """Draw, seed and label: what names it."""
        return self.draw, self.seed, self.label


@dataclass
class State:
    """How far a benchmark has come, for whoever shows it."""

    total: int
    done: int
    running: list[Task]
    seconds_left: float | None
    """By the mean of the cells of each method that are done; None until one is."""


def tasks(settings: Settings) -> list[Task]:
    """Return all tasks in the order in which they are begun: all methods of one draw and seed, then the next."""
    data = [Task(0, draw, 0, DATA) for draw in range(1, settings.draws + 1)]
    return data + [
        Task(number, draw, seed, row.label)
        for seed in range(1, settings.seeds + 1)
        for draw in range(1, settings.draws + 1)
        for number, row in enumerate(settings.rows, 1)
    ]


def needs(task: Task, settings: Settings) -> tuple[int, int, str] | None:
    """Return the key of the task that must be done before, or None."""
    if task.label == DATA:
        return None
    start = settings.row(task.label).start
    return (task.draw, 0, DATA) if start == NOTHING else (task.draw, task.seed, start)


def is_done(folder: Path, settings: Settings, task: Task) -> bool:
    """Whether a task's result is written."""
    from seqgan_music.oracle_benchmark import cells

    if task.label == DATA:
        return (cells.draw_folder(folder, task.draw) / cells.TRUTH).exists()
    return (cells.cell_folder(folder, settings.row(task.label), task.draw, task.seed) / cells.RESULT).exists()


def run(folder: Path, settings: Settings, device: str, workers: int, show: Callable[[State], None]) -> None:
    """Do all tasks that are missing. Each worker process takes one thread.

    Raises RunError where a process dies, KeyboardInterrupt where the user stops it: what is done stays done.
    """
    everything = tasks(settings)
    missing = [task for task in everything if not is_done(folder, settings, task)]
    done = {task.key for task in everything} - {task.key for task in missing}
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, max(1, len(missing))), context, initializer=_begin_worker)
    running: dict[Future[float], Task] = {}
    clock = Clock(folder, settings, workers)
    try:
        while missing or running:
            ready = [task for task in missing if (need := needs(task, settings)) is None or need in done]
            for task in ready[: workers - len(running)]:
                missing.remove(task)
                running[pool.submit(_work, str(folder), settings, task, device)] = task
            finished, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                clock.took(task, future.result())
                done.add(task.key)
            show(State(len(everything), len(done), sorted(running.values()), clock.left(missing, running.values())))
    except BrokenProcessPool:
        raise RunError(
            "A worker process died, perhaps for want of memory. Go on with fewer: --workers 1 --resume."
        ) from None
    finally:
        _stop(pool)


class Clock:
    """Estimates the time left from the cells that are done."""

    def __init__(self, folder: Path, settings: Settings, workers: int) -> None:
        from seqgan_music.oracle_benchmark import cells

        self._workers = workers
        self._seconds: dict[str, list[float]] = {}
        for task in tasks(settings):
            if task.label != DATA and is_done(folder, settings, task):
                path = cells.cell_folder(folder, settings.row(task.label), task.draw, task.seed) / cells.COST
                # What it took is for an estimate alone: a cell is done without.
                with suppress(RunError), cells.told(path) as document:
                    self.took(task, float(document["seconds"]))
        self._begun: dict[Task, float] = {}

    def took(self, task: Task, seconds: float) -> None:
        """Note what a task took."""
        if task.label != DATA:
            self._seconds.setdefault(task.label, []).append(seconds)

    def left(self, missing: Any, running: Any) -> float | None:
        """Return the seconds that are left, or None while nothing is known."""
        if not self._seconds:
            return None
        means = {label: sum(found) / len(found) for label, found in self._seconds.items()}
        usual = sum(means.values()) / len(means)
        total = sum(means.get(task.label, usual) for task in missing)
        for task in running:
            elapsed = time.monotonic() - self._begun.setdefault(task, time.monotonic())
            total += max(0.0, means.get(task.label, usual) - elapsed)
        return float(total / self._workers)


def _begin_worker() -> None:
    """Make a process quiet and alone: Ctrl-C is its parent's, and it takes one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """End this process when its parent has, however that ended: one that goes on may be at the very same cell."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(folder: str, settings: Settings, task: Task, device: str) -> float:
    """Do one task in a worker; return its seconds."""
    import torch

    from seqgan_music.oracle_benchmark import cells

    start = time.perf_counter()
    try:
        if task.label == DATA:
            cells.prepare(Path(folder), settings, task.draw)
        else:
            cells.run(Path(folder), settings, task.label, task.draw, task.seed, torch.device(device))
    except SeqganMusicError as error:
        kind = ConfigError if isinstance(error, ConfigError) else RunError
        raise kind(f"{task.label}, draw {task.draw}, seed {task.seed}: {error}") from None
    return time.perf_counter() - start


def _stop(pool: ProcessPoolExecutor) -> None:
    """End all workers now, whatever they do: their cells go on from their checkpoints."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGTERM)
    for process in processes:
        process.join()
