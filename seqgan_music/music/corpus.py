"""A folder becomes pieces, without duplicates, and pieces become the token sets that train, choose and report.

Every file is untrusted: it is read in a worker process within the bounds of `ReadingConfig`. Nothing is dropped in
silence: a `Scan` says for each file what became of it. What was read, which pieces are related and how they are
encoded is cached by content and settings, so that a second scan of an unchanged folder reads only hashes.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music.config import CorpusConfig, ReadingConfig
from seqgan_music.errors import InputError
from seqgan_music.machine import usable_cores
from seqgan_music.music import families, scan_table
from seqgan_music.music.cache import USER_CACHE, Cache, key, today
from seqgan_music.music.finding import Found, find, shown
from seqgan_music.music.notes import DEFAULT_QPM, Piece
from seqgan_music.music.packing import PackedPiece, PackedReading
from seqgan_music.music.reading import SUFFIXES, read
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.music.workers import Failure, bounded_map
from seqgan_music.tokenset import Splits, TokenSet

TOO_FEW_NOTES = "too few notes"
DUPLICATE = "duplicate"

_FILES_A_WORKER = 12  # a worker takes as long to start as to read about so many tunes
_BATCH = 200  # results written to the cache at a time, so that an interrupted scan loses little
_LEAST_FAMILIES = 3


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


@dataclass(frozen=True)
class Scan:
    """A folder's music.

    files:   every music file, sorted by path
    related: groups of labels of kept pieces that are one tune, with "transposed" or "near"
    written: what was written into the folder first because its corpus.toml asks for it, or None
    cache:   folder of the cache, or None
    """

    folder: Path
    config: CorpusConfig
    found: Found
    files: tuple[ScannedFile, ...]
    related: tuple[tuple[str, tuple[str, ...]], ...]
    written: str | None
    cache: Path | None

    @cached_property
    def kept(self) -> tuple[ScannedPiece, ...]:
        """The pieces to learn from, in the order of their files."""
        return tuple(piece for file in self.files for piece in file.pieces if piece.reason is None)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The kept pieces as music."""
        return tuple(piece.packed.unpack() for piece in self.kept)

    @property
    def qpm(self) -> float:
        """Typical tempo: the median over the pieces, in quarter notes per minute."""
        return round(median(piece.packed.facts.qpm for piece in self.kept), 2) if self.kept else DEFAULT_QPM

    @property
    def program(self) -> int:
        """The commonest General MIDI instrument (0..127)."""
        programs = Counter(piece.packed.program for piece in self.kept)
        return min(programs, key=lambda program: (-programs[program], program), default=0)

    def skipped(self) -> Iterator[tuple[str, str, str]]:
        """Yield (label, reason, detail) of each file, or piece of a file, that is not used."""
        for file in self.files:
            if file.reason is not None and not file.pieces:
                yield file.path, file.reason, file.detail
            for piece in file.pieces:
                if piece.reason is not None:
                    yield piece.label, piece.reason, piece.detail

    def check(self) -> None:
        """Raise InputError where there is too little to learn from, saying what there is and why not more."""
        if len(self.kept) < self.config.min_pieces:
            reasons = Counter(reason for _, reason, _ in self.skipped())
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(4))
            raise InputError(
                f"{shown(self.folder)}: {_plural(len(self.files), 'music file')} found, "
                f"{_plural(len(self.kept), 'piece')} kept, but at least {self.config.min_pieces} are needed"
                + (f" (skipped: {why})." if why else ".")
                + f" `seqgan-music scan {shown(self.folder)}` says what is wrong with each file."
            )
        different = len({piece.family for piece in self.kept})
        if different < _LEAST_FAMILIES:
            raise InputError(
                f"{shown(self.folder)}: the {len(self.kept)} pieces are versions of only"
                f" {_plural(different, 'tune')}, but at least {_LEAST_FAMILIES} are needed:"
                " one to learn from, one to choose by, one to report on. Add other music."
            )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values, for `scan.json` and `--json`."""
        facts = [piece.packed.facts for piece in self.kept]
        counts: Counter[str] = Counter()
        for file in self.files:
            counts.update(file.counts)
        return {
            "folder": shown(self.folder),
            "written": self.written,
            "settings": asdict(self.config),
            "totals": {
                "files": len(self.files),
                "kept_files": sum(file.reason is None for file in self.files),
                "pieces": len(self.kept),
                "skipped": sum(1 for _ in self.skipped()),
                "different_tunes": len({piece.family for piece in self.kept}),
                "notes": sum(one.notes for one in facts),
                "beats": round(sum(one.beats for one in facts), 3),
                "seconds": round(sum(one.seconds for one in facts), 3),
                "onsets": sum(one.onsets for one in facts),
                "chords": sum(one.chords for one in facts),
                "lowest": min((one.lowest for one in facts), default=None),
                "highest": max((one.highest for one in facts), default=None),
                "other_files": sum(self.found.others.values()),
                "resource_forks": self.found.resource_forks,
            },
            "typical": {"qpm": self.qpm, "program": self.program},
            "notes_a_piece": _spread([one.notes for one in facts]),
            "meters": dict(Counter(meter for one in facts for meter in one.meters).most_common()),
            "reasons": dict(Counter(reason for _, reason, _ in self.skipped()).most_common()),
            "counts": dict(counts.most_common()),
            "files_with_counts": dict(Counter(name for file in self.files for name in file.counts).most_common()),
            "related": [{"kind": kind, "pieces": list(labels)} for kind, labels in self.related],
            "other_files": {shown(suffix): count for suffix, count in self.found.others.most_common()},
            "unreadable_folders": [shown(path) for path in self.found.unreadable],
            "files": [_file_json(file) for file in self.files],
        }

    def table(self) -> str:
        """Return what people want to know of it, 80 columns wide."""
        return scan_table.table(self.to_json())


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
    store = Cache(cache)
    readings = _read_all(found.files, config, store, progress=progress)
    names = [shown(path.relative_to(folder)) for path in found.files]
    files = tuple(
        _scanned(name, sha256, reading, config) for name, (sha256, reading) in zip(names, readings, strict=True)
    )
    files, related = _without_duplicates(files, store)
    result = Scan(folder, config, found, files, related, written, cache)
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


def _read_all(
    paths: Sequence[Path], config: CorpusConfig, store: Cache, *, progress: bool
) -> list[tuple[str | None, PackedReading]]:
    """Return the hash and the reading of each file, from the cache or from workers."""
    most = int(config.reading.max_megabytes * 1_000_000) + 1
    hashes = [_sha256(path, most) for path in paths]
    settings = key("reading settings", asdict(config.reading))
    # The name belongs to the key because it names the piece and its suffix chooses the format.
    origins = [(digest, path.name, settings) for digest, path in zip(hashes, paths, strict=True)]
    keys = [key("reading", *origin) for origin in origins]
    # A failure may be the machine's, not the file's: it is tried again on another day.
    failure_keys = [key("failure", today(), *origin) for origin in origins]
    stored = store.get([*keys, *failure_keys])
    readings: dict[int, PackedReading] = {}
    pending = []
    for index, names in enumerate(zip(keys, failure_keys, strict=True)):
        data = stored.get(names[0]) or stored.get(names[1])
        if data is None or hashes[index] is None:
            pending.append(index)
        else:
            readings[index] = PackedReading.from_bytes(data)
    fresh: dict[str, bytes] = {}
    try:
        for index, outcome in _read_fresh(paths, pending, config, progress=progress):
            if isinstance(outcome, Failure):
                readings[index] = PackedReading((), outcome.reason, outcome.detail, {}, None)
                name, data = failure_keys[index], readings[index].to_bytes()
            else:
                readings[index] = PackedReading.from_bytes(outcome)
                name, data = keys[index], outcome
            if hashes[index] is not None:
                fresh[name] = data
            if len(fresh) >= _BATCH:
                store.put(fresh)
                fresh.clear()
    finally:
        store.put(fresh)
    return [(digest, readings[index]) for index, digest in enumerate(hashes)]


def _read_fresh(
    paths: Sequence[Path], pending: Sequence[int], config: CorpusConfig, *, progress: bool
) -> Iterator[tuple[int, bytes | Failure]]:
    """Read the pending files in workers and yield (index, packed reading or failure) as they come."""
    if not pending:
        return
    from tqdm import tqdm  # not needed where everything is cached

    # The longest first, or one may be all that the last worker still does.
    ordered = sorted(pending, key=lambda index: (-_size(paths[index]), index))
    work = {str(paths[index]): index for index in ordered}
    outcomes = bounded_map(
        partial(_read_packed, config=config.reading),
        work,
        workers=min(config.workers or usable_cores(), -(-len(work) // _FILES_A_WORKER)),
        max_seconds=config.reading.max_seconds,
        max_memory_megabytes=config.reading.max_memory_megabytes,
    )
    with (
        closing(outcomes),
        tqdm(total=len(work), desc="Reading", unit="file", leave=False, disable=None if progress else True) as bar,
    ):
        for path, outcome in outcomes:
            bar.update()
            yield work[path], outcome


def _read_packed(path: str, config: ReadingConfig) -> bytes:
    return PackedReading.pack(read(Path(path), config)).to_bytes()


def _sha256(path: Path, most: int) -> str | None:
    """Hash a regular file of at most `most` bytes; None for anything else, which the reader will name."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError:
        return None
    return hashlib.sha256(data).hexdigest() if len(data) <= most else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _scanned(name: str, sha256: str | None, reading: PackedReading, config: CorpusConfig) -> ScannedFile:
    pieces = []
    for number, packed in enumerate(reading.pieces, 1):
        label = name if len(reading.pieces) == 1 else f"{name}: {shown(packed.name) or number}"
        too_few = packed.facts.notes < config.min_notes
        detail = f"{_plural(packed.facts.notes, 'note')}, at least {config.min_notes} are needed" if too_few else ""
        pieces.append(ScannedPiece(label, packed, TOO_FEW_NOTES if too_few else None, detail))
    return _judged(
        ScannedFile(name, sha256, reading.reason, reading.detail, reading.counts, reading.track, ()), pieces
    )


