"""TokenSet: sequences of token ids. The only thing that crosses between music and learning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music import arrays, documents
from seqgan_music.errors import RunError

Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

_LARGEST_VOCABULARY = 10_000_000
_TOGETHER = 1 << 22  # numbers looked at together


class Effect(IntEnum):
    """What an id does to the clock of its sequence, whose cycles are as many ticks long as its period.

    The clock holds the onset of what is being written, a cycle and a place in it, and a cursor.
    """

    NOTHING = 0
    BEGIN = 1
    """What is written next begins where the cursor is."""
    AT = 2
    """The cursor moves to place `value` of the onset's cycle."""
    END = 3
    """The cursor moves to the first place `value` after the onset; the period's own is the next cycle's 0."""
    HOLD = 4
    """The cursor moves on by one cycle."""
    NEXT = 5
    """The cycle of the onset is the next, and the cursor at its 0 at the earliest."""
    PERIOD = 6
    """Cycles from the next one on are `value` ticks long."""
    RETURN = 7
    """The cycle that is begun is the cycle `value` before it again: the one a NEXT opened, else the cursor's."""
    VOICE = 8
    """Voice `value` (1 to 255) is what is written next, the cursor back at the cycle's 0; where it is the one being
    written already, the next of that name. A NEXT leaves none."""


