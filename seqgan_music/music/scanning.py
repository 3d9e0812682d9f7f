"""A folder becomes a scan: its pieces without duplicates, their families, and what became of every file.

Every file is untrusted: it is read in a worker process within the bounds of `ReadingConfig`. Nothing is dropped in
silence: a `Scan` says for each file what became of it. What was read and which pieces are related is cached by
content and settings, so that a second scan of an unchanged folder reads only hashes.

A folder may hold more than fits in memory. A scan keeps some 300 bytes a file: names, hashes, and a row of facts
for each piece; the music lies in an unnamed file and is unpacked when it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Generic, NoReturn, TypeVar, overload

import numpy as np
import numpy.typing as npt

from seqgan_music.arrays import let_go
from seqgan_music.config import CorpusConfig
from seqgan_music.errors import InputError
from seqgan_music.music import families, scan_table
from seqgan_music.music.cache import USER_CACHE, Cache, key
from seqgan_music.music.finding import Found, find, shown
from seqgan_music.music.gathering import Gathered, gather
from seqgan_music.music.notes import DEFAULT_QPM, Piece
from seqgan_music.music.packing import PackedPiece
from seqgan_music.music.reading import SUFFIXES
from seqgan_music.music.spool import Column

TOO_FEW_NOTES = "too few notes"
DUPLICATE = "duplicate"

_LEAST_FAMILIES = 3
_DIGEST = 32  # bytes of a hash
_FACTS = np.dtype(
    [
        ("file", np.int32),
        ("number", np.int32),  # among the pieces of its file
        ("notes", np.int32),
        ("beats", np.float64),
        ("seconds", np.float64),
        ("onsets", np.int32),
        ("chords", np.int32),
        ("lowest", np.int16),
        ("highest", np.int16),
        ("qpm", np.float64),
        ("program", np.int16),
        ("meters", np.int32),  # which of the sequences of meters that there are
    ]
)

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True)
class ScannedPiece:
    """One piece of a file. `label` names it for people; `reason` is None where it is kept.

    `family` is the same text for pieces that must stay on one side of a split; it does not depend on names.
    """

    label: str
    packed: PackedPiece
    reason: str | None = None
    detail: str = ""
    family: str = ""


@dataclass(frozen=True)
class ScannedFile:
    """What became of one file. `path` is relative to the folder; `sha256` is None where it was not read whole.

    `reason` is None where at least one piece is kept, `counts` says what was changed or left out on the way.
    """

    path: str
    sha256: str | None
    reason: str | None
    detail: str
    counts: Mapping[str, int]
    track: str | None
    pieces: tuple[ScannedPiece, ...]


class Made(Sequence[Item], Generic[Item]):
    """A sequence whose items are made each time they are asked for."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        """Number of items."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        """Return an item, or those of a slice."""
        if isinstance(index, slice):
            return tuple(map(self._make, range(*index.indices(self._count))))
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)

    def __eq__(self, other: object) -> bool:
        """Compare item by item."""
        if not isinstance(other, Sequence) or len(other) != len(self):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class Scan:
    """A folder's music.

    `files` are what became of every music file, sorted by path; `kept` are the pieces to learn from, in the order
    of their files, and `pieces` the same as music; `digests` (kept, 32) the hash of all that a tokenizer may read
    of each. `written` is what was written into the folder first because its corpus.toml asks for it, or None, and
    `cache` the folder of the cache, or None.
    """

    def __init__(
        self,
        folder: Path,
        config: CorpusConfig,
        found: Found,
        gathered: Gathered,
        *,
        written: str | None = None,
        cache: Path | None = None,
    ) -> None:
        """Look at everything that was gathered, one file after the other."""
        self.folder, self.config, self.found, self.written, self.cache = folder, config, found, written, cache
        self._gathered = gathered
        self._counts: Counter[str] = Counter()
        self._files_with_counts: Counter[str] = Counter()
        self._meters: dict[tuple[str, ...], int] = {}
        self._reasons: dict[str, int] = {}
        self._tracks: list[str] = []
        self._tracks_taken = 0
        store = Cache(cache)
        digests, keys = Column(np.uint8, store.folder), Column(np.uint8, store.folder)
        self._facts, self._starts, skips = self._look(digests, keys)
        self._digests, self._keys = (column.mapped().reshape(-1, _DIGEST) for column in (digests, keys))
        self._kinship = self._related_pieces(store)
        self._named_by = _names_of_families(self._keys, self._kinship.family)
        original = self._kinship.copy_of == np.arange(len(self._facts))
        self._kept = np.flatnonzero(original)
        copies = self._facts[~original]
        reason = np.full(len(copies), self._reasons.setdefault(DUPLICATE, len(self._reasons)))
        skips = np.concatenate([skips, np.stack([copies["file"], copies["number"], reason], 1)])
        self._skips = skips[np.lexsort((skips[:, 1], skips[:, 0]))]
        for column in (self._digests, self._keys):
            let_go(column)
        self._last: tuple[int, ScannedFile] | None = None
        self.files: Sequence[ScannedFile] = Made(len(found.files), self._file)
        self.kept: Sequence[ScannedPiece] = Made(len(self._kept), self._kept_piece)
        self.pieces: Sequence[Piece] = Made(len(self._kept), lambda index: self.kept[index].packed.unpack())

    def __repr__(self) -> str:
        """Return "<Scan of my_songs: 40 pieces of 41 files>"."""
        pieces, files = _plural(len(self.kept), "piece"), _plural(len(self.files), "file")
        return f"<Scan of {shown(self.folder)}: {pieces} of {files}>"

    def __reduce__(self) -> NoReturn:
        """Say why a scan stays where it is. Raises TypeError, as `pickle` and `copy` do."""
        raise TypeError(
            "A Scan reads music from a file without a name, which no other process has: it cannot be pickled or"
            " copied. Scan the folder again there; what was read is kept in the cache."
        )

    @property
    def digests(self) -> npt.NDArray[np.uint8]:
        """(kept, 32)."""
        return np.asarray(self._digests[self._kept])

    @cached_property
    def family_names(self) -> Sequence[str]:
        """The family of each kept piece."""
        return Made(len(self._kept), lambda index: self._family(int(self._kept[index])))

    @cached_property
    def related(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Groups of labels of kept pieces that are one tune, with "transposed" or "near"."""
        members: dict[int, list[str]] = {root: [] for root in sorted(self._kinship.kind)}
        family = self._kinship.family[self._kept]
        for index in np.flatnonzero(np.isin(family, list(members))).tolist():
            members[int(family[index])].append(self.kept[index].label)
        return tuple((self._kinship.kind[root], tuple(labels)) for root, labels in members.items())

    @property
    def qpm(self) -> float:
        """Typical tempo: the median over the pieces, in quarter notes per minute."""
        return round(_median(self._facts["qpm"][self._kept]), 2) if len(self._kept) else DEFAULT_QPM

    @property
    def program(self) -> int:
        """The commonest General MIDI instrument (0..127)."""
        programs, counts = np.unique(self._facts["program"][self._kept], return_counts=True)
        return int(programs[counts.argmax()]) if len(programs) else 0

    def skipped(self) -> Iterator[tuple[str, str, str]]:
        """Yield (label, reason, detail) of each file, or piece of a file, that is not used."""
        for number, part, _ in self._each_skip():
            yield self._skip(number, part)

    def check(self) -> None:
        """Raise InputError where there is too little to learn from, saying what there is and why not more."""
        if len(self.kept) < self.config.min_pieces:
            reasons = Counter(reason for _, _, reason in self._each_skip())
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(4))
            raise InputError(
                f"{shown(self.folder)}: {_plural(len(self.files), 'music file')} found, "
                f"{_plural(len(self.kept), 'piece')} kept, but at least {self.config.min_pieces} are needed"
                + (f" (skipped: {why})." if why else ".")
                + f" `seqgan-music scan {shown(self.folder)}` says what is wrong with each file."
            )
        if self._different < _LEAST_FAMILIES:
            raise InputError(
                f"{shown(self.folder)}: the {len(self.kept)} pieces are versions of only"
                f" {_plural(self._different, 'tune')}, but at least {_LEAST_FAMILIES} are needed:"
                " one to learn from, one to choose by, one to report on. Add other music."
            )

    @property
    def _different(self) -> int:
        """Number of families."""
        return len(np.unique(self._named_by[self._kept]))

    def summary(self) -> dict[str, Any]:
        """Return all but the files one by one as plain values: what `scan.json` holds."""
        facts = self._facts[self._kept]
        return {
            "folder": shown(self.folder),
            "written": self.written,
            "settings": asdict(self.config),
            "totals": {
                "files": len(self.files),
                "kept_files": len(np.unique(self._facts["file"][self._kept])),
                "pieces": len(self.kept),
                "skipped": len(self._skips),
                "different_tunes": self._different,
                "notes": int(facts["notes"].sum()),
                "beats": round(math.fsum(facts["beats"]), 3),
                "seconds": round(math.fsum(facts["seconds"]), 3),
                "onsets": int(facts["onsets"].sum()),
                "chords": int(facts["chords"].sum()),
                "lowest": int(facts["lowest"].min()) if len(facts) else None,
                "highest": int(facts["highest"].max()) if len(facts) else None,
                "other_files": sum(self.found.others.values()),
                "resource_forks": self.found.resource_forks,
            },
            "typical": {"qpm": self.qpm, "program": self.program},
            "notes_a_piece": _spread(facts["notes"]),
            "meters": dict(self._count_meters(facts["meters"]).most_common()),
            "reasons": dict(Counter(reason for _, _, reason in self._each_skip()).most_common()),
            "examples": self._examples(),
            "counts": dict(self._counts.most_common()),
            "files_with_counts": dict(self._files_with_counts.most_common()),
            "tracks": {"count": self._tracks_taken, "examples": self._tracks},
            "related": [{"kind": kind, "pieces": list(labels)} for kind, labels in self.related],
            "other_files": {shown(suffix): count for suffix, count in self.found.others.most_common()},
            "unreadable_folders": [shown(path) for path in self.found.unreadable],
        }

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values, in memory."""
        return {**self.summary(), "files": list(self.file_entries())}

    def file_entries(self) -> Iterator[dict[str, Any]]:
        """Yield what became of each file as plain values."""
        return map(_file_json, self.files)

    def json_text(self) -> Iterator[str]:
        """Yield the text of `to_json`, part by part."""
        yield json.dumps(self.summary(), indent=1).removesuffix("\n}") + ',\n "files": ['
        for number, entry in enumerate(self.file_entries()):
            yield (",\n  " if number else "\n  ") + json.dumps(entry)
        yield "\n ]\n}"

    def table(self) -> str:
        """Return what people want to know of it, 80 columns wide."""
        return scan_table.table(self.summary())

    def _look(
        self, digests: Column, keys: Column
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return a row of facts for each piece with enough notes, each file's first, and (file, piece, why not).

        The columns take what tells each such piece from others, and its `families.family_key`. A piece of -1 is all
        of its file; why not is a number in `_reasons`.
        """
        rows, starts, skips, count = bytearray(), array("q", [0]), array("q"), 0

        def skip(number: int, part: int, reason: str) -> None:
            skips.extend((number, part, self._reasons.setdefault(reason, len(self._reasons))))

        for number, name in enumerate(self.found.files):
            reading = self._gathered[number]
            if reading.pieces:  # what a file that is skipped whole lacks besides is no news
                self._counts.update(reading.counts)
                self._files_with_counts.update(reading.counts.keys())
            if reading.track:
                self._tracks_taken += 1
                if self._tracks_taken <= scan_table.EXAMPLES:
                    self._tracks.append(f"{shown(name)}: {reading.track}")
            if not reading.pieces and reading.reason is not None:
                skip(number, -1, reading.reason)
            for part, packed in enumerate(reading.pieces):
                if packed.facts.notes < self.config.min_notes:
                    skip(number, part, TOO_FEW_NOTES)
                else:
                    rows += self._row(number, part, packed)
                    digests.extend(np.frombuffer(bytes.fromhex(packed.digest), dtype=np.uint8))
                    keys.extend(np.frombuffer(bytes.fromhex(families.family_key(packed.tuned)), dtype=np.uint8))
                    count += 1
            starts.append(count)
        return (
            np.frombuffer(rows, dtype=_FACTS),
            np.frombuffer(starts, dtype=np.int64),
            np.array(skips, dtype=np.int64).reshape(-1, 3),
        )

    def _row(self, number: int, part: int, packed: PackedPiece) -> bytes:
        facts = packed.facts
        values = (
            number,
            part,
            facts.notes,
            facts.beats,
            facts.seconds,
            facts.onsets,
            facts.chords,
            facts.lowest,
            facts.highest,
            facts.qpm,
            packed.program,
            self._meters.setdefault(facts.meters, len(self._meters)),
        )
        return np.array([values], dtype=_FACTS).tobytes()

    def _related_pieces(self, store: Cache) -> families.Kinship:
        name = key("kinship", hashlib.sha256(self._digests.data).hexdigest())
        stored = store.get([name]).get(name)
        if stored is not None:
            return families.Kinship.from_bytes(stored)
        result = families.kinship(self._all_notes(), store.folder)
        store.put({name: result.to_bytes()})
        return result

    def _all_notes(self) -> Iterator[families.Array]:
        """Yield the notes of each piece with enough of them, but for drums."""
        for number in np.unique(self._facts["file"]).tolist():
            pieces = self._gathered[number].pieces
            for row in self._facts[self._starts[number] : self._starts[number + 1]]:
                yield pieces[row["number"]].tuned

    def _file(self, number: int) -> ScannedFile:
        """Unpack a file; the last one is kept, since its pieces may be asked for one by one."""
        last = self._last  # another thread may put its own there
        if last is None or last[0] != number:
            last = self._last = number, self._unpacked(number)
        return last[1]

    def _unpacked(self, number: int) -> ScannedFile:
        reading, name = self._gathered[number], shown(self.found.files[number])
        rows = iter(range(int(self._starts[number]), int(self._starts[number + 1])))
        pieces = []
        for part, packed in enumerate(reading.pieces):
            label = _label(name, reading.pieces, part)
            if packed.facts.notes < self.config.min_notes:
                least = f"at least {self.config.min_notes} are needed"
                detail = f"{_plural(packed.facts.notes, 'note')}, {least}"
                pieces.append(ScannedPiece(label, packed, TOO_FEW_NOTES, detail))
            else:
                pieces.append(self._judged(label, packed, next(rows)))
        reason, detail = reading.reason, reading.detail
        if pieces:  # where none is kept, the file takes the first one's reason
            kept = any(piece.reason is None for piece in pieces)
            reason, detail = (None, "") if kept else (pieces[0].reason, pieces[0].detail)
        return ScannedFile(
            name, self._gathered.sha256(number), reason, detail, reading.counts, reading.track, tuple(pieces)
        )

    def _judged(self, label: str, packed: PackedPiece, row: int) -> ScannedPiece:
        copy = int(self._kinship.copy_of[row])
        if copy == row:
            return ScannedPiece(label, packed, family=self._family(row))
        file, part = int(self._facts["file"][copy]), int(self._facts["number"][copy])
        original = _label(shown(self.found.files[file]), self._gathered[file].pieces, part)
        return ScannedPiece(label, packed, DUPLICATE, f"the same notes as {original}", self._family(row))

    def _family(self, row: int) -> str:
        key_: npt.NDArray[np.uint8] = self._keys[self._named_by[row]]
        return key_.tobytes().hex()

    def _kept_piece(self, index: int) -> ScannedPiece:
        row = self._facts[self._kept[index]]
        return self._file(int(row["file"])).pieces[int(row["number"])]

    def _each_skip(self) -> Iterator[tuple[int, int, str]]:
        """Yield (file, piece or -1, reason) of what is not used."""
        reasons = list(self._reasons)
        for number, part, reason in self._skips:
            yield int(number), int(part), reasons[reason]

    def _count_meters(self, kinds: npt.NDArray[np.int32]) -> Counter[str]:
        """Return how many of the pieces with these sequences of meters have each meter, as they come."""
        named, first, counts = np.unique(kinds, return_index=True, return_counts=True)
        meters, found = list(self._meters), Counter[str]()
        for place in np.argsort(first).tolist():
            for meter in meters[named[place]]:
                found[meter] += int(counts[place])
        return found

    def _skip(self, number: int, part: int) -> tuple[str, str, str]:
        file = self._file(number)
        of = file if part < 0 else file.pieces[part]
        assert of.reason is not None
        return (of.path if isinstance(of, ScannedFile) else of.label), of.reason, of.detail

    def _examples(self) -> dict[str, list[list[str]]]:
        """Return the first few files or pieces that each reason kept out, as [label, detail]."""
        found: dict[str, list[list[str]]] = {}
        for number, part, reason in self._each_skip():
            some = found.setdefault(reason, [])
            if len(some) < scan_table.EXAMPLES:
                label, _, detail = self._skip(number, part)
                some.append([label, detail])
        return found


