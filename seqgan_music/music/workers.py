"""Run a function over untrusted inputs in worker processes that cannot hang, eat the memory or take us down.

A worker is a fresh interpreter that imports the function's module and nothing of its parent: neither torch nor
the caller's `__main__`. Requests and answers cross its pipes as pickles, in both directions between our own code.
A thread of the parent attends to each worker, so that it works where pipes cannot be selected on.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from seqgan_music import memory
from seqgan_music.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

TIMED_OUT = "timed out"
OUT_OF_MEMORY = "out of memory"
CRASHED = "crashed the reader"

_START_SECONDS = 60.0
_TRIES = 3  # to start a worker that others kill
_FROM_OTHERS = {getattr(signal, name, None) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")}
_AHEAD = 8  # items a worker that may be taken but whose outcome the caller has not seen
_BOOT = "import sys; sys.path[:] = {path!r}; from seqgan_music.music.workers import serve; serve()"


@dataclass(frozen=True)
class Failure:
    """What came of an item instead of a result: a short stable reason and a sentence for people."""

    reason: str
    detail: str


def bounded_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    max_seconds: float,
    max_memory_megabytes: int,
) -> Generator[tuple[Item, Result | Failure], None, None]:
    """Yield (item, result) in the order of completion; an item that breaks its bounds yields a Failure.

    Items are taken from their iterable, by threads, one at a time, as workers and the caller get on: neither items
    nor results pile up, however many there are. `function` must be picklable by reference (a module-level function,
    or a partial of one). `workers` processes at most are started, `max_seconds` is wall time for one item, the
    memory bound is address space of a worker (where the system has such a limit). Leaving the iteration early ends
    the workers.

    Raises WorkerError where the machine has no room for a worker, RuntimeError where `function` cannot be imported
    there, and what `items` raises.
    """
    todo = _Todo(items, most=_AHEAD * workers)
    done: queue.SimpleQueue[tuple[Item, Result | Failure] | Exception | None] = queue.SimpleQueue()
    team = [_Attendant(function, todo, done, max_seconds, max_memory_megabytes) for _ in range(workers)]
    working = 0
    try:
        for attendant in team:
            if not todo.more():
                break
            attendant.start()
            working += 1
        while working:
            outcome = done.get()
            if outcome is None:
                working -= 1
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                todo.seen()
                yield outcome
    finally:
        todo.end()
        for attendant in team:
            attendant.stop()


class _Todo:
    """Items taken one at a time by several threads, and no more than `most` whose outcomes were not seen yet."""

    def __init__(self, items: Iterable[Any], most: int) -> None:
        self._items: Iterator[Any] = iter(items)
        self._next: list[Any] = []  # at most one, taken to see whether there is one
        self._guard = threading.Lock()
        self._room = threading.Semaphore(most)
        self._ended = False

    def more(self) -> bool:
        """Say whether there is an item left."""
        with self._guard:
            self._look()
            return bool(self._next)

    def take(self) -> list[Any]:
        """Return the next item, in a list that is empty where there is none; wait for room."""
        self._room.acquire()
        with self._guard:
            if self._ended:
                return []
            self._look()
            taken, self._next = self._next, []
            return taken

    def seen(self) -> None:
        """Make room for one more item."""
        self._room.release()

    def end(self) -> None:
        """Give out nothing more, and let no one wait."""
        with self._guard:
            self._ended = True
        self._room.release(1 << 16)

    def _look(self) -> None:
        if not self._next and not self._ended:
            for item in self._items:
                self._next.append(item)
                break
            else:
                self._ended = True


class _Attendant(threading.Thread):
    """Hands items to one worker process and replaces it when it is killed or dies."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        todo: _Todo,
        done: queue.SimpleQueue[Any],
        max_seconds: float,
        max_memory_megabytes: int,
    ) -> None:
        super().__init__(daemon=True)
        self.call = pickle.dumps((function, max_seconds, max_memory_megabytes))
        self.todo, self.done = todo, done
        self.max_seconds, self.max_memory_megabytes = max_seconds, max_memory_megabytes
        self.worker: _Worker | None = None
        self.stopped = False
        self.guard = threading.Lock()  # between starting a worker and stopping for good

    def run(self) -> None:
        """Work until nothing is left to do."""
        try:
            while not self.stopped:
                taken = self._taken()
                worker = self._ready_worker() if taken else None
                if worker is None:
                    break
                for item in taken:
                    self.done.put((item, self._outcome(worker, item)))
        except OSError as error:
            self.done.put(_no_room(error.strerror or str(error)))
        except (WorkerError, RuntimeError) as error:
            self.done.put(_no_room(str(error)) if memory.exhausted(error) else error)
        finally:
            if self.worker:
                self.worker.end()
            self.done.put(None)

    def _taken(self) -> list[Any]:
        try:
            return self.todo.take()
        except Exception as error:
            self.done.put(error)  # of the items, not of a worker
            return []

    def stop(self) -> None:
        """End the worker at once, whatever it is doing."""
        with self.guard:
            self.stopped = True
            if self.worker:
                self.worker.kill()
        if self.ident is not None:
            self.join()

    def _ready_worker(self) -> _Worker | None:
        if self.worker is not None and self.worker.usable:
            return self.worker
        for _ in range(_TRIES):
            with self.guard:
                if self.worker is not None:
                    self.worker.end()
                self.worker = None if self.stopped else _Worker()
            if self.worker is None:
                return None
            ready = self.worker.ask(self.call, _START_SECONDS)
            if not self.worker.killed_by_others:
                break
        if isinstance(ready, Failure) and not self.stopped:
            raise _no_room(ready.detail)
        if ready is not True and not self.stopped:
            raise RuntimeError(f"A worker process cannot import its work: {ready}")
        return self.worker

    def _outcome(self, worker: _Worker, item: object) -> object:
        request = pickle.dumps(item)
        outcome = worker.ask(request, self.max_seconds)
        if worker.killed_by_others and not self.stopped:
            # By the system for want of memory, or by hand: it says little of the item, which gets another chance.
            fresh = self._ready_worker()
            if fresh is None:
                return outcome
            worker, outcome = fresh, fresh.ask(request, self.max_seconds)
        if isinstance(outcome, Failure) and outcome.reason == OUT_OF_MEMORY:
            worker.usable = False
            return Failure(OUT_OF_MEMORY, f"needs more than {self.max_memory_megabytes} MB of memory")
        return outcome


