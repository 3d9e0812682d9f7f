"""The studio's queue: order, bounds, progress, cancelling, and mistakes that stay in their job."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from seqgan_music.errors import ConfigError
from seqgan_music.studio.candidates import Kept, Renderings
from seqgan_music.studio.jobs import Job, Jobs, QueueFullError


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    queue = Jobs(limit=3)
    yield queue
    queue.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not come about in two minutes"
        time.sleep(0.005)


class Blocked:
    """Work that goes on, step by step, until it is let go."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> None:
        self.begun.set()
        while not self.free.is_set():
            job.step()
            time.sleep(0.001)
        job.results.append("made")


def test_jobs_are_done_one_at_a_time_in_the_order_of_their_coming(jobs: Jobs) -> None:
    blocked, order = Blocked(), list[int]()
    first = jobs.add(Job(blocked))
    assert blocked.begun.wait(120)
    others = [jobs.add(Job(lambda job, number=number: order.append(number))) for number in range(3)]
    assert [jobs.ahead_of(job) for job in [first, *others]] == [0, 1, 2, 3]
    blocked.free.set()
    until(lambda: others[-1].over)
    assert order == [0, 1, 2]
    assert [job.state for job in (first, *others)] == ["done"] * 4


def test_more_than_may_wait_are_refused_and_room_comes_back(jobs: Jobs) -> None:
    blocked = Blocked()
    jobs.add(Job(blocked))
    assert blocked.begun.wait(120)
    waiting = [jobs.add(Job(lambda job: None)) for _ in range(3)]
    with pytest.raises(QueueFullError):
        jobs.add(Job(lambda job: None))
    jobs.cancel(waiting[1])
    last = jobs.add(Job(lambda job: None))
    blocked.free.set()
    until(lambda: last.over)
    assert [job.state for job in waiting] == ["done", "cancelled", "done"]


def test_a_running_job_ends_at_its_next_step_and_keeps_what_it_made(jobs: Jobs) -> None:
    blocked = Blocked()

    def work(job: Job) -> None:
        job.results.append("first")
        blocked(job)

    job, after = jobs.add(Job(work)), jobs.add(Job(lambda job: None))
    assert blocked.begun.wait(120)
    jobs.cancel(job)
    until(lambda: after.over)
    assert (job.state, job.results, after.state) == ("cancelled", ["first"], "done")
    jobs.cancel(job)  # over already
    assert job.state == "cancelled"


def test_a_mistake_stays_in_its_job(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def refused(_: Job) -> None:
        raise ConfigError("Not so.")

    def broken(_: Job) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        told, crashed, after = (jobs.add(Job(work)) for work in (refused, broken, lambda job: None))
        until(lambda: after.over)
    assert (told.state, told.error) == ("failed", "Not so.")
    assert crashed.state == "failed"
    assert crashed.error == "Something went wrong in the studio; the terminal says what."
    assert "ZeroDivisionError" in caplog.text
    assert after.state == "done"


def test_progress_is_never_whole_before_the_end_nor_more(jobs: Jobs) -> None:
    blocked = Blocked()
    job = jobs.add(Job(blocked, expected=10))
    assert (job.progress, job.seconds_left) == (0, None) or job.started is not None
    until(lambda: job.steps > 20)
    assert job.progress == 0.98
    assert job.seconds_left is not None
    assert job.seconds_left >= 0
    blocked.free.set()
    until(lambda: job.over)
    assert (job.progress, job.seconds_left) == (1, None)


def test_closing_ends_what_runs_and_what_waits() -> None:
    queue, blocked = Jobs(), Blocked()
    running, waiting = queue.add(Job(blocked)), queue.add(Job(lambda job: None))
    assert blocked.begun.wait(120)
    queue.close()
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    with pytest.raises(QueueFullError):
        queue.add(Job(lambda job: None))


def test_jobs_of_many_threads_are_all_done() -> None:
    queue, made = Jobs(limit=100), list[int]()
    threads = [
        threading.Thread(target=lambda n=number: queue.add(Job(lambda job: made.append(n)))) for number in range(80)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(made) == 80)
    assert sorted(made) == list(range(80))
    queue.close()


def test_the_newest_things_are_kept() -> None:
    kept: Kept[int] = Kept(2)
    for number in range(4):
        kept.add(str(number), number)
    assert [kept.find(str(number)) for number in range(4)] == [None, None, 2, 3]
    assert kept.newest(5) == [3, 2]


def test_renderings_are_made_once_and_bounded() -> None:
    renderings, made = Renderings(limit=25), list[str]()

    def make(name: str) -> bytes:
        made.append(name)
        time.sleep(0.02)
        return name.encode() * 10

    threads = [threading.Thread(target=lambda: renderings.get("a", "mp3", lambda: make("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["a"]
    for name in ("b", "a", "c", "a", "b"):  # c drives b out, which was used longest ago
        assert renderings.get(name, "mp3", lambda name=name: make(name)) == name.encode() * 10
    assert made == ["a", "b", "c", "b"]
