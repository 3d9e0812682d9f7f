"""One new piece and what is known of how it came about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqgan_music.music.notes import Piece

if TYPE_CHECKING:
    from seqgan_music.music.metrics.originality import Run


@dataclass(frozen=True)
class Composition:
    """One new piece, the ids behind it (a primer's left out), the seed that makes it again, and what went wrong.

    `dropped` counts tokens that made no sense, by kind; `finished` is false where the generator had to be stopped
    before the length asked for. Where copying was limited, `copied` is the longest run of new notes that the
    training music has too, and `refusals` counts how often a note was taken back for it. Where candidates were
    weighed, `effective` is the number of them that the least certain choice rested on. Where bars of a piece were
    written anew, `changed` is the share of notes that differ from it.
    """

    piece: Piece
    ids: tuple[int, ...]
    seed: int
    dropped: Counter[str]
    finished: bool = True
    copied: Run | None = None
    refusals: int = 0
    effective: float | None = None
    changed: float | None = None
