"""What the page asks for, out of JSON: checked key by key, with a sentence for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seqgan_music.compose import Controls, Key
from seqgan_music.compose.steering import Density, PitchRange
from seqgan_music.errors import ConfigError, did_you_mean

MOST_CANDIDATES = 12
MOST_BARS = 128
"""New bars of one piece: enough for a song, and little enough to wait for."""
MOST_BEST_OF = 32
"""Pieces that are written for each that is shown."""
_SEEDS = 10**9
"""Seeds are below this, as the command line's own: numbers that any JSON reader holds exactly."""

_NUMBERS: dict[str, tuple[type, float, float]] = {
    "bars": (int, 1, MOST_BARS),
    "count": (int, 1, MOST_CANDIDATES),
    "best_of": (int, 1, MOST_BEST_OF),
    "seed": (int, 0, _SEEDS),
    "temperature": (float, 0.1, 3),
    "top_k": (int, 0, 1000),
    "top_p": (float, 0.05, 1),
    "tempo": (float, 20, 400),
    "program": (int, 0, 127),
    "max_copy": (int, 2, 1000),
    "distance": (float, 0, 1),
}


def document(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a request holds. Raises ConfigError."""
    try:
        found = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ConfigError("This is not JSON.") from None
    if not isinstance(found, dict):
        raise ConfigError("This is JSON, but no object of settings.")
    return found


class Asked:
    """The settings of a request, of those keys alone that are known to it; null and absent are the same.

    Raises ConfigError for a key that there is not, for a value of the wrong kind or past its bounds.
    """

    def __init__(self, settings: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in settings:
            if key not in keys:
                raise ConfigError(f"There is no setting '{key[:40]}'.{did_you_mean(key[:40], keys)}")
        self._settings = {key: value for key, value in settings.items() if value is not None}

    def number(self, key: str) -> Any:
        """Return a number, an int where the key means one."""
        value = self._settings.get(key)
        if value is None:
            return None
        kind, low, high = _NUMBERS[key]
        fine = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not fine or (kind is int and value != int(value)):
            whole = "a whole number " if kind is int else ""
            raise ConfigError(f"{_spelt(key)} must be {whole}from {low:g} to {high:g}.")
        return kind(value)

    def text(self, key: str) -> str | None:
        """Return a text of at most 200 characters."""
        value = self._settings.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > 200:
            raise ConfigError(f"{_spelt(key)} must be a text of at most 200 characters.")
        return value

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        value = self._settings.get(key)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"{_spelt(key)} must be true or false.")
        return value

    def numbers(self, key: str, below: int) -> list[int]:
        """Return different whole numbers from 0 on, below a bound, in order; at least one."""
        value: Any = self._settings.get(key)
        fine = isinstance(value, list) and 0 < len(value) <= below
        if not fine or not all(type(one) is int and 0 <= one < below for one in value):
            raise ConfigError(f"{_spelt(key)} must be a list of numbers from 0 to {below - 1}.")
        return sorted(set(value))

    def controls(self) -> Controls:
        """Return the controls of new music."""
        key, density, pitch_range = self.text("key"), self.text("density"), self.text("pitch_range")
        keep = self.flag("keep_primer")
        return Controls(
            temperature=self.number("temperature") or 1.0,
            top_k=self.number("top_k") or 0,
            top_p=self.number("top_p") or 1.0,
            bars=self.number("bars"),
            tempo=self.number("tempo"),
            program=self.number("program"),
            key=Key.parse(key) if key else None,
            density=Density.parse(density) if density else None,
            pitch_range=PitchRange.parse(pitch_range) if pitch_range else None,
            keep_primer=True if keep is None else keep,
            max_copy=self.number("max_copy"),
        )


CONTROLS = (
    "bars",
    "temperature",
    "top_k",
    "top_p",
    "tempo",
    "program",
    "key",
    "density",
    "pitch_range",
    "keep_primer",
    "max_copy",
)
COMPOSE = ("run", "count", "seed", "primer", "best_of", "prefer", *CONTROLS)
LIKE = ("candidate", "count", "seed", "distance", "temperature")
REWRITE = ("candidate", "bars", "seed", "temperature")
RATE = ("liked",)


def _spelt(key: str) -> str:
    return key.replace("_", "-")


def _refuse(name: str) -> None:
    raise ValueError(name)
