"""Standard MIDI file -> tracks: notes, tempos and meters in file ticks, out of any bytes.

One pass over the bytes, whose cost is linear whatever they hold:

1. Bytes before `MThd` are skipped (RIFF/RMID wrappers, mail headers), wrong chunk lengths and track counts healed.
2. A track that ends early keeps what was read. Bytes that make no sense make the file "damaged".
3. Events that have no bearing on notes may be as wrong as they like: they are counted, never decoded.
4. An SMPTE division has no beats: seconds are taken at 120 quarter notes per minute.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from fractions import Fraction

from seqgan_music.music.notes import DEFAULT_QPM
from seqgan_music.music.unusable import UnusableError, printable

DRUM_CHANNEL = 9  # counted from 0: musicians call it 10
VOLUME, EXPRESSION, PEDAL = 7, 11, 64
PLAYED = frozenset({VOLUME, EXPRESSION, PEDAL})
"""Controllers that change how notes sound."""
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


RawNote = tuple[int, int, int, int]
"""(onset, end, pitch, velocity) in file ticks."""


@dataclass
class Track:
    """One MTrk: its notes in file ticks as (onset, end, pitch, velocity) by channel, and what it says of time."""

    name: str = ""
    notes: dict[int, list[RawNote]] = field(default_factory=dict)
    programs: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """channel -> (tick, program) of each change that notes follow, in order."""
    drums: int = 0
    controls: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    """(channel, controller) -> (tick, value); of PLAYED alone, and only where it is read to be played."""
    tempos: list[tuple[int, int]] = field(default_factory=list)  # (tick, microseconds a quarter note)
    meters: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class MidiFile:
    """What the bytes hold. `form` is 0, 1 or, for independent sequences, 2; `ticks_per_beat` counts file ticks."""

    form: int
    ticks_per_beat: Fraction
    tracks: list[Track]


def parse(
    data: bytes, max_tracks: int, max_notes: int, counts: Counter[str], *, to_be_played: bool = False
) -> MidiFile:
    """Return the tracks in the bytes of a file; `counts` learns what was odd about them.

    `to_be_played` keeps the notes of drums, on channel `DRUM_CHANNEL`, and the controllers of `PLAYED` (as many as
    notes at most), which only count otherwise.

    Raises UnusableError for what is no MIDI, makes no sense, or has more tracks or notes than it may.
    """
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
    ticks_per_beat = _ticks_per_beat(division)
    at = start + 8 + length
    first = at if length >= 6 and at <= len(data) else start + 14
    tracks = _tracks(data, first, max_tracks, max_notes, counts, to_be_played)
    counts["undeclared_tracks"] += max(0, len(tracks) - declared)
    counts["missing_tracks"] += max(0, declared - len(tracks))
    counts["empty_tracks"] += sum(not (t.notes or t.drums or t.tempos or t.meters) for t in tracks)
    if division >= 0x8000:
        for track in tracks:
            track.tempos.clear()  # its ticks are seconds already
    return MidiFile(form, ticks_per_beat, tracks)


def _ticks_per_beat(division: int) -> Fraction:
    if division >= 0x8000:
        frames, ticks = 256 - (division >> 8), division & 0xFF
        if frames not in FRAMES_PER_SECOND or not ticks:
            raise UnusableError("damaged", f"Its time division of {frames} frames by {ticks} ticks cannot be.")
        return FRAMES_PER_SECOND[frames] * ticks * Fraction(60, int(DEFAULT_QPM))
    if not division:
        raise UnusableError("damaged", "It says that a beat has 0 ticks, so its rhythm cannot be known.")
    return Fraction(division)


def _tracks(
    data: bytes, at: int, max_tracks: int, max_notes: int, counts: Counter[str], to_be_played: bool
) -> list[Track]:
    """Walk the chunks from `at`; the next `MTrk` is looked for wherever a length leads nowhere."""
    tracks: list[Track] = []
    left = max_notes
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
            if len(tracks) == max_tracks:
                raise UnusableError("too many tracks", f"It has more than {max_tracks:,} tracks (max_tracks).")
            track = _track(data[at + 8 : end], left, max_notes, counts, to_be_played)
            left -= sum(map(len, track.notes.values())) + (0 if to_be_played else track.drums)
            tracks.append(track)
        at = end
    return tracks


def _chunk_follows(data: bytes, at: int) -> bool:
    """Say whether a chunk or the end of the file stands here; a few bytes of padding may close a file."""
    return at <= len(data) and (len(data) - at < 8 or data[at : at + 4].isalnum())


def _track(data: bytes, left: int, max_notes: int, counts: Counter[str], to_be_played: bool) -> Track:
    """Parse one track's events. Raises UnusableError where the bytes make no sense."""
    track = Track()
    sounding: dict[int, deque[tuple[int, int]]] = {}  # channel * 128 + pitch -> (onset, velocity), oldest first
    last_off: dict[int, int] = {}
    unplayed: set[int] = set()  # channels without a note since their program was said
    taken = controls = at = now = status = 0
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
                if high == 0xC0:
                    programs = track.programs.setdefault(channel, [])
                    if channel in unplayed:
                        programs.pop()
                    programs.append((now, min(first, 127)))
                    unplayed.add(channel)
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
                if taken > left:
                    raise UnusableError("too many notes", f"It has more than {max_notes:,} notes (max_notes).")
                if channel == DRUM_CHANNEL:
                    track.drums += 1
                    if not to_be_played:
                        continue
                track.notes.setdefault(channel, [])
                unplayed.discard(channel)
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
            elif high == 0xE0:
                counts["pitch_bends_left_out"] += bool(first) or second != 64
            elif to_be_played and high == 0xB0 and first in PLAYED:
                controls += 1
                if controls > max_notes:
                    raise UnusableError("too many events", f"It has more than {max_notes:,} controller events.")
                track.controls.setdefault((channel, first), []).append((now, second))
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


def _meta(track: Track, kind: int, payload: bytes, length: int, now: int, counts: Counter[str]) -> None:
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
