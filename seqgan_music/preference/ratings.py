"""ratings.jsonl of a run: which pieces a person gave a thumb up or down, one line each, only ever added to.

A line holds the notes themselves, so that a rating outlives the file that was rated. A line that a killed process
left unfinished is passed over, and the next one begins on a line of its own. Of two ratings of the same notes the
later one counts; a rating is taken back by one more line, in which nothing is said of them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqgan_music import documents
from seqgan_music.errors import InputError, OutputError, RunError
from seqgan_music.music.notes import PROGRAMS, UNSAID, Meter, Note, Piece, Tempo
from seqgan_music.run_folders import check_run

FILE = "ratings.jsonl"
MOST_NOTES = 50_000
"""Notes of a piece that can be rated."""
MOST_BYTES = 256 << 20
"""A larger file is refused: it was not written by thumbs."""

MOST_BEATS = 40_000
"""Quarter notes that a rated piece may last: bars are walked through one by one."""


@dataclass(frozen=True)
class Rating:
    """One thumb: up where `liked`. `piece` has no tempo but its first."""

    piece: Piece
    liked: bool


def add(run: Path, piece: Piece, liked: bool | None) -> None:
    """Keep one rating; None takes back what was said of these notes.

    Raises RunError, InputError for a piece without notes or with too many, OutputError.
    """
    check_run(run)
    if not piece.notes:
        raise InputError("There is no note to rate in this piece.")
    if len(piece.notes) > MOST_NOTES:
        raise InputError(f"A piece of {len(piece.notes):,} notes is too long to rate: {MOST_NOTES:,} at most.")
    document = {
        "liked": liked if liked is None else bool(liked),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "piece": _to_json(piece),
    }
    line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    if _read(line) is None:
        raise InputError(f"This piece cannot be rated: it lasts more than {MOST_BEATS:,} beats, or is odd.")
    path = run / FILE
    try:
        documents.append(path, line)
    except OSError as error:
        reason = documents.why(error)
        raise OutputError(f"Cannot keep the rating in {path}: {reason}.") from None


def load(run: Path) -> list[Rating]:
    """Return the ratings of a run in the order of their (last) giving, those taken back left out.

    Lines that are none are passed over. Raises RunError where the run or its file cannot be read.
    """
    check_run(run)
    path = run / FILE
    try:
        data = documents.read(path, MOST_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path} cannot be read: {documents.why(error)}.") from None
    latest: dict[Piece, bool] = {}
    for line in data.split(b"\n"):
        said = _read(line)
        if said is not None:
            piece, liked = said
            latest.pop(piece, None)
            if liked is not None:
                latest[piece] = liked
    return [Rating(piece, liked) for piece, liked in latest.items()]


def _read(line: bytes) -> tuple[Piece, bool | None] | None:
    """Return a piece and what is said of it; None for a line that says nothing that can be read."""
    if not line.strip():
        return None
    try:
        document = documents.parsed(line)
        liked = document["liked"]
        if liked is not None and not isinstance(liked, bool):
            return None
        return _piece(document["piece"]), liked
    except (ValueError, TypeError, KeyError):
        return None


def _to_json(piece: Piece) -> dict[str, Any]:
    return {
        "ticks_per_beat": piece.ticks_per_beat,
        "meters": [(m.onset, m.numerator, m.denominator) for m in piece.meters],
        "qpm": piece.tempos[0].qpm,
        "program": piece.program,
        "notes": [(n.onset, n.pitch, n.duration, n.velocity, n.instrument) for n in piece.notes],
    }


def _piece(document: Mapping[str, Any]) -> Piece:
    """Return the piece, every number checked. Raises ValueError, TypeError, KeyError."""
    if len(document["notes"]) > MOST_NOTES or len(document["meters"]) > MOST_NOTES:
        raise ValueError("too many notes")
    ticks_per_beat = _whole(document["ticks_per_beat"], 1, 960)
    most = MOST_BEATS * ticks_per_beat
    notes = [
        Note(
            _whole(onset, 0, most),
            _whole(pitch, 0, 127),
            _whole(duration, 1, most),
            _whole(velocity, 1, 127),
            *(_whole(value, UNSAID, MOST_NOTES * PROGRAMS) for value in instrument),  # older ratings have none
        )
        for onset, pitch, duration, velocity, *instrument in document["notes"]
    ]
    meters = [
        Meter(_whole(onset, 0, most), _whole(numerator, 1, 255), _whole(denominator, 1, 256))
        for onset, numerator, denominator in document["meters"]
    ]
    qpm = float(document["qpm"])
    if not notes or not meters or not math.isfinite(qpm) or not 1 <= qpm <= 10_000:
        raise ValueError("no piece")
    return Piece(
        tuple(sorted(notes)),
        ticks_per_beat,
        tuple(sorted(meters)),
        (Tempo(0, qpm),),
        _whole(document["program"], 0, 127),
    )


def _whole(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("not a whole number in its range")
    return value
