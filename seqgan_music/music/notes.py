"""Note and Piece: music as integer ticks on a stated grid. The one place that defines the time units.

Units used throughout the package:

- **beat**: a quarter note, whatever the meter.
- **tick**: 1 / `ticks_per_beat` of a beat. The default grid of 12 holds sixteenths (3 ticks) and
  eighth-note triplets (4 ticks) exactly.
- **bar**: `numerator * 4 * ticks_per_beat / denominator` ticks of the meter in force at its start.
- **second**: only through `Piece.seconds_at`, from the piece's tempo map (quarter notes per minute, qpm).
- **pitch**: MIDI number; 21 (A0) to 108 (C8) are the 88 keys of the piano.
- **instrument**: who plays a note, as one number: a General MIDI program 0..127 or `DRUMS`, and `PROGRAMS` more for
  each further player of the same, so that 40 is the first violin and 40 + PROGRAMS the second. `UNSAID` is the
  piece's one instrument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

TICKS_PER_BEAT = 12
LOWEST_PITCH = 21
HIGHEST_PITCH = 108
PITCHES = range(LOWEST_PITCH, HIGHEST_PITCH + 1)
DEFAULT_VELOCITY = 80
DEFAULT_QPM = 120.0
DRUMS = 128
"""In a program's place: the pitch is one of the percussion key map, and no pitch."""
PROGRAMS = DRUMS + 1
UNSAID = -1
_SHOWN = 8  # notes of a piece on a screen


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note. `onset` and `duration` in ticks (duration >= 1), `pitch` a MIDI number, `velocity` 1..127.

    `instrument` is a General MIDI program 0..127, 128 for drums, and 129 more for each further player of the same;
    -1 is the piece's one instrument.
    """

    onset: int
    pitch: int
    duration: int
    velocity: int = DEFAULT_VELOCITY
    instrument: int = UNSAID

    @property
    def drum(self) -> bool:
        """Whether it is struck on a drum."""
        return self.instrument % PROGRAMS == DRUMS and self.instrument != UNSAID

    @property
    def end(self) -> int:
        """First tick at which the note no longer sounds."""
        return self.onset + self.duration


@dataclass(frozen=True, slots=True, order=True)
class Meter:
    """A time signature in force from `onset` (ticks) on."""

    onset: int
    numerator: int
    denominator: int

    def bar_ticks(self, ticks_per_beat: int) -> int:
        """Length of one bar in ticks, at least 1."""
        return max(1, self.numerator * 4 * ticks_per_beat // self.denominator)


@dataclass(frozen=True, slots=True, order=True)
class Tempo:
    """A tempo in force from `onset` (ticks) on, in quarter notes per minute."""

    onset: int
    qpm: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its first tick, its length in ticks, and its meter as (numerator, denominator)."""

    start: int
    length: int
    meter: tuple[int, int]

    @property
    def end(self) -> int:
        """First tick of the next bar."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Piece:
    """One file's music. `notes` are sorted by (onset, pitch); `meters` and `tempos` start at tick 0, sorted.

    `program` is the General MIDI instrument (0..127) of the notes that do not say their own; `name` is where the
    piece came from, for people.
    """

    notes: tuple[Note, ...]
    ticks_per_beat: int = TICKS_PER_BEAT
    meters: tuple[Meter, ...] = (Meter(0, 4, 4),)
    tempos: tuple[Tempo, ...] = (Tempo(0, DEFAULT_QPM),)
    program: int = 0
    name: str = field(default="", compare=False)

    def __repr__(self) -> str:
        """Return it as it is written in Python, of many notes the first ones."""
        shown = ", ".join(map(repr, self.notes[:_SHOWN])) + ("," if len(self.notes) == 1 else "")
        more = f", ... {len(self.notes)} in all" if len(self.notes) > _SHOWN else ""
        rest = "".join(f", {name}={getattr(self, name)!r}" for name in self.__slots__ if name != "notes")
        return f"Piece(notes=({shown}{more}){rest})"

    @property
    def end(self) -> int:
        """First tick after the last note; 0 without notes."""
        return max((note.end for note in self.notes), default=0)

    @property
    def tuned(self) -> Piece:
        """The piece without its drums, whose pitches are none; itself where it has no drums."""
        notes = tuple(note for note in self.notes if not note.drum)
        return self if len(notes) == len(self.notes) else replace(self, notes=notes)

    def bars(self) -> Iterator[Bar]:
        """Yield the bars that hold the notes' onsets, from tick 0 to the bar of the last onset.

        A meter change inside a bar takes effect at the next bar line, as players of scores expect.
        """
        last_onset = max((note.onset for note in self.notes), default=-1)
        start, index = 0, 0
        while start <= last_onset:
            while index + 1 < len(self.meters) and self.meters[index + 1].onset <= start:
                index += 1
            meter = self.meters[index]
            length = meter.bar_ticks(self.ticks_per_beat)
            yield Bar(start, length, (meter.numerator, meter.denominator))
            start += length

    def seconds_at(self, tick: int) -> float:
        """Time of `tick` in seconds from the start, by the tempo map."""
        onsets = [tempo.onset for tempo in self.tempos]
        last = max(0, bisect_right(onsets, tick) - 1)
        seconds = 0.0
        for tempo, following in zip(self.tempos[:last], self.tempos[1 : last + 1], strict=True):
            seconds += (following.onset - tempo.onset) * 60.0 / (tempo.qpm * self.ticks_per_beat)
        tempo = self.tempos[last]
        return seconds + (tick - tempo.onset) * 60.0 / (tempo.qpm * self.ticks_per_beat)

    def transposed(self, semitones: int) -> Piece:
        """Return the piece with every pitch moved by `semitones`, drums apart; pitches may leave the 88 keys."""
        moved = tuple(n if n.drum else replace(n, pitch=n.pitch + semitones) for n in self.notes)
        return replace(self, notes=tuple(sorted(moved)))
