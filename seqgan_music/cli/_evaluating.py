"""What `evaluate` and `compare` share: temperatures as typed, and what is being done on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seqgan_music.cli._terminal import say
from seqgan_music.errors import ConfigError


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
