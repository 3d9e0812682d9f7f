"""What commands that judge a run share: temperatures as typed, progress on stderr, the report and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seqgan_music.cli._terminal import say
from seqgan_music.errors import ConfigError, SeqganMusicError


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
    from seqgan_music import finishing, report

    with progress() as show:
        try:
            if evaluation and finishing.evaluation_due(run):
                finishing.evaluate(run, show=show)
        except SeqganMusicError as error:
            say(f"Not evaluated: {error}")
        return report.write(run, out=out, samples=samples, seed=seed, show=show)
