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

The set is held as suffix arrays, in at most 30 bytes a note. A large one is cut between pieces into parts that lie
in unnamed files, so that memory is that of making one part, however large the set is. No run leads from piece to
piece: the longest of all is the longest of the parts'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music import arrays
from seqgan_music.music.metrics.suffixes import SuffixArray, in_file
from seqgan_music.music.note_tables import NoteTable, of_pieces
from seqgan_music.music.notes import TICKS_PER_BEAT, Piece

Ints = npt.NDArray[np.int64]

NOVELTY = (4, 8, 12)
"""The n of novelty-n that are reported."""
PERCENTILE = 95.0

_LONGEST_TICKS = 2**24 - 1  # longer waits and durations are taken as this
TOGETHER = 1_000_000
"""Notes of a part."""


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
    grids are rounded to `ticks_per_beat`, by default the coarsest grid of the set. Where that is given, pieces are
    taken one by one and not kept: they need not fit in memory.
    """

    def __init__(
        self,
        pieces: Iterable[Piece],
        names: Sequence[str] = (),
        *,
        ticks_per_beat: int | None = None,
        together: int = TOGETHER,
        folder: Path | None = None,
    ) -> None:
        """A set of more than `together` notes has files in `folder`. Raises OutputError where there is no space."""
        if ticks_per_beat is None:
            pieces = list(pieces)
            ticks_per_beat = min((piece.ticks_per_beat for piece in pieces), default=TICKS_PER_BEAT)
        self.ticks_per_beat = ticks_per_beat
        self.names = list(names)
        self._parts = list(_parts(self._tables(pieces), ticks_per_beat, together, folder))

    @classmethod
    def of_tables(
        cls,
        tables: Iterable[NoteTable],
        names: Sequence[str],
        ticks_per_beat: int,
        *,
        together: int = TOGETHER,
        folder: Path | None = None,
    ) -> Index:
        """Return the index of all rows of the tables, each a piece, in their order."""
        index = cls((), names, ticks_per_beat=ticks_per_beat)
        index._parts = list(_parts(tables, ticks_per_beat, together, folder))
        return index

    def _tables(self, pieces: Iterable[Piece]) -> Iterator[NoteTable]:
        for number, piece in enumerate(pieces):
            if number >= len(self.names):
                self.names.append(piece.name)
            self.names[number] = self.names[number] or f"training piece {number + 1}"
            yield of_pieces([piece])

    def save(self, path: Path) -> None:
        """Write all but the names to a file. Raises OutputError."""
        values = {
            f"{number}.{name}": value
            for number, part in enumerate(self._parts)
            for name, value in part.arrays().items()
        }
        arrays.write(path, {"ticks_per_beat": np.array(self.ticks_per_beat), **values})

    @classmethod
    def load(cls, path: Path, names: Sequence[str]) -> Index:
        """Return what `save` wrote, read from the file as it is used. Raises one of `arrays.DAMAGE`."""
        found = arrays.read(path, mapped=None)
        index = cls((), names, ticks_per_beat=int(found.pop("ticks_per_beat")))
        count = 1 + max(int(name.partition(".")[0]) for name in found)
        index._parts = [
            _Part({name.partition(".")[2]: value for name, value in found.items() if name.startswith(f"{number}.")})
            for number in range(count)
        ]
        return index

    @property
    def large(self) -> bool:
        """Whether it took so long to make that it is worth a file."""
        return len(self._parts) > 1

    def __len__(self) -> int:
        """Number of notes in the set."""
        return sum(map(len, self._parts))

    def runs(self, pieces: Sequence[Piece], most: int | None = None) -> list[Ints]:
        """Return for each piece (notes,) the longest copied run, in notes, that begins at each of its notes.

        Runs of `most` notes and more need not be told apart, which saves time. All pieces are looked up at once,
        which is much faster than one after the other.
        """
        notes, counts = self._notes(pieces)
        links, longest = _text(notes, counts), np.zeros(len(notes), dtype=np.int64)
        for part in self._parts:
            longest = np.maximum(longest, part.match(links, most)[0])
        return _split(longest, counts)

    def longest_runs(self, pieces: Sequence[Piece]) -> list[CopiedRun | None]:
        """Return the longest run of each piece, the first of equals; None where no two notes are in the set."""
        notes, counts = self._notes(pieces)
        links = _text(notes, counts)
        found: list[tuple[int, int, _Place]] = [(1, 0, _Place(0, 0, 0))] * len(pieces)  # notes, start, place
        for part in self._parts:
            lengths, suffixes = part.match(links, None)
            for index, (some, theirs) in enumerate(
                zip(_split(lengths, counts), _split(suffixes, counts), strict=True)
            ):
                start = int(some.argmax()) if len(some) else 0
                # Of equals the first in the piece, then the first in the set.
                if len(some) and (-some[start], start) < (-found[index][0], found[index][1]):
                    found[index] = int(some[start]), start, part.place(theirs[start])
        return [
            None if best[0] < 2 else self._run(some, *best)
            for some, best in zip(_split(notes, counts), found, strict=True)
        ]

    def longest_run(self, piece: Piece) -> CopiedRun | None:
        """Return the longest run of a piece, the first of equals; None where no two notes are in the set."""
        return self.longest_runs([piece])[0]

    def _notes(self, pieces: Sequence[Piece]) -> tuple[Ints, Ints]:
        """(M, 4): the notes of all pieces as in `_rounded`, and (pieces,) how many each has."""
        some = [_rounded(of_pieces([piece]), self.ticks_per_beat) for piece in pieces]
        return np.concatenate([np.zeros((0, 4), dtype=np.int64), *some]), np.array([len(one) for one in some], int)

    def _run(self, notes: Ints, length: int, start: int, place: _Place) -> CopiedRun:
        name = self.names[place.piece] if place.piece < len(self.names) else ""
        return CopiedRun(
            notes=length,
            start_note=start,
            start_bar=int(notes[start, 3]) + 1,
            source=name or f"training piece {place.piece + 1}",
            source_piece=place.piece,
            source_bar=place.bar + 1,
            transposed=int(notes[start, 1]) - place.pitch,
        )


@dataclass(frozen=True)
class _Place:
    """Where a note stands in the set: the piece, the bar, the pitch; the first two from 0."""

    piece: int
    bar: int
    pitch: int


def _parts(tables: Iterable[NoteTable], ticks_per_beat: int, together: int, folder: Path | None) -> Iterator[_Part]:
    """Yield the parts of a set, one of them in memory at a time where there are several."""
    waiting: list[Ints] = []
    counts: list[Ints] = []
    begun = first = held = 0
    for table in tables:
        notes = _rounded(table, ticks_per_beat)
        if held and held + len(notes) > together:
            yield _Part.of(waiting, counts, first).in_files(folder)
            begun, first, held = begun + 1, first + sum(map(len, counts)), 0
            waiting, counts = [], []
        waiting.append(notes)
        counts.append(table.counts)
        held += len(notes)
    last = _Part.of(waiting, counts, first)
    yield last.in_files(folder) if begun else last


class _Part:
    """Successive pieces of the set."""

    def __init__(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """`values` is what `arrays` gives."""
        self._first = int(values["first"])
        self._starts = values["starts"]
        """(pieces + 1,): where the notes of each piece begin."""
        self._bars, self._pitches = values["bars"], values["pitches"]
        self._suffixes = SuffixArray(*(values[name] for name in SuffixArray.ARRAYS))

    @classmethod
    def of(cls, notes: Sequence[Ints], counts: Sequence[Ints], first: int) -> _Part:
        """Return the part of the pieces from number `first` on, given their notes (M, 4) and how many each has."""
        whole = np.concatenate([np.zeros((0, 4), dtype=np.int64), *notes])
        each = np.concatenate([np.zeros(0, dtype=np.int64), *counts])
        return cls(
            {
                "first": np.array(first),
                "starts": np.cumsum([0, *each]),
                "bars": whole[:, 3].astype(np.int32),
                "pitches": whole[:, 1].astype(np.int16),
                **SuffixArray.of(_text(whole, each)).arrays(),
            }
        )

    def __len__(self) -> int:
        return len(self._suffixes)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that it is made of."""
        own = {"starts": self._starts, "bars": self._bars, "pitches": self._pitches}
        return {"first": np.array(self._first), **own, **self._suffixes.arrays()}

    def in_files(self, folder: Path | None) -> _Part:
        """Return it in unnamed files in a folder. Raises OutputError where there is no space."""
        return _Part({k: in_file(value, folder) if value.ndim else value for k, value in self.arrays().items()})

    def match(self, links: Ints, most: int | None) -> tuple[Ints, Ints]:
        """Return the longest runs (M,), in notes, and the suffixes (M, 2) that begin so; see `_text`."""
        lengths, suffixes = self._suffixes.match(links, None if most is None else most - 1)
        return lengths + bool(len(self)), suffixes

    def place(self, suffixes: Ints) -> _Place:
        """Return where the first of the suffixes (2,) begins."""
        place = self._suffixes.place(suffixes)
        piece = int(np.searchsorted(self._starts, place, side="right")) - 1
        return _Place(self._first + piece, int(self._bars[place]), int(self._pitches[place]))


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


