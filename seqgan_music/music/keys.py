"""Scales to stay in, as people write them: "C major", "f# minor", "Bb", "D dorian"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import PITCHES


@dataclass(frozen=True)
class Key:
    """A scale to stay in. `name` is for people; `signature` is the key signature that a file can hold."""

    name: str
    signature: str
    pitch_classes: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read "C major", "A minor", "f# minor", "Bb", "Am", "D dorian", "E harmonic minor". Raises ConfigError."""
        match = re.fullmatch(r"\s*([a-g])\s*(#|♯|-?sharp|b|♭|-?flat)?[\s-]*(.*?)\s*", text, re.IGNORECASE)
        if match is None:
            raise ConfigError(f"'{text}' is not a key. {_KEY_EXAMPLES}")
        letter, accidental, mode = match.group(1), (match.group(2) or "").lower(), match.group(3)
        if not mode and letter.islower():
            raise ConfigError(f"Key '{text}' could be major or minor: add which. {_KEY_EXAMPLES}")
        mode = {"m": "minor", "M": "major"}.get(mode) or _MODE_NAMES.get(mode.lower(), "")
        if not mode:
            raise ConfigError(f"'{text}' is not a key: there is no such scale. {_KEY_EXAMPLES}")
        sharp, flat = accidental.endswith(("#", "♯", "sharp")), accidental.endswith(("b", "♭", "flat"))
        tonic = ("C D EF G A B".index(letter.upper()) + sharp - flat) % 12
        name = f"{letter.upper()}{'#' if sharp else 'b' if flat else ''}"
        degrees = _MODES[mode]
        # The major key with the same accidentals stands for modes that a MIDI file has no name for.
        parent = next(
            root for root in range(12) if {(tonic + d - root) % 12 for d in degrees} == set(_MODES["major"])
        )
        signature = f"{name} minor" if mode.endswith("minor") else f"{_MAJOR_NAMES[parent]} major"
        if mode == "harmonic minor":
            degrees = (*degrees[:-1], 11)
        return cls(f"{name} {mode}", signature, frozenset((tonic + degree) % 12 for degree in degrees))

    @property
    def pitches(self) -> frozenset[int]:
        """Those of the 88 keys that lie in the scale."""
        return frozenset(pitch for pitch in PITCHES if pitch % 12 in self.pitch_classes)


_KEY_EXAMPLES = (
    "Keys are written as 'C major', 'A minor', 'F# minor', 'Bb', 'Em', 'D dorian' or 'A harmonic minor'."
)
_MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
}
_MODE_NAMES = {"": "major", "natural minor": "minor", "ionian": "major", "aeolian": "minor"} | {
    short: mode for mode in _MODES for short in (mode, mode[:3]) if short != "har"
}
