"""A piece that somebody has put together -> the same as the package holds pieces, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

from seqgan_music.errors import InputError
from seqgan_music.music.notes import Meter, Note, Piece, Tempo
from seqgan_music.music.scores import FASTEST_QPM, SLOWEST_QPM
from seqgan_music.music.tokenizers import FINEST_GRID

_MOST_BEATS = 200_000
"""More than a day of music: all that is made of a piece takes time and memory for each bar."""
_DENOMINATORS = (1, 2, 4, 8, 16, 32, 64)

Event = TypeVar("Event", Note, Meter, Tempo)


def sound(piece: Piece) -> Piece:
    """Return a piece with all in order and every number Python's own. Raises InputError for what none can be."""
    grid = _of_piece("ticks_per_beat", piece.ticks_per_beat, 1, FINEST_GRID)
    most = _MOST_BEATS * grid

    def note(note: Note) -> Note:
        return Note(
            _whole("onset", note.onset, 0, most),
            _whole("pitch", note.pitch, 0, 127),
            _whole("duration", note.duration, 1, most),
            _whole("velocity", note.velocity, 1, 127),
            _whole("instrument", note.instrument, -1, 2**31),
        )

    def meter(meter: Meter) -> Meter:
        onset = _whole("onset", meter.onset, 0, most)
        top = _whole("numerator", meter.numerator, 1, 255)
        if meter.denominator not in _DENOMINATORS:
            raise InputError(f"denominator must be one of {_DENOMINATORS}, not {meter.denominator!r}")
        return Meter(onset, top, int(meter.denominator))

    def tempo(tempo: Tempo) -> Tempo:
        if not isinstance(tempo.qpm, Real) or not SLOWEST_QPM <= tempo.qpm <= FASTEST_QPM:
            raise InputError(f"qpm must be {SLOWEST_QPM:g} to {FASTEST_QPM:g}, not {tempo.qpm!r}")
        return Tempo(_whole("onset", tempo.onset, 0, most), float(tempo.qpm))

    return Piece(
        _each("note", piece.notes, Note, note),
        grid,
        _from_the_start("meter", _each("meter", piece.meters, Meter, meter)),
        _from_the_start("tempo", _each("tempo", piece.tempos, Tempo, tempo)),
        _of_piece("program", piece.program, 0, 127),
        str(piece.name or ""),
    )


def _each(
    what: str, given: Iterable[Event], kind: type[Event], check: Callable[[Event], Event]
) -> tuple[Event, ...]:
    found = []
    for number, one in enumerate(given, 1):
        if not isinstance(one, kind):
            raise InputError(f"The piece's {what} {number} must be a {kind.__name__}, not {one!r}.")
        try:
            found.append(check(one))
        except InputError as error:
            raise InputError(f"The piece's {what} {number} cannot be: {error}.") from None
    return tuple(sorted(found, key=lambda event: (event.onset, getattr(event, "pitch", 0))))


def _from_the_start(what: str, events: tuple[Event, ...]) -> tuple[Event, ...]:
    if not events or events[0].onset != 0:
        raise InputError(f"The piece has no {what} at its start, tick 0.")
    return events


def _of_piece(name: str, value: Any, least: int, most: int) -> int:
    try:
        return _whole(name, value, least, most)
    except InputError as error:
        raise InputError(f"The piece's {error}.") from None


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= int(value) <= most:
        raise InputError(f"{name} must be a whole number, {least} to {most}, not {value!r}")
    return int(value)
