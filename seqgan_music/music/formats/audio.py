"""Music -> sound: WAV, FLAC, MP3 or OGG, stereo, all at one loudness so that pieces can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import IO

import numpy as np

from seqgan_music.errors import ConfigError
from seqgan_music.files import replacing
from seqgan_music.music import fluid, soundfont, synth
from seqgan_music.music.arrangement import Arrangement
from seqgan_music.music.formats import Options
from seqgan_music.music.notes import Piece
from seqgan_music.music.synth import BLOCK, RATE, Stereo

Player = Callable[[Piece | Arrangement], Iterator[Stereo]]
"""What makes blocks of sound (<= BLOCK, 2) at RATE of music, not yet levelled."""
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS"}
"""Formats, which are also the suffixes, and how libsndfile names what is in them."""
LOUDNESS = -20.0
"""Root mean square of the sound, in decibels of full scale; less where the peak would pass `PEAK`.

Blocks more than 20 dB under the loudest one do not count (a gate, as in EBU R 128): rests are not soft music."""
PEAK = -1.0
"""Highest peak in decibels of full scale: what 16 bits hold, with room for what lossy formats add."""

_NOTHING = 1e-5
"""A peak up to which there is nothing to be made louder: FluidSynth's reverb hums a little by itself."""
_COMPRESSION = 0.6
"""Of MP3, 0 best to 1 smallest."""
_KEPT = 300 * RATE // BLOCK
"""Blocks of sound that are kept while its level is measured; longer pieces are rendered twice instead."""


class Audio:
    """Sound files, played by the instruments of a SoundFont."""

    suffixes = tuple(f".{kind}" for kind in FORMATS)
    about = "sound, played by FluidSynth where it is installed and by our own player elsewhere"
    score = None

    def absent(self, suffix: str) -> str | None:
        """Return None: the player and a font come along."""
        return None

    def check(self, suffix: str, music: Arrangement | None, options: Options) -> None:
        """Refuse a SoundFont that cannot be played. Raises InputError."""
        best_player(options.soundfont)

    def write(self, music: Arrangement, path: Path, options: Options) -> None:
        """Write the sound. Raises InputError."""
        with path.open("w+b") as file:
            _encode(music, path.suffix.lower().removeprefix("."), file, best_player(options.soundfont))


def best_player(font: Path | None = None) -> Player:
    """Return FluidSynth where it is there, else our own player; `font` is a SoundFont other than the one we have.

    Raises InputError for a font that cannot be played.
    """
    if fluid.library() is not None:
        if font is not None:
            fluid.check_font(font)
        return partial(fluid.blocks, font=font)
    return partial(synth.blocks, font=soundfont.load(font) if font is not None else None)


def write_audio(music: Piece | Arrangement, path: Path, *, player: Player | None = None) -> None:
    """Write music as sound, in the format that the suffix names. Raises ConfigError, OutputError."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ConfigError(f"Sound is written as {', '.join(f'.{name}' for name in FORMATS)}, not '{path.name}'.")
    with replacing(path) as temporary, temporary.open("w+b") as file:
        _encode(music, kind, file, player)


def audio_bytes(music: Piece | Arrangement, kind: str = "mp3", *, player: Player | None = None) -> bytes:
    """Return music as a file of sound; `kind` is one of `FORMATS`."""
    data = BytesIO()
    _encode(music, kind, data, player)
    return data.getvalue()


def render(music: Piece | Arrangement, *, player: Player | None = None) -> Stereo:
    """Return the whole sound of music (N, 2) at `RATE` frames a second, levelled. 350 kB a second of music."""
    return np.concatenate(list(_levelled(music, player)))


def _levelled(music: Piece | Arrangement, player: Player | None) -> Iterator[Stereo]:
    """Yield the blocks of music at `LOUDNESS`."""
    play = player or best_player()
    kept: list[Stereo] | None = []
    peak, energies = 0.0, []
    for block in play(music):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        energies.append(float(np.square(block, dtype=np.float64).mean()))
        if kept is not None:
            kept.append(block)
            kept = kept if len(kept) <= _KEPT else None
    gate = max(energies) / 100
    loud = math.sqrt(fmean(energy for energy in energies if energy >= gate))
    gain = min(10 ** (LOUDNESS / 20) / loud, 10 ** (PEAK / 20) / peak) if peak > _NOTHING else 0.0
    for block in kept if kept is not None else play(music):
        yield block * np.float32(gain)


def _encode(music: Piece | Arrangement, kind: str, file: IO[bytes], player: Player | None) -> None:
    import soundfile

    lossy = {"compression_level": _COMPRESSION, "bitrate_mode": "VARIABLE"}
    settings = {"format": kind.upper(), "subtype": FORMATS[kind], **(lossy if kind == "mp3" else {})}
    guarded = _Guarded(file)
    # In blocks: libsndfile's OGG encoder puts a whole call on the stack, and ends the process after 50 seconds.
    with soundfile.SoundFile(guarded, "w", samplerate=RATE, channels=2, **settings) as sound:
        for block in _levelled(music, player):
            sound.write(block)
            guarded.check()
    guarded.check()


class _Guarded:
    """A file whose first error is kept: libsndfile calls it from C, where an exception would be lost."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that a call met."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        return self._try(lambda: self._file.write(data), len(data))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(lambda: self._file.seek(offset, whence), 0)

    def tell(self) -> int:
        return self._try(self._file.tell, 0)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def _try(self, call: Callable[[], int], otherwise: int) -> int:
        if self._error is None:
            try:
                return call()
            except OSError as error:
                self._error = error
        return otherwise
