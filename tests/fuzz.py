"""Every reader on tens of thousands of damaged files: `python tests/fuzz.py --cases 20000 --seed 1`.

The law: a reader gives a valid object, or the package's own error with one line, within bounded time and memory; it
writes nothing but what it was asked to, asks nothing of a network, and unpickles nothing.

A case is made by a seed. One that breaks the law is made as small as it can be and written to `--out`, with the
line that tries it again. Files of music are read in a worker process, as in every command; what ends that process
by its time or memory is within the law, and counted.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import crash_points
from fuzz_music import read_music
from fuzz_reader import READ, REFUSED, Reader, check_message
from fuzz_readers import readers

from seqgan_music.errors import SeqganMusicError
from seqgan_music.music.workers import OUT_OF_MEMORY, TIMED_OUT, Failure, bounded_map

SECONDS = 20.0
"""For one case: of this process's own work, so that a busy machine changes nothing; of wall time in a worker."""
MEGABYTES = 1024
"""That one case may add to the process."""
_FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "urllib.Request", "os.system", "os.exec", "pickle.find_class")


class TooSlow(BaseException):
    """A case took longer than it may."""


@dataclass(frozen=True)
class Broken:
    """A case that broke the law: the exception's type and place are what tells it from others."""

    reader: str
    seed: int
    data: bytes
    what: str
    trace: str


