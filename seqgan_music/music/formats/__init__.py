"""What music can be written as: one file a format, found by the suffix of the path.

    write(piece, Path("song.mp3"), Options(title="Song"))

A format is a class named as its file (`Midi` in `midi.py`) that has what `Format` names. Where two formats write
one suffix (a piano roll and notation both draw `.svg` and `.png`), `Options.score` says which one is meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from seqgan_music import choices
from seqgan_music.errors import ConfigError
from seqgan_music.files import check_writable, replacing
from seqgan_music.music.arrangement import Arrangement

if TYPE_CHECKING:
    from seqgan_music.music.notes import Piece


@dataclass(frozen=True)
class Options:
    """What a format may be told beside the music; each takes what it can show.

    title, comment  texts for people
    key             a key signature's name, as "C major" or "F# minor"; None lets notation estimate it
    score           whether a picture is notation rather than a piano roll
    soundfont       a SoundFont 2 file of the user's to play with
    heat            a value 0..1 for each bar, drawn as a strip under the piano roll; None draws none
    heat_means      what 0 and 1 are, for the strip's legend
    """

    title: str | None = None
    comment: str | None = None
    key: str | None = None
    score: bool = False
    soundfont: Path | None = None
    heat: Sequence[float] | None = None
    heat_means: tuple[str, str] = ("least", "most")


class Format(Protocol):
    """One way to write music."""

    suffixes: tuple[str, ...]
    """Lower case, with the dot."""
    about: str
    """What it is for people, in a few words."""
    score: bool | None
    """The `Options.score` with which it is meant; None where no other format has its suffixes."""

    def absent(self, suffix: str) -> str | None:
        """Say in one sentence, with the command that mends it, what is not installed; None where all is there."""

    def check(self, suffix: str, music: Arrangement | None, options: Options) -> None:
        """Raise ConfigError or InputError for what cannot be written; `music` is None where it is not made yet."""

    def write(self, music: Arrangement, path: Path, options: Options) -> None:
        """Write `path`, which has one of the suffixes and stands under a temporary name, after a `check`."""


def formats() -> list[Format]:
    """Return all formats, by the names of their files."""
    return [choices.load(__name__, name, "format")() for name in choices.names(__name__)]


def suffixes() -> list[str]:
    """Return every suffix that can be written."""
    return sorted({suffix for each in formats() for suffix in each.suffixes})


def for_path(path: Path, *, score: bool = False) -> Format:
    """Return the format of a path's suffix.

    Raises ConfigError for a suffix that is none, naming the nearest, and for what is not installed.
    """
    suffix = path.suffix.lower()
    for found in formats():
        if suffix in found.suffixes and found.score in (None, score):
            absent = found.absent(suffix)
            if absent:
                raise ConfigError(f"Cannot write {path.name}: {absent}")
            return found
    near = difflib.get_close_matches(suffix, suffixes(), n=1, cutoff=0.5) if suffix else []
    meant = f" Did you mean '{near[0]}'?" if near else ""
    problem = f"there is no format '{suffix}'" if suffix else "its name has no suffix that says the format"
    raise ConfigError(f"Cannot write {path.name}: {problem}.{meant} Formats: {' '.join(suffixes())}.")


def check(paths: Sequence[Path], options: Options, music: Piece | Arrangement | None = None) -> None:
    """Raise now what `write` would raise for any of the paths later, so that none is written where one cannot be.

    Raises ConfigError, InputError, OutputError.
    """
    for path in paths:
        made = Arrangement.of(music) if music else None
        for_path(path, score=options.score).check(path.suffix.lower(), made, options)
    for path in paths:
        check_writable(path)


def write(music: Piece | Arrangement, path: Path, options: Options | None = None) -> None:
    """Write music in the format of the path's suffix, whole or not at all.

    Raises ConfigError (no such format, one that is not installed, music that it cannot hold), InputError (a bad
    SoundFont) and OutputError.
    """
    options = options or Options()
    chosen = for_path(path, score=options.score)
    arrangement = Arrangement.of(music)
    chosen.check(path.suffix.lower(), arrangement, options)
    with replacing(path) as temporary:
        chosen.write(arrangement, temporary, options)
