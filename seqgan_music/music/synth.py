"""Music -> stereo sound in blocks: every note is a sample of a SoundFont, resampled, looped and enveloped.

A voice is one zone of the font sounding one note. Its amplitude (SoundFont 2.04, sections 8.1 and 9.5):

    (velocity / 127)^2 * 10^(-attenuation / 20)                           how hard it was struck
    * min(1, t / attack) * 10^(-min(sustain, 100 (t - attack - hold) / decay) / 20)    as long as it is held
    * 10^(-100 t_off / release / 20)                                       t_off seconds after it was let go

Time and memory are bounded whatever the music holds: at most `VOICES` sound at once (past that the one that ends
first fades away), one block is in memory at a time, and nothing sounds after `LONGEST`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from seqgan_music.music.arrangement import Arrangement
from seqgan_music.music.notes import Note, Piece
from seqgan_music.music.soundfont import SoundFont, Zone, general_midi

RATE = 44_100
"""Frames a second."""
BLOCK = 8_192
"""Frames rendered at a time: what a voice needs of them stays in the processor's cache."""
VOICES = 64
LONGEST = 7_200.0
"""Seconds of music that are rendered at most."""

_SILENT = 96.0
"""Decibels below 1 at which nothing is heard: 16 bits."""
_LONGEST_RELEASE = 4.0
_SHORTEST_RELEASE = 0.06
"""Seconds for a fall by 100 dB: shorter ones click."""
_FADE = 256
"""Frames over which a voice that is cut, and the end of a sample without a loop, fade out."""

_DRUM_BANK = 128
"""Where SoundFonts keep drum sets."""
_WAVES = 1024
"""Blocks of single waves that are kept, 64 KiB each: most notes of a piece share their pitch with others."""
_NEPERS = np.float32(-math.log(10) / 20)

Mono = npt.NDArray[np.float32]
Stereo = npt.NDArray[np.float32]


@dataclass(slots=True)
class _Voice:
    zone: Zone
    pitch: int
    gain: float
    start: int
    off: int
    """Frames from the beginning of the sound: when it is struck, and when it is let go."""
    fallen: float
    """Decibels that it has lost when it is let go."""
    release: float
    """Seconds for a fall by 100 dB."""
    end: int
    """First frame at which it is silent."""
    cut: bool
    """Whether it fades over the last `_FADE` frames before `end`: at its sample's end, or to make room."""
    mixed: int
    """First frame that is not mixed yet."""


