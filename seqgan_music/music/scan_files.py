"""A scan in a run's folder: `scan.json` tells it as a whole, `scan.jsonl` file by file, one line each.

The second may have more lines than fit in memory, and only names and families are ever read back from it. Runs of
before it was there have its lines as a list `files` in `scan.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqgan_music import documents
from seqgan_music.files import replacing
from seqgan_music.music.scanning import Scan

SCAN, FILES = "scan.json", "scan.jsonl"


def write(scan: Scan, folder: Path) -> None:
    """Write both files, each whole or not at all. Raises OutputError."""
    with replacing(folder / FILES) as temporary, temporary.open("w", encoding="utf-8") as file:
        for entry in scan.file_entries():
            file.write(json.dumps(entry) + "\n")
    with replacing(folder / SCAN) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(scan.summary(), file, indent=1)


def labels(scan_json: Path) -> list[str]:
    """Return the labels of the kept pieces that a run's scan tells, by number; none where it is damaged."""
    try:
        return [str(piece["name"]) for piece in _kept(scan_json)]
    except (OSError, ValueError, TypeError, KeyError):
        return []  # names are for people alone


def known_families(scan_json: Path) -> set[str]:
    """Return the tunes that a run's folder of music held; none where its scan is missing or damaged."""
    try:
        return {str(piece["family"]) for piece in _kept(scan_json)}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _kept(scan_json: Path) -> Iterator[Mapping[str, Any]]:
    for file in _entries(scan_json):
        for piece in file["pieces"]:
            if piece["status"] == "kept":
                yield piece


def _entries(scan_json: Path) -> Iterator[Mapping[str, Any]]:
    lines = scan_json.with_name(FILES)
    if lines.is_file():
        yield from map(documents.parsed, documents.lines(lines))
    else:
        yield from documents.load(scan_json)["files"]
