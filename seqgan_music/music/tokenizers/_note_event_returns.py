"""Which bars of a piece are earlier bars again, and how far back each is: what `RETURN(k)` says in note_event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from seqgan_music.music.tokenizers._event_grammar import Event, Span


def returning(events: Iterable[Event], spans: Sequence[Span], farthest: int) -> dict[int, int]:
    """Return how many bars back the same bar is, at most `farthest`, by the first tick of each bar that has one.

    The same are bars of one length with the same notes to the tick; bars without notes have no entry. Of several
    such distances the one that the bar before has goes on; else it is the one that most bars from here on share,
    the nearest of those: a part that comes again is told as one whole and not by its likenesses within.
    """
    bars = _bars(sorted(events), spans)
    if not bars:
        return {}
    content: list[object] = [()] * (max(bars) + 1)
    for number, (_, ticks, notes) in bars.items():
        content[number] = (ticks, notes)
    runs: list[dict[int, int]] = [{} for _ in range(len(content) + 1)]  # by distance: bars from here on that agree
    for number in range(len(content) - 1, -1, -1):
        for back in range(1, min(farthest, number) + 1):
            if content[number] == content[number - back]:
                runs[number][back] = 1 + runs[number + 1].get(back, 0)
    found: dict[int, int] = {}
    before = 0
    for number, same in enumerate(runs[:-1]):
        if not same:
            before = 0
        elif before not in same:
            before = max(same, key=lambda back: (same[back], -back))
        if before and number in bars:
            found[bars[number][0]] = before
    return found


def _bars(
    events: Sequence[Event], spans: Sequence[Span]
) -> dict[int, tuple[int, int, tuple[tuple[int, ...], ...]]]:
    """First tick, ticks and notes (onsets from the bar line) of each bar in which a note begins, by number."""
    at = 0

    def place(event: Event) -> tuple[int, int, int]:
        nonlocal at
        while at + 1 < len(spans) and spans[at + 1].start <= event[0]:
            at += 1
        span = spans[at]
        number = (event[0] - span.start) // span.bar_ticks
        return span.bar + number, span.start + number * span.bar_ticks, span.bar_ticks

    found = {}
    for (number, start, ticks), notes in groupby(events, key=place):
        found[number] = start, ticks, tuple((onset - start, *rest) for onset, *rest in notes)
    return found
