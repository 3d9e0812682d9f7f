"""Find the pieces that are one tune: exact duplicates, transpositions and near-duplicates, and split by families.

A family is what must not be torn apart by a split, or held-out figures would reward copying. Two pieces are

- *exact* duplicates where every onset, pitch and duration agrees;
- *transposed* where they agree after moving one by an interval in pitch and an offset in time;
- *near* where their top lines share half of the shingles of the smaller one, or `SECTION` of them: a phrase of four
  bars or so that stands in both, as when two tunes have one part in common. A shingle is `SHINGLE` successive moves
  (interval in semitones, inter-onset time in ticks), so it does not change under transposition.

Families are the connected groups of these relations.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]

SHINGLE = 6
NEAR = 0.5
SECTION = 16
LEAST_SHARED = 8  # below this half of a short tune is a formula that many tunes share
_NEIGHBOURS = 8  # pieces with one shingle that are compared directly; the rest of a large group is reached in steps
_MOST_SHINGLES = 2_000_000  # above this candidates are looked for in a fixed sample of all shingles
_COUNTED = 32  # fewer families than this are split by count, more by threshold

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True)
class Kinship:
    """How N pieces are related.

    copy_of: (N,) index of the first exact duplicate before a piece, or None
    family:  (N,) smallest index in the piece's family; a piece alone is its own
    kind:    for each family of several pieces that are not exact copies, "transposed" where nothing but
             transposition makes it, else "near"
    """

    copy_of: tuple[int | None, ...]
    family: tuple[int, ...]
    kind: dict[int, str]

    def to_json(self) -> list[Any]:
        """Return it as plain values."""
        return [self.copy_of, self.family, list(self.kind.items())]

    @classmethod
    def from_json(cls, values: list[Any]) -> Kinship:
        """Undo `to_json`."""
        copy_of, family, kind = values
        return cls(tuple(copy_of), tuple(family), dict(map(tuple, kind)))


def kinship(pieces: Sequence[Array]) -> Kinship:
    """Relate pieces, each an array (M, 3 or more) of onset, pitch, duration. What follows does not count.

    Time is near linear in the notes: about a second for 5,000 folk tunes.
    """
    first: dict[bytes, int] = {}
    copy_of = [_first(first, _digest(notes[:, :3]), index) for index, notes in enumerate(pieces)]
    union = _Union(len(pieces))
    transposed: dict[bytes, int] = {}
    representatives = []
    for index, notes in enumerate(pieces):
        earlier = copy_of[index]
        if earlier is None:
            earlier = _first(transposed, _digest(_relative(notes)), index)
            if earlier is None:
                representatives.append(index)
        if earlier is not None:
            union.join(index, earlier)
    near = {
        (representatives[a], representatives[b])
        for a, b in near_duplicates([shingles(pieces[index]) for index in representatives])
    }
    for a, b in near:
        union.join(a, b)
    family = tuple(union.root(index) for index in range(len(pieces)))
    kind: dict[int, str] = {}
    distinct = Counter(family[index] for index, earlier in enumerate(copy_of) if earlier is None)
    for root, members in distinct.items():
        if members > 1:
            kind[root] = "transposed"
    for a, _ in near:
        kind[family[a]] = "near"
    return Kinship(tuple(copy_of), family, kind)


def shingles(notes: Array) -> Hashes:
    """Return the hashes of a piece's distinct shingles, sorted. Notes (M, 4) sorted by onset and pitch."""
    if len(notes) <= SHINGLE:
        return np.zeros(0, dtype=np.uint64)
    top = np.flatnonzero(np.diff(notes[:, 0], append=notes[-1, 0] + 1))  # the last, so highest, of each onset
    moves = np.diff(notes[top, 1]).astype(np.uint64) * np.uint64(1 << 20) + np.diff(notes[top, 0]).astype(np.uint64)
    count = len(moves) - SHINGLE + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    hashes = np.zeros(count, dtype=np.uint64)
    for step in range(SHINGLE):
        hashes = _mixed(hashes + moves[step : step + count])
    return np.unique(hashes)


