"""One untrusted file -> pieces, or the reason why there are none, with everything changed or dropped counted.

Standard MIDI files are parsed here, in one pass over the bytes whose cost is linear whatever they hold:

1. Bytes before `MThd` are skipped (RIFF/RMID wrappers, mail headers), wrong chunk lengths and track counts healed.
2. A track that ends early keeps what was read. Bytes that make no sense make the file "damaged".
3. Events that have no bearing on notes may be as wrong as they like: they are counted, never decoded.
4. Format 2 holds independent sequences: each becomes a piece of its own.
5. An SMPTE division has no beats: seconds are taken at 120 quarter notes per minute.

Everything else goes through music21 (`scores`). Time and memory are limited by the caller's worker process.
"""

from __future__ import annotations

import stat
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf
from pathlib import Path

from seqgan_music.config import ReadingConfig
from seqgan_music.music.notes import DEFAULT_QPM, HIGHEST_PITCH, LOWEST_PITCH, Meter, Note, Piece, Tempo
from seqgan_music.music.scores import (
    SCORE_SUFFIXES,
    Part,
    Score,
    UnusableError,
    piece_from_score,
    printable,
    scores_from_bytes,
    usable_meter,
    with_upbeat,
)

MIDI_SUFFIXES = frozenset({".mid", ".midi", ".kar"})
SUFFIXES: frozenset[str] = MIDI_SUFFIXES | SCORE_SUFFIXES

DRUM_CHANNEL = 9  # counted from 0: musicians call it 10
FRAMES_PER_SECOND = {24: Fraction(24), 25: Fraction(25), 29: Fraction(30_000, 1001), 30: Fraction(30)}
TYPICAL_STARTS = {
    b"PK": "a ZIP archive",
    b"<": "a web page or XML",
    b"RIFF": "a RIFF file without MIDI, such as WAV",
    b"ID3": "an MP3",
    b"\x00\x05\x16\x07": "a macOS resource fork",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
}
SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}  # data bytes
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
    """

    pieces: tuple[Piece, ...]
    reason: str | None
    detail: str
    counts: Mapping[str, int]
    track: str | None = None


def read(path: Path, config: ReadingConfig) -> Reading:
    """Read one file of any of SUFFIXES. Nothing that a file contains makes it raise."""
    counts: Counter[str] = Counter()
    try:
        pieces, track = _read(path, config, counts)
    except UnusableError as error:
        return Reading((), error.reason, str(error), +counts)
    except MemoryError:
        return Reading((), "out of memory", "Reading it takes more memory than one file may.", +counts)
    except Exception as error:
        detail = f"Reading it failed with {type(error).__name__}: {printable(str(error))}."
        return Reading((), "failed", detail, +counts)
    notes = sum(len(piece.notes) for piece in pieces)
    many = f"{len(pieces):,} pieces, " if len(pieces) > 1 else ""
    return Reading(tuple(pieces), None, f"{many}{notes:,} notes", +counts, track)


def _read(path: Path, config: ReadingConfig, counts: Counter[str]) -> tuple[list[Piece], str | None]:
    suffix, name = path.suffix.lower(), printable(path.stem)
    if suffix not in SUFFIXES:
        raise UnusableError(
            "not music", f"Its suffix '{printable(suffix)}' is none of {', '.join(sorted(SUFFIXES))}."
        )
    data = _content(path, config)
    if suffix in MIDI_SUFFIXES:
        scores = _midi(data, name, config, counts)
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
    return pieces, tracks[0]


def _content(path: Path, config: ReadingConfig) -> bytes:
    """Return a regular file's bytes; pipes, devices and folders are refused before they are opened."""
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
    if not data:
        raise UnusableError("empty", "The file is empty.")
    return data


def _piece(score: Score, config: ReadingConfig, counts: Counter[str]) -> tuple[Piece, str | None]:
    parts = [part for part in score.parts if part.notes]
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
    piece = piece_from_score(replace(score, parts=taken), counts)
    if not piece.notes:
        raise UnusableError("no notes", "None of its notes lies on the 88 keys from A0 to C8.")
    if piece.end > config.max_beats * config.ticks_per_beat:
        raise UnusableError("too long", f"It lasts more than {config.max_beats:,} beats (max_beats).")
    return piece, track


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


# --- Standard MIDI files ---------------------------------------------------------------------------------------


