"""The embedded corpus: real music that music21 carries with it, written as MIDI where training wants it.

1. Collections are read from the installed music21, offline; the MIDI files are made on the user's machine only,
   because music21 has the encoders' permission to distribute and nobody else has.
2. Tunes are taken in an order that is shuffled once for all by a hash, so that any number of them is spread
   over the books, and a larger number holds the smaller one.
3. Tunes are read by `abc_tunes`, as users' ABC files are, chords by their top note. Who is out of meter inside
   a section is left out, as are duplicates in any key.
4. `manifest.json` is written last. What was interrupted is taken up by running it again: the same files result.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seqgan_music import documents
from seqgan_music.errors import ConfigError, InputError, OutputError, did_you_mean
from seqgan_music.files import check_writable, is_unfinished, replacing
from seqgan_music.machine import usable_cores
from seqgan_music.music import cache
from seqgan_music.music.abc_tunes import TICKS_PER_BEAT, key_name, read_tune, titles
from seqgan_music.music.notes import Piece
from seqgan_music.music.scores import Score, piece_from_score
from seqgan_music.music.streams import score_from_stream
from seqgan_music.music.unusable import UnusableError
from seqgan_music.music.workers import Failure, bounded_map

SETTINGS = "corpus.toml"
MANIFEST = "manifest.json"
FEWEST_NOTES, MOST_NOTES, LONGEST_BEATS = 24, 800, 1_200
SECONDS_A_TUNE, MEGABYTES_A_WORKER = 20.0, 1_500

DEFAULT_SETTINGS = """\
# What `seqgan-music train` writes into this folder first, from the corpus that music21 carries, if it is not
# here yet: a number of pieces, or "all". Delete this file, and the folder is only ever read.
# `seqgan-music corpus --list` describes the collections.

[folk]           # dance tunes of Scotland, Ireland and America, printed 1778-1903: one melody each
pieces = 1500    # of about 3,900; a number is spread over the books

[chorales]       # four-part chorales of J. S. Bach
pieces = "all"   # about 400
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a piece stands: `file` below music21's corpus, `index` of the tune in it, `number` printed there.

    `stem` is the name of its MIDI file; `text` is the tune's own ABC, empty for files of one piece.
    """

    file: str
    index: int
    number: str
    title: str
    stem: str
    text: str = ""

    @property
    def order(self) -> bytes:
        """Place in the shuffled order that any number of pieces is taken by."""
        return hashlib.sha256(f"{self.file}#{self.index}".encode()).digest()


@dataclass(frozen=True)
class Collection:
    """A part of music21's corpus: what it is for people, the folders it stands in, and how one piece is read."""

    about: str
    licence: str
    noun: str
    folders: dict[str, str]  # folder of the corpus -> short name of the book, "" where file names say it
    suffixes: tuple[str, ...]
    read: Callable[[Source, Path], tuple[Score, str | None]]  # (source, root) -> score, key


@dataclass
class Written:
    """What `write` did: every piece that is in `folder` now, which of them were written, what was left out."""

    name: str
    folder: Path
    pieces: list[dict[str, Any]]
    left_out: list[dict[str, Any]]
    written: list[str] = field(default_factory=list)


def corpus_root() -> Path:
    """Return the folder of music21's installed corpus. Raises InputError where there is none."""
    spec = find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("music21 is not installed, and its corpus is what this needs: run `pip install music21`.")
    root = Path(spec.submodule_search_locations[0]) / "corpus"
    missing = [name for item in COLLECTIONS.values() for name in item.folders if not (root / name).is_dir()]
    if missing:
        raise InputError(
            f"music21 is installed without its corpus ({root / missing[0]} is missing): "
            "run `pip install --force-reinstall --no-deps music21`, or train on a folder of your own."
        )
    return root


def collection(name: str) -> Collection:
    """Return the collection that a user typed. Raises ConfigError with the nearest name."""
    if name not in COLLECTIONS:
        raise ConfigError(f"There is no collection '{name}' in the corpus.{did_you_mean(name, COLLECTIONS)}")
    return COLLECTIONS[name]


