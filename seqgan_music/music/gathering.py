"""Files of a folder -> what was read from each, in a spool: from the cache by content, or by worker processes.

Memory grows by some 200 bytes a file, names included. What was read is cached every few hundred files, so that a
scan that is killed goes on near where it was.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from array import array
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from seqgan_music import documents
from seqgan_music.config import CorpusConfig, ReadingConfig
from seqgan_music.machine import usable_cores
from seqgan_music.music.cache import Cache, key, today
from seqgan_music.music.packing import PackedReading
from seqgan_music.music.reading import read
from seqgan_music.music.spool import Spool
from seqgan_music.music.workers import Failure, bounded_map

_FILES_A_WORKER = 12  # a worker takes as long to start as to read about so many tunes
_BATCH = 200  # results written to the cache at a time, so that an interrupted scan loses little
_LOOKED_UP = 2000  # files whose readings are looked up in the cache together


@dataclass(frozen=True)
class Gathered:
    """Readings of N files by number, packed, and the hashes of their contents.

    hashes: (N, 32) SHA-256 of the very bytes that a reading came of
    whole:  (N,) whether it is known: that of a regular file within its bounds, which was not changing
    """

    readings: Spool  # compressed
    hashes: npt.NDArray[np.uint8]
    whole: npt.NDArray[np.bool_]

    def __getitem__(self, number: int) -> PackedReading:
        """Return what was read from a file."""
        return PackedReading.from_bytes(zlib.decompress(self.readings[number]))

    def sha256(self, number: int) -> str | None:
        """Return the hash of a file's content; None where it was not read whole."""
        return self.hashes[number].tobytes().hex() if self.whole[number] else None


class _Origin:
    """The cache's keys of a file's reading, by what it depends on."""

    def __init__(self, names: Sequence[str], config: ReadingConfig) -> None:
        self._names = names
        self._settings = key("reading settings", asdict(config))

    def of(self, number: int, digest: str) -> tuple[str, str]:
        """Return the key of a reading and that of a failure."""
        # The name belongs to the key because it names the piece and its suffix chooses the format.
        origin = (digest, os.path.basename(self._names[number]), self._settings)
        # A failure may be the machine's, not the file's: it is tried again on another day.
        return key("reading", *origin), key("failure", today(), *origin)


def gather(
    folder: Path, names: Sequence[str], config: CorpusConfig, store: Cache, *, progress: bool = False
) -> Gathered:
    """Read the files of a folder. `progress` shows a bar on stderr where that is a terminal."""
    found = Gathered(
        Spool(len(names), store.folder),
        np.zeros((len(names), 32), dtype=np.uint8),
        np.zeros(len(names), dtype=np.bool_),
    )
    origin = _Origin(names, config.reading)
    with tqdm(
        total=len(names), desc="Reading", unit="file", leave=False, disable=None if progress else True
    ) as bar:
        pending = _known(folder, names, config, store, origin, found, bar)
        if len(pending):
            _read_fresh(folder, names, pending, config, store, origin, found, bar)
    return found


def _known(
    folder: Path,
    names: Sequence[str],
    config: CorpusConfig,
    store: Cache,
    origin: _Origin,
    found: Gathered,
    bar: tqdm[None],
) -> npt.NDArray[np.int64]:
    """Hash every file and take what the cache has; return the others, the longest first."""
    most = _most_bytes(config)
    sizes = np.zeros(len(names), dtype=np.int64)
    pending = array("q")
    for start in range(0, len(names), _LOOKED_UP):
        keys: dict[int, tuple[str, str]] = {}
        numbers = range(start, min(start + _LOOKED_UP, len(names)))
        for number in numbers:
            digest, sizes[number] = _hashed(os.path.join(folder, names[number]), most)
            if digest is not None:
                found.hashes[number] = np.frombuffer(digest, dtype=np.uint8)
                found.whole[number] = True
                keys[number] = origin.of(number, digest.hex())
        stored = store.get([name for pair in keys.values() for name in pair])
        for number in numbers:
            reading, failure = keys.get(number, ("", ""))
            data = stored.get(reading) or stored.get(failure)
            if data is None:
                pending.append(number)
            else:
                found.readings.put(number, data)
                bar.update()
    # The longest first, or one may be all that the last worker still does.
    left = np.array(pending, dtype=np.int64)
    return left[np.argsort(-sizes[left], kind="stable")]


def _read_fresh(
    folder: Path,
    names: Sequence[str],
    pending: npt.NDArray[np.int64],
    config: CorpusConfig,
    store: Cache,
    origin: _Origin,
    found: Gathered,
    bar: tqdm[None],
) -> None:
    """Read files in workers, and keep what comes of them as it comes."""
    most = _most_bytes(config)
    outcomes = bounded_map(
        partial(_read_packed, config=config.reading),
        ((number, os.path.join(folder, names[number])) for number in map(int, pending)),
        workers=min(config.workers or usable_cores(), -(-len(pending) // _FILES_A_WORKER)),
        max_seconds=config.reading.max_seconds,
        max_memory_megabytes=config.reading.max_memory_megabytes,
    )
    with store.filling(_BATCH) as keep, closing(outcomes):
        for (number, _), outcome in outcomes:
            if isinstance(outcome, Failure):
                # The worker died with what it had read: the hash of before counts where it is still true.
                data, digest = _failure(outcome), _hashed(os.path.join(folder, names[number]), most)[0]
                if digest != found.hashes[number].tobytes():
                    digest = None
            else:
                data, digest = outcome
            found.readings.put(number, data)
            found.whole[number] = digest is not None
            if digest is not None:
                # Perhaps not what was looked up: a file may change between being hashed and being read.
                found.hashes[number] = np.frombuffer(digest, dtype=np.uint8)
                keep(origin.of(number, digest.hex())[isinstance(outcome, Failure)], data)
            bar.update()


def _failure(outcome: Failure) -> bytes:
    return _compressed(PackedReading((), outcome.reason, outcome.detail, {}, None))


def _read_packed(item: tuple[int, str], config: ReadingConfig) -> tuple[bytes, bytes | None]:
    """Return what was read, and the hash of the bytes that it was read from."""
    reading = read(Path(item[1]), config)
    digest = None if reading.sha256 is None else bytes.fromhex(reading.sha256)
    return _compressed(PackedReading.pack(reading)), digest


def _compressed(reading: PackedReading) -> bytes:
    return zlib.compress(reading.to_bytes(), 1)


def _most_bytes(config: CorpusConfig) -> int:
    return int(config.reading.max_megabytes * 1_000_000)


def _hashed(path: str, most: int) -> tuple[bytes | None, int]:
    """Hash a regular file of at most `most` bytes, and return its size; None for what the reader will name."""
    try:
        with documents.opened(Path(path)) as file:
            status = os.fstat(file.fileno())
            data = file.read(min(status.st_size, most) + 1)
    except OSError:
        return None, 0
    whole = len(data) <= min(status.st_size, most)  # or it grows, and is what the reader will find
    return (hashlib.sha256(data).digest() if whole else None), status.st_size
