"""The music that a run learnt from, to look copied notes up in: indexed once, then read from a file of the cache.

Only a large set has such a file: a small one is indexed while one waits. A file that is damaged, or of other music
or code, is made anew; one that cannot be written is done without.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from seqgan_music import arrays, documents
from seqgan_music.errors import OutputError
from seqgan_music.music import corpus
from seqgan_music.music.cache import KEEP_DAYS, key, user_folder
from seqgan_music.music.metrics.originality import TOGETHER, Index
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits

_NAME = "copies-{}.npz"


def training_index(tokens: Path, tokenizer: Tokenizer, names: Sequence[str], *, progress: bool = False) -> Index:
    """Return the training pieces that a run's file of tokens holds. Raises RunError.

    `names` are those of the run's kept pieces. Memory is bounded; what is made of a large set is kept in the cache.
    """
    folder = user_folder()
    train = Splits.load(tokens).train
    path = folder / _NAME.format(_key(tokens, tokenizer)) if folder is not None else None
    names = corpus.piece_names(train, names)
    if path is not None:
        with suppress(*arrays.DAMAGE):
            index = Index.load(path, names)
            os.utime(path)
            return index
    # Of a thousand tunes it takes a second, of very many minutes.
    off = None if progress else True  # None: where stderr is no terminal
    with tqdm(desc="training music", total=len(train), unit=" rows", leave=False, disable=off, delay=3) as bar:

        def shown() -> Iterator[NoteTable]:
            for table in corpus.each_table(train, tokenizer):
                yield table
                bar.update(table.rows)

        index = Index.of_tables(shown(), names, tokenizer.ticks_per_beat, together=TOGETHER, folder=folder)
    if path is not None and index.large:
        _sweep(path.parent)
        with suppress(OutputError):
            index.save(path)
    return index


def _key(tokens: Path, tokenizer: Tokenizer) -> str:
    try:
        with documents.opened(tokens) as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        content = ""  # who reads it says what is wrong
    return key("copies", content, tokenizer.name, asdict(tokenizer.options), tokenizer.ticks_per_beat)


def _sweep(folder: Path) -> None:
    """Remove what was not used for three months."""
    for path in folder.glob(_NAME.format("*")):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - KEEP_DAYS * 86400:
                path.unlink()
