"""Music -> music on a grid that written values fit: 12, 24 or 48 ticks a beat.

The coarsest grid that holds every note exactly is taken. Where none does, as in music that was played and not
written, onsets go to the nearest of 12 a beat and lengths to what a reader would expect: a note that nearly reaches
the next sixteenth or triplet ends there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from seqgan_music.music.arrangement import Arrangement, Track, separate
from seqgan_music.music.notes import Meter, Note, Tempo

GRIDS = (12, 24, 48)


def on_grid(music: Arrangement) -> Arrangement:
    """Return the music on one of GRIDS, notes of one pitch and track apart from each other."""
    notes = [note for track in music.tracks if not track.drums for note in track.notes]
    times = {time for note in notes for time in (note.onset, note.end)}
    beat = music.ticks_per_beat
    written = [grid for grid in GRIDS if all(_holds(meter, grid) for meter in music.meters)]
    exact = next((grid for grid in written if all(time * grid % beat == 0 for time in times)), None)
    grid = exact or (written[0] if written else GRIDS[-1])

    def tick(time: int) -> int:
        return (2 * time * grid + beat) // (2 * beat)

    def moved(note: Note) -> Note:
        onset, end = tick(note.onset), tick(note.end)
        if exact is None:
            end = _expected(onset, note.end * grid / beat, grid)
        return replace(note, onset=onset, duration=max(1, end - onset))

    tracks = tuple(
        replace(track, notes=tuple(sorted(separate(moved(note) for note in track.notes)))) for track in music.tracks
    )
    meters = tuple(replace(meter, onset=tick(meter.onset)) for meter in music.meters)
    return Arrangement(
        tuple(_closed(track, grid) if exact is None else track for track in tracks),
        grid,
        meters,
        tuple(Tempo(tick(tempo.onset), tempo.qpm) for tempo in music.tempos),
        music.name,
    )


def _holds(meter: Meter, grid: int) -> bool:
    return 4 * grid % (3 * meter.denominator) == 0


def _expected(onset: int, end: float, grid: int) -> int:
    """Return the tick, a quarter or a third of a beat from some beat, that is nearest to where a note ends."""
    places: Iterable[int] = (
        beat * grid + place
        for beat in range(int(end) // grid, int(end) // grid + 2)
        for place in (0, grid // 4, grid // 3, grid // 2, 2 * grid // 3, 3 * grid // 4)
    )
    return min((place for place in places if place > onset), key=lambda place: abs(place - end), default=onset + 1)


def _closed(track: Track, grid: int) -> Track:
    """Let notes last to the next onset where less than a quarter of a beat is between."""
    onsets = sorted({note.onset for note in track.notes})
    following = dict(pairwise(onsets))
    notes = []
    for note in track.notes:
        gap = following.get(note.onset, note.end) - note.end
        notes.append(replace(note, duration=note.duration + gap) if 0 < gap <= grid // 4 else note)
    return replace(track, notes=tuple(notes))
