"""What the studio has made: pieces, what is known of each, and their sound, in bounded memory."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from seqgan_music.compose import Controls, bars_of
from seqgan_music.music.notes import Piece

KEPT_CANDIDATES = 512
KEPT_PRIMERS = 32
KEPT_BYTES = 128 * 1024 * 1024
"""Of sound and scores together: some hundreds of tunes; what was used longest ago is made again if asked for."""

Thing = TypeVar("Thing")


def new_id() -> str:
    """Return a name that nobody guesses and no path can be made of."""
    return secrets.token_urlsafe(9)


@dataclass(frozen=True)
class Candidate:
    """A piece on the table. `line` is the command that makes it again, empty where no one command does.

    controls  what it was asked for
    title     how it came about, for people
    copied    the longest run in common with the training music, for people, where that was looked for
    heat      share of held-out bars of real music that the critic likes less, for each bar; empty without a critic
    rank      share of held-out real pieces, as many bars of each, that it likes less; None where it cannot be told
    own_rank  the same among what the run itself writes: what tells candidates apart where the critic knows them all
    liking    how likely the person is to like it, by the thumbs so far, None where they say nothing yet
    new_bars  bars, from 0, that were written last: all of a new piece, those rewritten of a mended one
    primed    how many bars from the first on are a primer's
    """

    piece: Piece
    run: str
    seed: int
    controls: Controls
    title: str
    line: str = ""
    copied: str | None = None
    heat: Sequence[float] = ()
    rank: float | None = None
    own_rank: float | None = None
    liking: float | None = None
    new_bars: Sequence[int] = ()
    primed: int = 0
    parent: str | None = None
    warnings: Sequence[str] = ()
    id: str = field(default_factory=new_id)


class Kept(Generic[Thing]):
    """Things by name, the newest `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._things: OrderedDict[str, Thing] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str, thing: Thing) -> None:
        """Keep a thing."""
        with self._lock:
            self._things[name] = thing
            while len(self._things) > self._limit:
                self._things.popitem(last=False)

    def find(self, name: str) -> Thing | None:
        """Return a thing, or None."""
        with self._lock:
            return self._things.get(name)

    def newest(self, count: int) -> list[Thing]:
        """Return the newest things, the newest first."""
        with self._lock:
            return list(reversed(self._things.values()))[:count]


class Renderings:
    """Bytes that take a while to make (sound, scores), made once and kept up to a number of bytes.

    One at a time is made: several at once on few cores would each take as long as all together.
    """

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit, self._size = limit, 0
        self._made: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock, self._making = threading.Lock(), threading.Lock()

    def get(self, name: str, kind: str, make: Callable[[], bytes]) -> bytes:
        """Return what `make` gives, from what is kept if it can be."""
        found = self._find(name, kind)
        if found is not None:
            return found
        with self._making:
            found = self._find(name, kind)  # another request may have waited for the same
            if found is None:
                found = make()
                self._keep(name, kind, found)
        return found

    def _find(self, name: str, kind: str) -> bytes | None:
        with self._lock:
            found = self._made.get((name, kind))
            if found is not None:
                self._made.move_to_end((name, kind))
            return found

    def _keep(self, name: str, kind: str, data: bytes) -> None:
        with self._lock:
            self._made[name, kind] = data
            self._size += len(data)
            while self._size > self._limit and len(self._made) > 1:
                _, gone = self._made.popitem(last=False)
                self._size -= len(gone)


def changed_bars(before: Piece, after: Piece) -> list[int]:
    """Return the bars, from 0, of a piece in which other notes begin than in the same bars of another."""

    def begun(piece: Piece) -> list[set[tuple[int, int, int, int]]]:
        return [
            {
                (n.onset - bar.start, n.pitch, n.duration, n.instrument)
                for n in piece.notes
                if bar.start <= n.onset < bar.end
            }
            for bar in bars_of(piece)
        ]

    old, new = begun(before), begun(after)
    return [index for index, notes in enumerate(new) if index >= len(old) or notes != old[index]]


def score_of_sound(piece: Piece) -> dict[str, Any]:
    """Return what is needed to draw a piece and to follow it: notes and bars, in beats, and the seconds of a beat.

    Notes, but for drums, are [onset, duration, pitch, velocity]. Every piece of the studio has one tempo, so that
    a place in beats and one in seconds differ by a factor alone.
    """
    ticks = piece.ticks_per_beat
    bars = bars_of(piece)
    end = max([piece.end, *(bar.end for bar in bars)])
    return {
        "notes": [
            [round(n.onset / ticks, 4), round(n.duration / ticks, 4), n.pitch, n.velocity]
            for n in piece.tuned.notes
        ],
        "bars": [[round(bar.start / ticks, 4), round(bar.end / ticks, 4)] for bar in bars],
        "beats": round(end / ticks, 4),
        "meter": f"{bars[0].meter[0]}/{bars[0].meter[1]}" if bars else "",
        "seconds_a_beat": 60 / piece.tempos[0].qpm,
        "seconds": round(piece.seconds_at(piece.end), 3),
        "tempo": piece.tempos[0].qpm,
        "program": piece.program,
    }
