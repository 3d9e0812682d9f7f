"""Ids of a language: a name and a kind for each, laid out kind after kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.notes import PITCHES


class Ids:
    """Names and kinds of ids. A language adds them in its order, and says what each does."""

    end_of_piece: int
    pitch: int
    """PITCH of the lowest of the 88 keys."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.kinds: tuple[str, ...] = ()

    def place(self, kind: str, values: Iterable[object] | None = None) -> int:
        """Add ids of a kind, one for each value; return the first."""
        new = (kind,) if values is None else tuple(f"{kind}({value})" for value in values)
        self.names += new
        self.kinds += (kind,) * len(new)
        return len(self.names) - len(new)

    def effects(self) -> npt.NDArray[np.int32] | None:
        """(2, V) a `tokenset.Effect` and its value of each id, or None where ids have no bars."""
        return None

    def shifts(self, semitones: Sequence[int]) -> npt.NDArray[np.int32]:
        """(K, V) id maps that transpose by each number of semitones; -1 where a pitch leaves the 88 keys."""
        maps = np.tile(np.arange(len(self.names), dtype=np.int32), (len(semitones), 1))
        first, last = self.pitch, self.pitch + len(PITCHES)
        moved = maps[:, first:last] + np.asarray(semitones, dtype=np.int32).reshape(-1, 1)
        maps[:, first:last] = np.where((moved >= first) & (moved < last), moved, -1)
        return maps
