"""Score -> Piece: parts on one grid become one line of bars, without overlaps, from the first bar that sounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TypeVar

from seqgan_music.music.notes import DEFAULT_QPM, Meter, Note, Piece, Tempo

SLOWEST_QPM, FASTEST_QPM = 10.0, 400.0

_Change = TypeVar("_Change", Meter, Tempo)


@dataclass
class Part:
    """One voice, staff or track as written: notes in ticks in any order, overlaps and all."""

    name: str = ""
    program: int = 0
    notes: list[Note] = field(default_factory=list)
    drums: bool = False


@dataclass
class Score:
    """What a file holds before one Piece is made of it: parts, and the meters and tempos they share, in ticks."""

    ticks_per_beat: int
    name: str = ""
    parts: list[Part] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)
    tempos: list[Tempo] = field(default_factory=list)


def piece_from_score(score: Score, counts: Counter[str] | None = None) -> Piece:
    """Merge the parts into one Piece whose notes of one pitch never overlap, unless their instruments differ.

    Of notes with one onset and pitch the longest stays, an earlier note is cut where its pitch is struck again,
    meters move to the next bar line, silent bars before the first onset go. `counts` learns what was changed.
    """
    counts = Counter() if counts is None else counts
    grid = score.ticks_per_beat
    notes = _without_overlaps([note for part in score.parts for note in part.notes], counts)
    meters, moved = _at_bar_lines(score.meters, grid)
    counts["meters_moved_to_bar_line"] += len(moved)
    tempos = _clamped(score.tempos, counts)
    program = next((part.program for part in score.parts if part.notes and not part.drums), 0)
    start, end = 0, 1
    if notes:
        first, end = notes[0].onset, max(note.end for note in notes)
        meter = next((meter for meter in reversed(meters) if meter.onset <= first), meters[0])
        start = max(0, first - (first - meter.onset) % meter.bar_ticks(grid))
        counts["silent_bars_removed"] += _bars_before(start, meters, grid)
    if start:
        notes = [replace(note, onset=note.onset - start) for note in notes]
    return Piece(
        tuple(notes),
        grid,
        _from_tick(start, [meter for meter in meters if meter.onset < end]),
        _from_tick(start, [tempo for tempo in tempos if tempo.onset < end]),
        program,
        score.name,
    )


def with_upbeat(score: Score, counts: Counter[str]) -> Score:
    """Return the score begun later in its first bar, if that puts every change of meter on a bar line.

    Sequencers write an upbeat at tick 0 and say nothing of it; a later change of meter betrays it.
    """
    _, waits = _at_bar_lines(score.meters, score.ticks_per_beat)
    if not waits:
        return score

    def later(events: list[_Change]) -> list[_Change]:
        return [replace(event, onset=event.onset + waits[0]) if event.onset else event for event in events]

    meters = later(score.meters)
    if _at_bar_lines(meters, score.ticks_per_beat)[1]:
        return score
    counts["upbeats_filled"] += 1
    for part in score.parts:
        part.notes = [replace(note, onset=note.onset + waits[0]) for note in part.notes]
    return replace(score, meters=meters, tempos=later(score.tempos))


def usable_meter(numerator: int, denominator: int, ticks_per_beat: int) -> bool:
    """Say whether a meter can be one: 1..64 over a power of two to 64, its bar a whole number of ticks."""
    return (
        1 <= numerator <= 64
        and denominator in (1, 2, 4, 8, 16, 32, 64)
        and numerator * 4 * ticks_per_beat % denominator == 0
    )


def _without_overlaps(notes: list[Note], counts: Counter[str]) -> list[Note]:
    latest: dict[tuple[int, int], int] = {}  # (pitch, instrument) -> where its latest note stands in `kept`
    kept: list[Note] = []
    for note in sorted(notes, key=attrgetter("onset", "pitch", "duration")):
        place = latest.get((note.pitch, note.instrument))
        if place is not None:
            before = kept[place]
            if before.onset == note.onset:  # sorted by duration too: the later one is at least as long
                counts["doubled_notes_merged"] += 1
                kept[place] = note
                continue
            if before.end > note.onset:
                counts["overlaps_trimmed"] += 1
                kept[place] = replace(before, duration=note.onset - before.onset)
        latest[note.pitch, note.instrument] = len(kept)
        kept.append(note)
    return kept


def _at_bar_lines(meters: list[Meter], ticks_per_beat: int) -> tuple[list[Meter], list[int]]:
    """Return the meters, each from a bar line on, and by how many ticks those inside a bar had to wait."""
    placed, waits = [Meter(0, 4, 4)], []
    for meter in sorted(meters, key=attrgetter("onset")):
        now = placed[-1]
        length = now.bar_ticks(ticks_per_beat)
        onset = now.onset + -(-(meter.onset - now.onset) // length) * length
        if onset == now.onset:
            placed.pop()
        elif (meter.numerator, meter.denominator) == (now.numerator, now.denominator):
            continue
        if onset != meter.onset:
            waits.append(onset - meter.onset)
        placed.append(replace(meter, onset=onset))
    return placed, waits


def _clamped(tempos: list[Tempo], counts: Counter[str]) -> list[Tempo]:
    kept = [Tempo(0, DEFAULT_QPM)]
    for tempo in sorted(tempos, key=attrgetter("onset")):
        qpm = round(min(max(tempo.qpm, SLOWEST_QPM), FASTEST_QPM), 2)
        counts["tempos_clamped"] += not SLOWEST_QPM <= tempo.qpm <= FASTEST_QPM
        kept.append(Tempo(tempo.onset, qpm))
    return kept


def _from_tick(start: int, events: Sequence[_Change]) -> tuple[_Change, ...]:
    """Return the meters or tempos in force from `start` on, counted from there; those that change nothing go."""
    kept: list[_Change] = []
    for event in events:
        moved = replace(event, onset=max(0, event.onset - start))
        if kept and kept[-1].onset == moved.onset:
            kept.pop()
        if not kept or replace(moved, onset=kept[-1].onset) != kept[-1]:
            kept.append(moved)
    return tuple(kept)


def _bars_before(tick: int, meters: list[Meter], ticks_per_beat: int) -> int:
    ends = [*(min(tick, meter.onset) for meter in meters[1:]), tick]
    spans = zip(meters, ends, strict=True)
    return sum(max(0, end - meter.onset) // meter.bar_ticks(ticks_per_beat) for meter, end in spans)
