"""Notes -> staves and voices: which hand plays a note of a keyboard part, and which notes share a stem.

A staff has two voices at most. What does not fit one voice, notes that sound on under others, is written there as
tied chords, so that every note keeps its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from operator import attrgetter

from seqgan_music.music.notes import Note

_SPLITS = range(48, 73)
"""Pitches from which on the right hand may begin."""
_OCTAVE = 12


def staves(notes: Sequence[Note]) -> list[list[Note]]:
    """Return the notes of each staff from the top: two where chords or parts reach over treble and bass."""
    lowest, highest = (sorted(n.pitch for n in notes)[int((len(notes) - 1) * q)] for q in (0.05, 0.95))
    if _is_line(notes) or lowest >= 55 or highest <= 64:
        return [list(notes)]
    upper, lower = hands(notes)
    return [upper, lower] if upper and lower else [list(notes)]


def hands(notes: Sequence[Note]) -> tuple[list[Note], list[Note]]:
    """Split a keyboard part: at each onset by the pitch that makes both hands' chords small and moves least.

    The cheapest way through all onsets, found by dynamic programming (Viterbi 1967).
    """
    slices = [list(group) for _, group in groupby(sorted(notes), key=attrgetter("onset"))]
    costs = [0.0] * len(_SPLITS)
    backs: list[list[int]] = []
    for chord in slices:
        pitches = [note.pitch for note in chord]
        reached = _cheapest(costs)
        backs.append([back for _, back in reached])
        costs = [cost + _cost(pitches, split) for (cost, _), split in zip(reached, _SPLITS, strict=True)]
    place = min(range(len(_SPLITS)), key=costs.__getitem__)
    upper: list[Note] = []
    lower: list[Note] = []
    for chord, back in zip(reversed(slices), reversed(backs), strict=True):
        for note in chord:
            (upper if note.pitch >= _SPLITS[place] else lower).append(note)
        place = back[place]
    return sorted(upper), sorted(lower)


def _cheapest(costs: Sequence[float]) -> list[tuple[float, int]]:
    """Return the least cost of coming to each split from any, a move costing 0.4 a semitone, and from which."""
    best = [(cost, place) for place, cost in enumerate(costs)]
    for places in (range(1, len(best)), range(len(best) - 2, -1, -1)):
        step = -1 if places.step > 0 else 1
        for place in places:
            near = best[place + step]
            if near[0] + 0.4 < best[place][0]:
                best[place] = (near[0] + 0.4, near[1])
    return best


def _cost(pitches: Sequence[int], split: int) -> float:
    upper = [pitch for pitch in pitches if pitch >= split]
    lower = [pitch for pitch in pitches if pitch < split]
    cost = 0.1 * abs(split - 60)
    cost += sum(max(0, 57 - pitch) for pitch in upper) + sum(max(0, pitch - 63) for pitch in lower)
    cost += sum(2.0 * max(0, hand[-1] - hand[0] - _OCTAVE) for hand in (upper, lower) if hand)
    if len(pitches) > 1:
        cost += 1.5 * abs(len(upper) - len(lower))
    nearest = min(abs(pitch - split + (pitch < split)) for pitch in pitches)
    return cost + 0.3 * max(0, 3 - nearest)


def voices(notes: Sequence[Note]) -> tuple[list[Note], list[Note]]:
    """Give the notes of a staff to an upper and a lower voice; all that one voice can hold is in the upper one."""
    upper: list[Note] = []
    lower: list[Note] = []
    for onset, group in groupby(sorted(notes), key=attrgetter("onset")):
        chord = list(group)
        held = [[note for note in voice[-12:] if note.end > onset] for voice in (upper, lower)]
        count = min(range(len(chord) + 1), key=lambda n: (_crowding(chord[n:], chord[:n], held), n))
        lower += chord[:count]
        upper += chord[count:]
    return upper, lower


def _crowding(upper: Sequence[Note], lower: Sequence[Note], held: Sequence[Sequence[Note]]) -> float:
    """Score how much one onset's notes disturb each other and what still sounds, where they are divided so."""
    cost = 0.0
    for voice, own in ((upper, held[0]), (lower, held[1])):
        cost += 4 * (bool(voice) and bool(own)) + 2 * max(0, len({note.duration for note in voice}) - 1)
    if upper and held[1]:
        cost += max(note.pitch for note in held[1]) > upper[0].pitch
    if lower and held[0]:
        cost += min(note.pitch for note in held[0]) < lower[-1].pitch
    return cost + 0.5 * bool(lower) + 0.4 * (bool(lower) and not upper and not held[0])


def chords(notes: Sequence[Note], start: int, end: int) -> Iterator[tuple[int, int, list[Note]]]:
    """Yield what sounds in ticks [start, end) of one voice, span by span: (start, end, notes), none for a rest."""
    inside = [note for note in notes if note.onset < end and note.end > start]
    edges = {start, end}
    for note in inside:
        edges |= {max(note.onset, start), min(note.end, end)}
    points = sorted(edges)
    for a, b in pairwise(points):
        yield a, b, [note for note in inside if note.onset < b and note.end > a]


def _is_line(notes: Sequence[Note]) -> bool:
    ordered = sorted(notes)
    return all(before.end <= after.onset for before, after in pairwise(ordered))