def sources(name: str) -> list[Source]:
    """Return all that a collection holds, in the order it is taken. Titles and numbers only; nothing is parsed."""
    root, item = corpus_root(), collection(name)
    found: list[Source] = []
    for folder, book in item.folders.items():
        files = sorted(path for path in (root / folder).iterdir() if path.suffix in item.suffixes)
        for place, path in enumerate(files, 1):
            file = f"{folder}/{path.name}"
            if path.suffix == ".abc":
                found += _tunes(path.read_text("utf-8", "replace"), file, book, place)
            else:
                found.append(Source(file, 0, path.stem, path.stem, _slug(path.stem)))
    stems: Counter[str] = Counter()
    for place, source in enumerate(found):
        stems[source.stem] += 1
        if stems[source.stem] > 1:
            found[place] = replace(source, stem=f"{source.stem}-{stems[source.stem]}")
    return sorted(found, key=lambda source: source.order)


def write(
    name: str, folder: Path, *, limit: int | None = None, workers: int | None = None, progress: bool = True
) -> Written:
    """Write a collection as MIDI files into `folder`, `limit` pieces at least where it has as many; None: all.

    Files that are there and as they should be stay untouched; so do those beyond a smaller limit. Of pieces with
    the same notes, in any key, the first in order is taken. `workers` processes, one a core by default.
    Raises InputError without music21's corpus, OutputError where the folder cannot be written.
    """
    collection(name)
    if (ready := _ready(folder, limit)) is not None:
        return Written(name, folder, *ready)
    root = corpus_root()
    _check_folder(folder)
    with _alone(folder):
        manifest = _manifest(folder)
        if _covers(manifest, limit):
            return _mend(name, root, folder, manifest, workers, progress)
        if limit is not None:
            limit = max(limit, len(manifest["pieces"]))
        return _write_anew(name, root, folder, manifest, limit, workers, progress)


def ensure(folder: Path, *, progress: bool) -> str | None:
    """Write what `folder/corpus.toml` names and the folder lacks; return a line that says so, None if nothing.

    A folder without that file is never written to. Raises ConfigError for a file that says something else,
    and what `write` raises.
    """
    settings = folder / SETTINGS
    if not os.path.isfile(settings):
        return None
    began, said = time.monotonic(), []
    for name, limit in _wanted(settings).items():
        result = write(name, folder / name, limit=limit, progress=progress)
        if result.written:
            said.append(f"{len(result.written):,} {collection(name).noun}")
    if not said:
        return None
    seconds = time.monotonic() - began
    return (
        f"Wrote {' and '.join(said)} from music21's corpus into {folder} as its {SETTINGS} says ({seconds:.0f} s)."
    )


def default_folder(*, progress: bool) -> Path:
    """Return the folder of the user's cache that holds the embedded corpus, written there if need be."""
    place = cache.user_folder()
    if place is None:
        raise InputError("There is no cache folder to keep the embedded corpus in: give a folder of MIDI files.")
    folder = place / "midi_data"
    if not os.path.lexists(folder / SETTINGS):
        with replacing(folder / SETTINGS) as temporary:
            temporary.write_text(DEFAULT_SETTINGS, "utf-8")
    ensure(folder, progress=progress)
    return folder


def _wanted(settings: Path) -> dict[str, int | None]:
    """Return collection -> number of pieces, None for all, as `corpus.toml` says."""
    try:
        tables = tomllib.loads(documents.read(settings).decode())
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, tables without end
        raise ConfigError(f"{settings} is not TOML: {error}.") from None
    except OSError as error:
        raise InputError(f"{settings} cannot be read: {documents.why(error)}.") from None
    wanted: dict[str, int | None] = {}
    for name, table in tables.items():
        if name not in COLLECTIONS:
            raise ConfigError(f"{settings}: there is no collection '{name}'.{did_you_mean(name, COLLECTIONS)}")
        if not isinstance(table, dict) or "pieces" not in table:
            raise ConfigError(f'{settings}: [{name}] needs `pieces`, a number or "all".')
        if unknown := sorted(set(table) - {"pieces"}):
            raise ConfigError(
                f"{settings}: [{name}] has no key '{unknown[0]}'.{did_you_mean(unknown[0], ['pieces'])}"
            )
        pieces = table["pieces"]
        if pieces != "all" and (not isinstance(pieces, int) or isinstance(pieces, bool) or pieces < 1):
            raise ConfigError(f'{settings}: [{name}] pieces must be a number from 1 on, or "all"; not {pieces!r}.')
        wanted[name] = None if pieces == "all" else pieces
    return wanted


