"""Files of written music (ABC, MusicXML, Humdrum) -> Scores; the text is untrusted.

1. Text reaches music21 from memory: it caches nothing, and no XML entity is ever expanded.
2. A tune in ABC is read by `abc_tunes`, as the embedded books are. Only what that refuses (several voices, no
   meter, measures that its meter does not fit) goes through music21's streams.
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

from seqgan_music import documents
from seqgan_music.music.abc_tunes import read_tune, titles
from seqgan_music.music.notes import Piece
from seqgan_music.music.scores import Score, piece_from_score
from seqgan_music.music.streams import score_from_stream
from seqgan_music.music.unusable import UnusableError, printable

_CHARACTERS_A_NOTE = 8  # of ABC, on average, words and all; what has more is no tune
SCORE_SUFFIXES = frozenset({".abc", ".musicxml", ".mxl", ".xml", ".krn"})


def pieces_from_file(path: Path, ticks_per_beat: int) -> list[Piece]:
    """Return the pieces of one ABC, MusicXML or Humdrum file. Raises UnusableError where there are none."""
    try:
        data = documents.read(path)
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
    counts = Counter() if counts is None else counts
    suffix = suffix.lower()
    if suffix == ".abc":
        texts = _tunes(_decoded(data))
    elif suffix == ".krn":
        texts = [_decoded(data)]
    else:
        texts = [_music_xml(data, max_bytes)]
    scores: list[Score] = []
    problem = ""
    left = max_notes
    for number, text in enumerate(texts, 1):
        title = name if len(texts) == 1 else f"{name} {number}"
        if suffix == ".abc" and len(text) > _CHARACTERS_A_NOTE * max_notes:
            raise UnusableError("too many notes", f"A tune takes {len(text):,} characters (max_notes).")
        try:
            found = _plain_tune(text, title, ticks_per_beat, left, counts) if suffix == ".abc" else []
            found = found or _through_music21(text, suffix, title, ticks_per_beat, left, counts)
        except UnusableError as error:
            if error.reason == "too many notes":  # perhaps only for what earlier tunes have left of them
                raise UnusableError(error.reason, f"It has more than {max_notes:,} notes (max_notes).") from None
            raise
        except Exception as error:  # music21 raises whatever its parsers stumble upon
            problem = str(error).strip() or type(error).__name__
            counts["unreadable_tunes"] += 1
            continue
        left -= sum(len(part.notes) for score in found for part in score.parts)
        scores += found
    if problem and not any(part.notes for score in scores for part in score.parts):
        raise UnusableError("damaged", f"music21 cannot read it: {printable(problem)}.")
    return scores


def _plain_tune(text: str, title: str, ticks_per_beat: int, max_notes: int, counts: Counter[str]) -> list[Score]:
    """Return the one score of a tune of one voice in meter; none where it takes music21 to make sense of it."""
    own: Counter[str] = Counter()
    try:
        score, _ = read_tune(text, title, ticks_per_beat, max_notes=max_notes, counts=own)
    except UnusableError as error:
        if error.reason == "too many notes":
            raise
        return []
    if not score.parts[0].notes:
        return []
    counts.update(own)
    score.name = printable(next(iter(titles(text)), title))
    return [score]


def _through_music21(
    text: str, suffix: str, title: str, ticks_per_beat: int, max_notes: int, counts: Counter[str]
) -> list[Score]:
    from music21.converter import subConverters

    converters: dict[str, Any] = {".abc": subConverters.ConverterABC, ".krn": subConverters.ConverterHumdrum}
    scores: list[Score] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = converters.get(suffix, subConverters.ConverterMusicXML)()
        reader.parseData(text)
        for stream in getattr(reader.stream, "scores", None) or [reader.stream]:
            score = score_from_stream(stream, ticks_per_beat, _title(stream) or title, max_notes, counts)
            max_notes -= sum(len(part.notes) for part in score.parts)
            scores.append(score)
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
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        raise UnusableError("damaged", f"The archive cannot be unpacked: {printable(str(error))}.") from None
    if len(text) > max_bytes:
        raise UnusableError("too large", f"It unpacks to more than {max_bytes // 1_000_000} MB.")
    return text
