"""SoundFont 2 files: the recorded instruments that a piece is played with, read into numpy.

Source: SoundFont Technical Specification 2.04 (E-mu Systems, 2006), sections 4 to 9; numbers of generators are its
section 8.1.2. What is read is what `synth` plays: samples, loops, tuning, pan, attenuation and the volume envelope.
Left out: low-pass filters, low-frequency oscillators, modulators, effects. Attenuations count 0.4 of what is
written, as E-mu's own hardware did and as fonts are made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music import documents
from seqgan_music.errors import InputError

_RECORDS = {
    "phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("unused", "V12")],
    "pbag": [("gen", "<u2"), ("mod", "<u2")],
    "pgen": [("oper", "<u2"), ("amount", "<i2")],
    "inst": [("name", "S20"), ("bag", "<u2")],
    "ibag": [("gen", "<u2"), ("mod", "<u2")],
    "igen": [("oper", "<u2"), ("amount", "<i2")],
    "shdr": [
        ("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"),
        ("rate", "<u4"), ("root", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2"),
    ],
}  # fmt: skip

_PAN, _ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE = 17, 34, 35, 36, 37, 38
_HOLD_BY_KEY, _DECAY_BY_KEY, _INSTRUMENT, _KEYS, _VELOCITIES, _ATTENUATION = 39, 40, 41, 43, 44, 48
_COARSE, _FINE, _SAMPLE, _MODE, _SCALE, _ROOT = 51, 52, 53, 54, 56, 58
_OFFSETS = {"start": (0, 4), "end": (1, 12), "loop_start": (2, 45), "loop_end": (3, 50)}
"""Generators that move the points of a sample: in frames, and in units of 32768 frames."""
_DEFAULTS = {_ATTACK: -12000, _HOLD: -12000, _DECAY: -12000, _RELEASE: -12000, _SCALE: 100, _ROOT: -1}
_NOT_ADDED = {
    _KEYS,
    _VELOCITIES,
    _INSTRUMENT,
    _SAMPLE,
    _MODE,
    _ROOT,
    *(n for pair in _OFFSETS.values() for n in pair),
}
_ATTENUATION_SHARE = 0.4
_LARGEST_FONT = 1 << 32  # bytes: the format's sizes have 32 bits

Generators = dict[int, int]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Zone:
    """One sample of an instrument, and for which notes and how it is played.

    keys, velocities      lowest and highest MIDI number, both included
    start, end            frames of the font's samples, `end` the first one after
    loop_start, loop_end  what is repeated as long as the note sounds; equal where nothing is
    rate                  frames a second at which it was recorded
    root                  MIDI key (with a fraction for fine tuning) that plays it at that rate
    scale                 semitones a key, 1 but for drums and effects
    pan                   -1 left to 1 right
    attenuation           decibels
    attack, hold, decay   seconds; `decay` and `release` are the times of a fall by 100 dB
    sustain               decibels below the peak
    hold_by_key, decay_by_key  octaves of time by which a key below 60 is longer
    """

    keys: Range
    velocities: Range
    start: int
    end: int
    loop_start: int
    loop_end: int
    rate: int
    root: float
    scale: float
    pan: float
    attenuation: float
    attack: float
    hold: float
    decay: float
    sustain: float
    release: float
    hold_by_key: float
    decay_by_key: float


class SoundFont:
    """The samples (M,) of a font in [-1, 1), and the zones of its instruments by bank and program."""

    def __init__(self, data: bytes) -> None:
        """Read a whole file. Raises ValueError, IndexError or KeyError for what is no SoundFont."""
        chunks = _chunks(data)
        frames = np.frombuffer(chunks["smpl"], "<i2")
        self.samples: npt.NDArray[np.float32] = np.multiply(frames, 1 / 32768, dtype=np.float32)
        self._table = {name: np.frombuffer(chunks[name], np.dtype(kind)) for name, kind in _RECORDS.items()}
        presets = self._table["phdr"][:-1]
        self._presets = {(int(p["bank"]), int(p["program"])): number for number, p in enumerate(presets)}
        self._zones: dict[tuple[int, int], tuple[Zone, ...]] = {}

    def zones(self, program: int, bank: int = 0) -> tuple[Zone, ...]:
        """Return the zones of a program 0..127; of the nearest to it where the font lacks that.

        Bank 0 has the instruments, bank 128 the drum sets.
        """
        wanted = [(bank, program), (bank, 0), (0, program)]
        key = next((place for place in wanted if place in self._presets), min(self._presets))
        if key not in self._zones:
            self._zones[key] = tuple(self._read(self._presets[key]))
        return self._zones[key]

    def _read(self, preset: int) -> list[Zone]:
        zones = []
        for outer in self._bags("p", self._table["phdr"]["bag"], preset, _INSTRUMENT):
            for inner in self._bags("i", self._table["inst"]["bag"], outer[_INSTRUMENT], _SAMPLE):
                keys = _common(_range(outer, _KEYS), _range(inner, _KEYS))
                velocities = _common(_range(outer, _VELOCITIES), _range(inner, _VELOCITIES))
                # What an instrument leaves out has its default; a preset's values are added to it.
                amounts = {**_DEFAULTS, **inner}
                for number in outer.keys() - _NOT_ADDED:
                    amounts[number] = amounts.get(number, 0) + outer[number]
                zone = self._zone(keys, velocities, amounts)
                if zone is not None:
                    zones.append(zone)
        return zones

    def _bags(self, kind: str, first_bags: npt.NDArray[Any], number: int, last: int) -> list[Generators]:
        """Return the generators of each zone of preset or instrument `number`, its global zone's included."""
        starts, records = self._table[f"{kind}bag"]["gen"], self._table[f"{kind}gen"]
        common: Generators = {}
        found = []
        for bag in range(int(first_bags[number]), int(first_bags[number + 1])):
            rows = records[int(starts[bag]) : int(starts[bag + 1])]
            own = {int(row["oper"]): int(row["amount"]) for row in rows}
            if last in own:
                found.append({**common, **own})
            elif not found:
                common = own
        return found

    def _zone(self, keys: Range, velocities: Range, amounts: Generators) -> Zone | None:
        sample = self._table["shdr"][amounts[_SAMPLE]]
        points = {
            name: int(sample[name]) + amounts.get(fine, 0) + 32768 * amounts.get(coarse, 0)
            for name, (fine, coarse) in _OFFSETS.items()
        }
        points["end"] = min(points["end"], len(self.samples))
        inside = 0 <= points["start"] < points["end"] and sample["rate"] > 0
        if not inside or keys[0] > keys[1] or velocities[0] > velocities[1]:
            return None
        loop = points["start"] <= points["loop_start"] < points["loop_end"] <= points["end"]
        if not (loop and amounts.get(_MODE, 0) & 1):
            points["loop_start"] = points["loop_end"] = points["end"]
        root = amounts[_ROOT] if amounts[_ROOT] >= 0 else int(sample["root"])
        cents = 100 * amounts.get(_COARSE, 0) + amounts.get(_FINE, 0) + int(sample["correction"])
        return Zone(
            keys,
            velocities,
            **points,
            rate=int(sample["rate"]),
            root=root - cents / 100,
            scale=amounts[_SCALE] / 100,
            pan=float(np.clip(amounts.get(_PAN, 0) / 500, -1, 1)),
            attenuation=_ATTENUATION_SHARE * max(0, amounts.get(_ATTENUATION, 0)) / 10,
            attack=_seconds(amounts[_ATTACK]),
            hold=_seconds(amounts[_HOLD]),
            decay=_seconds(amounts[_DECAY]),
            sustain=float(np.clip(amounts.get(_SUSTAIN, 0) / 10, 0, 100)),
            release=_seconds(amounts[_RELEASE]),
            hold_by_key=amounts.get(_HOLD_BY_KEY, 0) / 1200,
            decay_by_key=amounts.get(_DECAY_BY_KEY, 0) / 1200,
        )


