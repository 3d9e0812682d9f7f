"""Long texts of integers in which the longest matches are looked up: a suffix array.

Manber and Myers 1993, sorted by prefix doubling: in time as n log n, and in at most 24 bytes a symbol.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqgan_music.music.spool import Column

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.integer]


class SuffixArray:
    """The suffixes of a text (N,) in order. Symbols of 0 or more can be looked up; no two others are equal."""

    ARRAYS = ("symbols", "suffixes", "ranks", "begins")
    """Names of all that it is made of."""

    def __init__(self, symbols: Array, suffixes: Array, ranks: Array, begins: Array) -> None:
        self._symbols, self._suffixes, self._ranks = symbols, suffixes, ranks
        # Suffixes that begin with symbol k are those from _begins[k] to before _begins[k + 1].
        self._begins = begins

    @classmethod
    def of(cls, text: Ints) -> SuffixArray:
        """Return that of a text."""
        symbols, numbers = np.unique(text, return_inverse=True)
        suffixes, ranks = _sorted(numbers)
        begins = np.searchsorted(numbers[suffixes], np.arange(len(symbols) + 1))
        return cls(symbols, suffixes, ranks, begins)

    def arrays(self) -> dict[str, Array]:
        """Return all that it is made of."""
        values = (self._symbols, self._suffixes, self._ranks, self._begins)
        return dict(zip(self.ARRAYS, values, strict=True))

    def __len__(self) -> int:
        """Number of symbols."""
        return len(self._suffixes)

    def match(self, text: Ints, most: int | None) -> tuple[Ints, Ints]:
        """Return how many symbols (M,) match from each of a text (M,) on, and the suffixes (M, 2) that begin so.

        Matches of `most` and more need not be told apart, which saves time.
        """
        if not len(self):
            return np.zeros(len(text), dtype=np.int64), np.zeros((len(text), 2), dtype=np.int64)
        ranks = np.minimum(np.searchsorted(self._symbols, text), len(self._symbols) - 1)
        known = (text >= 0) & (self._symbols[ranks] == text)
        low = np.where(known, self._begins[ranks], 0)
        high = np.where(known, self._begins[ranks + 1], 0)
        return self._match(low, high, len(self) if most is None else most)

    def place(self, suffixes: Ints) -> int:
        """Return where in the text the first of the suffixes (2,) begins."""
        return int(self._suffixes[suffixes[0] : suffixes[1]].min())

    def _match(self, low: Ints, high: Ints, most: int) -> tuple[Ints, Ints]:
        """Return what `match` does; `low` and `high` (M,) are the suffixes that begin with each single symbol.

        Blocks of 2, 4, 8, ... symbols are found from two halves each; then the longest match is put together from
        the largest blocks down.
        """
        count = len(low)
        blocks = [(low, high)]
        while (size := 2 ** (len(blocks) - 1)) * 2 <= min(most, count):
            low, high = blocks[-1]
            halves = np.flatnonzero((low < high)[:-size] & (low < high)[size:])
            if not len(halves):
                break
            after = halves + size
            both = self._narrow(low[halves], high[halves], np.full(len(halves), size), low[after], high[after])
            blocks.append((np.zeros_like(low), np.zeros_like(high)))
            for whole, part in zip(blocks[-1], both, strict=True):
                whole[halves] = part
        lengths, places = np.zeros(count, dtype=np.int64), np.zeros((count, 2), dtype=np.int64)
        for level in reversed(range(len(blocks))):
            low, high = blocks[level]
            at = np.minimum(np.arange(count) + lengths, count - 1)  # the last symbol of all matches nothing
            longer = np.flatnonzero(low[at] < high[at])
            at = at[longer]
            first = lengths[longer] == 0
            ranges = np.where(first[:, None], np.stack([low[at], high[at]], 1), places[longer])
            new = np.stack(self._narrow(ranges[:, 0], ranges[:, 1], lengths[longer], low[at], high[at]), 1)
            found = new[:, 0] < new[:, 1]
            places[longer[found]] = new[found]
            lengths[longer[found]] += 2**level
        return lengths, places

    def _narrow(self, low: Ints, high: Ints, offset: Ints, next_low: Ints, next_high: Ints) -> tuple[Ints, Ints]:
        """Return which of the suffixes low..high go on after `offset` symbols as next_low..next_high begin."""
        return self._bisect(low, high, offset, next_low), self._bisect(low, high, offset, next_high)

    def _bisect(self, low: Ints, high: Ints, offset: Ints, rank: Ints) -> Ints:
        """Return the first of the suffixes low..high whose rest after `offset` symbols has this rank or more."""
        low, high = low.copy(), high.copy()
        while (wide := np.flatnonzero(low < high)).size:
            middle = (low[wide] + high[wide]) // 2
            less = self._ranks[self._suffixes[middle] + offset[wide]] < rank[wide]
            low[wide[less]] = middle[less] + 1
            high[wide[~less]] = middle[~less]
        return low


def in_file(values: Array, folder: Path | None) -> Array:
    """Return the same values, read by memory map from an unnamed file in a folder. Raises OutputError."""
    column = Column(values.dtype, folder)
    column.extend(values)
    return column.mapped()


def _sorted(symbols: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return (N,) where each suffix in order begins, and (N,) the rank of the suffix that begins at each place.

    Each part of the text ends with a symbol that stands nowhere else, so no two suffixes are equal.
    """
    count, size = len(symbols), 1
    ranks = symbols.astype(np.int64)
    order = np.argsort(ranks)
    while count and ranks[order[-1]] < count - 1:
        following = np.zeros(count, dtype=np.int64)
        following[:-size] = ranks[size:] + 1
        pairs = ranks * (count + 1) + following  # ranks of the first `size` symbols, then of the next `size`
        order = np.argsort(pairs)
        pairs = pairs[order]
        ranks = np.empty(count, dtype=np.int64)
        ranks[order] = np.cumsum(np.concatenate([[0], pairs[1:] != pairs[:-1]]))
        size *= 2
    return order.astype(np.int32), ranks.astype(np.int32)
