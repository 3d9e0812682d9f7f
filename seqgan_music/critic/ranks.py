"""Where a score stands among those of known pieces: real ones that nothing learnt from, and the generator's own.

A critic's logit means little by itself: it is the log-odds between a folder and one generator, and grows with the
music that it has seen. What can be said to people is a rank. Scores of pieces of different length are made
comparable twice: a piece's score is a mean over windows of one length, and it is compared with known pieces cut to
as many bars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CUTS = (*range(1, 17), 24, 32, 48, 64, 96, 128)
"""Bars to which known pieces are cut."""
LEAST = 20
"""Pieces that are at least so long; where fewer are, the rank is among shorter cuts."""
BEFORE = (0, 1, 4, 8)
"""Bars that are compared with each other have so many bars before them, and fewer than the next."""
PERCENTILES = 101

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Scores of known music: `pieces` by the bars that they were cut to; percentiles of `bars` by BEFORE."""

    pieces: Mapping[int, Floats]
    bars: Mapping[int, Floats]

    @classmethod
    def of(cls, scores: Mapping[int, Sequence[float]], by_bar: Sequence[Sequence[float]]) -> Ranks:
        """Take them from the pieces' scores at each cut, and from each piece's bars."""
        pieces = {cut: np.sort(np.asarray(some, dtype=np.float64)) for cut, some in scores.items() if len(some)}
        bars = {}
        for low, high in zip(BEFORE, (*BEFORE[1:], None), strict=True):
            some = [score for piece in by_bar for score in piece[low:high]]
            if some:
                bars[low] = np.percentile(some, np.linspace(0, 100, PERCENTILES))
        return cls(pieces, bars)

    def cut(self, bars: int) -> int:
        """Return the number of bars that known pieces are cut to for a piece of so many."""
        fitting = [cut for cut, some in self.pieces.items() if cut <= bars and len(some) >= LEAST]
        return max(fitting or [min(self.pieces, default=1)])

    def known(self, cut: int) -> int:
        """Return how many pieces are known at that cut."""
        return len(self.pieces.get(cut, ()))

    def of_piece(self, score: float, cut: int) -> float | None:
        """Return the share of known pieces with a lower score, ties halved: 0 to 1. None where none are known."""
        known = self.pieces.get(cut)
        return None if known is None else _share_below(known, score)

    def of_bars(self, scores: Sequence[float]) -> list[float]:
        """Return for each bar of a piece the share of known bars with a lower score; 0.5 where none are known."""
        found = []
        for number, score in enumerate(scores):
            known = self.bars.get(max(low for low in BEFORE if low <= number))
            found.append(0.5 if known is None else _share_below(known, score))
        return found

    def document(self) -> dict[str, Any]:
        """Return them as plain values."""
        return {
            name: {str(key): [round(float(value), 4) for value in some] for key, some in table.items()}
            for name, table in (("pieces", self.pieces), ("bars", self.bars))
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Ranks:
        """Read what `document` gave. Raises ValueError, TypeError, KeyError for what it cannot have given."""
        tables = []
        for name in ("pieces", "bars"):
            table = {int(key): np.asarray(some, dtype=np.float64) for key, some in document[name].items()}
            if any(some.ndim != 1 or not len(some) or not np.isfinite(some).all() for some in table.values()):
                raise ValueError(f"the scores of {name} are not lists of numbers")
            tables.append({key: np.sort(some) for key, some in table.items()})
        return cls(*tables)


def _share_below(known: Floats, score: float) -> float:
    low, high = np.searchsorted(known, score, side="left"), np.searchsorted(known, score, side="right")
    return float(low + high) / (2 * len(known))
