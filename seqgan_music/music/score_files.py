"""Files of written music (ABC, MusicXML, Humdrum) -> Scores; the text is untrusted.

Text reaches music21 from memory: it caches nothing, and no XML entity is ever expanded.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from seqgan_music.music.notes import Piece
from seqgan_music.music.scores import Score, piece_from_score
from seqgan_music.music.streams import score_from_stream
from seqgan_music.music.unusable import UnusableError, printable

SCORE_SUFFIXES = frozenset({".abc", ".musicxml", ".mxl", ".xml", ".krn"})


def pieces_from_file(path: Path, ticks_per_beat: int) -> list[Piece]:
    """Return the pieces of one ABC, MusicXML or Humdrum file. Raises UnusableError where there are none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableError("unreadable", f"{path} cannot be read: {error.strerror}.") from None
    return [piece_from_score(score) for score in scores_from_bytes(data, path.suffix, path.stem, ticks_per_beat)]


def scores_from_bytes(
    data: bytes,
    suffix: str,
    name: str,
    ticks_per_beat: int,
    max_notes: int = 50_000,
    max_bytes: int = 32_000_000,
    counts: Counter[str] | None = None,
) -> list[Score]:
    """Return the scores in the bytes of a file whose `suffix` is one of SCORE_SUFFIXES.

    A tune-book of ABC gives one Score a tune, named by its title; tunes that music21 cannot read are counted.
    `max_bytes` bounds what a compressed file may unpack to. Raises UnusableError.
    """
    from music21.converter import subConverters

    counts = Counter() if counts is None else counts
    suffix = suffix.lower()
    converter: Any
    if suffix == ".abc":
        texts, converter = _tunes(_decoded(data)), subConverters.ConverterABC
    elif suffix == ".krn":
        texts, converter = [_decoded(data)], subConverters.ConverterHumdrum
    else:
        texts, converter = [_music_xml(data, max_bytes)], subConverters.ConverterMusicXML
    scores, problem = [], ""
    left = max_notes
    for number, text in enumerate(texts, 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader = converter()
                reader.parseData(text)
                for stream in getattr(reader.stream, "scores", None) or [reader.stream]:
                    title = _title(stream) or (name if len(texts) == 1 else f"{name} {number}")
                    score = score_from_stream(stream, ticks_per_beat, title, left, counts)
                    left -= sum(len(part.notes) for part in score.parts)
                    scores.append(score)
        except UnusableError:
            raise
        except Exception as error:  # music21 raises whatever its parsers stumble upon
            problem = str(error).strip() or type(error).__name__
            counts["unreadable_tunes"] += 1
    if problem and not any(part.notes for score in scores for part in score.parts):
        raise UnusableError("damaged", f"music21 cannot read it: {printable(problem)}.")
    return scores


def _title(stream: Any) -> str:
    metadata = getattr(stream, "metadata", None)
    return printable(str((metadata.title or metadata.movementName or "") if metadata else ""))


def _decoded(data: bytes) -> str:
    """Return text in UTF-16 with a mark, in UTF-8, or else in Latin-1: no other coding may hide an entity."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _tunes(text: str) -> list[str]:
    """Return the tunes of an ABC book, each with the fields that stand above the first one."""
    heads = [match.start() for match in re.finditer(r"^X:", text, re.MULTILINE)]
    if len(heads) < 2:
        return [text]
    preface = "".join(f"{line}\n" for line in text[: heads[0]][:2000].splitlines() if re.match(r"[A-Za-z]:", line))
    # A tune's own X: must come first, or music21 counts the preface as a tune.
    return [
        head + "\n" + preface + body
        for start, end in zip(heads, [*heads[1:], len(text)], strict=True)
        for head, _, body in [text[start:end].partition("\n")]
    ]


def _music_xml(data: bytes, max_bytes: int) -> str:
    text = _decoded(_unpacked(data, max_bytes) if data[:2] == b"PK" else data)
    if "<!ENTITY" in text or re.search(r"<!DOCTYPE[^>\[]{0,2000}\[", text):
        raise UnusableError("unsafe XML", "It declares XML entities, which no score needs; export it again.")
    if "<score-timewise" in text:
        raise UnusableError("not MusicXML", "It is MusicXML in score-timewise order; save it as score-partwise.")
    if "<score-partwise" not in text:
        raise UnusableError("not MusicXML", "It holds no <score-partwise>, so it is not a MusicXML score.")
    return text


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            inside = [name for name in names if name.lower().endswith((".xml", ".musicxml"))]
            if "META-INF/container.xml" in names:
                with archive.open("META-INF/container.xml") as file:
                    root = re.search(rb'full-path="([^"]+)"', file.read(100_000))
                inside = [name for name in inside if root and name == root[1].decode("utf-8", "replace")] or inside
            inside = [name for name in inside if not name.startswith("META-INF/")]
            if not inside:
                raise UnusableError("not MusicXML", "The archive holds no score.")
            with archive.open(inside[0]) as file:
                text = file.read(max_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UnusableError("damaged", f"The archive cannot be unpacked: {printable(str(error))}.") from None
    if len(text) > max_bytes:
        raise UnusableError("too large", f"It unpacks to more than {max_bytes // 1_000_000} MB.")
    return text