def blocks(music: Piece | Arrangement, font: SoundFont | None = None) -> Iterator[Stereo]:
    """Yield the sound of music as blocks (<= BLOCK, 2) at `RATE`, not yet levelled: values may pass 1.

    The sound ends when the last note has died away. Without notes it is a tenth of a second of silence.
    """
    font = font or general_midi()
    coming = _voices(Arrangement.of(music), font)
    following = next(coming, None)
    if following is None:
        yield np.zeros((RATE // 10, 2), dtype=np.float32)
    sounding: list[_Voice] = []
    active: list[_Voice] = []  # those that may have to make room
    mix = np.zeros((2 * BLOCK, 2), dtype=np.float32)  # a voice's part may begin in one block and end in the next
    frame = 0
    while following or sounding:
        while following and following.start < frame + BLOCK:
            active = _with_room([voice for voice in active if voice.end > following.start], following.start)
            active.append(following)
            sounding.append(following)
            following = next(coming, None)
        for voice in sounding:
            if voice.mixed < min(voice.end, frame + BLOCK):
                _add(mix, frame, voice, font)
        yield mix[
            : BLOCK if following else min(BLOCK, max((v.end for v in sounding), default=frame) - frame)
        ].copy()
        mix[:BLOCK], mix[BLOCK:] = mix[BLOCK:], 0
        frame += BLOCK
        sounding = [voice for voice in sounding if voice.end > frame]


def _with_room(active: list[_Voice], now: int) -> list[_Voice]:
    """Return the voices that go on where one more begins; the one that ends first gives way."""
    if len(active) < VOICES:
        return active
    first = min(active, key=lambda voice: voice.off)
    fading = max(now, first.mixed)
    first.end = min(first.end, fading + _FADE if first.start < fading else fading)
    first.cut = True
    return [voice for voice in active if voice is not first]


def _voices(music: Arrangement, font: SoundFont) -> Iterator[_Voice]:
    """Yield the voices of all tracks by the frame at which they are struck."""
    struck = [
        (note, font.zones(track.program, _DRUM_BANK if track.drums else 0))
        for track in music.tracks
        for note in track.notes
    ]
    ticks = np.array([(note.onset, note.end) for note, _ in struck], dtype=np.int64).reshape(-1, 2)
    frames = np.rint(np.minimum(seconds_at(music, ticks), LONGEST) * RATE).astype(np.int64)
    for index in np.argsort(frames[:, 0], kind="stable").tolist():
        (note, zones), (start, off) = struck[index], frames[index].tolist()
        if start < LONGEST * RATE:
            for zone in _struck(zones, note):
                yield _voice(zone, note, start, off)


def _struck(zones: tuple[Zone, ...], note: Note) -> list[Zone]:
    """Return the zones that a note sounds: by the nearest key where an instrument has a smaller range."""
    loud = [zone for zone in zones if zone.velocities[0] <= note.velocity <= zone.velocities[1]] or list(zones)
    distances = [max(zone.keys[0] - note.pitch, note.pitch - zone.keys[1], 0) for zone in loud]
    nearest = min(distances, default=0)
    return [zone for zone, distance in zip(loud, distances, strict=True) if distance == nearest]


def _voice(zone: Zone, note: Note, start: int, off: int) -> _Voice:
    gain = (note.velocity / 127) ** 2 * 10 ** (-zone.attenuation / 20)
    audible = max(0.0, _SILENT + 20 * math.log10(gain))  # decibels that it may lose
    hold, decay = _times(zone, note.pitch)
    held = (off - start) / RATE
    fallen = min(zone.sustain, max(0.0, 100 * (held - hold) / decay))
    release = min(max(zone.release, _SHORTEST_RELEASE), _LONGEST_RELEASE)
    seconds = held + release * max(0.0, audible - fallen) / 100
    if zone.sustain >= audible:
        seconds = min(seconds, hold + decay * audible / 100)
    end = start + math.ceil(seconds * RATE)
    looped = zone.loop_end > zone.loop_start
    whole = end if looped else start + int((zone.end - zone.start) / _step(zone, note.pitch))
    return _Voice(zone, note.pitch, gain, start, off, fallen, release, min(end, whole), whole < end, start)


def _times(zone: Zone, pitch: int) -> tuple[float, float]:
    """Return when a key's decay begins, in seconds after it was struck, and the time of its fall by 100 dB."""
    below = 60 - pitch
    return zone.attack + zone.hold * 2.0 ** (zone.hold_by_key * below), zone.decay * 2.0 ** (
        zone.decay_by_key * below
    )


def _step(zone: Zone, pitch: int) -> float:
    """Return the frames of a sample that pass in one frame of sound."""
    return float(zone.rate / RATE * 2.0 ** ((pitch - zone.root) * zone.scale / 12))


def _add(mix: Stereo, frame: int, voice: _Voice, font: SoundFont) -> None:
    """Add the next `BLOCK` frames of a voice to a mix that begins at `frame`."""
    begin = voice.mixed
    voice.mixed = begin + BLOCK
    length = min(BLOCK, voice.end - begin)
    struck, held = _wave(font, voice.zone, voice.pitch, (begin - voice.start) // BLOCK)
    wave = held[:length] * np.float32(voice.gain)
    released = max(0, voice.off - begin)
    if released < length:
        since = np.arange(begin + released - voice.off, begin + length - voice.off, dtype=np.float32) / RATE
        decibels = since * np.float32(100 / voice.release) + np.float32(voice.fallen)
        wave[released:] = struck[released:length] * (np.exp(decibels * _NEPERS) * np.float32(voice.gain))
    if voice.cut and begin + length > voice.end - _FADE:
        left = np.arange(voice.end - begin, voice.end - begin - length, -1, dtype=np.float32)
        wave *= np.minimum(left / _FADE, 1)
    angle = math.pi / 4 * (1 + voice.zone.pan)
    part = mix[begin - frame : begin - frame + length]
    part[:, 0] += wave * np.float32(math.cos(angle))
    part[:, 1] += wave * np.float32(math.sin(angle))


@lru_cache(maxsize=_WAVES)
def _wave(font: SoundFont, zone: Zone, pitch: int, number: int) -> tuple[Mono, Mono]:
    """Return block `number` (BLOCK,) of a zone's wave at a pitch: as if let go at once, and as long as it is held.

    The first has the attack and no decay; both are of gain 1.
    """
    since = np.arange(number * BLOCK, (number + 1) * BLOCK)
    struck = _interpolated(font.samples, zone, since * _step(zone, pitch))
    seconds = since.astype(np.float32) / RATE
    struck *= np.minimum(seconds / np.float32(zone.attack), 1)
    hold, decay = _times(zone, pitch)
    decibels = np.clip((seconds - np.float32(hold)) * np.float32(100 / decay), 0, zone.sustain)
    return struck, struck * np.exp(decibels * _NEPERS)


def _interpolated(samples: Mono, zone: Zone, position: npt.NDArray[np.floating]) -> Mono:
    """Return a sample (N,) at positions (N,) counted from its start, inside its loop once that is reached.

    Catmull-Rom interpolation over four frames; the loop's first frames follow its last, as fonts are made.
    """
    position = position + zone.start
    if zone.loop_end > zone.loop_start:
        length = zone.loop_end - zone.loop_start
        turns = np.floor((position - zone.loop_start) / length)
        position -= length * np.maximum(turns, 0, out=turns)
    whole = position.astype(np.int64)
    x = (position - whole).astype(np.float32)
    a, b, c, d = (samples.take(whole + offset, mode="clip") for offset in (-1, 0, 1, 2))
    curved: Mono = b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)))
    return curved


def seconds_at(music: Arrangement | Piece, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return `Piece.seconds_at` of many ticks, in one pass through the tempo map."""
    onsets = np.array([tempo.onset for tempo in music.tempos])
    a_tick = np.array([60 / (tempo.qpm * music.ticks_per_beat) for tempo in music.tempos])
    until = np.concatenate([[0.0], np.cumsum(np.diff(onsets) * a_tick[:-1])])
    last = np.maximum(0, np.searchsorted(onsets, ticks, side="right") - 1)
    seconds: npt.NDArray[np.float64] = until[last] + (ticks - onsets[last]) * a_tick[last]
    return seconds
