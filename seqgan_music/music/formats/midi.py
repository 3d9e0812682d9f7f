"""Piece -> standard MIDI file (type 1), tick for tick."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from io import BytesIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.files import replacing
from seqgan_music.music.notes import Note, Piece

RESOLUTION = 480
"""File ticks a quarter note, for every grid that divides it; other grids get their nearest multiple below."""

_MAX_FILE_TICKS = 9_999_000
"""pretty_midi neither writes nor reads beyond tick 1e7; longer pieces are written at a coarser resolution."""


def write_midi(
    piece: Piece, path: Path, *, title: str | None = None, comment: str | None = None, key: str | None = None
) -> None:
    """Write `midi_bytes` into a file. Raises OutputError where the file cannot be written."""
    data = midi_bytes(piece, title=title, comment=comment, key=key)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def midi_bytes(
    piece: Piece, *, title: str | None = None, comment: str | None = None, key: str | None = None
) -> bytes:
    """Return a piece as MIDI: one track with its tempos, meters, `key` and `comment`, one with its notes.

    Every onset and end is a whole number of file ticks, `RESOLUTION / piece.ticks_per_beat` for each of the
    piece's. A tempo is rounded to a whole microsecond a quarter note, as the format holds it. `key` is a name
    such as "C major" or "F# minor"; `title` names the track of the notes. Texts are stored as UTF-8.

    Of notes with one pitch and onset the longest and loudest is written once; a note that still sounds when
    its pitch is struck again ends there. The same arguments give the same bytes.

    Raises ValueError for a piece that MIDI cannot hold (a pitch outside 0..127, a velocity outside 1..127, a
    denominator that is no power of two).
    """
    import pretty_midi

    notes = list(_separate(piece.notes))
    if any(not (0 <= note.pitch <= 127 and 1 <= note.velocity <= 127) for note in notes):
        raise ValueError(f"{piece.name or 'piece'}: a pitch outside 0..127 or a velocity outside 1..127")
    last = max([piece.end, *(meter.onset for meter in piece.meters), *(tempo.onset for tempo in piece.tempos)])
    scale = max(1, min(RESOLUTION // piece.ticks_per_beat, _MAX_FILE_TICKS // max(1, last)))
    midi = pretty_midi.PrettyMIDI(resolution=piece.ticks_per_beat * scale)
    midi.time_to_tick = int  # all times below are file ticks already: a way to seconds and back costs a fifth
    # pretty_midi offers no public way to write more than one tempo, and truncates microseconds where it should
    # round: half a microsecond more makes its truncation exact.
    midi._tick_scales = [
        (tempo.onset * scale, (_microseconds(tempo.qpm) + 0.5) / 1e6 / midi.resolution) for tempo in piece.tempos
    ]
    midi.time_signature_changes = [
        pretty_midi.TimeSignature(meter.numerator, meter.denominator, meter.onset * scale) for meter in piece.meters
    ]
    if key is not None:
        midi.key_signature_changes = [pretty_midi.KeySignature(pretty_midi.key_name_to_key_number(key), 0.0)]
    if comment is not None:
        midi.text_events = [pretty_midi.Text(_utf8(comment), 0.0)]
    instrument = pretty_midi.Instrument(piece.program, name=_utf8(title or ""))
    instrument.notes = [pretty_midi.Note(n.velocity, n.pitch, n.onset * scale, n.end * scale) for n in notes]
    midi.instruments.append(instrument)
    data = BytesIO()
    midi.write(data)
    return data.getvalue()


def program_number(text: str) -> int:
    """Return the General MIDI program 0..127 of a number or name: "73", "Flute", "grand piano", "nylon".

    A part of a name will do where only one has it. Raises ConfigError.
    """
    import pretty_midi

    with suppress(ValueError):
        number = int(text)
        if not 0 <= number <= 127:
            raise ConfigError(f"program must be 0 to 127 or a General MIDI name, not {text}.")
        return number
    names = [pretty_midi.program_to_instrument_name(number) for number in range(128)]
    wanted = _letters(text)
    exact = [number for number, name in enumerate(names) if _letters(name) == wanted]
    found = exact or [number for number, name in enumerate(names) if wanted and wanted in _letters(name)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"'{names[number]}' ({number})" for number in found[:8])
        raise ConfigError(f"Program '{text}' is several: {several}{', ...' if len(found) > 8 else ''}.")
    near = (
        did_you_mean(text, names) if get_close_matches(text, names, 1) else " Give 0 to 127, or a name as 'Flute'."
    )
    raise ConfigError(f"There is no General MIDI program '{text}'.{near}")


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _separate(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes such that no two of one pitch overlap, and none is shorter than a tick."""
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


def _microseconds(qpm: float) -> int:
    """Return a tempo as the format holds it: whole microseconds a quarter note, in 24 bits."""
    return min(max(1, round(6e7 / qpm)), 0xFFFFFF)


def _utf8(text: str) -> str:
    # pretty_midi encodes texts as Latin-1: handing it the bytes of UTF-8 one by one stores UTF-8.
    return text.encode("utf-8", errors="replace").decode("latin-1")
