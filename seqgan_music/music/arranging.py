"""One untrusted file -> an Arrangement as it sounds: every track with its instrument, drums, tempos, dynamics.

`reading` reduces a file to what a tokenizer can hold, one piece on a coarse grid; here all that can be played is
kept, in the file's own ticks. What controllers say is put into the notes: a note that the sustain pedal holds lasts
until the pedal goes up, and volume and expression (controllers 7 and 11, in relation to 100 and 127) scale
velocities, whose squares are amplitudes as theirs are. Left out: bends, pan, other controllers, changes of
instrument inside a track.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import inf
from operator import itemgetter
from pathlib import Path

from seqgan_music.config import ReadingConfig
from seqgan_music.errors import InputError
from seqgan_music.music import smf
from seqgan_music.music.arrangement import Arrangement, Track, separate
from seqgan_music.music.notes import Meter, Note, Tempo
from seqgan_music.music.reading import MIDI_SUFFIXES, SUFFIXES, content
from seqgan_music.music.score_files import scores_from_bytes
from seqgan_music.music.scores import Part, Score, piece_from_score, usable_meter, with_upbeat
from seqgan_music.music.unusable import UnusableError, printable
from seqgan_music.music.workers import Failure, bounded_map

FINEST = 960
"""Ticks a beat of a file that are kept as they are; finer and odd ones go to `GRID`."""
GRID = 480

_STANDARD_VOLUME = 100


@dataclass(frozen=True)
class Arranged:
    """What a file gave: its first arrangement, how many more it holds, and what was odd about it, by name.

    Where there is none, `reason` and `detail` say why.
    """

    arrangement: Arrangement | None
    others: int
    counts: Mapping[str, int]
    reason: str = ""
    detail: str = ""


def read_arrangement(path: Path, limits: ReadingConfig | None = None) -> Arranged:
    """Read one file in a worker process, bounded by `limits`, whose grid and choice of track do not count.

    Raises InputError: no such file, none of SUFFIXES, no notes in it, past the limits.
    """
    limits = limits or ReadingConfig()
    if not path.is_file():
        raise InputError(f"{path} is {'a folder: give a file' if path.is_dir() else 'not there'}.")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is of no known kind. Kinds: {' '.join(sorted(SUFFIXES))}.")
    ((_, found),) = bounded_map(
        partial(arranged, limits=limits),
        [path],
        workers=1,
        max_seconds=limits.max_seconds,
        max_memory_megabytes=limits.max_memory_megabytes,
    )
    if isinstance(found, Failure) or found.arrangement is None:
        raise InputError(f"{path} cannot be used: {found.reason}. {found.detail}")
    return found


def arranged(path: Path, limits: ReadingConfig) -> Arranged:
    """Read one file in this process. Nothing that a file contains makes it raise."""
    counts: Counter[str] = Counter()
    try:
        found = _arrangements(path, limits, counts)
        if not found:
            raise UnusableError("no notes", "It holds no notes.")
        return Arranged(found[0], len(found) - 1, +counts)
    except UnusableError as error:
        return Arranged(None, 0, +counts, error.reason, str(error))
    except Exception as error:
        detail = f"Reading it failed with {type(error).__name__}: {printable(str(error))}."
        return Arranged(None, 0, +counts, "failed", detail)


def _arrangements(path: Path, limits: ReadingConfig, counts: Counter[str]) -> list[Arrangement]:
    data, name = content(path, limits), printable(path.stem)
    if path.suffix.lower() in MIDI_SUFFIXES:
        scores = _from_midi(data, name, limits, counts)
    else:
        unpacked = int(4e6 * limits.max_megabytes)
        scores = [
            (score, [False] * len(score.parts))
            for score in scores_from_bytes(data, path.suffix, name, GRID, limits.max_notes, unpacked, counts)
        ]
    found = [
        _arrangement(score, drums, limits, counts) for score, drums in scores if any(p.notes for p in score.parts)
    ]
    return found


def _arrangement(score: Score, drums: Sequence[bool], limits: ReadingConfig, counts: Counter[str]) -> Arrangement:
    """Put the tracks where `piece_from_score` puts their notes: from the first bar that sounds on."""
    parts = [(part, drum) for part, drum in zip(score.parts, drums, strict=True) if part.notes]
    piece = piece_from_score(score)
    start = min(note.onset for part, _ in parts for note in part.notes) - piece.notes[0].onset
    grid = score.ticks_per_beat
    counts["silent_beats_removed"] += start // grid
    if piece.end > limits.max_beats * grid:
        raise UnusableError("too long", f"It lasts more than {limits.max_beats:,} beats (max_beats).")
    tracks = [
        Track(
            tuple(sorted(separate(replace(note, onset=note.onset - start) for note in part.notes))),
            part.program,
            part.name,
            drum,
        )
        for part, drum in parts
    ]
    return Arrangement(tuple(tracks), grid, piece.meters, piece.tempos, score.name)


def _from_midi(
    data: bytes, name: str, limits: ReadingConfig, counts: Counter[str]
) -> list[tuple[Score, list[bool]]]:
    file = smf.parse(data, limits.max_tracks, limits.max_notes, counts, to_be_played=True)
    fits = file.ticks_per_beat.denominator == 1 and file.ticks_per_beat <= FINEST
    grid = int(file.ticks_per_beat) if fits else GRID
    groups = [file.tracks] if file.form < 2 else [[track] for track in file.tracks]
    return [_score(tracks, grid, grid / file.ticks_per_beat, name, counts) for tracks in groups]


def _score(
    tracks: list[smf.Track], grid: int, ratio: Fraction, name: str, counts: Counter[str]
) -> tuple[Score, list[bool]]:
    """Return the parts, one for each instrument of a track, and which of them are drums."""

    def tick(time: int) -> int:
        return (2 * time * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)

    controls: dict[tuple[int, int], list[tuple[int, int]]] = {}
    elsewhere: dict[int, int] = {}
    for track in tracks:
        elsewhere = {**track.programs, **elsewhere}
        for key, values in track.controls.items():
            controls.setdefault(key, []).extend(values)
    for values in controls.values():
        values.sort(key=itemgetter(0))
    score, drums = Score(grid, name), []
    for track in tracks:
        for channel, notes in sorted(track.notes.items()):
            played = _played(notes, controls, channel, counts)
            program = track.programs.get(channel, elsewhere.get(channel, 0))
            title = track.name if len(track.notes) == 1 else f"{track.name} channel {channel + 1}".strip()
            on_grid = [
                Note(tick(onset), pitch, max(1, tick(end) - tick(onset)), velocity)
                for onset, end, pitch, velocity in played
            ]
            score.parts.append(Part(title, program, on_grid))
            drums.append(channel == smf.DRUM_CHANNEL)
    tempos: dict[int, float] = {}  # by tick: of several on one the last counts
    meters: dict[int, tuple[int, int]] = {}
    for track in tracks:
        tempos.update((tick(time), 6e7 / micros if micros else inf) for time, micros in track.tempos)
        for time, numerator, denominator in track.meters:
            if usable_meter(numerator, denominator, grid):
                meters[tick(time)] = numerator, denominator
            else:
                counts["meters_ignored"] += 1
    score.tempos = [Tempo(onset, qpm) for onset, qpm in tempos.items()]
    score.meters = [Meter(onset, *meter) for onset, meter in meters.items()]
    return with_upbeat(score, counts), drums


def _played(
    notes: Iterable[tuple[int, int, int, int]],
    controls: Mapping[tuple[int, int], Sequence[tuple[int, int]]],
    channel: int,
    counts: Counter[str],
) -> list[tuple[int, int, int, int]]:
    """Return a channel's notes as (onset, end, pitch, velocity) with what its controllers do to them."""
    pedal = controls.get((channel, smf.PEDAL), ())
    ups = [time for time, value in pedal if value < 64]
    times = [time for time, _ in pedal]
    volume = controls.get((channel, smf.VOLUME), ())
    expression = controls.get((channel, smf.EXPRESSION), ())
    found = []
    for onset, end, pitch, velocity in notes:
        before = bisect_right(times, end)
        if before and pedal[before - 1][1] >= 64 and channel != smf.DRUM_CHANNEL:
            later = bisect_right(ups, end)
            counts["held_by_pedal"] += 1
            end = ups[later] if later < len(ups) else end
        if volume or expression:
            loud = _at(volume, onset, _STANDARD_VOLUME) / _STANDARD_VOLUME * _at(expression, onset, 127) / 127
            velocity = min(max(1, round(velocity * loud)), 127)
        found.append((onset, end, pitch, velocity))
    return found


def _at(values: Sequence[tuple[int, int]], time: int, otherwise: int) -> int:
    place = bisect_right(values, (time, 127))
    return values[place - 1][1] if place else otherwise
