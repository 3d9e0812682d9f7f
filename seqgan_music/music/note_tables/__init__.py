"""Note tables: the notes of many pieces as flat arrays, made of pieces or straight from rows of ids.

What is computed for thousands of rows at every step of training needs arrays, not objects. A file of this folder
has a tokenizer's name and a function `decode(tokenizer, ids)` that reads (N, T) ids all rows at once, to the very
table that the tokenizer's own `decode` gives row by row (tested). Without such a file they are read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import numpy.typing as npt

from seqgan_music import choices
from seqgan_music.music.notes import Piece
from seqgan_music.music.tokenizers import Tokenizer

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NoteTable:
    """M notes of N rows, drums apart, sorted by (row, onset, pitch). Times in ticks of `ticks_per_beat`.

    row, onset, pitch, duration: (M,)
    bar:      (M,) number of the bar in which each note begins, from 0
    position: (M,) ticks from the start of that bar to the note
    whole:    (N,) whether the row's music came to its end, and was not cut off
    """

    rows: int
    ticks_per_beat: int
    row: Ints
    onset: Ints
    pitch: Ints
    duration: Ints
    bar: Ints
    position: Ints
    whole: Bools

    @property
    def counts(self) -> Ints:
        """(N,) notes of each row."""
        return np.bincount(self.row, minlength=self.rows)


def of_pieces(pieces: Sequence[Piece], whole: Sequence[bool] | None = None) -> NoteTable:
    """Return the table of pieces on one grid; `whole` is true for all unless it is given.

    Raises ValueError where the grids differ.
    """
    grids = {piece.ticks_per_beat for piece in pieces} or {1}
    if len(grids) > 1:
        raise ValueError(f"pieces on different grids: {sorted(grids)} ticks a beat")
    notes = [
        (row, note.onset, note.pitch, note.duration)
        for row, piece in enumerate(pieces)
        for note in piece.tuned.notes
    ]
    row, onset, pitch, duration = np.array(notes, dtype=np.int64).reshape(-1, 4).T
    bar, position = np.zeros_like(row), np.zeros_like(row)
    bounds = np.searchsorted(row, np.arange(len(pieces) + 1)).tolist()
    for piece, begin, end in zip(pieces, bounds, bounds[1:], strict=False):
        starts = np.array([bar.start for bar in piece.bars()], dtype=np.int64)
        bar[begin:end] = np.searchsorted(starts, onset[begin:end], side="right") - 1
        position[begin:end] = onset[begin:end] - starts[bar[begin:end]] if end > begin else 0
    flags = np.ones(len(pieces), dtype=np.bool_) if whole is None else np.array(whole, dtype=np.bool_)
    return NoteTable(len(pieces), grids.pop(), row, onset, pitch, duration, bar, position, flags)


def of_ids(tokenizer: Tokenizer, ids: Ints) -> NoteTable:
    """Return the table of the pieces that rows of ids (N, T) stand for; each id lies in the vocabulary."""
    if tokenizer.name in choices.names(__name__):
        table: NoteTable = import_module(f"{__name__}.{tokenizer.name}").decode(tokenizer, ids)
        return table
    return one_by_one(tokenizer, ids)


def struck_again(row: Ints, onset: Ints, pitch: Ints) -> tuple[Ints, Ints]:
    """Return which of notes (M,) are followed by one of their pitch in their row, and after how many ticks (K,)."""
    order = np.lexsort((onset, pitch, row))
    here, after = order[:-1], order[1:]
    same = (row[here] == row[after]) & (pitch[here] == pitch[after])
    return here[same], (onset[after] - onset[here])[same]


def one_by_one(tokenizer: Tokenizer, ids: Ints) -> NoteTable:
    """Return the same table by the tokenizer's own `decode`: slow, obvious, and right."""
    pieces = [tokenizer.decode(row).piece for row in ids.tolist()]
    ended = [tokenizer.end_id is not None and tokenizer.end_id in row for row in ids.tolist()]
    return of_pieces(pieces, ended)
