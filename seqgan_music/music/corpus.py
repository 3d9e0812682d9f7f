"""A folder's music as the token sets that train, choose and report: split by family, encoded, cached.

What is encoded goes from worker processes to files in the order of the pieces, and is read there by memory map:
memory grows by some 100 bytes a sequence, whatever its length.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from seqgan_music import arrays
from seqgan_music.config import CorpusConfig
from seqgan_music.errors import ConfigError, InputError
from seqgan_music.machine import usable_cores
from seqgan_music.music import families, note_tables, tokenizers
from seqgan_music.music.cache import Cache, key
from seqgan_music.music.finding import shown
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.notes import Piece
from seqgan_music.music.packing import PackedPiece, PackedReading
from seqgan_music.music.scan_files import labels
from seqgan_music.music.scanning import DUPLICATE, TOO_FEW_NOTES, Scan, ScannedFile, ScannedPiece, scan
from seqgan_music.music.spool import Column, Spool
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.music.workers import Failure, bounded_map
from seqgan_music.tokenset import Splits, TokenSet

__all__ = [
    "DUPLICATE",
    "TOO_FEW_NOTES",
    "Scan",
    "ScannedFile",
    "ScannedPiece",
    "each_piece",
    "each_table",
    "labels",
    "piece_names",
    "pieces",
    "scan",
    "tokenize",
]

_PIECES_A_WORKER = 1000  # a worker takes as long to start as to encode about so many tunes
_BATCH = 1000  # results read from the cache or written to it at a time
_ROWS, _CELLS = 4096, 400_000  # the most pieces, and ids of them with their padding, that are decoded together
_MAX_SECONDS, _MAX_MEMORY_MEGABYTES = 60.0, 2048  # for encoding one piece in a worker; past them it is done here


def tokenize(
    scan: Scan, config: CorpusConfig, tokenizer: Tokenizer, *, progress: bool = False
) -> tuple[Splits, Counter[str]]:
    """Encode a scan's pieces and split them by family; also return what the tokenizer changed or lost, counted.

    Training rows carry the transpositions that keep every pitch of theirs on the 88 keys; the other sides none.
    Raises InputError where a side is left without a row.
    """
    side_of = families.sides(
        scan.family_names, validation_share=config.validation_share, test_share=config.test_share
    )
    semitones = [0, *range(-1, -config.transpose_down - 1, -1), *range(1, config.transpose_up + 1)]
    shifts = tokenizer.shifts(semitones)
    folder = Cache(scan.cache).folder
    sides = [
        _Side(tokenizer, shifts if side == families.TRAIN else _identity(tokenizer), folder)
        for side in range(len(families.SIDES))
    ]
    counts: Counter[str] = Counter()
    for number, data in enumerate(_encoded(scan, config, tokenizer, progress=progress)):
        sides[side_of[number]].add(number, data, counts)
    for name, side in zip(families.SIDES, sides, strict=True):
        if not side.units:
            raise InputError(
                f"{shown(scan.folder)}: nothing is left for the {name} set, as tokenizer '{tokenizer.name}'"
                " makes no row of its pieces. Add longer or more pieces, or change the tokenizer's options."
            )
    return Splits(*(side.token_set() for side in sides)), counts


def pieces(tokens: TokenSet, tokenizer: Tokenizer, names: Sequence[str] = ()) -> list[Piece]:
    """Return the music of a token set, each piece under its source's label in `names`.

    Rows are joined again to the piece that they are parts of, a row of rests that the tokenizer left out missing.
    Where the set does not know its sources, each row is a piece without a name.
    """
    return list(each_piece(tokens, tokenizer, names))


def each_piece(tokens: TokenSet, tokenizer: Tokenizer, names: Sequence[str] = ()) -> Iterator[Piece]:
    """Yield what `pieces` returns: of a large set all would not fit in memory."""
    if tokens.sources is None:
        for index in range(len(tokens)):
            yield tokenizer.decode(tokens.row(index).tolist()).piece
        return
    hop = getattr(tokenizer.options, "hop", 0) or None
    for source, group in groupby(enumerate(tokens.sources.tolist()), key=itemgetter(1)):
        parts = [tokens.row(index) for index, _ in group]
        ids = np.concatenate([*(row[:hop] for row in parts[:-1]), parts[-1]])
        yield replace(tokenizer.decode(ids.tolist()).piece, name=names[source] if source < len(names) else "")


def each_table(tokens: TokenSet, tokenizer: Tokenizer) -> Iterator[NoteTable]:
    """Yield the notes of what `each_piece` does, many pieces at a time: several times faster."""
    in_rows = tokens.sources is not None and len(np.unique(tokens.sources)) < len(tokens)
    if tokenizer.end_id is None or in_rows:
        for piece in each_piece(tokens, tokenizer):
            yield note_tables.of_pieces([piece])
        return
    lengths, start = tokens.lengths, 0
    while start < len(tokens):
        widest = np.maximum.accumulate(lengths[start : start + _ROWS])
        count = max(1, int(np.searchsorted(widest * np.arange(1, len(widest) + 1), _CELLS, side="right")))
        ids = np.full((count, int(widest[count - 1])), tokenizer.end_id, dtype=np.int64)
        for row, index in zip(ids, range(start, start + count), strict=True):
            row[: lengths[index]] = tokens.row(index)
        yield note_tables.of_ids(tokenizer, ids)
        arrays.let_go(tokens.ids)
        start += count


def piece_names(tokens: TokenSet, names: Sequence[str]) -> list[str]:
    """Return the labels of the pieces that `each_piece` yields; "" for one without."""
    if tokens.sources is None:
        return [""] * len(tokens)
    return [names[source] if source < len(names) else "" for source, _ in groupby(tokens.sources.tolist())]


def _identity(tokenizer: Tokenizer) -> npt.NDArray[np.int32]:
    return np.arange(len(tokenizer.vocabulary), dtype=np.int32)[None]


class _Side:
    """One set while it grows, row by row."""

    def __init__(self, tokenizer: Tokenizer, table: npt.NDArray[np.int32], folder: Path | None) -> None:
        """`table` (K, V) says where each shift puts each id, -1 where it leaves the keys."""
        self._tokenizer, self._table = tokenizer, table
        self._leaves = table < 0
        small = len(tokenizer.vocabulary) < 2**15
        self._ids = Column(np.int16 if small else np.int32, folder)
        self._offsets, self.units, self._sources = array("q", [0]), array("q"), array("q")
        self._allowed = bytearray()

    def add(self, number: int, data: bytes, counts: Counter[str]) -> None:
        """Add the rows of piece `number`."""
        lengths, units, some_counts, ids = _unpacked(data)
        counts.update(some_counts)
        self._ids.extend(ids)
        self.units.extend(units)
        self._sources.extend([number] * len(lengths))
        outside = self._leaves[:, ids]  # (K, tokens)
        start = 0
        for length in lengths:
            self._allowed += (~outside[:, start : start + length].any(1)).tobytes()
            start += length
            self._offsets.append(self._offsets[-1] + length)

    def token_set(self) -> TokenSet:
        """Return it."""
        identity = _identity(self._tokenizer)
        return TokenSet(
            ids=self._ids.mapped(),
            offsets=np.frombuffer(self._offsets, dtype=np.int64),
            vocabulary_size=len(self._tokenizer.vocabulary),
            start_id=self._tokenizer.start_id,
            end_id=self._tokenizer.end_id,
            units=np.frombuffer(self.units, dtype=np.int64),
            unit_name=self._tokenizer.unit_name,
            shifts=np.where(self._leaves, identity, self._table).astype(np.int32),
            shift_allowed=np.frombuffer(self._allowed, dtype=np.bool_).reshape(-1, len(self._table)),
            sources=np.frombuffer(self._sources, dtype=np.int64),
            effects=self._tokenizer.effects(),
        )


def _encoded(scan: Scan, config: CorpusConfig, tokenizer: Tokenizer, *, progress: bool) -> Iterator[bytes]:
    """Yield what the tokenizer makes of each kept piece, from the cache or anew, in their order."""
    store = Cache(scan.cache)
    vocabulary = hashlib.sha256("\n".join(tokenizer.vocabulary).encode()).hexdigest()
    settings = key("tokenizer", tokenizer.name, asdict(tokenizer.options), vocabulary)
    digests = scan.digests
    made = Spool(len(digests), store.folder)

    def name_of(number: int) -> str:
        return key("rows", digests[number].tobytes().hex(), settings)

    pending = array("q")
    for start in range(0, len(digests), _BATCH):
        numbers = range(start, min(start + _BATCH, len(digests)))
        names = {number: name_of(number) for number in numbers}
        stored = store.get(list(names.values()))
        for number, name in names.items():
            if name in stored:
                made.put(number, stored[name])
            else:
                pending.append(number)
    bar = tqdm(total=len(pending), desc="Tokens", unit="piece", leave=False, disable=None if progress else True)
    outcomes = _encode_all(scan, config, tokenizer, pending)
    with store.filling(_BATCH) as keep, closing(outcomes), bar:
        for number, data in outcomes:
            made.put(number, data)
            keep(name_of(number), data)
            bar.update()
    for number in range(len(made)):
        yield made[number]


def _encode_all(
    scan: Scan, config: CorpusConfig, tokenizer: Tokenizer, pending: Sequence[int]
) -> Generator[tuple[int, bytes], None, None]:
    """Yield (number, encoded) of pieces, in any order: where they are many from workers."""
    workers = min(config.workers or usable_cores(), len(pending) // _PIECES_A_WORKER)
    encoder = _Encoder.of(tokenizer, config.reading.ticks_per_beat) if workers > 1 else None
    if encoder is None:
        for number in pending:
            yield number, _packed(tokenizer, scan.pieces[number])
        return
    outcomes = bounded_map(
        encoder,
        ((number, _bytes(scan.kept[number].packed)) for number in pending),
        workers=workers,
        max_seconds=_MAX_SECONDS,
        max_memory_megabytes=_MAX_MEMORY_MEGABYTES,
    )
    with closing(outcomes):
        for (number, _), outcome in outcomes:
            yield number, _packed(tokenizer, scan.pieces[number]) if isinstance(outcome, Failure) else outcome


@dataclass
class _Encoder:
    """Encodes pieces in a worker, which makes its tokenizer once."""

    name: str
    options: Mapping[str, Any]
    ticks_per_beat: int
    _tokenizer: Tokenizer | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer, ticks_per_beat: int) -> _Encoder | None:
        """Return one; None for a tokenizer that name and options do not make again."""
        options = asdict(tokenizer.options)
        try:
            again = tokenizers.create(tokenizer.name, options, ticks_per_beat)
        except ConfigError:
            return None
        same = list(again.vocabulary) == list(tokenizer.vocabulary)
        return cls(tokenizer.name, options, ticks_per_beat) if same else None

    def __call__(self, item: tuple[int, bytes]) -> bytes:
        """Encode the piece in the bytes."""
        if self._tokenizer is None:
            self._tokenizer = tokenizers.create(self.name, self.options, self.ticks_per_beat)
        (packed,) = PackedReading.from_bytes(item[1]).pieces
        return _packed(self._tokenizer, packed.unpack())


def _bytes(packed: PackedPiece) -> bytes:
    return PackedReading((packed,), None, "", {}, None).to_bytes()


def _packed(tokenizer: Tokenizer, music: Piece) -> bytes:
    """Return a piece's rows, their units, and what was changed: a line of JSON, then all ids; compressed."""
    rows = tokenizer.encode(music)
    header = [
        [len(row) for row in rows],
        [tokenizer.units(row) for row in rows],
        dict(tokenizer.normalise(music)[1]),
    ]
    ids = np.array([token for row in rows for token in row], dtype="<i4")
    return zlib.compress(json.dumps(header).encode() + b"\n" + ids.tobytes(), 1)


def _unpacked(data: bytes) -> tuple[list[int], list[int], dict[str, int], npt.NDArray[np.int32]]:
    """Undo `_packed`: lengths, units, counts, ids."""
    line, _, body = zlib.decompress(data).partition(b"\n")
    lengths, units, counts = json.loads(line)
    return lengths, units, counts, np.frombuffer(body, dtype="<i4").astype(np.int32, copy=False)
