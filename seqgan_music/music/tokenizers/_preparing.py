"""What tokenizers do to a piece before it is tokens: grid, time, loudness, meters that have one, bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from seqgan_music.music.key_finding import best_signatures
from seqgan_music.music.notes import PITCHES, Meter, Piece
from seqgan_music.music.tokenizers._event_grammar import MOST_BARS, MOST_HOLDS, Event, Span, centre
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout

COMMON_TIME = Meter(0, 4, 4)


def keyed(piece: Piece, changed: Counter[str]) -> list[Event]:
    """Return the notes of a piece that lie on the 88 keys, with velocities of 1..127, in its own ticks."""
    events = [
        (note.onset, note.pitch, note.duration, note.velocity)
        for note in piece.tuned.notes
        if note.pitch in PITCHES and note.onset >= 0
    ]
    drums = sum(note.drum for note in piece.notes)
    outside = len(piece.notes) - drums - len(events)
    changed += Counter({"drums left out": drums, "notes outside the 88 keys": outside})  # keeps what is above 0
    return events


def seconds_of(piece: Piece, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """`Piece.seconds_at` of many ticks at once: a rubato performance has as many tempos as notes."""
    onsets = np.array([tempo.onset for tempo in piece.tempos], dtype=np.float64)
    a_tick = np.array([60.0 / (tempo.qpm * piece.ticks_per_beat) for tempo in piece.tempos])
    starts = np.concatenate([[0.0], np.cumsum(np.diff(onsets) * a_tick[:-1])])
    index = np.maximum(0, np.searchsorted(onsets, ticks, side="right") - 1)
    seconds: npt.NDArray[np.float64] = starts[index] + (ticks - onsets[index]) * a_tick[index]
    return seconds


def on_grid(
    piece: Piece, events: Sequence[Event], ticks_per_beat: int, bins: int, changed: Counter[str]
) -> tuple[list[Event], tuple[Meter, ...]]:
    """Return events of a piece, with velocities of 1..127, on another grid in bins of velocity; and its meters."""
    meters = piece.meters or (COMMON_TIME,)
    if piece.ticks_per_beat != ticks_per_beat:
        up, down = ticks_per_beat, piece.ticks_per_beat
        moved = sum((onset * up) % down > 0 or (length * up) % down > 0 for onset, _, length, _ in events)
        changed += Counter({"notes moved to the grid": moved})
        events = [_regrid(event, up, down) for event in events]
        meters = tuple(Meter(_scaled(m.onset, up, down), m.numerator, m.denominator) for m in meters)
    return in_bins(events, bins, changed), meters


def in_bins(events: Sequence[Event], bins: int, changed: Counter[str]) -> list[Event]:
    """Return events with bins of velocity in the place of 1..127."""
    rounded = [(onset, pitch, length, _bin(loudness, bins)) for onset, pitch, length, loudness in events]
    centres = [centre(index, bins) for index in range(max(1, bins))]
    other = sum(event[3] != centres[new[3]] for event, new in zip(events, rounded, strict=True))
    changed += Counter({"velocities rounded" if bins else "velocities left out": other})
    return rounded


def spans_of(meters: Sequence[Meter], last_onset: int, ticks_per_beat: int, changed: Counter[str]) -> list[Span]:
    """Return the stretches of one meter, each from a bar line on, up to the bar of the last onset."""
    spans: list[Span] = []
    for meter in meters:
        token = _nearest_meter(meter.numerator, meter.denominator)
        start, bar = 0, 0
        if spans:
            last = spans[-1]
            crossed = -(-max(0, meter.onset - last.start) // last.bar_ticks)
            start, bar = last.start + crossed * last.bar_ticks, last.bar + crossed
            if start > last_onset or bar >= MOST_BARS:
                break
            changed += Counter({"meter changes moved to a bar line": int(start != meter.onset)})
            if not crossed:
                spans.pop()
        changed += Counter({"meters replaced": int(METERS[token] != (meter.numerator, meter.denominator))})
        if not spans or spans[-1].meter != token:
            ticks = Meter(0, *METERS[token]).bar_ticks(ticks_per_beat)
            spans.append(Span(start, bar, token, ticks))
    return spans if last_onset >= 0 else []


def bounded(events: list[Event], spans: Sequence[Span], changed: Counter[str]) -> list[Event]:
    """Leave out notes after the last bar there may be, and cut those that would need too many HOLDs."""
    if not events:
        return events
    final = spans[-1]
    stop = final.start + (MOST_BARS - final.bar) * final.bar_ticks
    kept = [event for event in events if event[0] < stop]
    changed += Counter({f"notes after bar {MOST_BARS}": len(events) - len(kept)})
    shortest = min(span.bar_ticks for span in spans)
    if max((event[2] for event in kept), default=0) <= (MOST_HOLDS + 1) * shortest:
        return kept
    ends = [span.start for span in spans[1:]] + [stop]
    found, index = [], 0
    for onset, pitch, duration, loudness in kept:
        while onset >= ends[index]:
            index += 1
        longest = (MOST_HOLDS + 1) * spans[index].bar_ticks
        changed += Counter({f"notes longer than {MOST_HOLDS + 1} bars cut": int(duration > longest)})
        found.append((onset, pitch, min(duration, longest), loudness))
    return found


def best_key(pitches: Sequence[int], layout: Layout) -> int:
    """Return the signature that fits best of those in which every pitch has a name."""
    counts = np.bincount(np.asarray(pitches) % 12, minlength=12)
    lowest, highest = min(pitches), max(pitches)

    def named(key: int) -> bool:
        shift = layout.key_shift(key)
        return lowest - shift in PITCHES and highest - shift in PITCHES

    return next(key for key in best_signatures(counts) if named(key))


@lru_cache(maxsize=1024)
def _nearest_meter(numerator: int, denominator: int) -> int:
    """Index of the meter itself, of one whose bar is as long or an equal part of a beat or more, or the nearest."""
    if (numerator, denominator) in METERS:
        return METERS.index((numerator, denominator))
    lengths = [Fraction(4 * n, d) for n, d in METERS]
    beats = Fraction(4 * numerator, denominator)
    for parts in range(1, 1 + max(1, int(beats))):
        same = [index for index, length in enumerate(lengths) if length * parts == beats]
        if same:
            return min(same, key=lambda index: abs(METERS[index][1] - denominator))
    return min(range(len(METERS)), key=lambda index: abs(lengths[index] - beats))


def _scaled(tick: int, up: int, down: int) -> int:
    """`tick` on a grid of `up` instead of `down` ticks a beat, halves up."""
    return (2 * tick * up + down) // (2 * down)


def _regrid(event: Event, up: int, down: int) -> Event:
    onset, pitch, duration, velocity = event
    start = _scaled(onset, up, down)
    return start, pitch, max(1, _scaled(onset + duration, up, down) - start), velocity


def _bin(velocity: int, bins: int) -> int:
    return min(max(velocity - 1, 0) * bins // 127, bins - 1) if bins else 0