def scan(
    folder: Path,
    config: CorpusConfig,
    *,
    progress: bool = False,
    cache: Path | None = USER_CACHE,
    check: bool = True,
) -> Scan:
    """Read a folder's music; `cache` None keeps nothing. `progress` shows a bar on stderr where that is a terminal.

    A folder with a `corpus.toml` first gets what that names and the folder lacks. With `check`, raises InputError
    where there is too little to learn from; always where the folder is missing, a file, or holds no music file.
    """
    written = _ensure(folder, progress=progress)
    found = find(folder, SUFFIXES)
    if not found.files:
        raise InputError(_no_music(folder, found))
    gathered = gather(folder, found.files, config, Cache(cache), progress=progress)
    result = Scan(folder, config, found, gathered, written=written, cache=cache)
    if check:
        result.check()
    return result


def _ensure(folder: Path, *, progress: bool) -> str | None:
    if not (folder / "corpus.toml").is_file():
        return None
    from seqgan_music.music import embedded  # brings music21's corpus with it

    return embedded.ensure(folder, progress=progress)


def _no_music(folder: Path, found: Found) -> str:
    others = ", ".join(f"{count} {shown(suffix)}" for suffix, count in found.others.most_common(4))
    return f"There is no music file in {shown(folder)}: looked for {' '.join(sorted(SUFFIXES))}, found " + (
        f"other files only ({others})." if others else "nothing."
    )


