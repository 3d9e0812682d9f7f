"""What the critic reads of a piece: its notes and its bars as small numbers, the same in every key. No drums.

Times are in twelfths of a beat, whatever the grid. No absolute pitch is among them but the chroma of each bar,
which the network turns to the key that it finds. How bars resemble earlier ones is told as well: form is what a
generator of one token after another gets wrong first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import Piece

BARS = 16
"""Bars of a window, the unit of judgement."""
LOOKS_BACK = BARS + 1
"""Bars at the end of a piece so far that hold its last window of whole ones, which is what its logit rests on."""
LAGS = BARS - 1
"""Bars back that a bar is compared with."""
LIKENESSES = 3
"""Ways in which bars are compared: notes, notes from the first one on, onsets."""
LONGEST = 96
"""Twelfths of a beat; what lasts longer counts as this."""
WIDEST = 24
"""Semitones; a wider interval counts as this."""
INTERVALS = 2 * WIDEST + 2
"""Ids of intervals; the last is "no note before"."""
NOTE_IDS = (INTERVALS, LONGEST + 1, LONGEST, LONGEST, 2)
"""Number of ids of each column of `Sheet.notes`."""
MOST_BARS = 1024
"""Of a piece; what comes after is not judged."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sheet:
    """A piece of N notes in B bars.

    notes:  (N, 5) interval to the note before, time since its onset, duration, place in the bar, and whether it
            sounds past the bar; in the order of (onset, pitch)
    bar:    (N,) the bar in which each begins, and `first` (B + 1,) the first note of each bar, N at the end
    chroma: (B, 12) notes of each pitch class that begin in each bar
    length: (B,) of each bar
    alike:  (B, LAGS, LIKENESSES) likeness of each bar to the one so many before: notes in both over notes in either
    ended:  whether the piece came to its own end and was not cut off
    whole:  bars that are over: without the one that a piece which has not ended is still in
    before: bars of the piece before these
    """

    notes: Ints
    bar: Ints
    first: Ints
    chroma: Floats
    length: Floats
    alike: Floats
    ended: bool
    whole: int
    before: int = 0

    @property
    def bars(self) -> int:
        """Number of bars, B."""
        return len(self.length)


def sheet(piece: Piece, *, ended: bool = True, last: int | None = None) -> Sheet:
    """Read a piece, or its `last` so many bars. A piece without notes has no bars.

    A note beyond MOST_BARS is left out. Of a piece that is read to the `last` bars those before need not be there.
    """
    piece = piece.tuned
    bars = list(piece.bars())
    before = 0 if last is None else max(0, len(bars) - last)
    bars = bars[before:][:MOST_BARS]
    if not bars:
        none = np.zeros(0, dtype=np.int64)
        flat = np.zeros((0, 12), dtype=np.float32)
        alike = np.zeros((0, LAGS, LIKENESSES), dtype=np.float32)
        return Sheet(none.reshape(0, 5), none, np.zeros(1, dtype=np.int64), flat, flat[:, 0], alike, ended, 0)
    begin, end = bars[0].start, bars[-1].end
    table = np.array(
        [(n.onset, n.pitch, n.duration) for n in piece.notes if begin <= n.onset < end], dtype=np.int64
    )
    earlier = max((n.end for n in piece.notes if n.onset < begin), default=0)
    starts = np.array([bar.start for bar in bars])
    return laid_out(
        table.reshape(-1, 3), starts, end, piece.ticks_per_beat, ended=ended, before=before, earlier=earlier
    )


def laid_out(
    table: Ints, starts: Ints, end: int, ticks_per_beat: int, *, ended: bool, before: int = 0, earlier: int = 0
) -> Sheet:
    """Return the sheet of notes (N, 3), onset, pitch and duration in their order, in bars (B,) up to tick `end`.

    `before` bars are left out, whose notes are over by tick `earlier`.
    There may be bars without any note: of a piece that first sounds after MOST_BARS they are all that is read.
    """
    scale = 12 / ticks_per_beat
    onset, pitch, duration = table.T
    count = len(starts)
    lengths = np.diff(starts, append=end)
    bar = np.searchsorted(starts, onset, side="right") - 1
    place = onset - starts[bar]
    first = np.searchsorted(bar, np.arange(count + 1))

    def time(ticks: Ints) -> Ints:
        twelfths: Ints = np.minimum(np.rint(ticks * scale).astype(np.int64), LONGEST - 1)
        return twelfths

    notes = np.stack(
        [
            np.clip(np.diff(pitch, prepend=pitch[:1]), -WIDEST, WIDEST) + WIDEST,
            time(np.diff(onset, prepend=onset[:1])),
            time(duration),
            time(place),
            (place + duration > lengths[bar]).astype(np.int64),
        ],
        axis=1,
    )
    chroma = np.zeros((count, 12), dtype=np.float32)
    np.add.at(chroma, (bar, pitch % 12), 1.0)
    opening = pitch[first[bar]]  # of each note's bar
    kinds = (place * 128 + pitch, place * 512 + pitch - opening + 128, place)
    whole = count - (not ended and int((onset + duration).max(initial=earlier)) < end)
    alike = np.stack([_alike(kind, bar, count) for kind in kinds], axis=2)
    return Sheet(notes, bar, first, chroma, (lengths * scale).astype(np.float32), alike, ended, whole, before)


def _alike(kinds: Ints, bar: Ints, bars: int) -> Floats:
    """Return (B, LAGS): the Jaccard index of what happens (N,) in each bar and in the one so many bars before."""
    _, column = np.unique(kinds, return_inverse=True)
    happens = np.zeros((bars, int(column.max(initial=-1)) + 1), dtype=np.float32)
    happens[bar, column] = 1.0
    both = np.zeros((bars, LAGS), dtype=np.float32)
    for lag in range(1, min(LAGS, bars - 1) + 1):
        both[lag:, lag - 1] = np.einsum("bk,bk->b", happens[lag:], happens[:-lag])
    size = happens.sum(axis=1)
    before = np.arange(bars)[:, None] - np.arange(1, LAGS + 1)
    either = size[:, None] + np.where(before >= 0, size[np.maximum(before, 0)], 0.0) - both
    found: Floats = both / np.maximum(either, 1.0)
    return found
