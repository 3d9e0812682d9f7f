"""Music -> stereo sound by FluidSynth, where its library and the extra `fluidsynth` are there.

FluidSynth plays all that a SoundFont can say, filters, vibrato, reverb and chorus too, and compressed fonts (.sf3).
Its settings are fixed: the same music and font give the same samples. It is asked for floats in blocks, as `synth`
gives them, so that nothing is clipped before it is levelled.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from seqgan_music import documents
from seqgan_music.errors import InputError
from seqgan_music.music.arrangement import Arrangement
from seqgan_music.music.notes import Piece
from seqgan_music.music.soundfont import general_midi_path
from seqgan_music.music.synth import BLOCK, LONGEST, RATE, Stereo, seconds_at

_CHANNELS = 64
_GAIN = 0.2
_TAIL = 4 * RATE
"""Frames of dying away at most."""
_SILENT = 1e-4


@cache
def library() -> Any | None:
    """Return pyfluidsynth, or None where it or the library that it looks for is not there."""
    try:
        return import_module("fluidsynth")
    except (ImportError, OSError, AttributeError):  # an old library lacks functions that it looks up
        return None


def check_font(path: Path) -> None:
    """Refuse what is no whole SoundFont, by the heads of its parts. Raises InputError."""
    try:
        with documents.opened(path) as file:
            head, size = file.read(12), path.stat().st_size
            found: set[bytes] = set()
            at = 12
            while head[:4] == b"RIFF" and head[8:] == b"sfbk" and at + 12 <= size and len(found) < 8:
                file.seek(at)
                part = file.read(12)
                at += 8 + int.from_bytes(part[4:8], "little")
                at += at % 2
                found.add(part[8:] if at <= size + 1 else b"")
    except OSError as error:
        raise InputError(f"Cannot read the SoundFont {path}: {(error.strerror or str(error)).lower()}.") from None
    if not {b"INFO", b"sdta", b"pdta"} <= found:
        raise _bad(path)


def blocks(music: Piece | Arrangement, font: Path | None = None) -> Iterator[Stereo]:
    """Yield the sound of music as blocks (<= BLOCK, 2) at `RATE`, not yet levelled, until it has died away.

    `font` is a SoundFont file; unless given, it is the one that comes with pretty_midi. Raises InputError for one
    that FluidSynth does not load.
    """
    fluid = library()
    assert fluid is not None
    raw = ctypes.CDLL(fluid.lib)
    raw.fluid_set_log_function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    for level in range(5):
        raw.fluid_set_log_function(level, None, None)  # what it has to say is said in our errors
    write = raw.fluid_synth_write_float
    side = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)  # a buffer, where to begin, and the step between frames
    write.argtypes = (ctypes.c_void_p, ctypes.c_int, *side, *side)
    arrangement = Arrangement.of(music)
    synth = fluid.Synth(gain=_GAIN, samplerate=float(RATE), channels=_CHANNELS)
    try:
        _load(synth, arrangement, font)

        block, filled = np.zeros((BLOCK, 2), dtype=np.float32), 0
        now = 0
        events = iter(_events(arrangement))
        event = next(events, None)
        end = RATE // 10 if event is None else None
        while end is None or now < end:
            until = event[0] if event else end or now
            step = min(BLOCK - filled, max(0, until - now))
            if step:
                write(synth.synth, step, block.ctypes.data, 2 * filled, 2, block.ctypes.data, 2 * filled + 1, 2)
                filled, now = filled + step, now + step
            if filled == BLOCK or now == end:
                yield block[:filled].copy()
                silent = float(np.abs(block[:filled]).max(initial=0.0)) < _SILENT
                filled = 0
                if event is None and silent:
                    break
            if event and now >= event[0]:
                _, struck, channel, pitch, velocity = event
                if struck:
                    synth.noteon(channel, pitch, velocity)
                else:
                    synth.noteoff(channel, pitch)
                event = next(events, None)
                if event is None:
                    end = now + _TAIL
    finally:
        synth.delete()


def _load(synth: Any, music: Arrangement, font: Path | None) -> None:
    path = font or general_midi_path()
    try:
        number = synth.sfload(os.fspath(path))
    except UnicodeEncodeError:
        number = -1
    if number < 0:
        raise _bad(path)
    for index, track in enumerate(music.tracks):
        channel = _channel(index)
        wanted = [(128, track.program), (128, 0)] if track.drums else [(0, track.program), (0, 0)]
        for bank, program in wanted:
            if synth.program_select(channel, number, bank, program) == 0:
                break


def _channel(index: int) -> int:
    """Return a channel of its own for each of the first 64 tracks; further ones share."""
    return index % _CHANNELS


def _events(music: Arrangement) -> list[tuple[int, bool, int, int, int]]:
    """Return (frame, whether struck, channel, pitch, velocity), ends before beginnings."""
    found = []
    for index, track in enumerate(music.tracks):
        ticks = np.array([(note.onset, note.end) for note in track.notes], dtype=np.int64).reshape(-1, 2)
        frames = np.rint(np.minimum(seconds_at(music, ticks), LONGEST) * RATE).astype(np.int64).tolist()
        for note, (start, end) in zip(track.notes, frames, strict=True):
            if start < LONGEST * RATE:
                found.append((start, True, _channel(index), note.pitch, note.velocity))
                found.append((max(end, start + 1), False, _channel(index), note.pitch, 0))
    return sorted(found)


def _bad(path: Path) -> InputError:
    return InputError(f"{path} is not a SoundFont 2 file that can be played. Give an .sf2 file.")