def _names_of_families(keys: npt.NDArray[np.uint8], family: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each piece the one whose key names its family: the smallest, which newcomers seldom change."""
    words = np.ascontiguousarray(keys).reshape(-1, 32).view(">u8").astype(np.uint64)  # ordered as text is
    order = np.lexsort((*words.T[::-1], family))
    first = np.ones(len(family), dtype=np.bool_)
    first[1:] = family[order[1:]] != family[order[:-1]]
    named = np.empty(len(family), dtype=np.int64)
    named[order] = order[first][np.cumsum(first) - 1]
    return named


def _label(file: str, pieces: Sequence[PackedPiece], part: int) -> str:
    """Return what people know a piece of a file by."""
    return file if len(pieces) == 1 else f"{file}: {shown(pieces[part].name) or part + 1}"


def _file_json(file: ScannedFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "sha256": file.sha256,
        "status": "kept" if file.reason is None else "skipped",
        "reason": file.reason,
        "detail": file.detail,
        "counts": dict(file.counts),
        "track": file.track,
        "pieces": [
            {
                "name": piece.label,
                "status": "kept" if piece.reason is None else "skipped",
                "reason": piece.reason,
                "detail": piece.detail,
                "family": piece.family or None,
                "program": piece.packed.program,
                **vars(piece.packed.facts),
            }
            for piece in file.pieces
        ],
    }


def _spread(values: npt.NDArray[np.int32]) -> dict[str, float] | None:
    if not len(values):
        return None
    return {"median": _median(values), "least": int(values.min()), "most": int(values.max())}


def _median(values: npt.NDArray[Any]) -> float:
    """Return what `statistics.median` does, of an array that is not empty."""
    middle: float = median(np.sort(values)[(len(values) - 1) // 2 : len(values) // 2 + 1].tolist())
    return middle


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
