"""Untrusted files and folders of them -> the pieces of each, or why there are none; nothing is cached."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from seqgan_music import machine
from seqgan_music.config import ReadingConfig
from seqgan_music.errors import InputError
from seqgan_music.music.finding import find
from seqgan_music.music.notes import Piece
from seqgan_music.music.reading import SUFFIXES, read
from seqgan_music.music.workers import Failure, bounded_map


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named, and the music files of folders that are. Raises InputError for none."""
    found: list[Path] = []
    for path in paths:
        found += [path / name for name in find(path, SUFFIXES).files] if os.path.isdir(path) else [path]
    if not found:
        places = ", ".join(map(str, paths)) or "No file is given"
        raise InputError(f"{places}: no music there. Kinds: {' '.join(sorted(SUFFIXES))}.")
    return list(dict.fromkeys(found))


def read_files(paths: Sequence[Path], reading: ReadingConfig) -> Iterator[tuple[Path, tuple[Piece, ...] | str]]:
    """Yield each file with its pieces, one or more, or with why there are none, in their order.

    Files are read in worker processes, bounded by `reading`.
    """
    unread = {path: reason for path in paths if (reason := _unreadable(path))}
    readable = [path for path in paths if path not in unread]
    arriving = bounded_map(
        partial(read, config=reading),
        readable,
        workers=max(1, min(machine.usable_cores(), len(readable))),
        max_seconds=reading.max_seconds,
        max_memory_megabytes=reading.max_memory_megabytes,
    )
    known = dict(arriving)
    for path in paths:
        if path in unread:
            yield path, unread[path]
            continue
        outcome = known[path]
        if isinstance(outcome, Failure) or not outcome.pieces:
            yield path, f"{outcome.reason}. {outcome.detail}"
        else:
            yield path, outcome.pieces


def _unreadable(path: Path) -> str:
    if not os.path.isfile(path):
        return "it is no file" if os.path.exists(path) else "there is no such file"
    if path.suffix.lower() not in SUFFIXES:
        return f"of no known kind: {' '.join(sorted(SUFFIXES))}"
    return ""
