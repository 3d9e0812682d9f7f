"""Arrangement: music of several tracks, each with its instrument, on one grid under one tempo map.

What the formats write. A `Piece`, which has one instrument, is an arrangement of one track. Units are those of
`notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

from seqgan_music.music.notes import DEFAULT_QPM, TICKS_PER_BEAT, Meter, Note, Piece, Tempo

_Change = TypeVar("_Change", Meter, Tempo)


@dataclass(frozen=True)
class Track:
    """The notes of one instrument, sorted by (onset, pitch).

    `program` is the General MIDI instrument 0..127; where `drums`, pitches are those of the percussion key map and
    `program` is the drum set.
    """

    notes: tuple[Note, ...]
    program: int = 0
    name: str = ""
    drums: bool = False


@dataclass(frozen=True)
class Arrangement:
    """Tracks that sound together. `meters` and `tempos` start at tick 0, sorted; `name` is for people."""

    tracks: tuple[Track, ...]
    ticks_per_beat: int = TICKS_PER_BEAT
    meters: tuple[Meter, ...] = (Meter(0, 4, 4),)
    tempos: tuple[Tempo, ...] = (Tempo(0, DEFAULT_QPM),)
    name: str = field(default="", compare=False)

    @classmethod
    def of(cls, music: Piece | Arrangement) -> Arrangement:
        """Return a piece as an arrangement of one track; an arrangement as it is."""
        if isinstance(music, Arrangement):
            return music
        track = Track(music.notes, music.program)
        return cls((track,), music.ticks_per_beat, music.meters, music.tempos, music.name)

    @cached_property
    def together(self) -> Piece:
        """All notes in one piece, drums too: for its bars, its end and its seconds."""
        notes = sorted(note for track in self.tracks for note in track.notes)
        program = next((track.program for track in self.tracks if track.notes and not track.drums), 0)
        return Piece(tuple(notes), self.ticks_per_beat, self.meters, self.tempos, program, self.name)

    def excerpt(self, start: int, end: int) -> Arrangement:
        """Return what begins in ticks [start, end), counted from `start`, notes cut at `end`.

        A meter or tempo in force at `start` is in force from the excerpt's first tick on.
        """
        tracks = tuple(
            replace(
                track,
                notes=tuple(
                    replace(note, onset=note.onset - start, duration=min(note.end, end) - note.onset)
                    for note in track.notes
                    if start <= note.onset < end
                ),
            )
            for track in self.tracks
        )
        return replace(
            self,
            tracks=tracks,
            meters=_between(self.meters, start, end),
            tempos=_between(self.tempos, start, end),
        )


def _between(changes: Iterable[_Change], start: int, end: int) -> tuple[_Change, ...]:
    kept: list[_Change] = []
    for change in changes:
        if change.onset <= start:
            kept = [replace(change, onset=0)]
        elif change.onset < end:
            kept.append(replace(change, onset=change.onset - start))
    return tuple(kept)


def separate(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes, by pitch, such that no two of one pitch overlap, and none is shorter than a tick.

    Of notes with one pitch and onset the longest and loudest is one; a note that still sounds when its pitch is
    struck again ends there.
    """
    for _, same_pitch in groupby(sorted(notes, key=attrgetter("pitch", "onset")), key=attrgetter("pitch")):
        held: Note | None = None
        for note in same_pitch:
            if note.duration < 1:
                note = replace(note, duration=1)
            if held is not None and held.onset == note.onset:
                note = replace(
                    note, duration=max(held.duration, note.duration), velocity=max(held.velocity, note.velocity)
                )
            elif held is not None:
                yield held if held.end <= note.onset else replace(held, duration=note.onset - held.onset)
            held = note
        if held is not None:
            yield held
