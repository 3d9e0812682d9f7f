"""Find the music files of a folder: every level, any case of suffix, no loop followed twice, in a fixed order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from seqgan_music.errors import InputError


@dataclass
class Found:
    """What a folder holds.

    `files` are the music files by their names inside it, sorted; `others` counts files of other kinds by lower-case
    suffix; `resource_forks` counts what macOS leaves in archives (`._name`, `__MACOSX`); `unreadable` are folders
    that could not be listed.
    """

    files: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    resource_forks: int = 0
    unreadable: list[Path] = field(default_factory=list)


def find(folder: Path, suffixes: Collection[str]) -> Found:
    """Return the files below `folder` whose suffix, in any case, is one of `suffixes` (".mid", ...).

    Symbolic links are followed; a folder that was already seen is not entered again.
    Raises InputError where `folder` is missing, a file, or cannot be listed.
    """
    if not folder.exists():
        raise InputError(f"There is no folder {shown(folder)}.")
    if not folder.is_dir():
        raise InputError(f"{shown(folder)} is a file: give the folder that holds the music.")
    found = Found()
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    while pending:
        place = pending.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if place is folder:
                raise InputError(f"Cannot list the folder {shown(folder)}: {error.strerror}.") from None
            found.unreadable.append(place)
            continue
        for entry in entries:
            _place(entry, suffixes, found, pending)
    # Of "." the files come as "./tune.mid", those of its folders as "folder/tune.mid".
    found.files = [path.removeprefix(os.path.join(folder, "")) for path in found.files]
    found.files.sort(key=os.fsencode)
    return found


def _place(entry: os.DirEntry[str], suffixes: Collection[str], found: Found, pending: list[Path]) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link to itself: the reader says what is wrong with it
        is_folder = False
    if is_folder:
        if entry.name == "__MACOSX":
            found.resource_forks += 1
        else:
            pending.append(Path(entry.path))
    elif entry.name.startswith("._"):
        found.resource_forks += 1
    elif suffix in suffixes:
        found.files.append(entry.path)
    else:
        found.others[suffix or "no suffix"] += 1


def shown(path: Path | str) -> str:
    r"""Return a name that any terminal and JSON can take: what cannot be printed is escaped, as in `tune\n.mid`."""
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
