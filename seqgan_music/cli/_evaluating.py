"""What commands that judge a run share: temperatures as typed, progress on stderr, the report and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seqgan_music.cli._terminal import say
from seqgan_music.errors import ConfigError, SeqganMusicError

if TYPE_CHECKING:
    from seqgan_music.evaluate.evaluation import Evaluation


def parse_temperatures(text: str) -> tuple[float, ...]:
    """Read "0.8,1". Raises ConfigError."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--temperatures must be numbers with commas between, not '{text}'.") from None


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done: in one line on a terminal, in a log line by line."""
    from tqdm import tqdm

    with tqdm(disable=None, leave=False, bar_format="  {desc} ({elapsed})") as bar:

        def show(text: str) -> None:
            if bar.disable:
                say(f"  {text}")
            else:
                bar.set_description_str(text)

        yield show


def write_report(run: Path, *, out: Path | None = None, samples: int, seed: int = 1, evaluation: bool) -> Path:
    """Evaluate a run where that is due, unless told not to, and write its report. Raises RunError, OutputError."""
    from seqgan_music import report

    with progress() as show:
        if evaluation:
            evaluate_where_due(run, show)
        return report.write(run, out=out, samples=samples, seed=seed, show=show)


def evaluate_where_due(run: Path, show: Callable[[str], None]) -> Evaluation | None:
    """Evaluate a run that has no evaluation of what it is now, and return it; say so where that cannot be."""
    from seqgan_music.evaluate import result
    from seqgan_music.report.sources import Sources

    sources = Sources.read(run)
    if sources.evaluation is not None and not sources.stale:
        return None
    from seqgan_music.evaluate.evaluation import evaluate
    from seqgan_music.evaluate.ground import Options

    try:
        found = evaluate(run, Options(), show=show)
        result.write(run / result.FILE, found.document())
    except SeqganMusicError as error:
        say(f"Not evaluated: {error}")
        return None
    return found
