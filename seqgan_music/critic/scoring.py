"""Untrusted files -> what a run's critic says of each, or why it cannot say anything."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from seqgan_music import config as configs
from seqgan_music import machine
from seqgan_music.config import ReadingConfig
from seqgan_music.critic.judging import Critic, Judgement
from seqgan_music.errors import InputError
from seqgan_music.music import vocabulary
from seqgan_music.music.finding import find
from seqgan_music.music.notes import Piece
from seqgan_music.music.reading import SUFFIXES, read
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.music.workers import Failure, bounded_map


@dataclass(frozen=True)
class Scored:
    """One piece of a file as the run's tokenizer holds it, or why there is none; `name` says which of several."""

    path: Path
    name: str
    piece: Piece | None = None
    judgement: Judgement | None = None
    reason: str = ""


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named, and the music files of folders that are. Raises InputError for none."""
    found: list[Path] = []
    for path in paths:
        found += [path / name for name in find(path, SUFFIXES).files] if os.path.isdir(path) else [path]
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no music there. Kinds: {' '.join(sorted(SUFFIXES))}.")
    return list(dict.fromkeys(found))


def score(run: Path, critic: Critic, paths: Sequence[Path]) -> Iterator[Scored]:
    """Yield what the critic says of each piece of each file, in their order. Raises RunError, ConfigError."""
    tokenizer = vocabulary.load(run / "vocabulary.json")
    file = run / "config.toml"
    reading = configs.load(str(file)).corpus.reading if file.is_file() else ReadingConfig()
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
            yield Scored(path, str(path), reason=unread[path])
            continue
        outcome = known[path]
        if isinstance(outcome, Failure) or not outcome.pieces:
            yield Scored(path, str(path), reason=f"{outcome.reason}. {outcome.detail}")
            continue
        for number, piece in enumerate(outcome.pieces, 1):
            name = str(path) if len(outcome.pieces) == 1 else f"{path}#{number}"
            held = hold(piece, tokenizer)
            judgement = critic.judge(held) if held is not None else None
            if held is None or judgement is None:
                yield Scored(path, name, reason="no notes that this run's tokenizer can hold")
            else:
                yield Scored(path, name, held, judgement)


def hold(piece: Piece, tokenizer: Tokenizer) -> Piece | None:
    """Return a piece as the tokenizer holds it, with its own tempo and instrument; None where nothing is left."""
    held, _ = tokenizer.normalise(piece)
    return replace(held, tempos=piece.tempos[:1], program=piece.program, name=piece.name) if held.notes else None


def _unreadable(path: Path) -> str:
    if not path.is_file():
        return "there is no such file"
    if path.suffix.lower() not in SUFFIXES:
        return f"of no known kind: {' '.join(sorted(SUFFIXES))}"
    return ""
