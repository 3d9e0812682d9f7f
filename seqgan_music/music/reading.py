"""One untrusted file -> pieces, or the reason why there are none, with everything changed or dropped counted.

MIDI is parsed by `smf`, written music (ABC, MusicXML, Humdrum) by `score_files`; here the tracks that are asked for
are taken, put on the grid and made pieces. MIDI format 2 holds independent sequences: each becomes a piece of its
own. Time and memory are limited by the caller's worker process.
"""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from pathlib import Path

from seqgan_music.config import ReadingConfig
from seqgan_music.music import alignment, controllers, smf
from seqgan_music.music.notes import DRUMS, HIGHEST_PITCH, LOWEST_PITCH, PROGRAMS, Meter, Note, Piece, Tempo
from seqgan_music.music.score_files import SCORE_SUFFIXES, scores_from_bytes
from seqgan_music.music.scores import Part, Score, piece_from_score, usable_meter, with_upbeat
from seqgan_music.music.unusable import UnusableError, printable

MIDI_SUFFIXES = frozenset({".mid", ".midi", ".kar"})
SUFFIXES: frozenset[str] = MIDI_SUFFIXES | SCORE_SUFFIXES

MELODY_NAMES = ("melod", "vocal", "voice", "sopran", "flute", "violin", "lead", "sing", "solo", "tune", "cantus")
OTHER_NAMES = ("bass", "chord", "accomp", "pad", "harmon", "left", "string", "piano l", "rhythm", "backing")


@dataclass(frozen=True)
class Reading:
    """What one file gave.

    pieces: usually one; a tune-book or MIDI format 2 gives several, each with a telling name
    reason: None, or why no piece came, as a short stable category ("damaged", "not MIDI", "no notes" ...)
    detail: one clear sentence for people
    counts: everything that was changed or dropped, by stable name; never zero
    track:  which track was taken where one was asked for ("track 2 'Flute', 148 notes")
    sha256: of the very bytes that this came of, a file being free to change at any time; None where none were read
    """

    pieces: tuple[Piece, ...]
    reason: str | None
    detail: str
    counts: Mapping[str, int]
    track: str | None = None
    sha256: str | None = None


def read(path: Path, config: ReadingConfig) -> Reading:
    """Read one file of any of SUFFIXES. Nothing that a file contains makes it raise."""
    counts: Counter[str] = Counter()
    sha256 = None
    try:
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise UnusableError(
                "not music", f"Its suffix '{printable(suffix)}' is none of {', '.join(sorted(SUFFIXES))}."
            )
        data = _bytes(path, config)
        sha256 = hashlib.sha256(data).hexdigest()
        pieces, track = _read(_some(data), suffix, printable(path.stem), config, counts)
    except UnusableError as error:
        return Reading((), error.reason, str(error), +counts, sha256=sha256)
    except MemoryError:
        detail = "Reading it takes more memory than one file may."
        return Reading((), "out of memory", detail, +counts, sha256=sha256)
    except Exception as error:
        detail = f"Reading it failed with {type(error).__name__}: {printable(str(error))}."
        return Reading((), "failed", detail, +counts, sha256=sha256)
    notes = sum(len(piece.notes) for piece in pieces)
    many = f"{len(pieces):,} pieces, " if len(pieces) > 1 else ""
    return Reading(tuple(pieces), None, f"{many}{notes:,} notes", +counts, track, sha256)


def _read(
    data: bytes, suffix: str, name: str, config: ReadingConfig, counts: Counter[str]
) -> tuple[list[Piece], str | None]:
    if suffix in MIDI_SUFFIXES:
        scores = _from_midi(data, name, config, counts)
    else:
        unpacked = int(4e6 * config.max_megabytes)
        scores = scores_from_bytes(
            data, suffix, name, config.ticks_per_beat, config.max_notes, unpacked, counts=counts
        )
    pieces, tracks = [], []
    problem: UnusableError | None = None
    for score in scores:
        try:
            piece, track = _piece(score, config, counts)
        except UnusableError as error:
            problem = error
            counts["unusable_pieces"] += len(scores) > 1
            continue
        pieces.append(piece)
        tracks.append(track)
    if not pieces:
        raise problem or UnusableError("no notes", "It holds no notes.")
    if suffix in MIDI_SUFFIXES and config.instruments and config.track == "all":
        del counts["drum_notes"]  # which counts what is left out
    return pieces, tracks[0]


def content(path: Path, config: ReadingConfig) -> bytes:
    """Return a regular file's bytes; pipes, devices and folders are refused before they are opened."""
    return _some(_bytes(path, config))


