"""Rows of pitch_grid decoded side by side: a note wherever the id differs from the one before."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqgan_music.music.note_tables import Ints, NoteTable
from seqgan_music.music.notes import LOWEST_PITCH

_BEATS_A_BAR = 4


def decode(tokenizer: Any, ids: Ints) -> NoteTable:
    """Return the notes of rows of ids (N, T)."""
    rows, length = ids.shape
    starts = np.ones((rows, length), dtype=np.bool_)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    row, step = np.nonzero(starts)
    following = np.append(np.where(row[1:] == row[:-1], step[1:], length), length)
    token = ids[row, step]
    heard = np.ones(len(row), dtype=np.bool_) if tokenizer.rest is None else token != tokenizer.rest
    row, step, following, token = row[heard], step[heard], following[heard], token[heard]
    onset = step * tokenizer.step_ticks
    bar_ticks = _BEATS_A_BAR * tokenizer.ticks_per_beat
    return NoteTable(
        rows=rows,
        ticks_per_beat=tokenizer.ticks_per_beat,
        row=row.astype(np.int64),
        onset=onset,
        pitch=(LOWEST_PITCH + token - tokenizer.first).astype(np.int64),
        duration=(following - step) * tokenizer.step_ticks,
        bar=onset // bar_ticks,
        position=onset % bar_ticks,
        whole=np.zeros(rows, dtype=np.bool_),
    )
