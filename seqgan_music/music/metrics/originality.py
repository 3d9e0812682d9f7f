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

The set is held as suffix arrays, in at most 34 bytes a note. A large one is cut between pieces into parts that lie
in unnamed files, so that memory is that of making one part, however large the set is. No run leads from piece to
piece: the longest of all is the longest of the parts'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqgan_music.music.metrics.suffixes import SuffixArray, in_file
from seqgan_music.music.notes import TICKS_PER_BEAT, Meter, Note, Piece

Ints = npt.NDArray[np.int64]

NOVELTY = (4, 8, 12)
"""The n of novelty-n that are reported."""
PERCENTILE = 95.0

_LONGEST_TICKS = 2**24 - 1  # longer waits and durations are taken as this
_TOGETHER = 1_000_000  # notes of a part


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
        together: int = _TOGETHER,
        folder: Path | None = None,
    ) -> None:
        """A set of more than `together` notes has files in `folder`. Raises OutputError where there is no space."""
        if ticks_per_beat is None:
            pieces = list(pieces)
            ticks_per_beat = min((piece.ticks_per_beat for piece in pieces), default=TICKS_PER_BEAT)
        self.ticks_per_beat = ticks_per_beat
        self.names: list[str] = []
        self._bars: list[_Bars] = []
        self._parts: list[_Part] = []
        bars: dict[_Bars, _Bars] = {}
        waiting: list[Ints] = []
        count = 0
        for number, piece in enumerate(pieces):
            self.names.append(
                (names[number] if number < len(names) else piece.name) or f"training piece {number + 1}"
            )
            own = _Bars(piece.ticks_per_beat, piece.meters)
            self._bars.append(bars.setdefault(own, own))
            notes = _ordered(piece, ticks_per_beat)
            if count and count + len(notes) > together:
                self._parts.append(_Part(waiting, number).in_files(folder))
                waiting, count = [], 0
            waiting.append(notes)
            count += len(notes)
        last = _Part(waiting, len(self.names))
        self._parts.append(last.in_files(folder) if self._parts else last)

    def __len__(self) -> int:
        """Number of notes in the set."""
        return sum(map(len, self._parts))

    def runs(self, pieces: Sequence[Piece], most: int | None = None) -> list[Ints]:
        """Return for each piece (notes,) the longest copied run, in notes, that begins at each of its notes.

        Runs of `most` notes and more need not be told apart, which saves time. All pieces are looked up at once,
        which is much faster than one after the other.
        """
        notes = [_ordered(piece, self.ticks_per_beat) for piece in pieces]
        links, longest = _text(notes), np.zeros(sum(map(len, notes)), dtype=np.int64)
        for part in self._parts:
            longest = np.maximum(longest, part.match(links, most)[0])
        return _split(longest, notes)

    def longest_runs(self, pieces: Sequence[Piece]) -> list[CopiedRun | None]:
        """Return the longest run of each piece, the first of equals; None where no two notes are in the set."""
        notes = [_ordered(piece, self.ticks_per_beat) for piece in pieces]
        links = _text(notes)
        found: list[tuple[int, int, _Place]] = [(1, 0, _Place(0, 0, 0))] * len(pieces)  # notes, start, place
        for part in self._parts:
            lengths, suffixes = part.match(links, None)
            for index, (some, theirs) in enumerate(
                zip(_split(lengths, notes), _split(suffixes, notes), strict=True)
            ):
                start = int(some.argmax()) if len(some) else 0
                # Of equals the first in the piece, then the first in the set.
                if len(some) and (-some[start], start) < (-found[index][0], found[index][1]):
                    found[index] = int(some[start]), start, part.place(theirs[start])
        return [
            None if best[0] < 2 else self._run(piece, some, *best)
            for piece, some, best in zip(pieces, notes, found, strict=True)
        ]

    def longest_run(self, piece: Piece) -> CopiedRun | None:
        """Return the longest run of a piece, the first of equals; None where no two notes are in the set."""
        return self.longest_runs([piece])[0]

    def _run(self, piece: Piece, notes: Ints, length: int, start: int, place: _Place) -> CopiedRun:
        return CopiedRun(
            notes=length,
            start_note=start,
            start_bar=_Bars(piece.ticks_per_beat, piece.meters).number(int(notes[start, 3])),
            source=self.names[place.piece],
            source_piece=place.piece,
            source_bar=self._bars[place.piece].number(place.onset),
            transposed=int(notes[start, 1]) - place.pitch,
        )