class _Worker:
    """One worker process, seen from the parent."""

    def __init__(self) -> None:
        self.usable = True
        self.timed_out = False
        self.ended = False
        # BLAS threads reserve address space for stacks and buffers that a reader never uses.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = process = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self.requests, self.answers = process.stdin, process.stdout

    def ask(self, request: bytes, seconds: float) -> Any:
        """Send one request and wait for its answer, no longer than `seconds`. Never raises for a dead worker."""
        timer = threading.Timer(seconds, self._time_out)
        timer.start()
        try:
            self.requests.write(request)
            self.requests.flush()
            return pickle.load(self.answers)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self.usable = False
            if self.timed_out:
                return Failure(TIMED_OUT, f"takes more than {seconds:g} seconds")
            return Failure(CRASHED, f"the reading process died ({_death(self.process)})")
        finally:
            timer.cancel()
            timer.join()
            self.usable = self.usable and not self.timed_out

    @property
    def killed_by_others(self) -> bool:
        """Whether the process died by a signal that neither it nor its parent has sent."""
        code = self.process.returncode
        return not self.timed_out and not self.ended and code is not None and -code in _FROM_OTHERS

    def kill(self) -> None:
        """End the process at once."""
        self.usable, self.ended = False, True
        self.process.kill()

    def end(self) -> None:
        """End the process and collect its remains."""
        self.ended = True
        self.process.kill()
        with contextlib.suppress(OSError):
            self.requests.close()
        self.answers.close()
        self.process.wait()

    def _time_out(self) -> None:
        self.timed_out = True
        self.process.kill()


def _no_room(reason: str) -> WorkerError:
    return WorkerError(
        f"A worker process does not start ({reason[:1].lower()}{reason[1:]}). Where memory, processes or threads"
        " are short, end other programs or raise the limit (`ulimit -a` shows it); then run it again."
    )


def _death(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        return "it closed its pipe"
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def serve() -> None:
    """Be a worker: read requests from stdin until it closes, answer each on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # What libraries print must not get between the answers.
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)

    def answer(value: object) -> None:
        answers.write(pickle.dumps(value))
        answers.flush()

    try:
        function, max_seconds, max_memory_megabytes = pickle.load(requests)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        answer(Failure(OUT_OF_MEMORY, "it has too little memory") if memory.exhausted(error) else said)
        return
    _limit_memory(max_memory_megabytes)
    answer(True)
    while True:
        try:
            item = pickle.load(requests)
        except EOFError:
            return
        _self_destruct(1.5 * max_seconds + 2)
        try:
            answer(function(item))
        except MemoryError:
            answer(Failure(OUT_OF_MEMORY, ""))
        except Exception as error:
            answer(Failure(CRASHED, f"{type(error).__name__}: {error}"))
        _self_destruct(0)


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit = megabytes * 1024 * 1024
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _self_destruct(seconds: float) -> None:
    """Set the alarm that ends a hanging worker whose parent was killed before it could; 0 clears it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