@dataclass
class _Track:
    """One MTrk: its notes in file ticks as (onset, end, pitch, velocity) by channel, and what it says of time."""

    name: str = ""
    notes: dict[int, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    programs: dict[int, int] = field(default_factory=dict)  # channel -> the one in force at its first note
    drums: int = 0
    tempos: list[tuple[int, int]] = field(default_factory=list)  # (tick, microseconds a quarter note)
    meters: list[tuple[int, int, int]] = field(default_factory=list)


def _midi(data: bytes, name: str, config: ReadingConfig, counts: Counter[str]) -> list[Score]:
    start = data.find(b"MThd")
    if start < 0 or len(data) < start + 14:
        if start >= 0:
            raise UnusableError("damaged", "It ends inside the MIDI header.")
        kind = next((kind for sign, kind in TYPICAL_STARTS.items() if data[:64].lstrip().startswith(sign)), None)
        raise UnusableError(
            "not MIDI", f"It is not MIDI but {kind}." if kind else "It holds no MIDI header (MThd)."
        )
    counts["bytes_before_header"] += start
    length, form, declared, division = (
        int.from_bytes(data[start + a : start + b], "big") for a, b in ((4, 8), (8, 10), (10, 12), (12, 14))
    )
    if form > 2:
        raise UnusableError("damaged", f"MIDI format {form} does not exist.")
    ratio = _grid_ratio(division, config.ticks_per_beat)
    at = start + 8 + length
    tracks = _tracks(data, at if length >= 6 and at <= len(data) else start + 14, config, counts)
    counts["undeclared_tracks"] += max(0, len(tracks) - declared)
    counts["missing_tracks"] += max(0, declared - len(tracks))
    counts["empty_tracks"] += sum(not (t.notes or t.drums or t.tempos or t.meters) for t in tracks)
    if division >= 0x8000:
        for track in tracks:
            track.tempos.clear()  # its ticks are seconds already
    if form == 2:
        tracks = [track for track in tracks if track.notes]
        return [
            _score([track], ratio, f"{name} {number}", config, counts) for number, track in enumerate(tracks, 1)
        ]
    return [_score(tracks, ratio, name, config, counts)]


def _grid_ratio(division: int, ticks_per_beat: int) -> Fraction:
    """Return grid ticks per file tick."""
    if division >= 0x8000:
        frames, ticks = 256 - (division >> 8), division & 0xFF
        if frames not in FRAMES_PER_SECOND or not ticks:
            raise UnusableError("damaged", f"Its time division of {frames} frames by {ticks} ticks cannot be.")
        return Fraction(ticks_per_beat) * Fraction(int(DEFAULT_QPM), 60) / (FRAMES_PER_SECOND[frames] * ticks)
    if not division:
        raise UnusableError("damaged", "It says that a beat has 0 ticks, so its rhythm cannot be known.")
    return Fraction(ticks_per_beat, division)


def _tracks(data: bytes, at: int, config: ReadingConfig, counts: Counter[str]) -> list[_Track]:
    """Walk the chunks from `at`; the next `MTrk` is looked for wherever a length leads nowhere."""
    tracks: list[_Track] = []
    left = config.max_notes
    while at + 8 <= len(data):
        sign, end = data[at : at + 4], at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        if sign == b"MThd":
            counts["bytes_after_last_track"] += len(data) - at
            break  # another file follows: not this one's music
        if not _chunk_follows(data, end):
            following = data.find(b"MTrk", at + (8 if sign == b"MTrk" else 1))
            # A length past the end with no track after it is a file cut short: its track says so itself.
            counts["wrong_chunk_lengths"] += end <= len(data) or following >= 0
            end = len(data) if following < 0 else following
        if sign == b"MTrk":
            if len(tracks) == config.max_tracks:
                raise UnusableError(
                    "too many tracks", f"It has more than {config.max_tracks:,} tracks (max_tracks)."
                )
            track = _track(data[at + 8 : end], left, config, counts)
            left -= track.drums + sum(map(len, track.notes.values()))
            tracks.append(track)
        at = end
    return tracks


def _chunk_follows(data: bytes, at: int) -> bool:
    """Say whether a chunk or the end of the file stands here; a few bytes of padding may close a file."""
    return at <= len(data) and (len(data) - at < 8 or data[at : at + 4].isalnum())


def _track(data: bytes, max_notes: int, config: ReadingConfig, counts: Counter[str]) -> _Track:
    """Parse one track's events. Raises UnusableError where the bytes make no sense."""
    track = _Track()
    sounding: dict[int, deque[tuple[int, int]]] = {}  # channel * 128 + pitch -> (onset, velocity), oldest first
    last_off: dict[int, int] = {}
    taken = at = now = status = 0
    size = len(data)
    try:
        while True:
            delta = data[at]
            at += 1
            if delta > 127:
                delta, at = _quantity(data, at - 1)
            now += delta
            first = data[at]
            if first > 127:
                at += 1
                if first < 0xF0:
                    status = first
                    first = data[at]
                elif first == 0xFF:
                    kind = data[at]
                    length, at = _quantity(data, at + 1)
                    if kind == 0x2F:
                        counts["bytes_after_track_end"] += max(0, size - at - length)
                        break
                    if at + length > size:
                        raise IndexError
                    _meta(track, kind, data[at : at + min(length, 400)], length, now, counts)
                    at += length
                    continue
                else:
                    at = _system(data, first, at, counts)
                    continue
            elif not status:
                raise UnusableError("damaged", f"A track begins with data byte {first} in place of an event.")
            at += 1
            high = status & 0xF0
            channel = status & 0x0F
            if high in (0xC0, 0xD0):
                if high == 0xC0 and channel not in track.notes:
                    track.programs[channel] = min(first, 127)
                continue
            second = data[at]
            at += 1
            if first > 127 or second > 127:
                if high in (0x80, 0x90) and first > 127:
                    counts["undecodable_events"] += 1
                    continue  # a note without a pitch
                counts["clipped_values"] += 1
                second = min(second, 127)
            if high == 0x90 and second:
                taken += 1
                if taken > max_notes:
                    raise UnusableError(
                        "too many notes", f"It has more than {config.max_notes:,} notes (max_notes)."
                    )
                if channel == DRUM_CHANNEL:
                    track.drums += 1
                    continue
                track.notes.setdefault(channel, [])
                key = channel << 7 | first
                if key in sounding:
                    sounding[key].append((now, second))
                else:
                    sounding[key] = deque(((now, second),))
            elif high == 0x90 or high == 0x80:
                key = channel << 7 | first
                last_off[key] = now
                if sounding.get(key):
                    onset, velocity = sounding[key].popleft()
                    track.notes[channel].append((onset, now, first, velocity))
    except IndexError:
        counts["truncated_tracks"] += 1
    counts["drum_notes"] += track.drums
    for key, waiting in sounding.items():
        counts["unended_notes"] += len(waiting)
        onsets = [onset for onset, _ in waiting]
        stop = last_off.get(key, -1)
        ends = [*onsets[1:], stop if onsets and stop > onsets[-1] else now]
        for (onset, velocity), end in zip(waiting, ends, strict=False):
            track.notes[key >> 7].append((onset, end, key & 127, velocity))
    return track


def _quantity(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length quantity and the place after it: at most four bytes of seven bits."""
    value = 0
    for place in range(at, at + 4):
        byte = data[place]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, place + 1
    raise UnusableError("damaged", "It holds a number of more than four bytes, which MIDI does not allow.")


def _system(data: bytes, status: int, at: int, counts: Counter[str]) -> int:
    """Return the place after a system event; all but exclusive ones are strangers in a file, and counted."""
    if status in (0xF0, 0xF7):
        length, at = _quantity(data, at)
    elif status in SYSTEM_LENGTHS:
        counts["undecodable_events"] += 1
        length = SYSTEM_LENGTHS[status]
    else:
        raise UnusableError("damaged", f"It holds the undefined status byte 0x{status:02X}.")
    if at + length > len(data):
        raise IndexError
    return at + length


def _meta(track: _Track, kind: int, payload: bytes, length: int, now: int, counts: Counter[str]) -> None:
    """Take what a meta event says of name, tempo and meter; `payload` may be cut off before `length` bytes."""
    if kind == 0x03:
        track.name = track.name or printable(_text(payload))
    elif kind == 0x51 and length == 3:
        track.tempos.append((now, int.from_bytes(payload, "big")))
    elif kind == 0x58 and length >= 2:
        track.meters.append((now, payload[0], 1 << min(payload[1], 16)))
    elif kind == 0x59 and length == 2 and (payload[0] <= 7 or payload[0] >= 249) and payload[1] <= 1:
        pass  # a key signature, which no tokenizer asks for
    elif kind in (0x51, 0x58, 0x59):
        counts["undecodable_events"] += 1


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _score(tracks: list[_Track], ratio: Fraction, name: str, config: ReadingConfig, counts: Counter[str]) -> Score:
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
    elsewhere = {channel: program for track in reversed(tracks) for channel, program in track.programs.items()}
    holders = [track for track in tracks if track.notes]
    for track in holders:
        channels = sorted(track.notes)
        # Only where one track holds everything are its channels the parts.
        groups = [[channel] for channel in channels] if len(holders) == 1 else [channels]
        for group in groups:
            title = f"channel {group[0] + 1}" if len(groups) > 1 else track.name
            program = track.programs.get(group[0], elsewhere.get(group[0], 0))
            notes = [on_grid(note) for channel in group for note in track.notes[channel]]
            score.parts.append(Part(title, program, notes))
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
