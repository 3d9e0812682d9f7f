"""Folders of tunes for tests: melodies from a seed, and the smallest MIDI file that holds one."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from pathlib import Path

TICKS = 480

Tune = Sequence[tuple[int, int]]
"""(pitch, sixteenths) one after the other."""


def tune(seed: int, notes: int = 40) -> list[tuple[int, int]]:
    """Return a random walk in C major; tunes of different seeds have nothing in common."""
    dice = random.Random(seed)
    scale = [60 + 12 * octave + step for octave in (0, 1) for step in (0, 2, 4, 5, 7, 9, 11)]
    degree, made = dice.randrange(len(scale)), []
    for _ in range(notes):
        degree = min(max(degree + dice.randint(-3, 3), 0), len(scale) - 1)
        made.append((scale[degree], dice.choice([2, 2, 4, 6])))
    return made


def transposed(some: Tune, semitones: int) -> list[tuple[int, int]]:
    """Move every pitch."""
    return [(pitch + semitones, length) for pitch, length in some]


def midi(some: Tune, *, program: int = 0, qpm: float = 120.0, drums: bool = False) -> bytes:
    """Return a type 0 file of one melody."""
    channel = 9 if drums else 0
    events = b"\x00\xff\x51\x03" + round(60e6 / qpm).to_bytes(3, "big")
    events += bytes([0, 0xC0 | channel, program])
    for pitch, sixteenths in some:
        events += bytes([0, 0x90 | channel, pitch, 80])
        events += _delta(sixteenths * TICKS // 4) + bytes([0x80 | channel, pitch, 0])
    events += b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS)
    return header + b"MTrk" + struct.pack(">I", len(events)) + events


def write(folder: Path, **tunes: Tune) -> Path:
    """Write name.mid for each tune and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in tunes.items():
        (folder / f"{name}.mid").write_bytes(midi(some))
    return folder


def _delta(ticks: int) -> bytes:
    return bytes([0x80 | ticks >> 7, ticks & 0x7F]) if ticks > 0x7F else bytes([ticks])
