"""Piece -> windows of 16 bars, the unit in which sets of pieces are compared.

Pieces differ in length, and most statistics grow or shrink with it; windows of one length are comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seqgan_music.music.notes import Bar, Meter, Piece, Tempo

BARS = 16


def windows(piece: Piece, bars: int = BARS) -> list[Piece]:
    """Return the piece cut at every `bars`-th bar line, each part counted from tick 0; no part without notes.

    A last part of less than half a window is left out, unless it is the whole piece. A note belongs to the bar in
    which it begins, and is cut where its window ends.
    """
    measures = list(piece.bars())
    parts = [measures[start : start + bars] for start in range(0, len(measures), bars)]
    if len(parts) > 1 and 2 * len(parts[-1]) < bars:
        parts.pop()
    cut = (part_of(piece, part) for part in parts)
    return [window for window in cut if window.notes]


def part_of(piece: Piece, bars: Sequence[Bar]) -> Piece:
    """Return what begins in these bars, which follow each other, counted from the first one's start."""
    start, end = bars[0].start, bars[-1].end
    notes = tuple(
        replace(note, onset=note.onset - start, duration=min(note.end, end) - note.onset)
        for note in piece.notes
        if start <= note.onset < end
    )
    meters = [
        Meter(bar.start - start, *bar.meter)
        for before, bar in zip([None, *bars], bars, strict=False)
        if before is None or bar.meter != before.meter
    ]
    first = max((tempo for tempo in piece.tempos if tempo.onset <= start), default=Tempo(0, piece.tempos[0].qpm))
    inside = [replace(tempo, onset=tempo.onset - start) for tempo in piece.tempos if start < tempo.onset < end]
    tempos = (replace(first, onset=0), *inside)
    return replace(piece, notes=notes, meters=tuple(meters), tempos=tempos)
