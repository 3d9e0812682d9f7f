"""Pieces of a run's training music, as its tokenizer holds them: by them features are scaled and targets set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from seqgan_music.errors import RunError
from seqgan_music.music import vocabulary
from seqgan_music.music.notes import Note, Piece
from seqgan_music.tokenset import Splits

TOKENS, VOCABULARY = "tokens.npz", "vocabulary.json"


def examples(run: Path, most: int) -> list[Piece]:
    """Return up to `most` training pieces, evenly spaced; none where the run came without its music.

    Raises RunError where the run's files cannot be read.
    """
    if not (run / TOKENS).exists():
        return []
    train, tokenizer = Splits.load(run / TOKENS).train, vocabulary.load(run / VOCABULARY)
    if train.vocabulary_size != len(tokenizer.vocabulary):
        raise RunError(f"{run}: its {TOKENS} and {VOCABULARY} are not of one run.")
    chosen = np.linspace(0, max(0, len(train) - 1), min(len(train), most)).astype(np.int64)
    return [tokenizer.decode(train.row(int(index)).tolist()).piece for index in chosen]


def cut(piece: Piece, bars: int) -> Piece:
    """Return the notes that begin in the first bars, none sounding past them."""
    following = next((bar for number, bar in enumerate(piece.bars()) if number == bars), None)
    if following is None:
        return piece
    kept = (note for note in piece.notes if note.onset < following.start)
    return replace(piece, notes=tuple(_until(note, following.start) for note in kept))


def _until(note: Note, end: int) -> Note:
    return replace(note, duration=min(note.duration, end - note.onset))
