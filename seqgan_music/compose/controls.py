"""What may be asked of new music, in one value that the command line, the studio and a script all fill in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any

from seqgan_music.compose.steering import Density, PitchRange
from seqgan_music.errors import ConfigError
from seqgan_music.music.keys import Key

DEFAULT_BARS = 16
SEED_LIMIT = 2**63
MOST_PIECES = 10_000


def check_number(name: str, value: Any, fine: Callable[[Any], bool], bounds: str, *, whole: bool = False) -> None:
    """Raise ConfigError where a value, of whatever type, is no number or not within the bounds; NaN is in none."""
    if not isinstance(value, Integral if whole else Real) or isinstance(value, bool):
        raise ConfigError(f"{name} must be a {'whole ' * whole}number, {bounds}, not {value!r}.")
    if not fine(value):
        raise ConfigError(f"{name} must be {bounds}, not {value}.")


@dataclass(frozen=True)
class Controls:
    """Settings of a piece; with a seed they decide it. Raises ConfigError for what cannot be.

    None is "as it comes": the primer's tempo and program, else the training music's; 16 bars; any pitch.
    """

    temperature: float = 1.0
    """Above 0; below 1 safer, above 1 bolder."""
    cutoff: float | None = None
    """Never a token less likely than this, 0 to 1; else the run's (`sampling.cutoff`). 0 is off."""
    top_k: int = 0
    """Only the k likeliest tokens; 0 is off."""
    top_p: float = 1.0
    """Only the fewest tokens of that joint probability; 1 is off."""
    bars: int | None = None
    """Length of what is new; unless given 16, an upbeat not counted (`note_event` can tell one)."""
    seconds: float | None = None
    """Length of what is new, instead of `bars`."""
    tempo: float | None = None
    """Quarter notes a minute; else the primer's, else the training music's median."""
    program: int | None = None
    """General MIDI program 0..127; else the primer's, else the training music's commonest."""
    key: Key | None = None
    """Scale that new notes stay in; a primer may leave it."""
    density: Density | None = None
    """Notes that begin in a bar, by bar if one likes: as near to it as some candidates come. See `particles`."""
    pitch_range: PitchRange | None = None
    """Pitches of new notes, by bar if one likes."""
    keep_primer: bool = True
    """Whether pieces begin with the primer. Else they begin at the end of its last full bar, or with the bar of the
    first new note where the primer still sounds under it."""
    max_copy: int | None = None
    """No more than so many new notes in a row as in the training music, in whatever key: see
    `music.metrics.originality`. Where no way to it is found, `Composition.copied` says so."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if self.bars is not None and self.seconds is not None:
            raise ConfigError("Give bars or seconds, not both.")
        check_number("temperature", self.temperature, lambda x: 0 < x <= 100, "above 0 and at most 100")
        check_number("top-k", self.top_k, lambda x: x >= 0, "0 (off) or more", whole=True)
        check_number("top-p", self.top_p, lambda x: 0 < x <= 1, "above 0 and at most 1")
        if self.cutoff is not None:
            check_number("cutoff", self.cutoff, lambda x: 0 <= x < 1, "0 (off) to less than 1")
        if self.bars is not None:
            check_number("bars", self.bars, lambda x: 1 <= x <= 10_000, "1 to 10000", whole=True)
        if self.seconds is not None:
            check_number("seconds", self.seconds, lambda x: 0 < x <= 7200, "above 0 and at most 7200")
        if self.tempo is not None:
            check_number("tempo", self.tempo, lambda x: 10 <= x <= 400, "10 to 400 quarter notes a minute")
        if self.program is not None:
            check_number("program", self.program, lambda x: 0 <= x <= 127, "0 to 127", whole=True)
        if self.max_copy is not None:
            check_number("max-copy", self.max_copy, lambda x: 2 <= x <= 1000, "2 to 1000", whole=True)
        for bar in range(1, 1 + len(self.pitch_range.bars if self.pitch_range else ())):
            if not self.pitches(bar) and self.key and self.pitch_range:
                raise ConfigError(f"No note of {self.key.name} lies in the range {self.pitch_range.text}.")

    @property
    def by_bar(self) -> bool:
        """Whether bars differ in what is asked of them, or have to be compared with it."""
        return self.density is not None or (self.pitch_range is not None and len(self.pitch_range.bars) > 1)

    def pitches(self, bar: int) -> frozenset[int] | None:
        """Return the pitches that new notes of a bar (from 1) may have; None is all."""
        scale = self.key.pitches if self.key else None
        if self.pitch_range is None:
            return scale
        within = self.pitch_range.pitches(bar)
        return within if scale is None else within & scale

    def weigh(self, bar: int) -> Callable[[int], float] | None:
        """Return the log weight of the number of notes of a bar (from 1); None where any is as welcome."""
        return partial(self.density.log_weight, bar) if self.density else None


AS_IT_COMES = Controls()


def check_seeds(seed: int, count: int) -> None:
    """Raise ConfigError where `seed`, `seed + 1`, ... cannot be the seeds of `count` pieces."""
    check_number("count", count, lambda x: 1 <= x <= MOST_PIECES, f"1 to {MOST_PIECES}", whole=True)
    most = SEED_LIMIT - MOST_PIECES
    check_number("seed", seed, lambda x: 0 <= x < most, f"0 to 2^63 - {MOST_PIECES + 1}", whole=True)