class Bench:
    """A folder to try cases in, one after the other."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.wrong: list[str] = []
        self.outcomes: Counter[str] = Counter()

    def warm(self, reader: Reader) -> None:
        """Read what is whole: it must be read, and what is imported and built once is then there."""
        for data in reader.seeds:
            folder = Path(tempfile.mkdtemp(dir=self.place))
            outcome = reader.try_(reader.prepare(folder, data))
            assert reader.bounded or outcome == READ, f"{reader.name} refuses a whole file"
            shutil.rmtree(folder)

    def case(self, reader: Reader, seed: int) -> bytes:
        """Return the case of a seed."""
        return reader.case(random.Random(f"{reader.name} {seed}"))

    def try_(self, reader: Reader, seed: int, data: bytes | None = None) -> Broken | None:
        """Try one case in this process; return how it broke the law, if it did."""
        data = self.case(reader, seed) if data is None else data
        try:
            self.outcomes[self._tried(reader, data)] += 1
        except (Exception, TooSlow, MemoryError) as error:
            trace = traceback.format_exc()
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "seqgan_music/" in f.filename]
            at = f" at {frames[-1].filename.split('seqgan_music/')[-1]}:{frames[-1].name}" if frames else ""
            text = str(error).split("\n")[0][:160]
            return Broken(reader.name, seed, data, f"{type(error).__name__}{at}: {text}", trace)
        return None

    def try_music(self, reader: Reader, seeds: Sequence[int]) -> Iterator[Broken | None]:
        """Try many files of music in a worker process."""
        cases = {}
        for seed in seeds:
            folder = self.place / f"{reader.name}-{seed}"
            folder.mkdir()
            data = self.case(reader, seed)
            cases[str(reader.prepare(folder, data))] = seed, data
        outcomes = bounded_map(
            read_music, list(cases), workers=1, max_seconds=SECONDS, max_memory_megabytes=MEGABYTES
        )
        for path, outcome in outcomes:
            seed, data = cases[path]
            if isinstance(outcome, Failure) and outcome.reason not in (TIMED_OUT, OUT_OF_MEMORY):
                yield Broken(reader.name, seed, data, f"{outcome.reason}: {outcome.detail[:300]}", outcome.detail)
                continue
            self.outcomes[outcome.reason if isinstance(outcome, Failure) else outcome] += 1
            written = sorted(path.name for path in Path(path).parent.iterdir())
            yield None if len(written) == 1 else Broken(reader.name, seed, data, f"it wrote {written}", "")
            shutil.rmtree(Path(path).parent)

    def _tried(self, reader: Reader, data: bytes) -> str:
        folder = Path(tempfile.mkdtemp(dir=self.place))
        try:
            path = reader.prepare(folder, data)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with self._watched(path, reader), limited(SECONDS), uncollected():
                try:
                    outcome = reader.try_(path)
                except SeqganMusicError as error:
                    check_message(error)
                    outcome = REFUSED
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
            assert grown < MEGABYTES, f"it took {grown} MB of memory"
            return outcome
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def _watched(self, path: Path, reader: Reader) -> Iterator[None]:
        self.wrong.clear()

        def heard(event: str, at: str) -> None:
            own = at.startswith((str(path.parent), "/dev/", "/proc/")) or at.endswith((".pyc", "__pycache__"))
            if not own and not _by_right(reader, at):
                self.wrong.append(f"{event} {at}")

        with crash_points.listening(heard), forbidden(self.wrong):
            yield
        if reader.name == "studio":  # which reads uploads in a worker, whose answers are pickles of our own
            self.wrong[:] = [what for what in self.wrong if what != "pickle.find_class"]
        assert not self.wrong, f"it did what no reader may: {self.wrong[:3]}"


def _by_right(reader: Reader, path: str) -> bool:
    """Whether a reader may write there: the studio has a folder for uploads, and keeps ratings with a run."""
    temporary = f"{tempfile.gettempdir()}/seqgan-music-studio-"
    if reader.name == "studio":
        return path.startswith(temporary) or "fuzz-run-" in path
    return ".pyc." in path or "/__pycache__" in path


_strict: list[list[str]] = []


def _strictly(event: str, _: object) -> None:
    if _strict and event in _FORBIDDEN:
        _strict[-1].append(event)


@contextmanager
def forbidden(wrong: list[str]) -> Iterator[None]:
    """Note what no reader may do, by Python's audit events."""
    if not getattr(_strictly, "hooked", False):
        sys.addaudithook(_strictly)
        _strictly.hooked = True  # type: ignore[attr-defined]
    _strict.append(wrong)
    try:
        yield
    finally:
        _strict.pop()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooSlow in the block after so many seconds."""

    def late(*_: object) -> None:
        raise TooSlow(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage in the block: of others, whose finalizers would fail where a case nests without end."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def smaller(bench: Bench, reader: Reader, broken: Broken, tries: int = 40) -> Broken:
    """Cut what is not needed out of a case, as long as it breaks the law in the same place."""
    if reader.bounded or broken.what.startswith("TooSlow"):
        return broken
    kind = broken.what.split(":")[0]
    size = max(1, len(broken.data) // 2)
    while size and tries > 0:
        at = 0
        while at < len(broken.data) and tries > 0:
            tries -= 1
            shorter = broken.data[:at] + broken.data[at + size :]
            found = bench.try_(reader, broken.seed, shorter)
            if found is not None and found.what.split(":")[0] == kind:
                broken = found
            else:
                at += size
        size //= 2
    return broken


def fuzz(cases: int, seed: int, chosen: Sequence[Reader], out: Path | None, quiet: bool = False) -> list[Broken]:
    """Try `cases` cases spread over the readers; return one broken case of each kind, made small."""
    found: dict[str, Broken] = {}
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    began, done = time.monotonic(), 0
    try:
        for number, reader in enumerate(chosen):
            share = cases // len(chosen) + (number < cases % len(chosen))
            bench = Bench(place)
            if not reader.bounded:
                bench.warm(reader)
            seeds = range(seed * 1_000_000, seed * 1_000_000 + share)
            outcomes = bench.try_music(reader, seeds) if reader.bounded else (bench.try_(reader, s) for s in seeds)
            broken = 0
            for one in outcomes:
                done += 1
                if one is not None:
                    broken += 1
                    if f"{one.reader} {one.what[:100]}" not in found:
                        found[f"{one.reader} {one.what[:100]}"] = one
                        _keep(smaller(bench, reader, one), out)
            if not quiet:
                told = ", ".join(f"{count:,} {what}" for what, count in sorted(bench.outcomes.items()))
                print(f"{reader.name:22} {told}{f', {broken} BROKEN' if broken else ''}  [{done:,}]", flush=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if not quiet:
        minutes = (time.monotonic() - began) / 60
        print(f"{done:,} cases in {minutes:.1f} min, {len(found)} kinds of broken ones")
    return list(found.values())


def _keep(broken: Broken, out: Path | None) -> None:
    print(f"BROKEN {broken.reader} {broken.seed}: {broken.what}", file=sys.stderr, flush=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        name = f"{broken.reader}-{broken.seed}"
        (out / f"{name}.case").write_bytes(broken.data)
        again = f"python tests/fuzz.py --reader {broken.reader} --case {out / name}.case"
        (out / f"{name}.txt").write_text(f"{broken.what}\n\n{again}\n\n{broken.trace}")


def main() -> None:
    """Fuzz, or try one case again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", nargs="+", help="these alone")
    parser.add_argument("--out", type=Path, default=Path("broken"), help="folder for cases that break the law")
    parser.add_argument("--case", type=Path, help="try this file with the one --reader")
    asked = parser.parse_args()
    os.environ["SEQGAN_MUSIC_CACHE"] = ""
    every = {reader.name: reader for reader in readers()}
    if unknown := set(asked.reader or ()) - every.keys():
        sys.exit(f"There is no reader {min(unknown)}. Readers: {', '.join(every)}")
    chosen = [every[name] for name in asked.reader or every]
    if asked.case is not None:
        with tempfile.TemporaryDirectory() as place:
            bench = Bench(Path(place))
            bench.warm(chosen[0])
            broken = bench.try_(chosen[0], 0, asked.case.read_bytes())
        sys.exit(broken.trace if broken else 0)
    sys.exit(1 if fuzz(asked.cases, asked.seed, chosen, asked.out) else 0)


if __name__ == "__main__":
    main()