# --- files ---------------------------------------------------------------------------------------------------


def _ready(folder: Path, limit: int | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """Return the manifest's lists where all that is wanted is there; needs neither music21 nor to write."""
    manifest = _manifest(folder)
    if _covers(manifest, limit) and all(_is_good(folder, piece) for piece in manifest["pieces"]):
        return manifest["pieces"], manifest["left_out"]
    return None


def _manifest(folder: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"complete": False, "pieces": [], "left_out": []}
    try:
        found = documents.load(folder / MANIFEST)
        names = [piece["file"] for piece in found["pieces"] if piece["sha256"] and piece["index"] >= 0]
        safe = all(Path(name).name == name for name in names)
        return found if safe and isinstance(found["left_out"], list) and "complete" in found else empty
    except (OSError, ValueError, TypeError, KeyError):
        return empty


def _covers(manifest: dict[str, Any], limit: int | None) -> bool:
    return manifest["complete"] or (limit is not None and len(manifest["pieces"]) >= limit)


def _is_good(folder: Path, piece: dict[str, Any]) -> bool:
    try:
        return bool(hashlib.sha256(documents.read(folder / piece["file"])).hexdigest() == piece["sha256"])
    except OSError:
        return False


def _write_anew(
    name: str,
    root: Path,
    folder: Path,
    former: dict[str, Any],
    limit: int | None,
    workers: int | None,
    progress: bool,
) -> Written:
    """Take pieces in order until there are `limit`; unchanged files of a former manifest that none is go."""
    result = Written(name, folder, [], [])
    first_heard: dict[str, tuple[int, str]] = {}
    todo, considered = sources(name), 0
    with closing(_conversions(name, root, todo, limit, workers, progress)) as conversions:
        for source, outcome in conversions:
            considered += 1
            if isinstance(outcome, _Converted):
                pitch, stem = first_heard.setdefault(outcome.shape, (outcome.pitch, source.stem))
                if stem != source.stem:
                    key = "" if pitch == outcome.pitch else " in another key"
                    outcome = Failure("duplicate", f"the same notes{key} as {stem}.mid")
            entry = {"source": source.file, "index": source.index, "number": source.number, "title": source.title}
            if isinstance(outcome, Failure):
                result.left_out.append({**entry, "reason": outcome.reason, "detail": outcome.detail})
                continue
            _put(result, source.stem, outcome.data)
            result.pieces.append(_entry(entry, source.stem, outcome))
            if len(result.pieces) == limit:
                break
    kept = {piece["file"] for piece in result.pieces}
    for piece in former["pieces"]:
        if piece["file"] not in kept and _is_good(folder, piece):
            (folder / piece["file"]).unlink(missing_ok=True)
    _save_manifest(result, complete=considered == len(todo))
    return result


def _mend(
    name: str, root: Path, folder: Path, manifest: dict[str, Any], workers: int | None, progress: bool
) -> Written:
    """Write again the files of a manifest that are missing or not what they were."""
    result = Written(name, folder, manifest["pieces"], manifest["left_out"])
    lacking = {(p["source"], p["index"]): p for p in manifest["pieces"] if not _is_good(folder, p)}
    todo = [source for source in sources(name) if (source.file, source.index) in lacking]
    with closing(_conversions(name, root, todo, None, workers, progress)) as conversions:
        for source, outcome in conversions:
            piece = lacking.pop((source.file, source.index))
            if isinstance(outcome, _Converted):
                _put(result, Path(piece["file"]).stem, outcome.data)
                piece |= _entry({}, Path(piece["file"]).stem, outcome)
            else:
                result.pieces.remove(piece)
                result.left_out.append({**piece, "reason": outcome.reason, "detail": outcome.detail})
    for piece in lacking.values():  # of another music21, whose corpus has it no more
        result.pieces.remove(piece)
    _save_manifest(result, complete=manifest["complete"])
    return result


def _entry(entry: dict[str, Any], stem: str, outcome: _Converted) -> dict[str, Any]:
    digest = hashlib.sha256(outcome.data).hexdigest()
    return {"file": f"{stem}.mid", **entry, "notes": outcome.notes, "sha256": digest}


def _put(result: Written, stem: str, data: bytes) -> None:
    path = result.folder / f"{stem}.mid"
    try:
        if documents.read(path) == data:
            return
    except OSError:
        pass
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    result.written.append(path.name)


def _save_manifest(result: Written, *, complete: bool) -> None:
    content = {
        "collection": result.name,
        "licence": collection(result.name).licence,
        "complete": complete,
        "pieces": result.pieces,
        "left_out": result.left_out,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    path = result.folder / MANIFEST
    with suppress(OSError):
        if documents.read(path) == text.encode():
            return
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def _check_folder(folder: Path) -> None:
    nearest = next(place for place in (folder, *folder.parents, Path.cwd()) if os.path.lexists(place))
    if not os.path.isdir(nearest):
        raise OutputError(f"Cannot write into {folder}: {nearest} is not a folder. Choose another folder.")
    try:
        check_writable(folder / MANIFEST)
        folder.mkdir(parents=True, exist_ok=True)
    except OutputError as error:
        raise OutputError(str(error).replace(str(folder / MANIFEST), f"into {folder}")) from None
    except OSError as error:
        raise OutputError(f"Cannot make {folder}: {error.strerror}. Choose another folder.") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against a second writer, where the system can, and clear what a killed one left."""
    handle = None
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        for leftover in folder.glob(".*.part*"):
            if is_unfinished(leftover.name):
                leftover.unlink()
    except (ImportError, OSError):  # Windows, and file systems without locks
        pass
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


# --- conversion ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Converted:
    """A piece: the bytes of its file, how many notes, and what duplicates are known by: shape and first pitch."""

    data: bytes
    notes: int
    pitch: int
    shape: str


def _conversions(
    name: str, root: Path, todo: list[Source], limit: int | None, workers: int | None, progress: bool
) -> Generator[tuple[Source, _Converted | Failure], None, None]:
    """Yield each source with what came of it, in the order of `todo`."""
    from tqdm import tqdm

    outcomes = bounded_map(
        partial(_convert, name, root),
        todo,
        workers=workers or usable_cores(),
        max_seconds=SECONDS_A_TUNE,
        max_memory_megabytes=MEGABYTES_A_WORKER,
    )
    expected = len(todo) if limit is None else min(limit, len(todo))
    bar = tqdm(total=expected, desc=name, unit=" pieces", disable=None if progress else True)
    with bar, closing(outcomes):
        for source, outcome in _in_order(outcomes, todo):
            if limit is None or isinstance(outcome, _Converted):
                bar.update()
            yield source, outcome


def _in_order(
    outcomes: Iterable[tuple[Source, _Converted | Failure]], todo: list[Source]
) -> Iterator[tuple[Source, _Converted | Failure]]:
    early: dict[Source, _Converted | Failure] = {}
    awaited = iter(todo)
    following = next(awaited, None)
    for source, outcome in outcomes:
        early[source] = outcome
        while following is not None and following in early:
            yield following, early.pop(following)
            following = next(awaited, None)


def _convert(name: str, root: Path, source: Source) -> _Converted | Failure:
    """Read one piece and make it MIDI; in a worker."""
    import gc
    import warnings

    from seqgan_music.music.formats.midi import midi_bytes

    gc.set_threshold(200_000)  # music21 makes so many objects that collecting them costs a third of the time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score, key = COLLECTIONS[name].read(source, root)
            piece = replace(piece_from_score(score), name=source.title)
        _check_size(piece)
        data = midi_bytes(piece, title=source.title, comment=f"music21: {source.file}", key=key)
    except UnusableError as error:
        return Failure(error.reason, str(error))
    except Exception as error:  # music21 raises whatever its parsers stumble upon
        return Failure("unreadable", f"music21 cannot read it: {type(error).__name__}: {error}"[:200])
    first = piece.notes[0]
    shape = [(note.onset - first.onset, note.pitch - first.pitch, note.duration) for note in piece.notes]
    return _Converted(data, len(piece.notes), first.pitch, hashlib.sha256(repr(shape).encode()).hexdigest())


def _check_size(piece: Piece) -> None:
    if len(piece.notes) < FEWEST_NOTES:
        raise UnusableError("too short", f"{len(piece.notes)} notes, fewer than {FEWEST_NOTES}")
    if len(piece.notes) > MOST_NOTES:
        raise UnusableError("too long", f"{len(piece.notes)} notes, more than {MOST_NOTES}")
    if piece.end > LONGEST_BEATS * piece.ticks_per_beat:
        raise UnusableError("too long", f"{piece.end // piece.ticks_per_beat} beats, more than {LONGEST_BEATS}")


def _read_folk(source: Source, root: Path) -> tuple[Score, str | None]:
    return read_tune(source.text, source.title, top_line=True)


def _read_chorale(source: Source, root: Path) -> tuple[Score, str | None]:
    """Return the four voices of a chorale; instruments that double or accompany them are left out."""
    from music21 import converter, key

    stream = converter.parse(root / source.file, forceSource=True, storePickle=False)
    score = score_from_stream(stream, TICKS_PER_BEAT, source.title)
    voices = [part for part in score.parts if part.name in ("Soprano", "Alto", "Tenor", "Bass")]
    score.parts = voices if len(voices) == 4 else score.parts
    if len(score.parts) != 4 or not all(part.notes for part in score.parts):
        raise UnusableError("not in four voices", f"{len(score.parts)} parts")
    signature = stream.recurse().getElementsByClass(key.Key).first()
    return score, key_name(signature.sharps, signature.mode) if signature else None


def _tunes(text: str, file: str, book: str, place: int) -> Iterator[Source]:
    """Yield the tunes of one ABC file. Where each file is one tune, its number is the file's place."""
    tunes = re.split(r"(?m)^(?=X:)", text.replace("\r", ""))[1:]
    volume = next(iter(re.findall(r"book(\d+)", file)), "")
    for index, tune in enumerate(tunes):
        printed = re.match(r"X:\s*(\d+)", tune)
        number = printed[1].lstrip("0") or "0" if printed and book != "ryan" else str(place)
        title = next(iter(titles(tune)), "Untitled")
        yield Source(file, index, number, title, f"{_slug(title)}-{book}{volume}-{int(number):04d}", tune)


def _slug(title: str) -> str:
    """Return a title as a file name of lower-case ASCII letters, digits and single hyphens, 40 at most."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "untitled"


COLLECTIONS: dict[str, Collection] = {
    "folk": Collection(
        "dance tunes of Scotland, Ireland and America: Aird's Airs (1778-1801), Ryan's Mammoth Collection (1883), "
        "O'Neill's Music of Ireland (1903)",
        "The tunes are in the public domain. Their encoders permitted music21 to distribute the ABC files; "
        "there is no other licence: use them, do not pass them on.",
        "folk tunes",
        {"airdsAirs": "aird", "oneills1850": "oneill", "ryansMammoth": "ryan"},
        (".abc",),
        _read_folk,
    ),
    "chorales": Collection(
        "four-part chorales of J. S. Bach",
        "The music is in the public domain. The editions are Margaret Greentree's and others', permitted to "
        "music21; there is no other licence: use them, do not pass them on.",
        "chorales",
        {"bach": ""},
        (".krn", ".mxl", ".xml"),
        _read_chorale,
    ),
}
