"""A candidate -> the bytes of a file: MIDI, sound, MusicXML or notation, by the formats' own writers."""

from __future__ import annotations

import secrets
from pathlib import Path

from seqgan_music import __version__
from seqgan_music.errors import ConfigError
from seqgan_music.music import formats
from seqgan_music.studio.candidates import Candidate

DOWNLOADS = {
    "mid": "audio/midi",
    "mp3": "audio/mpeg",
    "musicxml": "application/vnd.recordare.musicxml+xml",
}
"""What a candidate can be saved as, and its media type, by the suffix."""
PLAYED = {"flac": "audio/flac"}
"""What the page plays: a browser asked for a place in an MP3 goes up to 0.2 s beside it, in a FLAC to it; and it is
encoded in a tenth of the time."""
SHOWN = {"svg": "image/svg+xml"}
"""Notation, which needs an extra."""
KINDS = DOWNLOADS | PLAYED | SHOWN


def missing(suffix: str) -> str:
    """Say in a sentence why a kind of file cannot be made here; empty where it can."""
    try:
        formats.for_path(Path(f"piece.{suffix}"), score=suffix in SHOWN)
    except ConfigError as error:
        return str(error)
    return ""


def render(candidate: Candidate, suffix: str, folder: Path) -> bytes:
    """Return a candidate as a file of one of KINDS, written for a moment under a name of ours in `folder`."""
    key = candidate.controls.key
    options = formats.Options(
        title=f"{candidate.run}, seed {candidate.seed}",
        comment=f"seqgan-music {__version__}: {candidate.line or candidate.title}",
        key=key.signature if key else None,
        score=suffix in SHOWN,
    )
    path = folder / f"{secrets.token_hex(8)}.{suffix}"
    try:
        formats.write(candidate.piece, path, options)
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
