"""What may be asked of new music, in one value that the command line, the studio and a script all fill in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seqgan_music.compose.steering import Density, PitchRange
from seqgan_music.errors import ConfigError
from seqgan_music.music.keys import Key

DEFAULT_BARS = 16
SEED_LIMIT = 2**63
MOST_PIECES = 10_000


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
        # Written so that NaN, which compares false with everything, is refused.
        for name, value, fine, bounds in (
            ("temperature", self.temperature, 0 < self.temperature <= 100, "above 0 and at most 100"),
            ("cutoff", self.cutoff, self.cutoff is None or 0 <= self.cutoff < 1, "0 (off) to less than 1"),
            ("top-k", self.top_k, self.top_k >= 0, "0 (off) or more"),
            ("top-p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("bars", self.bars, self.bars is None or 1 <= self.bars <= 10_000, "1 to 10000"),
            ("seconds", self.seconds, self.seconds is None or 0 < self.seconds <= 7200, "above 0 and at most 7200"),
            (
                "tempo",
                self.tempo,
                self.tempo is None or 10 <= self.tempo <= 400,
                "10 to 400 quarter notes a minute",
            ),
            ("program", self.program, self.program is None or 0 <= self.program <= 127, "0 to 127"),
            ("max-copy", self.max_copy, self.max_copy is None or 2 <= self.max_copy <= 1000, "2 to 1000"),
        ):
            if not fine:
                raise ConfigError(f"{name} must be {bounds}, not {value}.")
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
    if not 1 <= count <= MOST_PIECES:
        raise ConfigError(f"count must be 1 to {MOST_PIECES}, not {count}.")
    if not 0 <= seed < SEED_LIMIT - MOST_PIECES:
        raise ConfigError(f"seed must be 0 to 2^63 - {MOST_PIECES + 1}, not {seed}.")
