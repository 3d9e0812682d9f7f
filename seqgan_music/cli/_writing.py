"""Which files are written: paths of any format, several at once, and what the formats need to know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from seqgan_music.errors import ConfigError

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--out",
        "outs",
        type=_FILE,
        multiple=True,
        required=True,
        help="File to write; its suffix says the format: .mid .wav .flac .mp3 .ogg .musicxml .mxl .svg .png. May be"
        " given several times.",
    ),
    click.option("--score", is_flag=True, help="Draw notation into .svg and .png instead of a piano roll."),
    click.option("--soundfont", type=_FILE, help="SoundFont 2 file that sound is played with."),
)


def with_outs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --out, --score and --soundfont, as `outs`, `score` and `soundfont`."""

    @wraps(command)
    def checked(*arguments: Any, **options: Any) -> Any:
        outs: Sequence[Path] = options["outs"]
        doubled = {out for out in outs if list(outs).count(out) > 1}
        if doubled:
            raise ConfigError(f"--out {min(doubled)} is given twice.")
        if options["score"] and not any(out.suffix.lower() in (".svg", ".png") for out in outs):
            raise ConfigError("--score draws notation into .svg or .png, and no --out ends in one of them.")
        return command(*arguments, **options)

    for option in reversed(_OPTIONS):
        checked = option(checked)
    return checked


def numbered(outs: Sequence[Path], count: int) -> list[list[Path]]:
    """Return the files of each of `count` pieces: `outs` themselves for one, song-1.mid ... for several."""
    if count == 1:
        return [list(outs)]
    return [[out.with_stem(f"{out.stem}-{index}") for out in outs] for index in range(1, count + 1)]


def named(files: Sequence[Path]) -> str:
    """Return the files' names for people."""
    return ", ".join(str(click.format_filename(file)) for file in files)
