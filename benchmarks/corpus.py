"""Large corpora: multiply real MIDI to as many files as asked for, then scan them and begin to train.

    python benchmarks/corpus.py midi_data/ --files 20000 [--folder /tmp/many] [--kill 10] [--train] [--json]

Each new file is made of bars of several real pieces of one meter, each bar moved, mirrored or turned round, so that
most files are new tunes; a fixed share are copies, transpositions and variations of earlier ones, as real folders
have them. Scan and training run as a user's commands do, in processes of their own that are watched through /proc
(so: Linux): peak memory is the kernel's high-water mark of the main process and of the largest worker, beside the
most that was seen of the main process without pages of files, which the kernel may drop at any time, and of all
processes at one moment. `--kill S` ends the first scan by SIGKILL after S seconds; the next goes on where that was.
`--train` trains to the end of the first round, of `--updates` updates. The cache lies beside the files, empty at
first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seqgan_music.config import ReadingConfig
from seqgan_music.music.finding import find
from seqgan_music.music.notes import Piece
from seqgan_music.music.reading import MIDI_SUFFIXES, read
from seqgan_music.run_folders import RUNS
from seqgan_music.tokenset import Splits

_TICKS = 480
_A_FOLDER = 1000
_SOURCES = 600
_LATER = 50  # of so many files made last one is copied or varied
_SHARES = {"copy": 0.02, "transposed": 0.05, "varied": 0.08}

Bar = tuple[tuple[int, int, int, int], ...]
"""Notes as (onset in the bar, pitch, duration, velocity), in file ticks."""


@dataclass(frozen=True)
class Made:
    """What a file is written from."""

    meter: tuple[int, int]
    bars: tuple[Bar, ...]

    @property
    def bar_ticks(self) -> int:
        return self.meter[0] * 4 * _TICKS // self.meter[1]


@dataclass
class Measured:
    """One process and its workers, as the kernel counted them."""

    seconds: float
    code: int
    main_megabytes: float = 0.0
    """High-water mark of resident memory."""
    main_own_megabytes: float = 0.0
    """The most that was seen of it without pages of files."""
    worker_megabytes: float = 0.0
    together_megabytes: float = 0.0
    """The most that was seen of all processes at one moment; what they share counts for each."""
    workers: int = 0
    output: str = field(default="", repr=False)


def sources(folder: Path, most: int) -> dict[tuple[int, int], list[Made]]:
    """Read real pieces of one meter throughout, evenly spaced over the folder, by meter."""
    files = find(folder, MIDI_SUFFIXES).files
    found: dict[tuple[int, int], list[Made]] = {}
    for name in files[:: max(1, len(files) // most)]:
        for piece in read(folder / name, ReadingConfig(ticks_per_beat=48)).pieces:
            if len(piece.meters) == 1:
                made = _by_bars(piece)
                found.setdefault(made.meter, []).append(made)
    return {meter: some for meter, some in found.items() if len(some) >= 4}


def _by_bars(piece: Piece) -> Made:
    factor = _TICKS // piece.ticks_per_beat
    bars, notes, at = [], piece.notes, 0
    meter = (4, 4)
    for bar in piece.bars():
        meter = bar.meter
        some = []
        while at < len(notes) and notes[at].onset < bar.end:
            note = notes[at]
            some.append((factor * (note.onset - bar.start), note.pitch, factor * note.duration, note.velocity))
            at += 1
        bars.append(tuple(some))
    return Made(meter, tuple(bars))


def multiplied(real: dict[tuple[int, int], list[Made]], count: int, seed: int) -> Iterator[tuple[Made, str]]:
    """Yield `count` pieces and what each is: "new", "copy", "transposed" or "varied"."""
    dice = random.Random(seed)
    everything = [one for some in real.values() for one in some]
    earlier: list[Made] = []
    for _ in range(count):
        kind, turn = "new", dice.random()
        for name, share in _SHARES.items():
            if earlier and 0 <= turn < share:
                kind = name
            turn -= share
        if kind == "new":
            start = dice.choice(everything)
            others = [start, *(dice.choice(real[start.meter]) for _ in range(3))]
            made = Made(
                start.meter, tuple(_turned(dice.choice(dice.choice(others).bars), dice) for _ in start.bars)
            )
        else:
            made = dice.choice(earlier)
        if kind == "transposed":
            made = _moved(made, dice.choice([-4, -3, -2, -1, 1, 2, 3, 4]))
        elif kind == "varied":
            place = dice.randrange(len(made.bars))
            bars = [_turned(bar, dice) if number == place else bar for number, bar in enumerate(made.bars)]
            made = Made(made.meter, tuple(bars))
        earlier = [*earlier[-_LATER + 1 :], made]
        yield made, kind


def _moved(made: Made, semitones: int) -> Made:
    return Made(made.meter, tuple(tuple((on, p + semitones, d, v) for on, p, d, v in bar) for bar in made.bars))


def _turned(bar: Bar, dice: random.Random) -> Bar:
    """Return a bar moved by up to a fourth, perhaps mirrored about its first pitch, perhaps reversed."""
    if not bar:
        return bar
    semitones, sign = dice.randint(-5, 5), dice.choice([1, -1])
    pitches = [bar[0][1] + sign * (pitch - bar[0][1]) + semitones for _, pitch, _, _ in bar]
    if dice.random() < 0.5:
        pitches.reverse()
    # Two neighbours may swap, which turns the rhythm of the bar's moves.
    place = dice.randrange(len(pitches))
    pitches[place], pitches[-1] = pitches[-1], pitches[place]
    inside = [min(max(pitch, 24), 103) for pitch in pitches]
    return tuple((on, pitch, d, v) for (on, _, d, v), pitch in zip(bar, inside, strict=True))


def midi(made: Made, qpm: int) -> bytes:
    """Return a piece as a MIDI file of one track."""
    meter = struct.pack("BBBB", made.meter[0], made.meter[1].bit_length() - 1, 24, 8)
    events: list[tuple[int, int, bytes]] = [
        (0, 0, b"\xff\x51\x03" + round(6e7 / qpm).to_bytes(3, "big")),
        (0, 0, b"\xff\x58\x04" + meter),
    ]
    for number, bar in enumerate(made.bars):
        start = number * made.bar_ticks
        for onset, pitch, duration, velocity in bar:
            events.append((start + onset, 2, bytes((0x90, pitch, velocity))))
            events.append((start + onset + duration, 1, bytes((0x80, pitch, 0))))
    events.sort(key=lambda event: event[:2])
    track, now = bytearray(), 0
    for time_, _, event in events:
        track += _quantity(time_ - now) + event
        now = time_
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, _TICKS) + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _quantity(value: int) -> bytes:
    groups = [value & 127]
    while value := value >> 7:
        groups.append(128 | value & 127)
    return bytes(reversed(groups))


def write(real: dict[tuple[int, int], list[Made]], folder: Path, count: int, seed: int) -> Counter[str]:
    """Write the files, a thousand to a folder; return how many there are of each kind."""
    kinds: Counter[str] = Counter()
    for number, (made, kind) in enumerate(multiplied(real, count, seed)):
        place = folder / f"{number // _A_FOLDER:04}"
        if number % _A_FOLDER == 0:
            place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:07}-{kind}.mid").write_bytes(midi(made, 60 + number % 120))
        kinds[kind] += 1
    return kinds


def run(
    arguments: Sequence[str], cache: Path, *, kill_after: float = 0.0, until: str = "", place: Path | None = None
) -> Measured:
    """Run the command and watch it and its children; `until` ends it once stderr holds that text."""
    environment = {**os.environ, "SEQGAN_MUSIC_CACHE": str(cache)}
    line = [sys.executable, "-m", "seqgan_music", *arguments]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(line, env=environment, stdout=out, stderr=err, cwd=place)
        found = Measured(0.0, 0)
        seen: set[int] = set()
        while process.poll() is None:
            high, own, together = _memory(process.pid)
            found.main_megabytes = max(found.main_megabytes, high)
            found.main_own_megabytes = max(found.main_own_megabytes, own)
            for child in _children(process.pid):
                seen.add(child)
                most, _, now = _memory(child)
                found.worker_megabytes = max(found.worker_megabytes, most)
                together += now
            found.together_megabytes = max(found.together_megabytes, together)
            if kill_after and time.perf_counter() - started > kill_after:
                process.kill()
            if until and until.encode() in os.pread(err.fileno(), 1 << 20, 0):
                process.terminate()
                process.wait()
                break
            time.sleep(0.05)
        found.seconds = time.perf_counter() - started
        found.code, found.workers = process.wait(), len(seen)
        out.seek(0)
        err.seek(0)
        found.output = (out.read() + err.read()).decode(errors="replace")
    return found


def _memory(pid: int) -> tuple[float, float, float]:
    """Return high-water mark, present memory without pages of files, and with them, MB; zeros where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0, 0.0
    values = {name: line.split()[0] for name, _, line in (line.partition(":") for line in lines) if line.split()}
    high, own, now = (int(values.get(name, 0)) / 1024 for name in ("VmHWM", "RssAnon", "VmRSS"))
    return high, own, now


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.extend(map(int, task.read_text().split()))
        except OSError:
            continue
    return found


