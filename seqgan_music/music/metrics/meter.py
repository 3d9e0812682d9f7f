"""Meter kept: the share of bars that are bars to the ear, and not only by number.

Any ids decode to whole bars, so a generator that has lost count shows otherwise. A bar keeps its meter where

1. its meter lasts: it is the piece's commonest, or stands in at least 4 bars in a row (a single bar of another
   meter is a slip, or an incomplete bar of a score); and
2. its bar line is heard: no note sounds across it from before, or another note begins on it. Who counts wrongly
   runs over bar lines that nothing marks; a rest across one is no such mark, and allowed.

Range 0..1. Real music's share is the aim: folk tunes keep 99.9% of bars, piano music about 92%, because ties and
syncopation across the bar line are part of it. Blind to accents inside the bar. The definition is this project's.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import numpy.typing as npt

from seqgan_music.music.metrics.arrays import arrays
from seqgan_music.music.notes import Piece

LASTING_BARS = 4


def bars_in_meter(piece: Piece) -> npt.NDArray[np.bool_]:
    """Return of each bar up to that of the last onset whether it keeps its meter: (M,)."""
    return _lasting(piece) & ~_run_over(piece)


def meter_share(piece: Piece) -> float:
    """Return the share of bars that keep their meter; NaN without notes."""
    kept = bars_in_meter(piece)
    return float(kept.mean()) if len(kept) else float("nan")


def _lasting(piece: Piece) -> npt.NDArray[np.bool_]:
    meters = [bar.meter for bar in piece.bars()]
    most = max(Counter(meters).values(), default=0)
    common = {meter for meter, count in Counter(meters).items() if count == most}
    runs = [(meter, len(list(run))) for meter, run in groupby(meters)]
    lasts = [length >= LASTING_BARS or meter in common for meter, length in runs for _ in range(length)]
    return np.array(lasts, dtype=np.bool_)


def _run_over(piece: Piece) -> npt.NDArray[np.bool_]:
    """Return of each bar whether a note is held over its bar line and none begins there."""
    notes = arrays(piece)
    last = np.searchsorted(notes.starts, notes.onset + notes.duration, side="left")  # first bar not sounded into
    change = np.bincount(notes.bar + 1, minlength=len(notes.starts) + 1)
    change -= np.bincount(np.maximum(last, notes.bar + 1), minlength=len(notes.starts) + 1)
    held = np.cumsum(change)[: len(notes.starts)] > 0
    begun = np.zeros(len(notes.starts), dtype=np.bool_)
    begun[notes.bar[notes.position == 0]] = True
    return held & ~begun
