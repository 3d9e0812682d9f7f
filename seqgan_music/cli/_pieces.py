"""Which pieces are asked for: by which seeds, new or continued, with some bars kept, or varied."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqgan_music.errors import ConfigError

if TYPE_CHECKING:
    from seqgan_music.asking import Source
    from seqgan_music.compose import Primer

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("-n", "--count", type=int, help="Pieces; more than one are numbered song-1.mid ...  [default: 1]"),
    click.option("--seed", "seeds", help="Makes the same files again; several as 1-8 or 1,5,9-12."),
    click.option("--primer", type=_FILE, help="Music to continue, of any kind that is read."),
    click.option("--track", help="Of the file: all, melody, a track's number or name.  [default: as in training]"),
    click.option("--keep-bars", help="Keep these bars of --primer, as 1-4,9-12 or none; write the others anew."),
    click.option("--vary", type=_FILE, help="Write variations of this music."),
    click.option("--distance", type=float, help="Share of the bars that --vary writes anew.  [default: 0.25]"),
)


@dataclass(frozen=True)
class Pieces:
    """What is asked for, checked as far as it can be without the files."""

    seeds: list[int]
    primer: Path | None
    track: str | None
    keep_bars: str | None
    vary: Path | None
    distance: float

    @property
    def source(self) -> Path | None:
        """The music that is continued or changed."""
        return self.vary or self.primer

    def asked(self, primer: Primer | None) -> Source | None:
        """Return the music, read, with what is to become of it."""
        from seqgan_music.asking import Source

        if primer is None or self.source is None:
            return None
        return Source(
            primer,
            self.source.name,
            self.track,
            keep=tuple(_bars(self.keep_bars)) if self.keep_bars else None,
            keep_text=self.keep_bars,
            distance=self.distance if self.vary else None,
        )


def with_pieces(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as one argument, `pieces`."""

    @wraps(function)
    def collected(**given: Any) -> None:
        names = ("count", "seeds", "primer", "track", "keep_bars", "vary", "distance")
        function(pieces=_parsed(**{name: given.pop(name) for name in names}), **given)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def _parsed(count: int | None, seeds: str | None, distance: float | None, **given: Any) -> Pieces:
    from seqgan_music.asking import DISTANCE
    from seqgan_music.compose import check_seeds

    drawn = [secrets.randbelow(10**9)] if seeds is None else _numbers(seeds, "seed")
    if count is not None and len(drawn) > 1:
        raise ConfigError("Give several seeds or --count, not both.")
    check_seeds(min(drawn), 1 if count is None else count)
    check_seeds(max(drawn), len(drawn))
    if count is not None:
        drawn = list(range(drawn[0], drawn[0] + count))
    if given["keep_bars"] is not None:
        _bars(given["keep_bars"])
        if given["primer"] is None:
            raise ConfigError("--keep-bars keeps bars of a piece: name its file with --primer.")
    if given["vary"] is not None and given["primer"] is not None:
        raise ConfigError("Give --vary or --primer, not both.")
    if distance is not None and given["vary"] is None:
        raise ConfigError("--distance is that of a variation: name the file to vary with --vary.")
    if given["track"] is not None and given["vary"] is None and given["primer"] is None:
        raise ConfigError("--track is one of a file: name it with --primer or --vary.")
    if distance is not None and not 0 <= distance <= 1:
        raise ConfigError(f"distance must be 0 to 1, not {distance}.")
    return Pieces(drawn, distance=DISTANCE if distance is None else distance, **given)


def _bars(text: str) -> list[int]:
    return [] if text.strip() == "none" else _numbers(text, "keep-bars")


def _numbers(text: str, name: str) -> list[int]:
    """Return the numbers of "1-4,9-12", in order as they stand there."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d{1,19})(?:\s*-\s*(\d{1,19}))?\s*", part)
        if match is None:
            raise ConfigError(f"{name} must be numbers and ranges as 1-4,9-12, not '{text}'.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or len(numbers) + last - first >= 10_000:
            raise ConfigError(f"{name} {part.strip()}: a range goes upwards, and all hold at most 10000 numbers.")
        numbers += range(first, last + 1)
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"{name} {text} has a number twice.")
    return numbers
