"""performance: piano as it was played, in time and not in bars; for recordings that know no beat.

What a player does lies on no grid of beats, and where a file's beats are a recorder's clock, places in bars say
nothing. So time goes on by waiting, as in Oore et al. 2018 (arXiv 1808.03715) and Huang et al. 2019 (arXiv
1809.04281), but a note has a length in the place of an event for its end:

    VELOCITY(4) PITCH(48) LASTS(54) PITCH(76) LASTS(10) WAIT(11) VELOCITY(5) PITCH(79) LASTS(10) ... END_OF_PIECE

- `WAIT(d)`: the next notes begin d ticks later than the last, d in 1..1 second. A longer wait is several, all but
  the last of one second.
- `VELOCITY(b)`: loudness of the notes from here on, written where it changes; notes before any are as loud as 80.
- `PITCH(m)`: a note that begins here, MIDI number 21..108, ascending where several begin together.
- `LASTS(d)`: it lasts d ticks; from 1 tick to 16 seconds in steps of an eighth and less.
- `END_OF_PIECE`.

Ticks are parts of a second, whatever the tempo of the file. What is written is in 4/4 at 120 beats a minute: bars
are two seconds. Meter, tempo, instrument and name are not held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seqgan_music.errors import ConfigError
from seqgan_music.music.notes import DEFAULT_QPM, Note, Piece
from seqgan_music.music.tokenizers._event_grammar import MOST_BARS, Event, Span, sounded
from seqgan_music.music.tokenizers._event_tokenizer import EventTokenizer
from seqgan_music.music.tokenizers._performance_filling import PerformanceFilling
from seqgan_music.music.tokenizers._performance_language import PerformanceGrammar, PerformanceLayout, written
from seqgan_music.music.tokenizers._preparing import in_bins, keyed, seconds_of


class Performance(EventTokenizer[PerformanceLayout, Event, PerformanceGrammar]):
    """Pieces to one row of ids each, closed by END_OF_PIECE. Waits and durations in ticks of time."""

    @dataclass(frozen=True)
    class Options:
        """What a config may set."""

        ticks_per_second: int = 24
        """Resolution of time, an even number; what is read should lie on a grid as fine (corpus.reading)."""
        velocity_bins: int = 8
        """Levels of loudness that are told apart; 0 leaves loudness out, and every note has velocity 80."""

        def __post_init__(self) -> None:
            """Refuse values that cannot be."""
            ticks = self.ticks_per_second
            if not 8 <= ticks <= 100 or ticks % 2:
                raise ConfigError(f"ticks_per_second must be an even number, 8 to 100, not {ticks}.")
            if not 0 <= self.velocity_bins <= 32:
                raise ConfigError(f"velocity_bins must be 0 to 32, not {self.velocity_bins}.")

    name: ClassVar[str] = "performance"
    qpm = DEFAULT_QPM
    Grammar = PerformanceGrammar

    def __init__(self, options: Options, ticks_per_beat: int) -> None:
        """`ticks_per_beat` is the grid of what is read, which says nothing of time."""
        own = round(options.ticks_per_second * 60 / self.qpm)
        super().__init__(options, own, PerformanceLayout(own, options.velocity_bins))

    def encode(self, piece: Piece) -> list[list[int]]:
        """Return the piece as one row of ids, or no row where it has no notes."""
        events, _, _ = self._prepared(piece)
        return [[*written(self.layout, events), self.layout.end_of_piece]] if events else []

    def filling(self, ids: Sequence[int]) -> PerformanceFilling:
        """Return the piece of `ids` as one to be filled anew in places."""
        return PerformanceFilling(self.layout, self._apart(self._read(ids).events()))

    def _prepare(self, piece: Piece) -> tuple[list[Event], list[Span], Counter[str]]:
        """Events in order, no spans, and the counts of `normalise`."""
        changed: Counter[str] = Counter()
        durations = self.layout.durations
        notes = in_bins(keyed(piece, changed), self.layout.velocities, changed)
        edges = [(onset, onset + length) for onset, _, length, _ in notes]
        seconds = seconds_of(piece, np.array(edges, dtype=np.int64).reshape(-1, 2))
        exact = np.minimum(seconds * self.options.ticks_per_second, 2.0**40)
        ticks = np.floor(exact + 0.5).astype(np.int64)
        changed += Counter({"notes moved to the grid": int((np.abs(exact - ticks) > 1e-6).any(1).sum())})
        lengths = np.maximum(1, ticks[:, 1] - ticks[:, 0])
        middles = np.sqrt(np.multiply(durations[1:], durations[:-1]))
        rounded = np.array(durations)[np.searchsorted(middles, lengths)]
        changed += Counter({"durations rounded": int((rounded != lengths).sum())})
        stop = MOST_BARS * self.layout.bar_ticks
        events = [
            (onset, pitch, length, loudness)
            for (_, pitch, _, loudness), onset, length in zip(
                notes, ticks[:, 0].tolist(), rounded.tolist(), strict=True
            )
            if onset < stop
        ]
        changed += Counter({f"notes after bar {MOST_BARS}": len(notes) - len(events)})
        return self.layout.apart(events, changed), [], changed

    def _apart(self, events: list[Event]) -> list[Event]:
        return self.layout.apart(events, Counter())

    def _notes(self, events: Iterable[Event]) -> list[Note]:
        return sounded(events, self.layout.velocities)