def near_duplicates(sets: Sequence[Hashes]) -> list[tuple[int, int]]:
    """Return pairs (a, b), a < b, of shingle sets that share at least `NEAR` of the smaller one, or `SECTION`.

    Candidates come from an inverted index in which each set meets only its next few neighbours under a shingle:
    of a large group of near-duplicates not every pair is returned, but enough to connect the group.
    """
    sizes = np.array([len(one) for one in sets], dtype=np.int64)
    hashes = np.concatenate(list(sets)) if len(sets) else np.zeros(0, dtype=np.uint64)
    owners = np.repeat(np.arange(len(sets), dtype=np.int64), sizes)
    share = 1.0
    if len(hashes) > _MOST_SHINGLES:
        share = _MOST_SHINGLES / len(hashes)
        chosen = hashes < np.uint64(int(share * 2**64))
        hashes, owners = hashes[chosen], owners[chosen]
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    met = []
    for distance in range(1, _NEIGHBOURS + 1):
        same = np.flatnonzero(hashes[:-distance] == hashes[distance:])
        met.append(owners[same] * len(sets) + owners[same + distance])
    pairs, shared = np.unique(np.concatenate(met), return_counts=True)
    lefts, rights = np.divmod(pairs, max(1, len(sets)))
    # A true pair may miss some meetings under crowded shingles; a quarter of them is enough to look closer.
    wanted = np.minimum(SECTION, NEAR * np.minimum(sizes[lefts], sizes[rights]))
    needed = np.maximum(2, share * wanted / 2)
    return [
        (int(a), int(b))
        for a, b in zip(lefts[shared >= needed], rights[shared >= needed], strict=True)
        if _near(sets[a], sets[b])
    ]


def _near(a: Hashes, b: Hashes) -> bool:
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared >= min(SECTION, max(LEAST_SHARED, NEAR * min(len(a), len(b))))


def sides(families: Sequence[str], validation_share: float, test_share: float) -> dict[str, str]:
    """Return the side of each family, given by a stable key: "train", "validation" or "test".

    A key's hash places it in [0, 1): test below `test_share`, validation above it, then train. So a family stays
    where it is when others come. Below 32 families the shares are counted off in that order instead, to be
    exact, and a newcomer may move a neighbour or two across a border. From three families on no side is empty.
    """
    ordered = sorted(set(families), key=_position)
    total = len(ordered)
    if total < _COUNTED:
        tests = max(1, round(test_share * total))
        validations = max(1, round(validation_share * total))
    else:
        tests = max(1, sum(_position(name) < test_share for name in ordered))
        validations = max(1, sum(_position(name) < test_share + validation_share for name in ordered) - tests)
    # The largest shares allowed, 0.4 and 0.4, could leave nothing to learn from.
    tests, validations = min(tests, max(1, (total - 1) // 2)), min(validations, max(1, (total - 1) // 2))
    if total < 3:
        tests, validations = 0, total - 1
    names = [TEST] * tests + [VALIDATION] * validations
    return dict(zip(ordered, names + [TRAIN] * (total - len(names)), strict=True))


def _position(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def family_key(notes: Array) -> str:
    """Return a piece's stable key: the same for its transpositions, independent of file names."""
    return _digest(_relative(notes)).hex()


def _relative(notes: Array) -> Array:
    origin = np.array([*notes[0, :2], 0], dtype=np.int32) if len(notes) else np.zeros(3, dtype=np.int32)
    return notes[:, :3] - origin


def _digest(notes: Array) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(notes, dtype="<i4").tobytes()).digest()


def _first(seen: dict[bytes, int], digest: bytes, index: int) -> int | None:
    earlier = seen.setdefault(digest, index)
    return None if earlier == index else earlier


def _mixed(values: Hashes) -> Hashes:
    """Scatter 64-bit integers (the finaliser of splitmix64; Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class _Union:
    """Disjoint sets of indices; the root of a set is its smallest member."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def root(self, index: int) -> int:
        while self.parent[index] != index:
            self.parent[index] = index = self.parent[self.parent[index]]
        return index

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self.parent[high] = low


def members(family: Sequence[int]) -> dict[int, list[int]]:
    """Return the indices in each family, by its root."""
    grouped: dict[int, list[int]] = defaultdict(list)
    for index, root in enumerate(family):
        grouped[root].append(index)
    return dict(grouped)
