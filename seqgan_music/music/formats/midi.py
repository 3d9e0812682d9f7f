"""Music -> standard MIDI file (type 1), tick for tick."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path

from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.files import replacing
from seqgan_music.music.arrangement import Arrangement, Track, separate
from seqgan_music.music.formats import Options
from seqgan_music.music.notes import Piece

RESOLUTION = 480
"""File ticks a quarter note, for every grid that divides it; other grids get their nearest multiple below."""

_MAX_FILE_TICKS = 9_999_000
"""pretty_midi neither writes nor reads beyond tick 1e7; longer pieces are written at a coarser resolution."""


class Midi:
    """Standard MIDI files: what every player, sequencer and notation program opens."""

    suffixes = (".mid", ".midi")
    about = "MIDI, for players, sequencers and notation programs"
    score = None

    def absent(self, suffix: str) -> str | None:
        """Return None: it needs nothing."""
        return None

    def check(self, suffix: str, music: Arrangement | None, options: Options) -> None:
        """Accept all music: where more tracks play than there are channels, some share one."""

    def write(self, music: Arrangement, path: Path, options: Options) -> None:
        """Write the file. Raises ValueError for what MIDI cannot hold."""
        path.write_bytes(midi_bytes(music, title=options.title, comment=options.comment, key=options.key))


def write_midi(
    music: Piece | Arrangement,
    path: Path,
    *,
    title: str | None = None,
    comment: str | None = None,
    key: str | None = None,
) -> None:
    """Write `midi_bytes` into a file. Raises OutputError where the file cannot be written."""
    data = midi_bytes(music, title=title, comment=comment, key=key)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def midi_bytes(
    music: Piece | Arrangement, *, title: str | None = None, comment: str | None = None, key: str | None = None
) -> bytes:
    """Return music as MIDI: one track with its tempos, meters, `key` and `comment`, then its own tracks.

    Every onset and end is a whole number of file ticks, `RESOLUTION / ticks_per_beat` for each of the music's.
    A tempo is rounded to a whole microsecond a quarter note, as the format holds it. `key` is a name such as
    "C major" or "F# minor"; `title` names a track that has no name of its own. Texts are stored as UTF-8.

    Of notes with one pitch and onset in a track the longest and loudest is written once; a note that still sounds
    when its pitch is struck again ends there. The same arguments give the same bytes.

    Raises ValueError for music that MIDI cannot hold (a pitch outside 0..127, a velocity outside 1..127, a
    denominator that is no power of two).
    """
    import pretty_midi

    arrangement = Arrangement.of(music)
    # Where there is nothing to hear, an empty track still says the instrument.
    tracks = [track for track in arrangement.tracks if track.notes] or arrangement.tracks[:1]
    separated = [(track, list(separate(track.notes))) for track in tracks]
    if any(not (0 <= n.pitch <= 127 and 1 <= n.velocity <= 127) for _, notes in separated for n in notes):
        raise ValueError(f"{arrangement.name or 'piece'}: a pitch outside 0..127 or a velocity outside 1..127")
    changes = [*(meter.onset for meter in arrangement.meters), *(tempo.onset for tempo in arrangement.tempos)]
    last = max(arrangement.together.end, *changes)
    scale = max(1, min(RESOLUTION // arrangement.ticks_per_beat, _MAX_FILE_TICKS // max(1, last)))
    midi = pretty_midi.PrettyMIDI(resolution=arrangement.ticks_per_beat * scale)
    midi.time_to_tick = int  # all times below are file ticks already: a way to seconds and back costs a fifth
    # pretty_midi offers no public way to write more than one tempo, and truncates microseconds where it should
    # round: half a microsecond more makes its truncation exact.
    midi._tick_scales = [
        (tempo.onset * scale, (_microseconds(tempo.qpm) + 0.5) / 1e6 / midi.resolution)
        for tempo in arrangement.tempos
    ]
    midi.time_signature_changes = [
        pretty_midi.TimeSignature(meter.numerator, meter.denominator, meter.onset * scale)
        for meter in arrangement.meters
    ]
    if key is not None:
        midi.key_signature_changes = [pretty_midi.KeySignature(pretty_midi.key_name_to_key_number(key), 0.0)]
    if comment is not None:
        midi.text_events = [pretty_midi.Text(_utf8(comment), 0.0)]
    for track, notes in separated:
        instrument = pretty_midi.Instrument(track.program, is_drum=track.drums, name=_track_name(track, title))
        instrument.notes = [pretty_midi.Note(n.velocity, n.pitch, n.onset * scale, n.end * scale) for n in notes]
        midi.instruments.append(instrument)
    data = BytesIO()
    midi.write(data)
    return data.getvalue()


def _track_name(track: Track, title: str | None) -> str:
    return _utf8(track.name or title or "")


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


def _microseconds(qpm: float) -> int:
    """Return a tempo as the format holds it: whole microseconds a quarter note, in 24 bits."""
    return min(max(1, round(6e7 / qpm)), 0xFFFFFF)


def _utf8(text: str) -> str:
    # pretty_midi encodes texts as Latin-1: handing it the bytes of UTF-8 one by one stores UTF-8.
    return text.encode("utf-8", errors="replace").decode("latin-1")
