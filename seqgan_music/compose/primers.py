"""Primers, music to continue or to change: read as the tokenizer holds it, and told apart from what is new."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING

from seqgan_music.compose.bars import bars_of
from seqgan_music.config import ReadingConfig
from seqgan_music.errors import InputError
from seqgan_music.music.notes import Meter, Note, Piece
from seqgan_music.music.tokenizers import Tokenizer

if TYPE_CHECKING:
    from seqgan_music.music.reading import Reading


@dataclass(frozen=True)
class Primer:
    """Music to continue or to change: `piece` as the tokenizer holds it, with tempo and program, and its `ids`.

    `changes` counts what reading and the tokenizer changed or left out, by reason; `others` the further pieces
    of a file that holds several, of which the first is taken. `source` is the piece as it was read.
    """

    piece: Piece
    ids: tuple[int, ...]
    changes: Counter[str]
    source: Piece
    others: int = 0

    @classmethod
    def of(cls, piece: Piece, tokenizer: Tokenizer) -> Primer | None:
        """Return a piece as the tokenizer holds it; None where it has no notes that the tokenizer can hold."""
        normal, changes = tokenizer.normalise(piece)
        rows = tokenizer.encode(piece)
        ids = _open_end((token for row in rows for token in row), tokenizer)
        if not ids:
            return None
        held = tokenizer.decode(ids).piece
        if held.notes != normal.notes:  # rows that overlap cannot be joined: go on from the last one
            ids = _open_end(rows[-1], tokenizer)
            held = tokenizer.decode(ids).piece
        held = replace(held, tempos=piece.tempos[:1], program=piece.program, name=piece.name)
        return cls(held, tuple(ids), changes, piece)

    @property
    def full_bars(self) -> int:
        """Bars that are over when the primer's last note ends."""
        return sum(bar.end <= self.piece.end for bar in bars_of(self.piece))


def read_pieces(path: Path, reading: ReadingConfig, what: str) -> Reading:
    """Read one file in a worker process, bounded like any reader of untrusted files; it has one piece or more.

    `what` is what the file is to be for, in errors: "Primer". Raises InputError: no such file, no music in it, past
    the limits.
    """
    from seqgan_music.music.reading import SUFFIXES, read
    from seqgan_music.music.workers import Failure, bounded_map

    if not os.path.isfile(path):
        is_there = "a folder: give a file" if os.path.isdir(path) else "no file" if os.path.exists(path) else ""
        raise InputError(f"{what} {path} is {is_there or 'not there'}.")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{what} {path} is of no known kind. Kinds: {' '.join(sorted(SUFFIXES))}.")
    ((_, found),) = bounded_map(
        partial(read, config=reading),
        [path],
        workers=1,
        max_seconds=reading.max_seconds,
        max_memory_megabytes=reading.max_memory_megabytes,
    )
    if isinstance(found, Failure) or not found.pieces:
        raise InputError(f"{what} {path} cannot be used: {found.reason}. {found.detail}")
    return found


def read_primer(path: Path, tokenizer: Tokenizer, reading: ReadingConfig) -> Primer:
    """Read music to continue. Raises InputError where nothing can be continued. See `read_pieces`."""
    found = read_pieces(path, reading, "Primer")
    primer = Primer.of(replace(found.pieces[0], name=path.name), tokenizer)
    if primer is None:
        raise InputError(f"Primer {path} has no notes that this run's tokenizer can hold.")
    return replace(primer, changes=Counter(found.counts) + primer.changes, others=len(found.pieces) - 1)


def without_primer(piece: Piece, primer: Primer) -> Piece:
    """Return what is new, from the bar line on at which it begins, as a piece of its own."""
    new = new_notes(piece, primer).notes
    if not new:
        return replace(piece, notes=())
    first = min(primer.piece.end, min(note.onset for note in new))
    bars = [bar for bar in bars_of(piece) if bar.start <= first]
    start = bars[-1].start
    meters = [m for m in piece.meters if m.onset > start]
    return replace(
        piece,
        notes=tuple(replace(note, onset=note.onset - start) for note in new),
        meters=(Meter(0, *bars[-1].meter), *(replace(m, onset=m.onset - start) for m in meters)),
    )


def new_notes(piece: Piece, primer: Primer | None) -> Piece:
    """Return the piece with those notes alone that are not the primer's, where they stand."""
    if primer is None:
        return piece
    known = {(note.onset, note.pitch, note.instrument): note.end for note in primer.piece.notes}
    new = []
    for note in piece.notes:
        end = known.get((note.onset, note.pitch, note.instrument))
        if end is None:
            new.append(note)
        elif note.end > end:  # held on, where a tokenizer cannot tell that from struck again
            new.append(replace(note, onset=end, duration=note.end - end))
    return replace(piece, notes=tuple(sorted(new)))


def as_loud(piece: Piece, primer: Primer) -> Piece:
    """Return a piece with the primer's notes as loud as they were, and the others as their median."""
    loudness = loudness_in(primer.source)
    median = median_low(note.velocity for note in primer.source.notes)
    notes = [replace(note, velocity=loudness(note, median)) for note in piece.notes]
    return replace(piece, notes=tuple(notes))


def loudness_in(piece: Piece) -> Callable[[Note, int], int]:
    """Return a look-up of how loud a note is in a piece: by its instrument, else by any; else the value given."""
    own = {(note.onset, note.pitch, note.instrument): note.velocity for note in piece.notes}
    of_any = {(note.onset, note.pitch): note.velocity for note in piece.notes}

    def loudness(note: Note, otherwise: int) -> int:
        found = own.get((note.onset, note.pitch, note.instrument))
        return of_any.get((note.onset, note.pitch), otherwise) if found is None else found

    return loudness


def _open_end(ids: Iterable[int], tokenizer: Tokenizer) -> list[int]:
    """The ids without their end, and without what is not heard there (rests that fill up a row)."""
    open_ids = [token for token in ids if token != tokenizer.end_id]
    notes = tokenizer.decode(open_ids).piece.notes
    while open_ids and tokenizer.decode(open_ids[:-1]).piece.notes == notes:
        open_ids.pop()
    return open_ids
