"""Keep what was costly to find out, between runs: bytes by key in one SQLite file of the user's cache folder.

Values are kept as they are: whoever makes them compresses them, so that it is done once, and in a worker.
A cache never gets in the way: a damaged one is thrown away, one that cannot be read or written is done without.
Keys hold the hash of the code that made the value, so that no one has to remember to raise a version number.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

USER_CACHE: Final = Path("user cache")
"""Stands for the folder that `user_folder` finds when it is used."""

_FILE = "music-2.sqlite"
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)  # SQLite quotes damaged bytes in its message
KEEP_DAYS = 90
_DIGEST = 16
_SCHEMA = "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, day INTEGER NOT NULL, value BLOB NOT NULL)"
_INDEX = "CREATE INDEX IF NOT EXISTS entry_day ON entry (day)"  # or sweeping a large cache reads all of it


def user_folder() -> Path | None:
    """Return $SEQGAN_MUSIC_CACHE (empty: None, no cache), else seqgan-music in $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("SEQGAN_MUSIC_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home folder
        return None
    return Path(base) / "seqgan-music"


def key(kind: str, *parts: Any) -> str:
    """Return the key of a value: what it is, whatever JSON can say of its origin, and the code that makes it."""
    text = json.dumps([kind, _code(), *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def today() -> int:
    """Return the number of days since 1970."""
    return int(time.time() // 86400)


@cache
def _code() -> str:
    folder = Path(__file__).parent
    sources = sorted(path for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


class Cache:
    """Values by key. `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = user_folder() if folder is USER_CACHE else folder
        self.path = self.folder / _FILE if self.folder else None

        self._swept = 0  # the day

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that are there."""
        found: dict[str, bytes] = {}
        day_now = today()
        with self._transaction(write=False) as database:
            if database is None:
                return found
            stale = False
            for start in range(0, len(keys), 500):
                some = dict.fromkeys(keys[start : start + 500])
                marks = ",".join("?" * len(some))
                for name, day, value in database.execute(
                    f"SELECT key, day, value FROM entry WHERE key IN ({marks})", list(some)
                ):
                    if name not in some:  # damage that SQLite did not notice
                        continue
                    if (opened := _opened(name, value)) is not None:
                        found[name] = opened
                    stale = stale or not isinstance(day, int) or day < day_now - KEEP_DAYS // 4
        if stale:
            self._touch(list(found), day_now)
        return found

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values, all or none; forget those that were not used for three months."""
        if not values:
            return
        day_now = today()
        with self._transaction(write=True) as database:
            if database is not None:
                database.executemany(
                    "INSERT OR REPLACE INTO entry VALUES (?, ?, ?)",
                    [(name, day_now, _sealed(name, value)) for name, value in values.items()],
                )
                if self._swept != day_now:
                    database.execute("DELETE FROM entry WHERE day < ?", (day_now - KEEP_DAYS,))
                    self._swept = day_now

    @contextlib.contextmanager
    def filling(self, every: int) -> Iterator[Callable[[str, bytes], None]]:
        """Give a function that keeps one value: `every` so many they are written, and the rest however it ends."""
        fresh: dict[str, bytes] = {}

        def keep(name: str, value: bytes) -> None:
            fresh[name] = value
            if len(fresh) >= every:
                self.put(fresh)
                fresh.clear()

        try:
            yield keep
        finally:
            self.put(fresh)

    def _touch(self, keys: list[str], day: int) -> None:
        with self._transaction(write=True) as database:
            if database is not None:
                database.executemany("UPDATE entry SET day = ? WHERE key = ?", [(day, name) for name in keys])

    @contextlib.contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sqlite3.Connection | None]:
        """Give a connection, or None where there is none to have; swallow every failure of the database."""
        connection = self._connect(write=write)
        try:
            yield connection
            if connection is not None:
                connection.commit()
        except sqlite3.OperationalError:  # locked, read-only, no space: do without
            pass
        except _DAMAGE:
            self._throw_away()
        finally:
            if connection is not None:
                connection.close()

    def _connect(self, *, write: bool) -> sqlite3.Connection | None:
        if self.path is None or not (write or self.path.is_file()):
            return None
        connection = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=5)
            connection.execute(_SCHEMA)
            connection.execute(_INDEX)
            return connection
        except (OSError, sqlite3.Error, *_DAMAGE) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, _DAMAGE) and not isinstance(error, sqlite3.OperationalError):
                self._throw_away()
            return None

    def _throw_away(self) -> None:
        if self.path is not None:
            for path in (self.path, self.path.with_name(f"{_FILE}-journal")):
                with contextlib.suppress(OSError):
                    path.unlink()


def _sealed(name: str, value: bytes) -> bytes:
    """A value as it is kept: after a digest of it and its key."""
    return _digest(name, value) + value


def _opened(name: str, kept: object) -> bytes | None:
    """Undo `_sealed`; None where it is not what was kept: damage that SQLite did not notice."""
    if not isinstance(kept, bytes) or kept[:_DIGEST] != _digest(name, kept[_DIGEST:]):
        return None
    return kept[_DIGEST:]


def _digest(name: str, data: bytes) -> bytes:
    return hashlib.blake2b(name.encode() + data, digest_size=_DIGEST).digest()