def _rounded(table: NoteTable, ticks_per_beat: int) -> Ints:
    """(M, 4): onset, pitch and duration on the grid asked for, halves up, and the bar, row by row in order."""
    own = table.ticks_per_beat
    onset, end = (
        (2 * ticks * ticks_per_beat + own) // (2 * own) for ticks in (table.onset, table.onset + table.duration)
    )
    columns = [onset, table.pitch, np.maximum(1, end - onset), table.bar]
    return np.stack(columns, 1)[np.lexsort((columns[2], columns[1], columns[0], table.row))]


def _text(notes: Ints, counts: Ints) -> Ints:
    """(M,): the links of the notes (M, 4) of pieces; in place of a last note's link a number of its own."""
    links = np.zeros(len(notes), dtype=np.int64)
    links[:-1] = _links(notes)
    last = np.cumsum(counts)[counts > 0] - 1
    links[last] = -1 - np.flatnonzero(counts)
    return links


def _split(values: Ints, counts: Ints) -> list[Ints]:
    """What holds for all notes (M, ...) -> for those of each piece."""
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []


def _links(notes: Ints) -> Ints:
    """(n - 1,): the link from each note (n, 4) to the next as one number, 0 or more inside a piece."""
    duration = np.minimum(notes[:-1, 2], _LONGEST_TICKS)
    interval, wait = np.diff(notes[:, 1]), np.minimum(np.diff(notes[:, 0]), _LONGEST_TICKS)
    links: Ints = duration << 33 | wait << 9 | interval + 256
    return links
