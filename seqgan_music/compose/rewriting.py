"""Bars of a piece written anew, the others kept to the note; variations of a piece at a chosen distance.

Bars are counted from 1, as people do. A note belongs to the bar in which it begins: a kept bar keeps its notes with
their whole length, and a note that began in a bar that is written anew goes, even where it sounded on into a kept
one. New notes sound no further than to the first kept note after them, and no bar that is written anew is silent.

Kept notes are as the tokenizer holds them (on its grid, within the 88 keys), and as loud as they were. New ones are
as loud as the tokenizer says, or, where it does not hold loudness, as the median of what is kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median_low
from typing import TYPE_CHECKING

from seqgan_music.compose.bars import bars_of
from seqgan_music.compose.controls import Controls
from seqgan_music.compose.primers import Primer, loudness_in
from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import Bar, Note, Piece

if TYPE_CHECKING:
    from seqgan_music.compose.particles import Window
    from seqgan_music.music.tokenizers import Filling

CANDIDATES = 64
MOST_CANDIDATES = 4096
Score = Callable[[Sequence[Piece]], Sequence[float]]
"""Log weights (N,) of candidate pieces, whole or so far, added to those of the generator before they are drawn."""


def kept_bars(count: int, bars: Collection[int], *, name: str) -> set[int]:
    """Return `bars` of 1..count. Raises ConfigError where one is not among them."""
    wrong = sorted(bar for bar in bars if not 1 <= bar <= count)
    if wrong:
        raise ConfigError(f"There is no bar {wrong[0]}: {name} has {count} bar{'s' * (count > 1)}.")
    return set(bars)


def varied(count: int, distance: float, seed: int) -> set[int]:
    """Return which of `count` bars a variation keeps: the more, the smaller its distance (0 to 1)."""
    import numpy as np

    order = np.random.default_rng([seed, count]).permutation(count) + 1
    return set(order[int(distance * count + 0.5) :].tolist())


def check_candidates(count: int) -> None:
    """Raise ConfigError for a number of candidates that cannot be."""
    if not 1 <= count <= MOST_CANDIDATES:
        raise ConfigError(f"candidates must be 1 to {MOST_CANDIDATES}, not {count}.")


def check_controls(controls: Controls) -> None:
    """Raise ConfigError for controls that mean nothing where bars of a piece are written anew."""
    for name, given in (("bars", controls.bars), ("seconds", controls.seconds)):
        if given is not None:
            raise ConfigError(f"Leave {name} out: the piece whose bars are written anew has its own length.")
    if not controls.keep_primer:
        raise ConfigError("Leave --no-primer out where bars of a piece are kept.")


@dataclass(frozen=True)
class Rewriting:
    """A piece, the bars of it that stay, and what is put together of both."""

    primer: Primer
    keep: frozenset[int]
    holds_loudness: bool
    in_ticks: bool
    """Whether the tokenizer's ticks are those of the piece as it was read: not where it counts seconds."""

    @property
    def bars(self) -> list[Bar]:
        """All bars of the piece."""
        return bars_of(self.primer.piece)

    def windows(self, controls: Controls) -> list[Window]:
        """Return the bars to be written."""
        from seqgan_music.compose.particles import Window

        bars = self.bars
        kept_onsets = [note.onset for note in self.kept_notes()]
        end = bars[-1].end
        windows = []
        for gap, own in groupby(enumerate(bars, 1), key=lambda numbered: numbered[0] not in self.keep):
            if not gap:
                continue
            numbered = list(own)
            gap_end = numbered[-1][1].end
            bound = min((onset for onset in kept_onsets if onset >= gap_end), default=end)
            windows += [
                Window(bar.start, bar.end, bound, bar.start, controls.pitches(number), controls.weigh(number))
                for number, bar in numbered
            ]
        return windows

    def kept_notes(self, *, after: int | None = None) -> list[Note]:
        """Return the notes that stay, and, with `after`, those of all bars from that tick on."""
        loudness = loudness_in(self.primer.source)
        notes = self.primer.piece.notes
        if self.in_ticks:
            notes = tuple(replace(n, velocity=loudness(n, n.velocity)) for n in notes)
        inside = [
            (bar.start, bar.end)
            for number, bar in enumerate(self.bars, 1)
            if number in self.keep or (after is not None and bar.start >= after)
        ]
        begins = [start for start, _ in inside]
        kept = []
        for note in notes:
            place = bisect_right(begins, note.onset) - 1
            if place >= 0 and note.onset < inside[place][1]:
                kept.append(note)
        return kept

    def piece(self, filling: Filling, until: int) -> Piece:
        """Return the piece with what has been written up to tick `until`; later bars are as they were."""
        kept = self.kept_notes(after=until)
        new = filling.new_notes()
        if not self.holds_loudness:
            like = self.kept_notes() or self.primer.source.notes
            velocity = median_low([note.velocity for note in like])
            new = [replace(note, velocity=velocity) for note in new]
        tempos = self.primer.source.tempos if self.in_ticks else self.primer.piece.tempos
        return replace(self.primer.piece, notes=tuple(sorted([*kept, *new])), tempos=tempos)


def changed_share(before: Piece, after: Piece) -> float:
    """Return the share of notes that differ, 0..1: 1 - 2 |A & B| / (|A| + |B|), of notes but for their loudness.

    Of the notes of both pieces, those without a counterpart in the other (1 - Dice's coefficient); NaN for silence.
    """
    one, other = (
        Counter((n.onset, n.pitch, n.duration, n.instrument) for n in piece.notes) for piece in (before, after)
    )
    total = one.total() + other.total()
    return 1 - 2 * (one & other).total() / total if total else float("nan")
