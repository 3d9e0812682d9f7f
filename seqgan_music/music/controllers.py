"""What a MIDI file says beside its notes does to them: who plays them, how long the pedal holds them, how loud."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from operator import itemgetter

from seqgan_music.music import smf

Events = Sequence[tuple[int, int]]
"""(tick, value) in order."""
_STANDARD_VOLUME = 100
_DOWN = 64
"""The pedal is down from this value on."""


def gathered(tracks: Iterable[smf.Track]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the events of each (channel, controller), whatever tracks they stand in."""
    controls: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for track in tracks:
        for key, values in track.controls.items():
            controls.setdefault(key, []).extend(values)
    for values in controls.values():
        values.sort(key=itemgetter(0))
    return controls


def programs(tracks: Sequence[smf.Track]) -> Callable[[smf.Track, int], Events]:
    """Return what gives a channel's changes of program: those of its track or, where it has none, of the others.

    Of several at one time the first track's counts.
    """
    everywhere: dict[int, list[tuple[int, int]]] = {}
    for track in reversed(tracks):
        for channel, changes in track.programs.items():
            everywhere.setdefault(channel, []).extend(changes)
    for changes in everywhere.values():
        changes.sort(key=itemgetter(0))

    def said(track: smf.Track, channel: int) -> Events:
        return track.programs.get(channel, []) or everywhere.get(channel, [])

    return said


def by_program(notes: Iterable[smf.RawNote], changes: Events) -> dict[int, list[smf.RawNote]]:
    """Return the notes that each program plays, in the order of their first ones; 0 plays those before any."""
    times = [time for time, _ in changes]
    found: dict[int, list[smf.RawNote]] = {}
    for note in sorted(notes) if changes else notes:
        before = bisect_right(times, note[0])
        found.setdefault(changes[before - 1][1] if before else 0, []).append(note)
    return found


def sustained(
    notes: Iterable[smf.RawNote], pedal: Events, counts: Counter[str], most: float = inf
) -> list[smf.RawNote]:
    """Return notes as long as they sound: one that ends while the pedal is down lasts until it goes up.

    By `most` ticks at most. A pedal that never goes up again holds nothing.
    """
    if not pedal:
        return list(notes)
    times = [time for time, _ in pedal]
    ups = [time for time, value in pedal if value < _DOWN]
    found = []
    for onset, end, pitch, velocity in notes:
        before = bisect_right(times, end)
        if before and pedal[before - 1][1] >= _DOWN:
            later = bisect_right(ups, end)
            counts["held_by_pedal"] += 1
            end = int(min(ups[later], end + most)) if later < len(ups) else end
        found.append((onset, end, pitch, velocity))
    return found


def as_loud(
    notes: Iterable[smf.RawNote], controls: Mapping[tuple[int, int], Events], channel: int
) -> list[smf.RawNote]:
    """Return a channel's notes as loud as volume and expression leave them, in relation to 100 and 127.

    Their squares are amplitudes, as those of velocities are.
    """
    volume = controls.get((channel, smf.VOLUME), ())
    expression = controls.get((channel, smf.EXPRESSION), ())
    if not volume and not expression:
        return list(notes)
    found = []
    for onset, end, pitch, velocity in notes:
        loud = _at(volume, onset, _STANDARD_VOLUME) / _STANDARD_VOLUME * _at(expression, onset, 127) / 127
        found.append((onset, end, pitch, min(max(1, round(velocity * loud)), 127)))
    return found


def _at(values: Events, time: int, otherwise: int) -> int:
    place = bisect_right(values, (time, 127))
    return values[place - 1][1] if place else otherwise
