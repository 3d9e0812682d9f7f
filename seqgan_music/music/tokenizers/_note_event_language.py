"""The language of note_event: the state machine that says what may follow, and events as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Self

from seqgan_music.music.notes import LOWEST_PITCH, PITCHES
from seqgan_music.music.tokenizers._event_grammar import (
    Event,
    EventGrammar,
    Ranges,
    Span,
    by_group,
    group_of,
    keys_that_hold,
    without,
)
from seqgan_music.music.tokenizers._language import Group
from seqgan_music.music.tokenizers._note_event_layout import METERS, Layout


class NoteEventGrammar(EventGrammar[Layout, Event]):
    """The state machine that is the language: what may follow, and the notes and meters written so far.

    `phase` tells what was begun: "keyless" (a key comes first), "start", "meter", "returned" (a RETURN), "placed"
    (an AT), "voiced" (a VELOCITY), "chord"; else "free".

    END_OF_PIECE is open as soon as the last notes sound in the last bar that is asked for, though not while a held
    note is all that reaches so far and two bars or more are to come under it; it alone is open where the next note
    would begin after that bar, but for other voices of a piece in which notes overlap.
    """

    after_key = "start"

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.onset = -1  # no later note may begin before it
        self.velocity = -1
        self._opened = False  # whether a BAR has opened the bar and nothing has begun in it
        self._heard: dict[int, int] = {}  # ticks of each bar in which something begins
        self._layered = False  # whether a group ever began before the end of the one before it
        self._upbeat = False  # whether the first note decides that there is a bar more

    def constrain(self, bars: int | None, ticks: int | None, asked: int, *, upbeat: bool = False) -> None:
        """Constrain it as every language, and count no upbeat among the bars where that is asked for."""
        if upbeat and bars is not None and self._heard:
            bars += self._is_upbeat(self.groups[0].onset if self.groups else self.onset)
        super().constrain(bars, ticks, asked)
        self._upbeat = upbeat and bars is not None and not self._heard

    @property
    def begun(self) -> bool:
        """Whether the onset of what comes next is known to be `onset`."""
        return self.phase not in ("free", "returned")

    @property
    def implied(self) -> int:
        """Where the last group ended, or the bar that was opened after it begins."""
        return max(self.cursor, self.bar_start)

    def copy(self) -> Self:
        """Return another that goes its own way from here."""
        other = super().copy()
        other._heard = dict(self._heard)
        return other

    def take(self, token: int) -> None:
        """Take one id that is known to be allowed."""
        if self._layout.kinds[token] == "RETURN":
            self.phase, self._open = "returned", None
        else:
            super().take(token)

    def _event(self, group: Group, pitch: int) -> Event:
        return group.onset, LOWEST_PITCH + pitch, group.duration, group.velocity

    @property
    def _loudness(self) -> int:
        return self.velocity

    def _turn_to(self, loudness: int) -> None:
        self.velocity = loudness

    def _least(self) -> tuple[int, int]:
        if self.phase == "returned" and not self._opened:  # in the bar of the note that is implied
            return self._bar + 1 + (self.cursor - self.bar_start) // self.bar_ticks, self.cursor
        return super()._least()

    def _find_ranges(self) -> Ranges:
        at, phase = self._layout, self.phase
        pitches = (at.pitch, at.pitch + len(PITCHES))
        if self.finished:
            return []
        if phase == "chord":
            return [pitches, *self._ends()]
        if phase == "voiced":
            return [pitches]
        if phase == "placed":
            return self._voices(pitches)
        if phase == "returned":
            return self._after_return()
        if phase == "keyless":
            return [(at.key + key, at.key + key + 1) for key in keys_that_hold(self._asked, at)]
        if phase == "start":
            return [(at.meter, at.meter + len(METERS))]
        if phase == "meter":
            return [(at.bar, at.bar + 1)]
        start, ticks = self.bar_start, self.bar_ticks
        limit = self._limit()
        implied = self.implied
        near_end = not self._bounded or start + 2 * ticks >= limit
        if self._bounded and near_end and self.cursor >= limit and len(self.groups) > 1 and not self._layered:
            # One voice has come to its end. To turn back for another, as AT could, would begin polyphony.
            return [(at.end_of_piece, at.end_of_piece + 1)]
        # The last onset itself is open while one of the pitches does not begin there yet.
        earliest = max(0, self.onset - start + (not self._unused()))
        ranges = without(
            at.position + earliest, at.position + min(ticks, limit - start), at.position + implied - start
        )
        if implied < limit:
            ranges += self._voices(pitches)
        if start + ticks < limit:
            ranges.append((at.bar, at.bar + 1))
            # A held note would end beyond bar N if the bars under it became shorter.
            if not self._bounded or self.sounding <= start + ticks:
                ranges += without(at.meter, at.meter + len(METERS), at.meter + self._meter)
        if at.returns and self._after_return():
            ranges += self._returns()
        if self._holds and not (self._bounded and self.cursor + ticks > limit):
            ranges.append((at.hold, at.hold + 1))
        last_bar = start + (limit - 1 - start) // ticks * ticks
        if self.groups and near_end and (not self._bounded or self.cursor > last_bar):
            ranges.append((at.end_of_piece, at.end_of_piece + 1))
        return ranges

    @property
    def return_start(self) -> int | None:
        """First tick of the bar that a RETURN would speak of: nothing has begun in it. None where there is none."""
        crossed = 0 if self._opened else (self.implied - self.bar_start) // self.bar_ticks
        return self.bar_start + crossed * self.bar_ticks if crossed or self._opened else None

    def _returns(self) -> Ranges:
        """RETURNs to bars of the same length in which something begins."""
        first, begins = self._layout.returned - 1, self.return_start
        if begins is None:
            return []
        bar = self._bar + (begins - self.bar_start) // self.bar_ticks
        backs = range(1, min(self._layout.returns, bar) + 1)
        return [(first + k, first + k + 1) for k in backs if self._heard.get(bar - k) == self.bar_ticks]

    def _after_return(self) -> Ranges:
        """What the bar that comes again may begin with: AT where a BAR has opened it, or a note that is implied."""
        at, begins = self._layout, self.return_start
        if begins is None:
            return []
        start, ticks, limit = self.bar_start, self.bar_ticks, self._limit()
        implied = self.implied
        ranges: Ranges = []
        if begins == start:
            ranges = without(at.position, at.position + min(ticks, limit - start), at.position + implied - start)
        if begins <= implied < min(limit, begins + ticks):
            ranges += self._voices((at.pitch, at.pitch + len(PITCHES)))
        return ranges

    def _begin(self, onset: int) -> None:
        crossed = (onset - self.bar_start) // self.bar_ticks
        self._bar += crossed
        self.bar_start += crossed * self.bar_ticks
        self._holds, self._opened = 0, False
        self._heard[self._bar] = self.bar_ticks
        self._layered = self._layered or onset < self.cursor
        if onset != self.onset:
            self.onset, self._used = onset, 0
        if self._upbeat:
            self._upbeat = False
            self._most_bars += self._is_upbeat(onset)

    def _is_upbeat(self, onset: int) -> bool:
        """Whether a piece begins with an upbeat whose first note is there: in the second half of the first bar."""
        _, meter = self.meters[0]
        ticks = self._layout.bar_ticks[meter]
        return ticks <= 2 * onset < 2 * ticks

    def _next_bar(self) -> None:
        super()._next_bar()
        self.phase, self._opened = "free", True


class Writer:
    """Events as tokens, in the one way that `encode` has: from the start of a piece, or on from what is written."""

    def __init__(
        self,
        layout: Layout,
        spans: Sequence[Span],
        written: NoteEventGrammar | None = None,
        *,
        key: int = 0,
        returning: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """`key` is the signature that pitches are named in, where the layout has keys.

        `returning` tells of bars, by their first tick, how many bars back the same is.
        """
        self._layout = layout
        self._name = layout.pitch - LOWEST_PITCH - (layout.key_shift(key) if layout.keys else 0)
        keyless = layout.keys and (written is None or written.phase == "keyless")
        self._opening = [layout.key + key] if keyless else []
        self._spans = iter(spans)
        self._change = next(self._spans, None)
        self._bar_start = self._bar_ticks = self._cursor = 0
        self._velocity = -1
        self._returning = returning
        self._onset = -1 if written is None else written.onset
        if written is not None and written.meters:
            self._bar_start, self._bar_ticks = written.bar_start, written.bar_ticks
            self._cursor, self._velocity = written.cursor, written.velocity
            while self._change is not None and self._change.start <= self._bar_start:
                self._change = next(self._spans, None)

    def write(self, events: Iterable[Event], until: int = -1) -> list[int]:
        """Return the tokens of events in any order, and of the changes of meter up to the last and tick `until`."""
        at = self._layout
        ids, self._opening = self._opening, []
        for (onset, negative_duration, loudness), group in groupby(sorted(events, key=by_group), key=group_of):
            ids += self._meters(onset)
            opened = self._onset < self._bar_start  # by the BAR after a METER; there may be more
            crossed = (onset - self._bar_start) // self._bar_ticks
            self._bar_start += crossed * self._bar_ticks
            implied = onset == self._cursor
            if not implied:
                ids += [at.bar] * crossed
            if self._onset < self._bar_start in self._returning and not (implied and opened and crossed):
                ids.append(at.returned - 1 + self._returning[self._bar_start])
            if not implied and onset != max(self._cursor, self._bar_start):
                ids.append(at.position + onset - self._bar_start)
            self._onset = onset
            if loudness != self._velocity and at.velocities:
                ids.append(at.velocity + loudness)
                self._velocity = loudness
            ids += [self._name + event[1] for event in group]
            holds, end = divmod(-negative_duration - 1, self._bar_ticks)
            ids.append(at.end + (onset - self._bar_start + end) % self._bar_ticks)
            ids += [at.hold] * holds
            self._cursor = onset - negative_duration
        return ids + self._meters(until)

    def _meters(self, until: int) -> list[int]:
        """The bars up to each change of meter that comes by then, and the change."""
        at = self._layout
        ids: list[int] = []
        while self._change is not None and self._change.start <= until:
            if self._bar_ticks:
                ids += [at.bar] * ((self._change.start - self._bar_start) // self._bar_ticks - 1)
            ids += [at.meter + self._change.meter, at.bar]
            self._bar_start, self._bar_ticks = self._change.start, self._change.bar_ticks
            self._change = next(self._spans, None)
        return ids
