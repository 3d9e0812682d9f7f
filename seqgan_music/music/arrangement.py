"""Arrangement: music of several tracks, each with its instrument, on one grid under one tempo map.

What the formats write. A `Piece` is an arrangement of one track for each of its instruments. Units are those of
`notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

from seqgan_music.music.notes import (
    DEFAULT_QPM,
    DRUMS,
    PROGRAMS,
    TICKS_PER_BEAT,
    UNSAID,
    Meter,
    Note,
    Piece,
    Tempo,
)

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
        """Return a piece as an arrangement of a track for each instrument, drums last; an arrangement as it is.

        What does not say its instrument is of the piece's, in a track without a name.
        """
        if isinstance(music, Arrangement):
            return music
        parts: dict[int, list[Note]] = {}
        for note in music.notes:
            parts.setdefault(note.instrument, []).append(note)
        tracks = [_track(own, parts, music.program) for own in sorted(parts, key=_in_score_order)]
        everything = tuple(tracks) or (Track((), music.program),)
        return cls(everything, music.ticks_per_beat, music.meters, music.tempos, music.name)

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


def _in_score_order(instrument: int) -> tuple[bool, int, int]:
    """By program, then by player; drums last."""
    program = instrument % PROGRAMS if instrument != UNSAID else UNSAID
    return program == DRUMS, program, instrument


def _track(instrument: int, parts: Mapping[int, Sequence[Note]], program: int) -> Track:
    """Return the track of one of the instruments of `parts`; `program` is that of notes which do not say theirs."""
    notes = tuple(parts[instrument])
    if instrument == UNSAID:
        return Track(notes, program)
    player, own = divmod(instrument, PROGRAMS)
    if own == DRUMS:
        return Track(notes, name="Drums", drums=True)
    import pretty_midi

    name = pretty_midi.program_to_instrument_name(own)
    several = any(other != instrument and other % PROGRAMS == own for other in parts if other != UNSAID)
    return Track(notes, own, f"{name} {player + 1}" if several or player else name)


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
