"""One untrusted file -> an Arrangement as it sounds: every track with its instrument, drums, tempos, dynamics.

`reading` reduces a file to what a tokenizer can hold, one piece on a coarse grid; here all that can be played is
kept, in the file's own ticks. What controllers say is put into the notes: a note that the sustain pedal holds lasts
until the pedal goes up, and volume and expression (controllers 7 and 11, in relation to 100 and 127) scale
velocities, whose squares are amplitudes as theirs are. An instrument that changes inside a track is another track.
Left out: bends, pan, other controllers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import inf
from pathlib import Path

from seqgan_music.config import ReadingConfig
from seqgan_music.errors import InputError
from seqgan_music.music import alignment, controllers, smf
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
        scores = scores_from_bytes(data, path.suffix, name, GRID, limits.max_notes, unpacked, counts)
    return [_arrangement(score, limits, counts) for score in scores if any(p.notes for p in score.parts)]


def _arrangement(score: Score, limits: ReadingConfig, counts: Counter[str]) -> Arrangement:
    """Put the tracks where `piece_from_score` puts their notes: from the first bar that sounds on."""
    parts = [part for part in score.parts if part.notes]
    piece = piece_from_score(score)
    start = min(note.onset for part in parts for note in part.notes) - piece.notes[0].onset
    grid = score.ticks_per_beat
    counts["silent_beats_removed"] += start // grid
    if piece.end > limits.max_beats * grid:
        raise UnusableError("too long", f"It lasts more than {limits.max_beats:,} beats (max_beats).")
    tracks = [
        Track(
            tuple(sorted(separate(replace(note, onset=note.onset - start) for note in part.notes))),
            part.program,
            part.name,
            part.drums,
        )
        for part in parts
    ]
    return Arrangement(tuple(tracks), grid, piece.meters, piece.tempos, score.name)


def _from_midi(data: bytes, name: str, limits: ReadingConfig, counts: Counter[str]) -> list[Score]:
    parsed = smf.parse(data, limits.max_tracks, limits.max_notes, counts, to_be_played=True)
    file = alignment.aligned(parsed, counts)
    fits = file.ticks_per_beat.denominator == 1 and file.ticks_per_beat <= FINEST
    grid = int(file.ticks_per_beat) if fits else GRID
    groups = [file.tracks] if file.form < 2 else [[track] for track in file.tracks]
    return [_score(tracks, grid, grid / file.ticks_per_beat, name, counts) for tracks in groups]


def _score(tracks: list[smf.Track], grid: int, ratio: Fraction, name: str, counts: Counter[str]) -> Score:
    """Return the parts, one for each instrument of a track."""

    def tick(time: int) -> int:
        return (2 * time * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)

    controls = controllers.gathered(tracks)
    said = controllers.programs(tracks)
    score = Score(grid, name)
    for track in tracks:
        for channel, notes in sorted(track.notes.items()):
            played = _played(notes, controls, channel, counts)
            drums = channel == smf.DRUM_CHANNEL
            title = track.name if len(track.notes) == 1 else f"{track.name} channel {channel + 1}".strip()
            players = {0: played} if drums else controllers.by_program(played, said(track, channel))
            for program, own in players.items():
                on_grid = [
                    Note(tick(onset), pitch, max(1, tick(end) - tick(onset)), velocity)
                    for onset, end, pitch, velocity in own
                ]
                score.parts.append(Part(title, program, on_grid, drums))
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
    return with_upbeat(score, counts)


def _played(
    notes: list[smf.RawNote],
    controls: Mapping[tuple[int, int], controllers.Events],
    channel: int,
    counts: Counter[str],
) -> list[smf.RawNote]:
    """Return a channel's notes with what its controllers do to them."""
    if channel != smf.DRUM_CHANNEL:
        notes = controllers.sustained(notes, controls.get((channel, smf.PEDAL), ()), counts)
    return controllers.as_loud(notes, controls, channel)
