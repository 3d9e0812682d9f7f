"""Work that waits for its turn: a bounded queue, one thread that does it, progress, cancelling. Knows no music."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from seqgan_music.errors import SeqganMusicError

WAITING_LIMIT = 64
"""Jobs that may wait; one more is refused."""
_REMEMBERED = 512
"""Jobs that are over and can still be asked about."""
_ALMOST = 0.98
"""Progress is an estimate, and only what is over is whole."""

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Cancelled(Exception):  # noqa: N818 (an end that was asked for, not an error)
    """Raised inside a job by `Job.step` once it is to end."""


class QueueFullError(Exception):
    """No more jobs are taken at the moment."""


@dataclass
class Job:
    """One piece of work. `work` is called with the job, calls `step` as it goes on, and appends to `results`.

    `expected` is how many steps it should take, as far as known; `error` is for people.
    """

    work: Callable[[Job], None]
    expected: float = 1.0
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    state: State = "waiting"
    steps: int = 0
    results: list[Any] = field(default_factory=list)
    error: str | None = None
    started: float | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def step(self) -> None:
        """Count one step. Raises Cancelled where the job is to end."""
        if self._cancelled.is_set():
            raise Cancelled
        self.steps += 1

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("waiting", "running")

    @property
    def progress(self) -> float:
        """The share that is done, 0 to 1."""
        return 1.0 if self.state == "done" else min(_ALMOST, self.steps / max(1.0, self.expected))

    @property
    def seconds_left(self) -> float | None:
        """How long it should still run, None where that cannot be told yet."""
        if self.started is None or self.over or self.progress < 0.05:
            return None
        return (time.monotonic() - self.started) * (1 / self.progress - 1)


class Jobs:
    """The queue and its thread, which starts with the first job and ends with `close`."""

    def __init__(self, limit: int = WAITING_LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[Job] = deque()
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, job: Job) -> Job:
        """Let a job wait for its turn. Raises QueueFullError."""
        with self._changed:
            if self._closed or len(self._waiting) >= self._limit:
                raise QueueFullError
            self._waiting.append(job)
            self._known[job.id] = job
            for known in [one for one in self._known.values() if one.over][:-_REMEMBERED]:
                del self._known[known.id]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="studio jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def find(self, name: str) -> Job | None:
        """Return a job that waits, runs, or was over not long ago."""
        with self._changed:
            return self._known.get(name)

    def ahead_of(self, job: Job) -> int:
        """How many jobs come before it, the running one included."""
        with self._changed:
            if job.state != "waiting":
                return 0
            return self._waiting.index(job) + (self._running is not None) if job in self._waiting else 0

    def cancel(self, job: Job) -> None:
        """End a job: at once where it waits, at its next step where it runs; what it made so far stays."""
        with self._changed:
            job._cancelled.set()
            if job.state == "waiting":
                job.state = "cancelled"
                self._waiting.remove(job)
            self._changed.notify_all()

    def close(self, seconds: float = 2.0) -> None:
        """Cancel everything, take no more, and wait for the thread."""
        with self._changed:
            self._closed = True
            for job in self._waiting:
                job.state = "cancelled"
            self._waiting.clear()
            if self._running is not None:
                self._running._cancelled.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            state: State = "done"
            try:
                job.work(job)
            except Cancelled:
                state = "cancelled"
            except SeqganMusicError as error:
                state, job.error = "failed", str(error)
            except Exception:
                # One mistake of ours must not end the studio; the traceback is for the terminal.
                log.exception("A job failed")
                state, job.error = "failed", "Something went wrong in the studio; the terminal says what."
            with self._changed:
                job.state = state
                self._running = None

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            job = self._running = self._waiting.popleft()
            job.state, job.started = "running", time.monotonic()
            return job