def _some(data: bytes) -> bytes:
    if not data:
        raise UnusableError("empty", "The file is empty.")
    return data


def _bytes(path: Path, config: ReadingConfig) -> bytes:
    limit = int(1e6 * config.max_megabytes)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe, socket or device"
            raise UnusableError("not a file", f"It is a {kind}, not a file.")
        if status.st_size <= limit:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except FileNotFoundError:
        raise UnusableError("unreadable", "It does not exist, or is a link to nothing.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnusableError("unreadable", f"It cannot be opened: {reason}.") from None
    if status.st_size > limit or len(data) > limit:
        raise UnusableError("too large", f"It has more than {config.max_megabytes:g} MB (max_megabytes).")
    return data


def _piece(score: Score, config: ReadingConfig, counts: Counter[str]) -> tuple[Piece, str | None]:
    parts = [part for part in score.parts if part.notes and not part.drums]
    drums = [part for part in score.parts if part.notes and part.drums]
    if not parts and counts["drum_notes"]:
        raise UnusableError("drums only", "It holds drums only.")
    if not parts:
        raise UnusableError("no notes", "It holds no notes.")
    taken = parts
    track = None
    if config.track != "all":
        number = _chosen(parts, config.track)
        taken = [parts[number - 1]]
        counts["other_tracks_dropped"] += len(parts) - 1
        title = f" '{taken[0].name}'" if taken[0].name else ""
        track = f"track {number}{title}, {len(taken[0].notes):,} notes"
    taken = [replace(part, notes=_in_range(part.notes, config.out_of_range, counts)) for part in taken]
    if config.track == "melody":
        taken[0].notes = _top_line(taken[0].notes, counts)
    if config.instruments:
        taken = _each_its_own(taken + drums * (config.track == "all"))
    piece = piece_from_score(replace(score, parts=taken), counts)
    if not piece.notes:
        raise UnusableError("no notes", "None of its notes lies on the 88 keys from A0 to C8.")
    if piece.end > config.max_beats * config.ticks_per_beat:
        raise UnusableError("too long", f"It lasts more than {config.max_beats:,} beats (max_beats).")
    return piece, track


def _each_its_own(parts: list[Part]) -> list[Part]:
    """Return the parts, each note with its instrument; several parts of one program are several players of it."""
    players: Counter[int] = Counter()
    own = []
    for part in parts:
        instrument = DRUMS if part.drums else part.program + PROGRAMS * players[part.program]
        players[part.program] += not part.drums and bool(part.notes)
        own.append(replace(part, notes=[replace(note, instrument=instrument) for note in part.notes]))
    return own


def _chosen(parts: list[Part], wanted: str) -> int:
    """Return which part is wanted, counted from 1 among those with notes that are not drums."""
    if wanted == "melody":
        most = max(len(part.notes) for part in parts)
        return 1 + max(range(len(parts)), key=lambda index: _melodiousness(parts[index], most))
    if wanted.isdecimal():
        if 1 <= int(wanted[:9]) <= len(parts):
            return int(wanted)
    else:
        names = [part.name.casefold() for part in parts]
        matches: tuple[Callable[[str], bool], ...] = (
            lambda name: name == wanted.casefold(),
            lambda name: wanted.casefold() in name,
        )
        for match in matches:
            for index, name in enumerate(names, 1):
                if match(name):
                    return index
    listed = ", ".join(f"{i} '{part.name}'" if part.name else f"{i}" for i, part in enumerate(parts[:8], 1))
    more = ", ..." if len(parts) > 8 else ""
    raise UnusableError("no such track", f"It has no track '{printable(wanted)}'; with notes are: {listed}{more}.")


def _melodiousness(part: Part, most_notes: int) -> float:
    """Score how much a part is like a melody: high, one note at a time, busy, and so named."""
    mean_pitch = sum(note.pitch for note in part.notes) / len(part.notes)
    onsets = len({note.onset for note in part.notes})
    alone = onsets / len(part.notes)  # 1 for a line, 1/3 for triads
    name = part.name.casefold()
    named = any(hint in name for hint in MELODY_NAMES) - any(hint in name for hint in OTHER_NAMES)
    return mean_pitch / 12 + 4 * alone + 2 * min(1.0, 2 * onsets / most_notes) + 2 * named


def _top_line(notes: list[Note], counts: Counter[str]) -> list[Note]:
    """Return the highest note of each onset, cut where the next one begins."""
    line: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.onset, -note.pitch, -note.duration)):
        if line and line[-1].onset == note.onset:
            counts["below_top_line_dropped"] += 1
            continue
        if line and line[-1].end > note.onset:
            counts["cut_by_top_line"] += 1
            line[-1] = replace(line[-1], duration=note.onset - line[-1].onset)
        line.append(note)
    return line