@dataclass(frozen=True)
class TokenSet:
    """N sequences of token ids, of any lengths, stored end to end.

    A corpus and the oracle both give one of these; a trainer cannot tell them apart.

    ids:             (M,) all sequences one after the other, each id in [0, vocabulary_size); those of
                     a large corpus lie in a file, so use `row` rather than all of them
    offsets:         (N + 1,) sequence i is ids[offsets[i] : offsets[i + 1]]
    vocabulary_size: V, the number of ids that can be sampled
    start_id:        the id fed to a generator before the first token. V itself (music: a start that is
                     never sampled) or a real id (0 in the SeqGAN paper's oracle)
    end_id:          the id that ends every sequence, or None where all have one fixed length
    units:           (N,) what "per unit" figures divide by: notes in music, tokens in the oracle
    unit_name:       its name in the singular, for people ("note", "token")
    shifts:          (K, V) id maps that leave the distribution unchanged (transpositions); row 0 is the identity
    shift_allowed:   (N, K) which of them may be applied to which sequence; [:, 0] is all true
    sources:         (N,) number of the piece that each sequence is (a part) of, in music that of the run's kept
                     pieces in order; None where it is not known, or no piece stands behind a sequence
    effects:         (2, V) an `Effect` and its value of each id; None where ids have no time
    """

    ids: Ints
    offsets: Ints
    vocabulary_size: int
    start_id: int
    end_id: int | None
    units: Ints
    unit_name: str
    shifts: Ints
    shift_allowed: Bools
    sources: Ints | None = None
    effects: Ints | None = None

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Sequence[int] | Ints],
        *,
        vocabulary_size: int,
        start_id: int,
        end_id: int | None,
        units: Sequence[int] | Ints | None = None,
        unit_name: str = "token",
        shifts: Ints | None = None,
        shift_allowed: Bools | None = None,
        sources: Sequence[int] | Ints | None = None,
        effects: Ints | None = None,
    ) -> TokenSet:
        """Build a set from rows of ids. Without `units` every token counts one; without `shifts` none is allowed.

        Raises ValueError where an id lies outside the vocabulary.
        """
        parts = [np.asarray(row, dtype=np.int32) for row in rows]
        lengths = np.array([len(row) for row in parts], dtype=np.int64)
        ids = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= vocabulary_size):
            raise ValueError(f"token ids must lie in [0, {vocabulary_size}), found {ids.min()} to {ids.max()}")
        identity = np.arange(vocabulary_size, dtype=np.int32)[None]
        return cls(
            ids=ids,
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            vocabulary_size=vocabulary_size,
            start_id=start_id,
            end_id=end_id,
            units=lengths if units is None else np.asarray(units, dtype=np.int64),
            unit_name=unit_name,
            shifts=identity if shifts is None else shifts,
            shift_allowed=np.ones((len(parts), 1), dtype=np.bool_) if shift_allowed is None else shift_allowed,
            sources=None if sources is None else np.asarray(sources, dtype=np.int64),
            effects=effects,
        )

    def check(self) -> None:
        """Raise ValueError where a field is not what the others, or its own description, say it is."""
        size, count = self.vocabulary_size, len(self.offsets) - 1 if _is_ints(self.offsets, 1) else -1
        dimensions_of = {"ids": 1, "offsets": 1, "units": 1, "shifts": 2, "sources": 1, "effects": 2}
        optional = ("sources", "effects")
        for name, dimensions in dimensions_of.items():
            value = getattr(self, name)
            if not _is_ints(value, dimensions) and not (value is None and name in optional):
                raise ValueError(f"{name} must be whole numbers in {dimensions} dimension(s)")
        for name in ("vocabulary_size", "start_id", "end_id"):
            value = getattr(self, name)
            if type(value) is not int and not (value is None and name == "end_id"):
                raise ValueError(f"{name} must be a whole number")
        fine = {
            "vocabulary_size": 0 < size <= _LARGEST_VOCABULARY,
            "start_id": 0 <= self.start_id <= size,
            "end_id": self.end_id is None or 0 <= self.end_id < size,
            "offsets": count >= 0 and self.offsets[0] == 0 and self.offsets[-1] == len(self.ids),
            "order of offsets": not bool((self.offsets[1:] < self.offsets[:-1]).any()),
            "ids": _within(self.ids, 0, size),
            "units": len(self.units) == count and _within(self.units, 0, 2**62),
            "unit_name": isinstance(self.unit_name, str) and 0 < len(self.unit_name) < 100,
            "shifts": len(self.shifts) > 0 and self.shifts.shape[1] == size and _within(self.shifts, 0, size),
            "shift_allowed": isinstance(self.shift_allowed, np.ndarray)
            and self.shift_allowed.dtype == np.bool_
            and self.shift_allowed.shape == (count, len(self.shifts)),
            "sources": self.sources is None or len(self.sources) == count,
            "effects": self.effects is None or self.effects.shape == (2, size),
        }
        if wrong := [name for name, right in fine.items() if not right]:
            raise ValueError(f"its {wrong[0]} cannot be")

    def __len__(self) -> int:
        """Number of sequences, N."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """(N,) tokens in each sequence."""
        return np.diff(self.offsets)

    def row(self, index: int) -> Ints:
        """Ids of one sequence, read-only."""
        return np.asarray(self.ids[self.offsets[index] : self.offsets[index + 1]], dtype=np.int32)

    def select(self, indices: Sequence[int] | Ints) -> TokenSet:
        """Return the set of the given sequences, in the given order."""
        chosen = np.asarray(indices, dtype=np.int64)
        rows = [self.row(int(index)) for index in chosen]
        return replace(
            self,
            ids=np.concatenate(rows) if rows else self.ids[:0],
            offsets=np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64),
            units=self.units[chosen],
            shift_allowed=self.shift_allowed[chosen],
            sources=None if self.sources is None else self.sources[chosen],
        )

    def at_most(self, pieces: int) -> TokenSet:
        """Return all sequences of so many pieces, evenly spaced; itself where there are no more.

        Where no sources are known each sequence is a piece.
        """
        sources = np.arange(len(self)) if self.sources is None else self.sources
        different = np.unique(sources)
        if len(different) <= pieces:
            return self
        chosen = different[np.arange(pieces) * len(different) // pieces]
        return self.select(np.flatnonzero(np.isin(sources, chosen)))


@dataclass(frozen=True)
class Splits:
    """One data source, split so that no piece (nor a duplicate or transposition of it) is on two sides.

    `train` teaches, `validation` chooses (epochs, stopping, best checkpoint), `test` is read once, by reports.
    """

    train: TokenSet
    validation: TokenSet
    test: TokenSet

    def at_most(self, *, training: int, held_out: int) -> Splits:
        """Return splits of at most so many pieces a side, so that what looks at all of them has bounds."""
        return Splits(self.train.at_most(training), self.validation.at_most(held_out), self.test.at_most(held_out))

    def save(self, path: Path) -> None:
        """Write all three sets to one .npz file. Raises OutputError."""
        values: dict[str, npt.NDArray[np.generic]] = {}
        for part in fields(self):
            tokens = getattr(self, part.name)
            some = {f.name: getattr(tokens, f.name) for f in fields(tokens)}
            values |= {f"{part.name}.{name}": np.asanyarray(v) for name, v in some.items() if v is not None}
        arrays.write(path, values)

    @classmethod
    def load(cls, path: Path) -> Splits:
        """Read what `save` wrote, without running code; ids stay in the file until used. Raises RunError."""
        names = [part.name for part in fields(cls)]
        try:
            found = arrays.read(path, mapped=[f"{name}.ids" for name in names])
            return cls(**{name: _token_set(found, name) for name in names})
        except arrays.DAMAGE as error:
            raise RunError(
                f"{path} cannot be read: {documents.why(error)}. Use another run, or train again."
            ) from None


def _token_set(found: Mapping[str, npt.NDArray[np.generic]], name: str) -> TokenSet:
    values = {key.partition(".")[2]: value for key, value in found.items() if key.startswith(f"{name}.")}
    scalars = {key: value.item() for key, value in values.items() if value.ndim == 0}
    tokens = TokenSet(**{"end_id": None, **values, **scalars})
    tokens.check()
    return tokens


def _within(array: Any, low: int, below: int) -> bool:
    for start in range(0, len(array), _TOGETHER):
        part = array[start : start + _TOGETHER]
        if part.size and not (part.min() >= low and part.max() < below):
            return False
        arrays.let_go(array)
    return True


def _is_ints(value: Any, dimensions: int) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == dimensions and value.dtype.kind in "iu"