def main() -> None:
    """Make the files, measure, say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("music", type=Path, help="a folder of real MIDI files")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="where to make them; kept, and used again where it is full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill", type=float, default=0.0, help="end the first scan after so many seconds")
    parser.add_argument("--train", action="store_true", help="train for a first round as well")
    parser.add_argument("--updates", type=int, default=50, help="of that round")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.folder is None:
        with tempfile.TemporaryDirectory(prefix="corpus-") as place:
            found = measure(asked, Path(place))
    else:
        found = measure(asked, asked.folder)
    for name, value in found.items():
        if not asked.json:
            sys.stdout.write(f"{name:<32}{value}\n")
    if asked.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")


def measure(asked: argparse.Namespace, place: Path) -> dict[str, object]:
    """Measure what was asked for, in a folder of its own."""
    files, cache = place / f"files-{asked.files}-{asked.seed}", place / "cache"
    found: dict[str, object] = {"files": asked.files}
    if not files.exists():
        started = time.perf_counter()
        unfinished = place / "unfinished"
        kinds = write(sources(asked.music, _SOURCES), unfinished, asked.files, asked.seed)
        unfinished.rename(files)
        found |= {"made in s": round(time.perf_counter() - started, 1), "kinds": dict(kinds)}
    shutil.rmtree(cache, ignore_errors=True)
    scan = ["scan", str(files)]
    if asked.kill:
        killed = run(scan, cache, kill_after=asked.kill)
        found["killed after s"] = round(killed.seconds, 1)
    first = run(scan, cache)
    found |= _told("scan" if not asked.kill else "scan, gone on with", first, asked.files)
    found |= _told("scan again", run(scan, cache), asked.files)
    found["table"] = first.output.splitlines()
    found["cache MB"] = round(sum(path.stat().st_size for path in cache.glob("*")) / 1e6, 1)
    if asked.train:
        shutil.rmtree(place / RUNS, ignore_errors=True)
        settings = ["evaluation.report='none'", f"phase.mle.round_updates={asked.updates}"]
        train = ["train", str(files.resolve()), *(part for one in settings for part in ("--set", one))]
        trained = run(train, cache, until="round   1/", place=place)
        found |= _told("to the end of the first round", trained, asked.files)
        (tokens,) = {path.resolve() for path in (place / RUNS).glob("*/tokens.npz")}
        count = sum(len(side.ids) for side in vars(Splits.load(tokens)).values())
        found |= {"tokens": count, "bytes a token": round(tokens.stat().st_size / count, 2)}
        found["train says"] = trained.output.splitlines()[-12:]
    return found


def _told(name: str, measured: Measured, files: int) -> dict[str, object]:
    values = {key: round(value, 1) for key, value in asdict(measured).items() if key != "output"}
    return {name: {**values, "files a second": round(files / measured.seconds, 1)}}


if __name__ == "__main__":
    main()