def _in_range(notes: list[Note], out_of_range: str, counts: Counter[str]) -> list[Note]:
    kept = []
    for note in notes:
        if LOWEST_PITCH <= note.pitch <= HIGHEST_PITCH:
            kept.append(note)
        elif out_of_range == "drop":
            counts["out_of_range_dropped"] += 1
        else:
            counts["moved_by_octaves"] += 1
            low = note.pitch < LOWEST_PITCH
            octaves = -(-(LOWEST_PITCH - note.pitch) // 12) if low else -(-(note.pitch - HIGHEST_PITCH) // 12)
            kept.append(replace(note, pitch=note.pitch + (12 if low else -12) * octaves))
    return kept


def _from_midi(data: bytes, name: str, config: ReadingConfig, counts: Counter[str]) -> list[Score]:
    played = config.instruments or config.pedal_beats > 0
    parsed = smf.parse(data, config.max_tracks, config.max_notes, counts, to_be_played=played)
    file = alignment.aligned(parsed, counts)
    ratio = config.ticks_per_beat / file.ticks_per_beat
    if file.form < 2:
        return [_score(file.tracks, ratio, name, config, counts)]
    tunes = enumerate((track for track in file.tracks if track.notes), 1)
    return [_score([track], ratio, f"{name} {number}", config, counts) for number, track in tunes]


def _score(
    tracks: list[smf.Track], ratio: Fraction, name: str, config: ReadingConfig, counts: Counter[str]
) -> Score:
    """Put the tracks on the grid. `ratio` is grid ticks per file tick."""
    top, bottom = ratio.numerator, ratio.denominator

    def tick(time: int) -> int:
        return (2 * time * top + bottom) // (2 * bottom)

    def on_grid(note: tuple[int, int, int, int]) -> Note:
        onset, end = tick(note[0]), tick(note[1])
        counts["onsets_moved_to_grid"] += note[0] * top % bottom != 0
        counts["zero_length_notes"] += note[0] == note[1]
        counts["short_notes_lengthened"] += onset == end and note[0] != note[1]
        return Note(onset, note[2], max(1, end - onset), note[3])

    score = Score(config.ticks_per_beat, name)
    controls = controllers.gathered(tracks) if config.pedal_beats else {}
    most = config.pedal_beats * config.ticks_per_beat / ratio
    said = controllers.programs(tracks)
    heard = [
        [channel for channel in sorted(track.notes) if config.instruments or channel != smf.DRUM_CHANNEL]
        for track in tracks
    ]
    for track, channels in zip(tracks, heard, strict=True):
        # Only where one track holds everything, or each instrument counts, are its channels the parts.
        apart = config.instruments or sum(map(bool, heard)) == 1
        groups = [[channel] for channel in channels] if apart else [channels] * bool(channels)
        for group in groups:
            title = f"channel {group[0] + 1}" if len(groups) > 1 else track.name
            drums = group[0] == smf.DRUM_CHANNEL
            raw: list[smf.RawNote] = []
            for channel in group:
                pedal = controls.get((channel, smf.PEDAL), ())
                raw += controllers.sustained(track.notes[channel], pedal, counts, most)
            played = controllers.by_program(raw, said(track, group[0]))
            if drums or config.track != "all" or not config.instruments:
                played = {next(iter(played), 0): raw}
            for program, own in played.items():
                score.parts.append(Part(title, program, list(map(on_grid, own)), drums))
    tempos: dict[int, float] = {}  # by grid tick: of several on one the last counts
    meters: dict[int, tuple[int, int]] = {}
    for track in tracks:
        tempos.update((tick(time), 6e7 / micros if micros else inf) for time, micros in track.tempos)
        for time, numerator, denominator in track.meters:
            if usable_meter(numerator, denominator, config.ticks_per_beat):
                meters[tick(time)] = numerator, denominator
            else:
                counts["meters_ignored"] += 1
    if len(tempos) + len(meters) > config.max_notes:
        raise UnusableError("too many events", f"It changes tempo or meter more than {config.max_notes:,} times.")
    score.tempos = [Tempo(onset, qpm) for onset, qpm in tempos.items()]
    score.meters = [Meter(onset, *meter) for onset, meter in meters.items()]
    return with_upbeat(score, counts)
