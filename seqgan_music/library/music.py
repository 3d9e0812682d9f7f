"""Music in and out, without a run: files read as pieces, pieces written in any format, tokens, a folder's scan."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from seqgan_music.arguments import AnyPath, checked
from seqgan_music.compose.composition import Composition
from seqgan_music.config import Config, ReadingConfig, resolve
from seqgan_music.errors import InputError
from seqgan_music.music.notes import TICKS_PER_BEAT, Piece

if TYPE_CHECKING:
    from seqgan_music.music.scanning import Scan
    from seqgan_music.music.tokenizers import Tokenizer

OneMusic: TypeAlias = AnyPath | Piece | Composition
"""A file, a piece, or what a run has written."""
Music: TypeAlias = OneMusic | Iterable[OneMusic]
"""The same, a folder, or several of them."""
Configuration: TypeAlias = AnyPath | Config | Mapping[str, Any]
"""A preset's name, a TOML file, a configuration, or its keys as a mapping."""

log = logging.getLogger(__name__)


@checked()
def read(path: AnyPath, *, track: str = "all") -> Piece:
    """Read one file of music: .mid .midi .kar .abc .musicxml .mxl .xml .krn; of a tune-book the first piece.

    Its notes come on a grid of 12 ticks a quarter note, on the 88 keys, without drums. `track` is "all", "melody"
    (the track or top line most like one), a track's number from 1, or its name. The file is read in a process of
    its own with limits on time and memory: any file may be tried. Raises InputError where no piece comes of it.
    """
    from seqgan_music.compose.primers import read_pieces

    return read_pieces(Path(path), ReadingConfig(track=track), "File").pieces[0]


@checked()
def read_all(
    *paths: AnyPath | Iterable[AnyPath], track: str = "all", skipped: Callable[[Path, str], object] | None = None
) -> list[Piece]:
    """Read every piece of files and of folders of any depth, each given alone or several at once; see `read`.

    `skipped` is called with each file that gives no piece, and why; unless it is given, they are logged. Unlike
    what `train` learns from, versions of one tune and short pieces are all there. Raises InputError where there is
    no piece at all.
    """
    from seqgan_music.music.loading import files_of, read_files

    found: list[Piece] = []
    files = files_of(paths_of(paths))
    for file, outcome in read_files(files, ReadingConfig(track=track)):
        if isinstance(outcome, str):
            (skipped or _log_skipped)(file, outcome)
        else:
            found += outcome
    if not found:
        raise InputError(f"No piece could be read of {', '.join(map(str, paths))}: {len(files)} files tried.")
    return found


@checked()
def write(
    music: Piece | Composition,
    path: AnyPath,
    *,
    score: bool = False,
    title: str | None = None,
    soundfont: AnyPath | None = None,
) -> Path:
    """Write music, whole or not at all, in the format of the path's suffix, and return the path.

    See `Composition.write`, which a composition is written by: a piece is written in the same way, its name its
    title. Raises ConfigError, InputError and OutputError.
    """
    from collections import Counter

    if isinstance(music, Piece):
        music = Composition(piece_of(music), (), 0, Counter())
        title = title or music.piece.name or None
    return music.write(path, score=score, title=title, soundfont=soundfont)


@checked()
def tokenizer(name: str = "note_event", *, ticks_per_beat: int = TICKS_PER_BEAT, **options: Any) -> Tokenizer:
    """Return a tokenizer by its name, the package's or one of yours; docs/config.md has them and their options.

    `encode` gives rows of ids of a piece, `decode` the piece of any ids, `vocabulary` the name of each id. Raises
    ConfigError.
    """
    from seqgan_music.music import tokenizers

    return tokenizers.create(name, options, ticks_per_beat)


@checked()
def scan(
    folder: AnyPath,
    config: Configuration = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    track: str | None = None,
) -> Scan:
    """Read a folder as `train` does, and return what can be learnt from and what became of every other file.

    `print(scan.table())` shows it, `scan.pieces` is the music, `scan.skipped()` says what is left out and why. What
    was read is kept in ~/.cache/seqgan-music. Arguments are those of `train`. Raises InputError where there is no
    music file, ConfigError; that there is too little to learn from is raised by `scan.check()`.
    """
    from seqgan_music.music import corpus

    chosen = resolve(config, {**(settings or {}), **({} if track is None else {"corpus.reading.track": track})})
    return corpus.scan(Path(folder), chosen.corpus, check=False)


def piece_of(music: Piece | Composition) -> Piece:
    """Return the piece that is given, in order: anybody may make one. Raises InputError."""
    from seqgan_music.music import hand_made

    return music.piece if isinstance(music, Composition) else hand_made.sound(music)


def pieces_of(music: Music) -> list[Piece]:
    """Return the pieces of whatever is taken for music. Raises InputError."""
    return list(_each(music))


def _each(music: Music) -> Iterator[Piece]:
    if isinstance(music, Piece | Composition):
        yield piece_of(music)
    elif isinstance(music, str | os.PathLike):
        yield from read_all(music)
    else:
        for one in music:
            yield from _each(one)


def paths_of(paths: AnyPath | Iterable[AnyPath | Iterable[AnyPath]]) -> list[Path]:
    """Return one or several paths as paths."""
    return (
        [Path(paths)] if isinstance(paths, str | os.PathLike) else [path for one in paths for path in paths_of(one)]
    )


def _log_skipped(path: Path, reason: str) -> None:
    log.warning("%s: skipped: %s", path, reason)