@dataclass(frozen=True)
class _Place:
    """Where a note stands in the set: the piece, the onset on its own grid, the pitch."""

    piece: int
    onset: int
    pitch: int


@dataclass(frozen=True)
class _Bars:
    """What tells the bars of a piece."""

    ticks_per_beat: int
    meters: tuple[Meter, ...]

    def number(self, onset: int) -> int:
        """Return the number of the bar (from 1) that a tick lies in."""
        return sum(1 for _ in Piece((Note(onset, 60, 1),), self.ticks_per_beat, self.meters).bars())


class _Part:
    """Successive pieces of the set, the last of which is followed by piece `end`."""

    def __init__(self, notes: Sequence[Ints], end: int) -> None:
        self._starts = np.cumsum([0, *map(len, notes)])  # (pieces + 1,) where the notes of each piece begin
        self._number = end - len(notes)
        whole = np.concatenate([np.zeros((0, 4), dtype=np.int64), *notes])
        self._onsets: npt.NDArray[np.integer] = whole[:, 3].copy()
        self._pitches: npt.NDArray[np.integer] = whole[:, 1].astype(np.int16)
        self._suffixes = SuffixArray(_text(notes))

    def __len__(self) -> int:
        return len(self._suffixes)

    def in_files(self, folder: Path | None) -> _Part:
        """Keep it in unnamed files in a folder, and return it. Raises OutputError where there is no space."""
        self._onsets, self._pitches = in_file(self._onsets, folder), in_file(self._pitches, folder)
        self._suffixes.put_into_files(folder)
        return self

    def match(self, links: Ints, most: int | None) -> tuple[Ints, Ints]:
        """Return the longest runs (M,), in notes, and the suffixes (M, 2) that begin so; see `_text`."""
        lengths, suffixes = self._suffixes.match(links, None if most is None else most - 1)
        return lengths + bool(len(self)), suffixes

    def place(self, suffixes: Ints) -> _Place:
        """Return where the first of the suffixes (2,) begins."""
        place = self._suffixes.place(suffixes)
        piece = int(np.searchsorted(self._starts, place, side="right")) - 1
        return _Place(self._number + piece, int(self._onsets[place]), int(self._pitches[place]))


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


def _text(pieces: Sequence[Ints]) -> Ints:
    """(M,): the links of all pieces, notes (n, 4) each; in place of a last note's link a number of its own."""
    own = [np.array([-1 - number])[: len(notes)] for number, notes in enumerate(pieces)]
    links = [part for notes, end in zip(pieces, own, strict=True) for part in (_links(notes), end)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *links])


def _split(values: Ints, pieces: Sequence[Ints]) -> list[Ints]:
    """What holds for all notes (M, ...) -> for those of each piece."""
    return np.split(values, np.cumsum([len(notes) for notes in pieces])[:-1]) if len(pieces) else []


def _links(notes: Ints) -> Ints:
    """(n - 1,): the link from each note (n, 4) to the next as one number, 0 or more."""
    duration = np.minimum(notes[:-1, 2], _LONGEST_TICKS)
    interval, wait = np.diff(notes[:, 1]), np.minimum(np.diff(notes[:, 0]), _LONGEST_TICKS)
    links: Ints = duration << 33 | wait << 9 | interval + 256
    return links
