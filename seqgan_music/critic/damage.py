"""Bars of real music put wrong on purpose, to learn from: what a bar is like that does not belong where it stands.

    other       a bar of another piece, as it is, or moved into the key and the octave of this one
    transposed  its notes moved by 1 to 11 semitones, up or down
    shuffled    its pitches in another order, the rhythm staying
    rhythm      its notes at other places of the bar, the pitches staying in their order

A window is an array of notes on bar lines (`Cut`), so that thousands an epoch can be read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgan_music.critic.sheet import BARS, MOST_BARS, Sheet, laid_out
from seqgan_music.music.key_finding import best_signatures
from seqgan_music.music.notes import Piece

LEAST_BARS = 2
"""Of a window: in fewer there is nothing that a bar could disagree with."""
MOST_DAMAGED = 3
"""Bars of a window."""
_SOUND = 0.25
"""Share of the windows in which nothing is damaged."""

Ints = npt.NDArray[np.int64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Cut:
    """Bars of a piece: notes (N, 3), onset, pitch and duration in ticks, sorted; `starts` (B,) of bars; the end."""

    notes: Ints
    starts: Ints
    end: int
    ticks_per_beat: int
    ended: bool = False

    @classmethod
    def of(cls, piece: Piece, *, ended: bool = False) -> Cut:
        """Take all bars of a piece, but for its drums, and as many as a sheet has."""
        piece = piece.tuned
        bars = list(piece.bars())[:MOST_BARS]
        stop = bars[-1].end if bars else 0
        inside = [(n.onset, n.pitch, n.duration) for n in piece.notes if n.onset < stop]
        notes = np.array(inside, dtype=np.int64).reshape(-1, 3)
        starts = np.array([bar.start for bar in bars], dtype=np.int64)
        return cls(notes, starts, stop, piece.ticks_per_beat, ended)

    @property
    def bars(self) -> int:
        """Number of bars."""
        return len(self.starts)

    def window(self, start: int, end: int) -> Cut:
        """Return the bars from `start` to `end`, where they stand."""
        stop = self.end if end == self.bars else int(self.starts[end])
        inside = (self.notes[:, 0] >= self.starts[start]) & (self.notes[:, 0] < stop)
        ended = self.ended and end == self.bars
        return Cut(self.notes[inside], self.starts[start:end], stop, self.ticks_per_beat, ended)

    def span(self, bar: int) -> tuple[int, int]:
        """Return the first tick of a bar and its length."""
        stop = self.end if bar + 1 == self.bars else int(self.starts[bar + 1])
        return int(self.starts[bar]), stop - int(self.starts[bar])

    def inside(self, bar: int) -> Ints:
        """Return the notes (n, 3) that begin in a bar, their onsets counted from its start."""
        start, length = self.span(bar)
        found = self.notes[(self.notes[:, 0] >= start) & (self.notes[:, 0] < start + length)].copy()
        found[:, 0] -= start
        return found

    def put(self, bar: int, notes: Ints) -> Cut:
        """Return it with other notes (n, 3) in a bar, their onsets counted from its start."""
        start, length = self.span(bar)
        rest = self.notes[(self.notes[:, 0] < start) | (self.notes[:, 0] >= start + length)]
        new = np.concatenate([rest, notes + np.array([start, 0, 0])])
        order = np.lexsort((new[:, 1], new[:, 0]))
        return Cut(new[order], self.starts, self.end, self.ticks_per_beat, self.ended)

    def sheet(self) -> Sheet:
        """Read it, counted from its first bar."""
        origin = int(self.starts[0])
        return laid_out(
            self.notes - np.array([origin, 0, 0]),
            self.starts - origin,
            self.end - origin,
            self.ticks_per_beat,
            ended=self.ended,
        )


Damage = Callable[[Cut, int, Rng, Sequence[Cut]], Ints | None]
"""From a window and the number of a bar: other notes for it; None where it cannot be done."""


def other(cut: Cut, bar: int, rng: Rng, donors: Sequence[Cut]) -> Ints | None:
    """Take a bar as long of another piece."""
    _, length = cut.span(bar)
    for _ in range(8):
        donor = donors[int(rng.integers(len(donors)))]
        place = int(rng.integers(donor.bars))
        notes = donor.inside(place)
        if donor.ticks_per_beat != cut.ticks_per_beat or donor.span(place)[1] != length or not len(notes):
            continue
        if rng.random() < 0.5:
            shift = _key(cut) - _key(donor)
            middle = np.median(cut.notes[:, 1]) - np.median(donor.notes[:, 1])
            notes[:, 1] += shift + 12 * round((middle - shift) / 12)
        return notes if _playable(notes) else None
    return None


def transposed(cut: Cut, bar: int, rng: Rng, donors: Sequence[Cut]) -> Ints | None:
    """Move it by 1 to 11 semitones."""
    notes = cut.inside(bar)
    notes[:, 1] += int(rng.integers(1, 12)) * (1 if rng.random() < 0.5 else -1)
    return notes if len(notes) and _playable(notes) else None


def shuffled(cut: Cut, bar: int, rng: Rng, donors: Sequence[Cut]) -> Ints | None:
    """Exchange its pitches."""
    notes = cut.inside(bar)
    notes[:, 1] = notes[rng.permutation(len(notes)), 1]
    return notes


def rhythm(cut: Cut, bar: int, rng: Rng, donors: Sequence[Cut]) -> Ints | None:
    """Let its notes begin at other places, each to last until the next."""
    notes = cut.inside(bar)
    onsets = np.unique(notes[:, 0])
    _, length = cut.span(bar)
    step = max(1, cut.ticks_per_beat // 4)
    places = np.arange(0, length, step)
    if len(onsets) < 2 or len(onsets) > len(places):
        return None
    drawn = np.sort(rng.choice(places, len(onsets), replace=False))
    number = np.searchsorted(onsets, notes[:, 0])
    notes[:, 0] = drawn[number]
    notes[:, 2] = np.append(drawn[1:], length)[number] - notes[:, 0]
    return notes


KINDS: dict[str, Damage] = {"other": other, "transposed": transposed, "shuffled": shuffled, "rhythm": rhythm}


def deal(cuts: Sequence[Cut], count: int, rng: Rng) -> tuple[list[Sheet], list[npt.NDArray[np.float32]]]:
    """Return `count` windows, and which bars (B,) of each were damaged: 1.

    Windows are of 2 to 16 bars from anywhere in a piece, three of four as long as they can be; in one of four
    nothing is damaged, in the others up to three bars. `cuts` are such as `fit_to_learn` returns.
    """
    sheets: list[Sheet] = []
    marks: list[npt.NDArray[np.float32]] = []
    kinds = list(KINDS.values())
    while len(sheets) < count:
        cut = cuts[int(rng.integers(len(cuts)))]
        bars = min(cut.bars, BARS if rng.random() < 0.75 else int(rng.integers(LEAST_BARS, BARS + 1)))
        start = int(rng.integers(cut.bars - bars + 1))
        window = cut.window(start, start + bars)
        if not len(window.notes):
            continue
        mark = np.zeros(bars, dtype=np.float32)
        most = 0 if rng.random() < _SOUND else int(rng.integers(1, min(MOST_DAMAGED, bars // 2) + 1))
        for bar in rng.permutation(bars)[:most]:
            new = kinds[int(rng.integers(len(kinds)))](window, int(bar), rng, cuts)
            if new is not None and not same(new, window.inside(int(bar))):
                window = window.put(int(bar), new)
                mark[bar] = 1.0
        sheets.append(window.sheet())
        marks.append(mark)
    return sheets, marks


def fit_to_learn(pieces: Sequence[Piece]) -> list[Cut]:
    """Return what windows can be taken from: of a note a bar or more, so that silent windows are rare."""
    cuts = (Cut.of(piece) for piece in pieces)
    return [cut for cut in cuts if LEAST_BARS <= cut.bars <= len(cut.notes)]


def same(one: Ints, two: Ints) -> bool:
    """Whether two bars are the same notes."""
    return one.shape == two.shape and sorted(map(tuple, one.tolist())) == sorted(map(tuple, two.tolist()))


def _playable(notes: Ints) -> bool:
    return bool(((notes[:, 1] >= 0) & (notes[:, 1] < 128)).all())


def _key(cut: Cut) -> int:
    return best_signatures(np.bincount(cut.notes[:, 1] % 12, minlength=12))[0]


def trials(
    cuts: Sequence[Cut], damage: Damage, rng: Rng, *, bars: int = BARS, earliest: int = 2
) -> tuple[list[Sheet], list[int]]:
    """Return openings of `bars` bars with one bar damaged, not before `earliest` (from 0), and which it is."""
    sheets, places = [], []
    for cut in cuts:
        if cut.bars < bars or not len((window := cut.window(0, bars)).notes):
            continue
        bar = int(rng.integers(earliest, bars))
        new = damage(window, bar, rng, cuts)
        if new is not None and len(new) and not same(new, window.inside(bar)):
            sheets.append(window.put(bar, new).sheet())
            places.append(bar)
    return sheets, places
