"""Rows of performance decoded side by side: onsets by summing up waits, and a note wherever its three ids fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqgan_music.music.note_tables import Ints, NoteTable, struck_again
from seqgan_music.music.notes import LOWEST_PITCH, PITCHES
from seqgan_music.music.tokenizers._event_grammar import MOST_BARS

_FREE, _WAITED, _WAITING, _VOICED, _NAMED, _OVER = range(6)
_KINDS = ("WAIT", "VELOCITY", "PITCH", "LASTS", "END_OF_PIECE")
_WAIT, _VELOCITY, _PITCH, _LASTS, _END = range(5)


def decode(tokenizer: Any, ids: Ints) -> NoteTable:
    """Return the notes of rows of ids (N, T). States and rules are those of `PerformanceGrammar` without bounds."""
    at = tokenizer.layout
    kinds = np.array([_KINDS.index(kind) for kind in at.kinds], dtype=np.int8)  # (V,)
    rows, length = ids.shape
    limit = MOST_BARS * at.bar_ticks
    durations = np.array(at.durations)
    phase, onset, above, pitch, notes = np.zeros((5, rows), dtype=np.int64)
    pitches, onsets, lengths = np.zeros((3, length, rows), dtype=np.int64)
    for now, tokens in enumerate(np.ascontiguousarray(ids.T)):
        kind = kinds[tokens]
        ticks = tokens - at.wait + 1
        named = tokens - at.pitch
        waits = (kind == _WAIT) & ((phase == _FREE) | (phase == _WAITING)) & (onset + ticks < limit)
        begins = (kind == _PITCH) & (phase < _NAMED) & (named >= above)
        voices = (kind == _VELOCITY) & (phase < _VOICED) & (above < len(PITCHES))
        lasts = (kind == _LASTS) & (phase == _NAMED)
        ends = (kind == _END) & (phase == _FREE) & (notes > 0)
        onset += np.where(waits, ticks, 0)
        pitch = np.where(begins, named, pitch)
        above = np.where(waits, 0, np.where(begins, named + 1, above))
        notes += lasts
        lengths[now] = np.where(lasts, durations[np.clip(tokens - at.lasts, 0, len(durations) - 1)], 0)
        pitches[now], onsets[now] = pitch, onset
        for there, state in ((waits, _WAITED), (begins, _NAMED), (voices, _VOICED), (lasts, _FREE), (ends, _OVER)):
            phase[there] = state
        phase[waits & (ticks == at.waits)] = _WAITING
    step, row = np.nonzero(lengths)
    onset, pitch, duration = onsets[step, row], pitches[step, row], lengths[step, row]
    cut, gap = struck_again(row, onset, pitch)
    within = durations[np.searchsorted(durations, gap, side="right") - 1]  # as `PerformanceLayout.apart`
    duration[cut] = np.minimum(duration[cut], within)
    order = np.lexsort((pitch, onset, row))
    row, onset = row[order], onset[order]
    return NoteTable(
        rows=rows,
        ticks_per_beat=tokenizer.ticks_per_beat,
        row=row.astype(np.int64),
        onset=onset,
        pitch=pitch[order] + LOWEST_PITCH,
        duration=duration[order],
        bar=onset // at.bar_ticks,
        position=onset % at.bar_ticks,
        whole=(ids == tokenizer.end_id).any(axis=1),
    )