def general_midi_path() -> Path:
    """Return the font that comes with pretty_midi: TimGM6mb by Tim Brechbill, 6 MB, GPL-2, all 128 instruments."""
    return Path(str(files("pretty_midi") / "TimGM6mb.sf2"))


@lru_cache(maxsize=1)
def general_midi() -> SoundFont:
    """Return the font of `general_midi_path`."""
    return SoundFont(general_midi_path().read_bytes())


def load(path: Path) -> SoundFont:
    """Read a SoundFont file of the user's. Raises InputError."""
    try:
        font = SoundFont(documents.read(path, _LARGEST_FONT))
        font.zones(0)
    except OSError as error:
        raise InputError(f"Cannot read the SoundFont {path}: {documents.why(error)}.") from None
    except (ValueError, LookupError):
        raise InputError(f"{path} is not a SoundFont 2 file that can be played. Give an .sf2 file.") from None
    return font


def _chunks(data: bytes) -> dict[str, memoryview]:
    """Return the chunks inside the three lists of a RIFF file, by name."""
    view = memoryview(data)
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise ValueError("not a SoundFont")
    found: dict[str, memoryview] = {}
    for _, part in _riff(view[12:]):
        found.update(_riff(part[4:]))
    return found


def _riff(view: memoryview) -> list[tuple[str, memoryview]]:
    found, at = [], 0
    while at + 8 <= len(view):
        size = int.from_bytes(view[at + 4 : at + 8], "little")
        if at + 8 + size > len(view):
            raise ValueError("cut short")
        found.append((bytes(view[at : at + 4]).decode("latin-1"), view[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _range(amounts: Generators, number: int) -> Range:
    both = amounts.get(number, 127 << 8) & 0xFFFF
    return both & 0xFF, both >> 8


def _common(one: Range, other: Range) -> Range:
    return max(one[0], other[0]), min(one[1], other[1])


def _seconds(timecents: int) -> float:
    return float(2.0 ** (min(timecents, 8000) / 1200))
