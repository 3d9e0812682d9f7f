"""One row's music, made ready for every measure: windows, features, n-grams, ids, bars, copied runs.

Sequences belong to pieces, which are what the bootstrap draws: a generated sequence is a piece of its own, a real
one may be a part of a piece where a tokenizer makes rows of one fixed length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqgan_music.evaluate import c2st
from seqgan_music.evaluate.sources import Drawn
from seqgan_music.music.metrics.arrays import arrays
from seqgan_music.music.metrics.features import feature_table
from seqgan_music.music.metrics.meter import bars_in_meter
from seqgan_music.music.metrics.originality import Index
from seqgan_music.music.metrics.structure import LAGS, lag_similarities
from seqgan_music.music.metrics.windows import windows
from seqgan_music.music.notes import Piece
from seqgan_music.music.tokenizers import Tokenizer

NOVELTY = 8
"""Notes of the runs that novelty is measured in."""

MOST_WINDOWS = 8
"""Of one piece, from its beginning: a single long one must not outweigh many others."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Material:
    """S sequences of P pieces with N windows among them.

    pieces:    (S,) the decoded sequences; one may be empty
    owners:    (S,) the piece that each sequence belongs to, from 0
    valid:     (S,) whether it has a note and no token of it made no sense
    ended:     (S,) whether it came to its end by itself
    bars:      (S,) bars of it, and `kept_bars` (S,) those that keep their meter
    lags:      (S, LAGS) similarity of its bars by distance, NaN where it is too short
    runs:      (S,) notes of the longest run copied from the training set that begins at each note
    windows:   (N,) of all sequences, in their order, at most MOST_WINDOWS of each
    sequence:  (N,) which sequence each is of
    place:     (N,) its number inside that sequence: 0 for bars 1 to 16
    features:  (N, F) in standard deviations from the training windows' mean
    grams:     (N, G) hashed n-grams of its notes (`c2st`)
    ids:       (N,) its tokens
    longest:   (N,) notes of its longest copied run
    entropy:   nats a token of the generator's own samples, or None
    """

    pieces: Sequence[Piece]
    owners: Ints
    valid: Bools
    ended: Bools
    bars: Floats
    kept_bars: Floats
    lags: Floats
    runs: Sequence[Ints]
    windows: Sequence[Piece]
    sequence: Ints
    place: Ints
    features: Floats
    grams: Floats
    ids: Sequence[Ints]
    longest: Ints
    entropy: float | None = None

    @property
    def count(self) -> int:
        """Number of pieces, P."""
        return int(self.owners.max(initial=-1)) + 1

    @property
    def of_piece(self) -> Ints:
        """(N,) the piece that each window is of."""
        return self.owners[self.sequence]

    def select(self, chosen: Ints) -> Material:
        """Return the same pieces with some of the windows alone."""
        return replace(
            self,
            windows=[self.windows[index] for index in chosen],
            sequence=self.sequence[chosen],
            place=self.place[chosen],
            features=self.features[chosen],
            grams=self.grams[chosen],
            ids=[self.ids[index] for index in chosen],
            longest=self.longest[chosen],
        )

    def first(self, most: int, rng: np.random.Generator) -> Material:
        """Return it with at most so many windows: those of pieces in random order."""
        order = rng.permutation(self.count)
        turn = np.argsort(order)[self.of_piece]  # when each window's piece comes
        return self.select(np.sort(np.argsort(turn, kind="stable")[:most]))


def prepare(
    drawn: Drawn,
    tokenizer: Tokenizer,
    scaling: Callable[[Floats], Floats],
    index: Index,
    owners: Ints | None = None,
) -> Material:
    """Decode sequences and take from them all that the measures need."""
    decoded = [tokenizer.decode(row.tolist()) for row in drawn.rows]
    pieces = [one.piece for one in decoded]
    end_id = tokenizer.end_id
    ended = [end_id is None or (len(row) > 0 and int(row[-1]) == end_id) for row in drawn.rows]
    # What is cut off in the middle of a chord is the fault of the limit.
    odd = [
        sum(one.dropped.values()) - (0 if whole else one.dropped["unfinished"])
        for one, whole in zip(decoded, ended, strict=True)
    ]
    cut = [windows(piece)[:MOST_WINDOWS] for piece in pieces]
    flat = [window for some in cut for window in some]
    longest = index.runs(flat)
    meters = [bars_in_meter(piece) for piece in pieces]
    return Material(
        pieces=pieces,
        owners=np.arange(len(pieces)) if owners is None else owners,
        valid=np.array(
            [not some and bool(piece.notes) for some, piece in zip(odd, pieces, strict=True)], dtype=np.bool_
        ),
        ended=np.array(ended, dtype=np.bool_),
        bars=np.array([len(bars) for bars in meters], dtype=np.float64),
        kept_bars=np.array([bars.sum() for bars in meters], dtype=np.float64),
        lags=np.array([lag_similarities(arrays(piece), range(1, LAGS + 1)) for piece in pieces]).reshape(-1, LAGS),
        runs=index.runs(pieces, most=NOVELTY),
        windows=flat,
        sequence=np.repeat(np.arange(len(pieces)), [len(some) for some in cut]),
        place=np.array([place for some in cut for place in range(len(some))], dtype=np.int64),
        features=scaling(feature_table(flat)),
        grams=c2st.grams(flat),
        ids=[np.array([i for row in tokenizer.encode(window) for i in row], dtype=np.int64) for window in flat],
        longest=np.array([some.max(initial=0) for some in longest], dtype=np.int64),
        entropy=drawn.entropy,
    )