def _judged(file: ScannedFile, pieces: Sequence[ScannedPiece]) -> ScannedFile:
    """Return the file with these pieces; where none is kept, the file takes the first one's reason."""
    reason, detail = file.reason, file.detail
    if pieces:
        kept = any(piece.reason is None for piece in pieces)
        reason, detail = (None, "") if kept else (pieces[0].reason, pieces[0].detail)
    return replace(file, reason=reason, detail=detail, pieces=tuple(pieces))


def _without_duplicates(
    files: tuple[ScannedFile, ...], store: Cache
) -> tuple[tuple[ScannedFile, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Mark exact duplicates, give every piece its family, and return the groups of related pieces."""
    pieces = [piece for file in files for piece in file.pieces if piece.reason is None]
    kinship = _kinship([piece.packed for piece in pieces], store)
    groups = families.members(kinship.family)
    # The smallest key of its members names a family: newcomers seldom change it.
    keys = {root: min(families.family_key(pieces[i].packed.tuned) for i in group) for root, group in groups.items()}
    judged: dict[int, ScannedPiece] = {}
    for index, piece in enumerate(pieces):
        copy = kinship.copy_of[index]
        reason, detail = (None, "") if copy is None else (DUPLICATE, f"the same notes as {pieces[copy].label}")
        judged[id(piece)] = replace(piece, reason=reason, detail=detail, family=keys[kinship.family[index]])
    related = tuple(
        (kind, tuple(pieces[i].label for i in groups[root] if kinship.copy_of[i] is None))
        for root, kind in sorted(kinship.kind.items())
    )
    renewed = tuple(_judged(file, [judged.get(id(piece), piece) for piece in file.pieces]) for file in files)
    return renewed, related


def _kinship(pieces: Sequence[PackedPiece], store: Cache) -> families.Kinship:
    name = key("kinship", [piece.digest for piece in pieces])
    stored = store.get([name]).get(name)
    if stored is not None:
        return families.Kinship.from_json(json.loads(stored))
    result = families.kinship([piece.tuned for piece in pieces])
    store.put({name: json.dumps(result.to_json()).encode()})
    return result


def tokenize(scan: Scan, config: CorpusConfig, tokenizer: Tokenizer) -> tuple[Splits, Counter[str]]:
    """Encode a scan's pieces and split them by family; also return what the tokenizer changed or lost, counted.

    Training rows carry the transpositions that keep every pitch of theirs on the 88 keys; the other sides none.
    Raises InputError where a side is left without a row.
    """
    encoded = _encode_all(scan, tokenizer)
    side = families.sides(
        [piece.family for piece in scan.kept],
        validation_share=config.validation_share,
        test_share=config.test_share,
    )
    counts: Counter[str] = Counter()
    rows: dict[str, list[npt.NDArray[np.int32]]] = {families.TRAIN: [], families.VALIDATION: [], families.TEST: []}
    units: dict[str, list[int]] = {name: [] for name in rows}
    sources: dict[str, list[int]] = {name: [] for name in rows}
    for number, (piece, (some_rows, some_units, some_counts)) in enumerate(zip(scan.kept, encoded, strict=True)):
        rows[side[piece.family]].extend(some_rows)
        units[side[piece.family]].extend(some_units)
        sources[side[piece.family]].extend([number] * len(some_rows))
        counts.update(some_counts)
    for name, some in rows.items():
        if not some:
            raise InputError(
                f"{shown(scan.folder)}: nothing is left for the {name} set, as tokenizer '{tokenizer.name}'"
                " makes no row of its pieces. Add longer or more pieces, or change the tokenizer's options."
            )
    semitones = [0, *range(-1, -config.transpose_down - 1, -1), *range(1, config.transpose_up + 1)]
    shifts = tokenizer.shifts(semitones)
    identity = np.arange(len(tokenizer.vocabulary), dtype=np.int32)

    def token_set(name: str) -> TokenSet:
        table = shifts if name == families.TRAIN else identity[None]
        return TokenSet.from_rows(
            rows[name],
            vocabulary_size=len(tokenizer.vocabulary),
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            units=units[name],
            unit_name=tokenizer.unit_name,
            shifts=np.where(table < 0, identity, table).astype(np.int32),
            shift_allowed=_allowed(rows[name], table),
            sources=sources[name],
            effects=tokenizer.effects(),
        )

    return Splits(*map(token_set, (families.TRAIN, families.VALIDATION, families.TEST))), counts


def labels(scan_json: Path) -> list[str]:
    """Return the labels of the kept pieces that a run's `scan.json` tells, by number; none where it is damaged."""
    try:
        files = json.loads(scan_json.read_bytes())["files"]
        kept = [piece for file in files for piece in file["pieces"] if piece["status"] == "kept"]
        return [str(piece["name"]) for piece in kept]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []  # names are for people alone


def pieces(tokens: TokenSet, tokenizer: Tokenizer, names: Sequence[str] = ()) -> list[Piece]:
    """Return the music of a token set, each piece under its source's label in `names`.

    Rows are joined again to the piece that they are parts of, a row of rests that the tokenizer left out missing.
    Where the set does not know its sources, each row is a piece without a name.
    """
    rows = [tokens.row(index) for index in range(len(tokens))]
    if tokens.sources is None:
        return [tokenizer.decode(row.tolist()).piece for row in rows]
    hop = getattr(tokenizer.options, "hop", 0) or None
    found: list[Piece] = []
    for source, group in groupby(zip(tokens.sources.tolist(), rows, strict=True), key=itemgetter(0)):
        parts = [row for _, row in group]
        ids = np.concatenate([*(row[:hop] for row in parts[:-1]), parts[-1]])
        found.append(
            replace(tokenizer.decode(ids.tolist()).piece, name=names[source] if source < len(names) else "")
        )
    return found


def _allowed(rows: Sequence[npt.NDArray[np.int32]], shifts: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return (N, K): no id of the row leaves the keys (-1) under the shift."""
    lengths = np.array([len(row) for row in rows])
    flat, starts = np.concatenate(rows), np.cumsum(lengths) - lengths
    allowed = np.ones((len(rows), len(shifts)), dtype=np.bool_)
    for k, leaves in enumerate(shifts < 0):
        if leaves.any():
            allowed[lengths > 0, k] = ~np.logical_or.reduceat(leaves[flat], starts[lengths > 0])
    return allowed


Encoded = tuple[list[npt.NDArray[np.int32]], list[int], dict[str, int]]


def _encode_all(scan: Scan, tokenizer: Tokenizer) -> list[Encoded]:
    """Return rows, units and counts of each kept piece, from the cache or from the tokenizer."""
    store = Cache(scan.cache)
    vocabulary = hashlib.sha256("\n".join(tokenizer.vocabulary).encode()).hexdigest()
    settings = key("tokenizer", tokenizer.name, asdict(tokenizer.options), vocabulary)
    keys = [key("rows", piece.packed.digest, settings) for piece in scan.kept]
    stored = store.get(keys)
    fresh: dict[str, bytes] = {}
    encoded: list[Encoded] = []
    for name, piece in zip(keys, scan.kept, strict=True):
        data = stored.get(name)
        if data is None:
            music = piece.packed.unpack()
            rows = tokenizer.encode(music)
            header = [
                [len(row) for row in rows],
                [tokenizer.units(row) for row in rows],
                dict(tokenizer.normalise(music)[1]),
            ]
            ids = np.array([token for row in rows for token in row], dtype="<i4")
            data = fresh[name] = json.dumps(header).encode() + b"\n" + ids.tobytes()
        line, _, body = data.partition(b"\n")
        lengths, units, counts = json.loads(line)
        ids = np.frombuffer(body, dtype="<i4").astype(np.int32, copy=False)
        encoded.append((np.split(ids, np.cumsum(lengths)[:-1]) if lengths else [], units, counts))
    store.put(fresh)
    return encoded


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


def _spread(values: Sequence[int]) -> dict[str, float] | None:
    return {"median": median(values), "least": min(values), "most": max(values)} if values else None


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
