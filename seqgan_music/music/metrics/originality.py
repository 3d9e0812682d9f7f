"""Is it copied: the longest run of notes that a piece shares with a set of pieces, and where it stands there.

Notes are ordered by onset, then pitch, so that a chord is named from the bass up with inter-onset times of 0. What
leads from one note to the next is a link:

    link_i = (duration_i, pitch_{i+1} - pitch_i, onset_{i+1} - onset_i)      in semitones and ticks

A run of n notes is copied where its n - 1 links stand one after the other in one piece of the set. So a copy is
found in any key, at any time and on any grid of ticks, but not at half the speed, in another rhythm, or with other
notes between its own. The last note's duration does not count: a run is complete when its last note begins. Any one
note is a run of 1.

The figures, all of the longest run that begins at each note:

- longest run, in notes, 1 or more; lower is more original.
- novelty-n, 0..1: share of all runs of n notes that are not in the set; higher is more original. NaN where no piece
  has n notes.
- copied share, 0..1: share of windows whose longest run is above the 95th percentile of those of real music that is
  not in the set. People borrow too: up to 0.05 is what they do, more is copying. After the originality report of
  Yin et al. 2022.

The set is held as a suffix array (Manber and Myers 1993), sorted by prefix doubling: in time as n log n, and in at
most 34 bytes a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import TICKS_PER_BEAT, Note, Piece

Ints = npt.NDArray[np.int64]

NOVELTY = (4, 8, 12)
"""The n of novelty-n that are reported."""
PERCENTILE = 95.0

_LONGEST_TICKS = 2**24 - 1  # longer waits and durations are taken as this


@dataclass(frozen=True)
class CopiedRun:
    """The longest copied run of a piece: so many notes from note `start_note` (from 0) in bar `start_bar` (from 1).

    It stands in `source`, piece `source_piece` of the set (from 0), in bar `source_bar` (from 1), `transposed`
    semitones lower than here. Of several such places this is the first.
    """

    notes: int
    start_note: int
    start_bar: int
    source: str
    source_piece: int
    source_bar: int
    transposed: int

    def __str__(self) -> str:
        """Return it for people: "9 notes from bar 3 on are those of x.mid from bar 5 on, 2 semitones higher"."""
        text = f"{self.notes} notes from bar {self.start_bar} on are those of {self.source}"
        text += f" from bar {self.source_bar} on"
        if not self.transposed:
            return text
        many = abs(self.transposed)
        return f"{text}, {many} semitone{'s' * (many > 1)} {'higher' if self.transposed > 0 else 'lower'}"


class Index:
    """A set of pieces in which runs are looked up.

    `names` are for `CopiedRun.source`; a piece without one goes by its own name, or by its number. Pieces of other
    grids are rounded to the coarsest grid of the set.
    """

    def __init__(self, pieces: Sequence[Piece], names: Sequence[str] = ()) -> None:
        self.ticks_per_beat = min((piece.ticks_per_beat for piece in pieces), default=TICKS_PER_BEAT)
        self.names = [
            (names[number] if number < len(names) else piece.name) or f"training piece {number + 1}"
            for number, piece in enumerate(pieces)
        ]
        # What `_bar` needs of each piece; the notes themselves are kept as arrays alone.
        self._silent = [Piece((), piece.ticks_per_beat, piece.meters) for piece in pieces]
        notes = [_ordered(piece, self.ticks_per_beat) for piece in pieces]
        self._starts = np.cumsum([0, *map(len, notes)])  # (pieces + 1,) where the notes of each piece begin
        whole = np.concatenate([np.zeros((0, 4), dtype=np.int64), *notes])
        self._onsets, self._pitches = whole[:, 3].copy(), whole[:, 1].astype(np.int16)
        texts = [np.zeros(0, dtype=np.int64)]
        for number, some in enumerate(notes):
            # In place of the last note's link, a key of its own: no run leads from piece to piece.
            texts += [_links(some), np.array([-1 - number])[: len(some)]]
        self._keys, symbols = np.unique(np.concatenate(texts), return_inverse=True)
        self._suffixes, self._ranks = _suffix_array(symbols)
        # Suffixes that begin with key k are those from _first[k] to before _first[k + 1].
        self._first = np.searchsorted(symbols[self._suffixes], np.arange(len(self._keys) + 1))

    def __len__(self) -> int:
        """Number of notes in the set."""
        return len(self._suffixes)

    def runs(self, pieces: Sequence[Piece], most: int | None = None) -> list[Ints]:
        """Return for each piece (notes,) the longest copied run, in notes, that begins at each of its notes.

        Runs of `most` notes and more need not be told apart, which saves time. All pieces are looked up at once,
        which is much faster than one after the other.
        """
        return [lengths for lengths, _ in self._look_up([_ordered(p, self.ticks_per_beat) for p in pieces], most)]

    def longest_runs(self, pieces: Sequence[Piece]) -> list[CopiedRun | None]:
        """Return the longest run of each piece, the first of equals; None where no two notes are in the set."""
        notes = [_ordered(piece, self.ticks_per_beat) for piece in pieces]
        found = []
        for piece, some, (lengths, places) in zip(pieces, notes, self._look_up(notes, None), strict=True):
            start = int(lengths.argmax()) if len(lengths) else 0
            copied = len(lengths) > 0 and lengths[start] > 1
            found.append(self._run(piece, some, start, int(lengths[start]), places[start]) if copied else None)
        return found

    def longest_run(self, piece: Piece) -> CopiedRun | None:
        """Return the longest run of a piece, the first of equals; None where no two notes are in the set."""
        return self.longest_runs([piece])[0]

    def _run(self, piece: Piece, notes: Ints, start: int, length: int, places: Ints) -> CopiedRun:
        place = int(self._suffixes[places[0] : places[1]].min())
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        return CopiedRun(
            notes=length,
            start_note=start,
            start_bar=_bar(piece, int(notes[start, 3])),
            source=self.names[number],
            source_piece=number,
            source_bar=_bar(self._silent[number], int(self._onsets[place])),
            transposed=int(notes[start, 1]) - int(self._pitches[place]),
        )

    def _look_up(self, pieces: Sequence[Ints], most: int | None) -> list[tuple[Ints, Ints]]:
        """Return for each piece's notes (n, 4) the longest runs (n,) and the suffixes (n, 2) that begin so."""
        links = [part for notes in pieces for part in (_links(notes), np.array([-1])[: len(notes)])]
        keys = np.concatenate([np.zeros(0, dtype=np.int64), *links])
        if not len(self):
            lengths, places = np.zeros(len(keys), dtype=np.int64), np.zeros((len(keys), 2), dtype=np.int64)
        else:
            symbols = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            known = (keys >= 0) & (self._keys[symbols] == keys)
            low = np.where(known, self._first[symbols], 0)
            high = np.where(known, self._first[symbols + 1], 0)
            lengths, places = self._match(low, high, len(self) if most is None else most - 1)
            lengths += 1
        ends = np.cumsum([len(notes) for notes in pieces])[:-1]
        return list(zip(np.split(lengths, ends), np.split(places, ends), strict=True)) if len(pieces) else []

    def _match(self, low: Ints, high: Ints, most: int) -> tuple[Ints, Ints]:
        """Return the number of links (M,) that match from each on, and the suffixes (M, 2) that begin so.

        `low` and `high` (M,) are the suffixes that begin with each single link. Blocks of 2, 4, 8, ... links are
        found from two halves each; then the longest match is put together from the largest blocks down.
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
            at = np.minimum(np.arange(count) + lengths, count - 1)  # the last link of all matches nothing
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
        """Return which of the suffixes low..high go on after `offset` links as next_low..next_high begin."""
        return self._bisect(low, high, offset, next_low), self._bisect(low, high, offset, next_high)

    def _bisect(self, low: Ints, high: Ints, offset: Ints, rank: Ints) -> Ints:
        """Return the first of the suffixes low..high whose remainder after `offset` links has this rank or more."""
        low, high = low.copy(), high.copy()
        while (wide := np.flatnonzero(low < high)).size:
            middle = (low[wide] + high[wide]) // 2
            less = self._ranks[self._suffixes[middle] + offset[wide]] < rank[wide]
            low[wide[less]] = middle[less] + 1
            high[wide[~less]] = middle[~less]
        return low


def novelty(runs: Sequence[Ints], n: int) -> float:
    """Share of all runs of n notes in some pieces that are not in the set (0..1), from `Index.runs` of the pieces.

    NaN where no piece has n notes.
    """
    starts = [lengths[: len(lengths) - n + 1] for lengths in runs if len(lengths) >= n]
    return float((np.concatenate(starts) < n).mean()) if starts else float("nan")


def copy_limit(longest: Sequence[int] | Ints) -> int:
    """The longest run, in notes, that 95% of real windows do not exceed; `longest` (N,) of windows not in the set.

    0 without a window.
    """
    return int(np.percentile(longest, PERCENTILE, method="inverted_cdf")) if len(longest) else 0


def copied_share(longest: Sequence[int] | Ints, limit: int) -> float:
    """Share of windows (0..1) whose longest run (N,) exceeds `copy_limit` of real ones; NaN without a window."""
    return float((np.asarray(longest) > limit).mean()) if len(longest) else float("nan")


def _ordered(piece: Piece, ticks_per_beat: int) -> Ints:
    """(n, 4): onset, pitch, duration on the grid asked for, halves up, and the onset on the piece's own."""
    notes = np.array([(n.onset, n.pitch, n.duration) for n in piece.tuned.notes], dtype=np.int64).reshape(-1, 3)
    own = notes[:, 0]
    onset, end = (
        (2 * ticks * ticks_per_beat + piece.ticks_per_beat) // (2 * piece.ticks_per_beat)
        for ticks in (own, own + notes[:, 2])
    )
    columns = [onset, notes[:, 1], np.maximum(1, end - onset), own]
    return np.stack(columns, 1)[np.lexsort((columns[2], columns[1], columns[0]))]


def _links(notes: Ints) -> Ints:
    """(n - 1,): the link from each note (n, 4) to the next as one number, 0 or more."""
    duration = np.minimum(notes[:-1, 2], _LONGEST_TICKS)
    interval, wait = np.diff(notes[:, 1]), np.minimum(np.diff(notes[:, 0]), _LONGEST_TICKS)
    links: Ints = duration << 33 | wait << 9 | interval + 256
    return links


def _suffix_array(symbols: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return (N,) where each suffix in order begins, and (N,) the rank of the suffix that begins at each place.

    Each piece ends with a symbol that stands nowhere else, so no two suffixes are equal.
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


def _bar(piece: Piece, onset: int) -> int:
    """Number of the bar (from 1) that a tick lies in."""
    return sum(1 for _ in Piece((Note(onset, 60, 1),), piece.ticks_per_beat, piece.meters).bars())
