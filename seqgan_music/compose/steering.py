"""Wishes bar by bar, as people write them: how many notes ("4", "3-6", "4,4,8,8"), between which pitches ("C4-G5").

Several, separated by commas, are those of one bar after the other, from the first on again when they are used up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import HIGHEST_PITCH, LOWEST_PITCH

STEEPNESS = 2.0
"""What a note too many or too few takes off the log weight of a candidate."""
_MOST_NOTES = 200.0
_MOST_BARS = 1000


@dataclass(frozen=True)
class Density:
    """Notes that begin in a bar, at least and at most, bar after bar."""

    text: str
    bars: tuple[tuple[float, float], ...]

    @classmethod
    def parse(cls, text: str) -> Density:
        """Read "4", "3-6", "4,4,8,8" or "2-4,8". Raises ConfigError."""
        bars = []
        for part in _parts(text, "density"):
            match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", part)
            if match is None:
                raise ConfigError(
                    f"'{part}' is no density. Notes a bar are written as '4', '3-6' or, bar by bar, '4,4,8,8'."
                )
            low, high = float(match[1]), float(match[2] or match[1])
            if not low <= high <= _MOST_NOTES:
                raise ConfigError(f"density must be 0 to {_MOST_NOTES:g} notes a bar, the fewer first, not {part}.")
            bars.append((low, high))
        return cls(text.replace(" ", ""), tuple(bars))

    def log_weight(self, bar: int, notes: int) -> float:
        """Return the log weight of so many notes in a bar (from 1): 0 as wished, STEEPNESS less a note off it."""
        low, high = self.bars[(bar - 1) % len(self.bars)]
        return -STEEPNESS * max(low - notes, notes - high, 0.0)


@dataclass(frozen=True)
class PitchRange:
    """Lowest and highest pitch of new notes, bar after bar."""

    text: str
    bars: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> PitchRange:
        """Read "C4-G5" (middle C is C4), "60-79" or "C4-C5,G4-G5". Raises ConfigError."""
        bars = []
        for part in _parts(text, "range"):
            match = re.fullmatch(r"([^-]+)-(.+)", part)
            if match is None:
                raise ConfigError(f"'{part}' is no range. {_RANGE_EXAMPLES}")
            low, high = _pitch(match[1]), _pitch(match[2])
            if not LOWEST_PITCH <= low <= high <= HIGHEST_PITCH:
                raise ConfigError(f"range must lie between A0 and C8 (21 and 108), the lower first, not {part}.")
            bars.append((low, high))
        return cls(text.replace(" ", ""), tuple(bars))

    def pitches(self, bar: int) -> frozenset[int]:
        """Return the pitches of a bar (from 1)."""
        low, high = self.bars[(bar - 1) % len(self.bars)]
        return frozenset(range(low, high + 1))


_RANGE_EXAMPLES = "Ranges are written as 'C4-G5' (middle C is C4), '60-79' or, bar by bar, 'C4-C5,G4-G5'."


def _parts(text: str, name: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > _MOST_BARS:
        raise ConfigError(f"{name} has more than {_MOST_BARS} bars: they come again from the first on.")
    return parts


def _pitch(text: str) -> int:
    match = re.fullmatch(r"\s*(?:([A-Ga-g])([#♯b♭]?)(\d)|(\d{1,3}))\s*", text)
    if match is None:
        raise ConfigError(f"'{text}' is no pitch. {_RANGE_EXAMPLES}")
    if match[4]:
        return int(match[4])
    accidental = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[match[2]]
    return 12 * (int(match[3]) + 1) + "C D EF G A B".index(match[1].upper()) + accidental
