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
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music.music.spool import Column

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]

SHINGLE = 6
NEAR = 0.5
SECTION = 16
LEAST_SHARED = 8  # below this half of a short tune is a formula that many tunes share
_NEIGHBOURS = 8  # pieces with one shingle that are compared directly; the rest of a large group is reached in steps
_MOST_SHINGLES = 64_000_000  # above this candidates are looked for in a fixed sample of all shingles
_TOGETHER = 500_000  # shingles in memory at a time
_DIGEST = 16  # bytes of a hash by which notes are told apart
_COUNTED = 32  # fewer families than this are split by count, more by threshold

TRANSPOSED_KIND, NEAR_KIND = "transposed", "near"
SIDES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(len(SIDES))


@dataclass(frozen=True, eq=False)
class Kinship:
    """How N pieces are related.

    copy_of: (N,) index of the first exact duplicate before a piece, its own where there is none
    family:  (N,) smallest index in the piece's family; a piece alone is its own
    kind:    for each family of several pieces that are not exact copies, "transposed" where nothing but
             transposition makes it, else "near"
    """

    copy_of: Ints
    family: Ints
    kind: dict[int, str]

    def to_bytes(self) -> bytes:
        """Return N, `copy_of`, `family`, the roots in `kind`, and which are near: 64-bit integers, compressed."""
        near = [kind == NEAR_KIND for kind in self.kind.values()]
        parts = ([len(self.family)], self.copy_of, self.family, list(self.kind), near)
        return zlib.compress(b"".join(np.asarray(part, dtype="<i8").tobytes() for part in parts), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Kinship:
        """Undo `to_bytes`."""
        values = np.frombuffer(zlib.decompress(data), dtype="<i8").astype(np.int64, copy=False)
        copy_of, family, rest = np.split(values[1:], [values[0], 2 * values[0]])
        kinds = [NEAR_KIND if near else TRANSPOSED_KIND for near in rest[len(rest) // 2 :]]
        return cls(copy_of, family, dict(zip(rest[: len(rest) // 2].tolist(), kinds, strict=True)))


def kinship(pieces: Iterable[Array], folder: Path | None = None) -> Kinship:
    """Relate pieces, each an array (M, 3 or more) of onset, pitch, duration. What follows does not count.

    Pieces are looked at one after the other and not kept: what is needed of them lies in unnamed files in `folder`,
    and memory grows by some 100 bytes a piece. Time is near linear in the notes: a second for 5,000 folk tunes.
    """
    sets = _Sets(folder)
    exact, relative = bytearray(), bytearray()
    for notes in pieces:
        exact += _digest(notes[:, :3])[:_DIGEST]
        relative += _digest(_relative(notes))[:_DIGEST]
        sets.append(shingles(notes))
    originals, first = _first_alike(exact), _first_alike(relative)
    itself = np.arange(len(originals))
    union = _Union(len(originals))
    for index in np.flatnonzero(first < itself).tolist():
        union.join(index, int(first[index]))
    related_by_lines = set()
    representatives = np.flatnonzero(first == itself)
    for a, b in _candidates(sets, representatives, folder):
        if union.root(a) != union.root(b) and _near(sets[a], sets[b]):
            union.join(a, b)
            related_by_lines.add(a)
    family = np.fromiter(map(union.root, range(len(originals))), dtype=np.int64, count=len(originals))
    roots, sizes = np.unique(family[originals == itself], return_counts=True)
    kind = dict.fromkeys(roots[sizes > 1].tolist(), TRANSPOSED_KIND)
    kind.update((int(family[index]), NEAR_KIND) for index in related_by_lines)
    return Kinship(originals, family, kind)


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


class _Sets:
    """Shingles of many pieces, end to end in an unnamed file."""

    def __init__(self, folder: Path | None) -> None:
        self.hashes = Column(np.uint64, folder)
        self.ends = array("q", [0])

    def append(self, some: Hashes) -> None:
        self.hashes.extend(some)
        self.ends.append(self.ends[-1] + len(some))

    def __getitem__(self, index: int) -> Hashes:
        return self.hashes[self.ends[index] : self.ends[index + 1]]

    @property
    def sizes(self) -> Ints:
        ends: Ints = np.frombuffer(self.ends, dtype=np.int64)
        return ends[1:] - ends[:-1]

    def parts(self, owner: npt.NDArray[np.int32]) -> Iterator[tuple[Hashes, npt.NDArray[np.int32]]]:
        """Yield hashes and their owners, part by part; `owner` (N,) is each piece's, -1 that of none."""
        ends, start = np.frombuffer(self.ends, dtype=np.int64), 0
        for part in self.hashes.parts(_TOGETHER):
            owners = owner[np.searchsorted(ends, start + np.arange(len(part)), side="right") - 1]
            yield part[owners >= 0], owners[owners >= 0]
            start += len(part)


def _candidates(sets: _Sets, chosen: Ints, folder: Path | None) -> Iterator[tuple[int, int]]:
    """Yield pairs a < b of the chosen pieces that may share `NEAR` of the smaller one's shingles, or `SECTION`.

    They come from an inverted index in which each piece meets only its next few neighbours under a shingle: of a
    large group of near-duplicates not every pair is found, but enough to connect the group. The index is made and
    used range by range of the hashes, and the meetings are counted block by block of their first pieces.
    """
    sizes = sets.sizes
    owner = np.full(len(sizes), -1, dtype=np.int32)
    owner[chosen] = np.arange(len(chosen))
    total = int(sizes[chosen].sum())
    share = min(1.0, _MOST_SHINGLES / max(1, total))
    ranges = -(-int(total * share) // _TOGETHER)
    if not ranges:
        return
    index = _Runs(
        [int(share * 2**64 * number / ranges) for number in range(ranges + 1)], (np.uint64, np.int32), folder
    )
    for hashes, owners in sets.parts(owner):
        order = np.argsort(hashes, kind="stable")
        index.append(hashes[order], owners[order])
    blocks = ranges * _NEIGHBOURS
    per_block = -(-len(chosen) // blocks) * len(chosen)
    meetings = _Runs([number * per_block for number in range(blocks + 1)], (np.int64,), folder)
    for hashes, owners in index:
        order = np.argsort(hashes, kind="stable")
        hashes, owners = hashes[order], owners[order].astype(np.int64)
        for distance in range(1, _NEIGHBOURS + 1):
            same = np.flatnonzero(hashes[:-distance] == hashes[distance:])
            meetings.append(np.sort(owners[same] * len(chosen) + owners[same + distance]))
    for (met,) in meetings:
        pairs, shared = np.unique(met, return_counts=True)
        lefts, rights = (chosen[side] for side in np.divmod(pairs, len(chosen)))
        # A true pair may miss some meetings under crowded shingles; half of them are enough to look closer.
        wanted = np.minimum(SECTION, NEAR * np.minimum(sizes[lefts], sizes[rights]))
        enough = shared >= np.maximum(2, share * wanted / 2)
        yield from zip(lefts[enough].tolist(), rights[enough].tolist(), strict=True)


class _Runs:
    """Sorted runs of values, and what belongs to each, in unnamed files: read range by range, of all runs together.

    Range k holds what is from edges[k] to below edges[k + 1]. Memory is that of one range, and of a number for each
    run and range.
    """

    def __init__(self, edges: Sequence[int], kinds: Sequence[npt.DTypeLike], folder: Path | None) -> None:
        self._columns = [Column(kind, folder) for kind in kinds]
        self._low = np.array(edges[:-1], dtype=kinds[0])
        self._last = np.array(edges[-1] - 1, dtype=kinds[0])
        self._bounds: list[list[int]] = []

    def append(self, *run: npt.NDArray[Any]) -> None:
        """Add values in order and what belongs to them."""
        start, end = len(self._columns[0]), np.searchsorted(run[0], self._last, side="right")
        self._bounds.append([start + int(place) for place in (*np.searchsorted(run[0], self._low), end)])
        for column, some in zip(self._columns, run, strict=True):
            column.extend(some)

    def __iter__(self) -> Iterator[list[npt.NDArray[Any]]]:
        """Yield range by range the values, run after run, and what belongs to them."""
        for number in range(len(self._low)):
            yield [
                np.concatenate([column[bounds[number] : bounds[number + 1]] for bounds in self._bounds])
                for column in self._columns
            ]


def _near(a: Hashes, b: Hashes) -> bool:
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared >= min(SECTION, max(LEAST_SHARED, NEAR * min(len(a), len(b))))


def sides(families: Iterable[str], validation_share: float, test_share: float) -> npt.NDArray[np.int8]:
    """Return the side of each of N pieces, given the stable key of its family: an index of `SIDES` (N,).

    A key's hash places it in [0, 1): test below `test_share`, validation above it, then train. So a family stays
    where it is when others come. Below 32 families the shares are counted off in that order instead, to be
    exact, and a newcomer may move a neighbour or two across a border. From three families on no side is empty.
    """
    ordered, family = np.unique(np.fromiter(map(_position, families), dtype=np.float64), return_inverse=True)
    total = len(ordered)
    if total < _COUNTED:
        tests = max(1, round(test_share * total))
        validations = max(1, round(validation_share * total))
    else:
        below, held_out = np.searchsorted(ordered, [test_share, test_share + validation_share]).tolist()
        tests = max(1, below)
        validations = max(1, held_out - tests)
    # The largest shares allowed, 0.4 and 0.4, could leave nothing to learn from.
    tests, validations = min(tests, max(1, (total - 1) // 2)), min(validations, max(1, (total - 1) // 2))
    if total < 3:
        tests, validations = 0, max(0, total - 1)
    counts = [tests, validations, total - tests - validations]
    return np.repeat(np.array([TEST, VALIDATION, TRAIN], dtype=np.int8), counts)[family]


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


def _first_alike(digests: bytearray) -> Ints:
    """Return for each of N digests the index of the first that is the same: (N,)."""
    words = np.frombuffer(digests, dtype=np.uint64).reshape(-1, _DIGEST // 8)
    order = np.lexsort(words.T)  # stable: of equals the first comes first
    begins = np.ones(len(words), dtype=np.bool_)
    begins[1:] = (words[order[1:]] != words[order[:-1]]).any(1)
    found = np.empty(len(words), dtype=np.int64)
    found[order] = order[begins][np.cumsum(begins) - 1]
    return found


def _mixed(values: Hashes) -> Hashes:
    """Scatter 64-bit integers (the finaliser of splitmix64; Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class _Union:
    """Disjoint sets of indices; the root of a set is its smallest member."""

    def __init__(self, size: int) -> None:
        self.parent = array("q", range(size))

    def root(self, index: int) -> int:
        while self.parent[index] != index:
            self.parent[index] = index = self.parent[self.parent[index]]
        return index

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self.parent[high] = low
