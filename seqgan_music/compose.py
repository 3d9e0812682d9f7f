"""A trained run and a few controls -> pieces: length, key, tempo, instrument, a primer to continue.

Each piece has a seed of its own, `seed`, `seed + 1`, ..., and is sampled alone: any of them can be made again
without the others, to the byte. The tokenizer's grammar keeps samples in its language and brings them to exactly
the bars asked for, far past the length that the generator was trained on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgan_music import config, run_folders
from seqgan_music.config import ReadingConfig
from seqgan_music.errors import ConfigError, InputError, RunError
from seqgan_music.evaluate import result
from seqgan_music.music import vocabulary
from seqgan_music.music.drafting import Draft
from seqgan_music.music.notes import DEFAULT_QPM, PITCHES, Bar, Meter, Piece, Tempo
from seqgan_music.music.tokenizers import Tokenizer

if TYPE_CHECKING:
    from seqgan_music.learning.generator import Generator
    from seqgan_music.music.metrics.originality import Index, Run

DEFAULT_BARS = 16
BUNDLED = Path(__file__).parent / "bundled"
"""The run that comes with the package, without the music that it learnt from."""
SEED_LIMIT = 2**63

_TOKENS_A_BEAT = 400
"""More than this means a generator that will not go on; no music has so many notes."""
_TRIES = 8
_REFUSALS_A_BEAT = 4
"""Notes that are taken back for being copied; more means that nearly all a generator knows is copies."""


@dataclass(frozen=True)
class Key:
    """A scale to stay in. `name` is for people; `signature` is the key signature that a file can hold."""

    name: str
    signature: str
    pitch_classes: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read "C major", "A minor", "f# minor", "Bb", "Am", "D dorian", "E harmonic minor". Raises ConfigError."""
        match = re.fullmatch(r"\s*([a-g])\s*(#|♯|-?sharp|b|♭|-?flat)?[\s-]*(.*?)\s*", text, re.IGNORECASE)
        if match is None:
            raise ConfigError(f"'{text}' is not a key. {_KEY_EXAMPLES}")
        letter, accidental, mode = match.group(1), (match.group(2) or "").lower(), match.group(3)
        if not mode and letter.islower():
            raise ConfigError(f"Key '{text}' could be major or minor: add which. {_KEY_EXAMPLES}")
        mode = {"m": "minor", "M": "major"}.get(mode) or _MODE_NAMES.get(mode.lower(), "")
        if not mode:
            raise ConfigError(f"'{text}' is not a key: there is no such scale. {_KEY_EXAMPLES}")
        sharp, flat = accidental.endswith(("#", "♯", "sharp")), accidental.endswith(("b", "♭", "flat"))
        tonic = ("C D EF G A B".index(letter.upper()) + sharp - flat) % 12
        name = f"{letter.upper()}{'#' if sharp else 'b' if flat else ''}"
        degrees = _MODES[mode]
        # The major key with the same accidentals stands for modes that a MIDI file has no name for.
        parent = next(
            root for root in range(12) if {(tonic + d - root) % 12 for d in degrees} == set(_MODES["major"])
        )
        signature = f"{name} minor" if mode.endswith("minor") else f"{_MAJOR_NAMES[parent]} major"
        if mode == "harmonic minor":
            degrees = (*degrees[:-1], 11)
        return cls(f"{name} {mode}", signature, frozenset((tonic + degree) % 12 for degree in degrees))

    @property
    def pitches(self) -> frozenset[int]:
        """Those of the 88 keys that lie in the scale."""
        return frozenset(pitch for pitch in PITCHES if pitch % 12 in self.pitch_classes)


_KEY_EXAMPLES = (
    "Keys are written as 'C major', 'A minor', 'F# minor', 'Bb', 'Em', 'D dorian' or 'A harmonic minor'."
)
_MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
}
_MODE_NAMES = {"": "major", "natural minor": "minor", "ionian": "major", "aeolian": "minor"} | {
    short: mode for mode in _MODES for short in (mode, mode[:3]) if short != "har"
}


@dataclass(frozen=True)
class Primer:
    """Music to continue: `piece` as the tokenizer holds it, with the file's tempo and program, and its `ids`.

    `changes` counts what reading and the tokenizer changed or left out, by reason; `others` the further pieces
    of a file that holds several, of which the first is taken.
    """

    piece: Piece
    ids: tuple[int, ...]
    changes: Counter[str]
    others: int = 0

    @property
    def full_bars(self) -> int:
        """Bars that are over when the primer's last note ends."""
        return sum(bar.end <= self.piece.end for bar in bars_of(self.piece))


@dataclass(frozen=True)
class Composition:
    """One new piece, the ids behind it (a primer's left out), the seed that makes it again, and what went wrong.

    `dropped` counts tokens that made no sense, by kind; `finished` is false where the generator had to be stopped
    before the length asked for. Where copying was limited, `copied` is the longest run of new notes that the
    training music has too, and `refusals` counts how often a note was taken back for it.
    """

    piece: Piece
    ids: tuple[int, ...]
    seed: int
    dropped: Counter[str]
    finished: bool = True
    copied: Run | None = None
    refusals: int = 0


class Composer:
    """A generator and its tokenizer, ready to write any number of pieces.

    `load` is called once, when the first piece is asked for, so that bad input is told before torch is imported.
    `qpm` and `program` are what pieces get that ask for nothing else; `reading` is how primers are read; `chosen`
    says which checkpoint it is.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        load: Callable[[], Generator],
        *,
        qpm: float = DEFAULT_QPM,
        program: int = 0,
        reading: ReadingConfig | None = None,
        chosen: result.Chosen = result.BEST,
        load_training: Callable[[], Index] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.chosen = chosen
        self.qpm, self.program = qpm, program
        self.reading = reading or ReadingConfig()
        self._load, self._load_training = load, load_training

    @classmethod
    def open(cls, run: Path) -> Composer:
        """Return the composer of a run folder, from the checkpoint that its evaluation chose, else the best.

        Raises RunError, ConfigError.
        """
        if not run.is_dir():
            raise RunError(f"There is no run {run}. Train one first: seqgan-music train DIR.")
        tokenizer = vocabulary.load(run / "vocabulary.json")
        file = run / "config.toml"
        reading = config.load(str(file)).corpus.reading if file.is_file() else ReadingConfig()
        chosen = result.chosen(run)
        load = partial(_load_generator, run, tokenizer, chosen.checkpoint)
        training = partial(_load_training, run, tokenizer)
        return cls(tokenizer, load, reading=reading, chosen=chosen, load_training=training, **_typical(run))

    def read_primer(self, path: Path) -> Primer:
        """Read music to continue, in a worker process bounded like any reader of untrusted files.

        Raises InputError where nothing can be continued: no such file, no music in it, past the limits.
        """
        from seqgan_music.music.reading import SUFFIXES, read
        from seqgan_music.music.workers import Failure, bounded_map

        if not path.is_file():
            raise InputError(f"Primer {path} is {'a folder: give a file' if path.is_dir() else 'not there'}.")
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"Primer {path} is of no known kind. Kinds: {' '.join(sorted(SUFFIXES))}.")
        ((_, reading),) = bounded_map(
            partial(read, config=self.reading),
            [path],
            workers=1,
            max_seconds=self.reading.max_seconds,
            max_memory_megabytes=self.reading.max_memory_megabytes,
        )
        if isinstance(reading, Failure) or not reading.pieces:
            raise InputError(f"Primer {path} cannot be used: {reading.reason}. {reading.detail}")
        piece = reading.pieces[0]
        normal, changes = self.tokenizer.normalise(piece)
        rows = self.tokenizer.encode(piece)
        ids = self._open_end(token for row in rows for token in row)
        if not ids:
            raise InputError(f"Primer {path} has no notes that this run's tokenizer can hold.")
        held = self.tokenizer.decode(ids).piece
        if held.notes != normal.notes:  # rows that overlap cannot be joined: go on from the last one
            ids = self._open_end(rows[-1])
            held = self.tokenizer.decode(ids).piece
        held = replace(held, tempos=piece.tempos[:1], program=piece.program, name=path.name)
        return Primer(held, tuple(ids), Counter(reading.counts) + changes, len(reading.pieces) - 1)

    def compose(
        self,
        *,
        count: int = 1,
        seed: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        bars: int | None = None,
        seconds: float | None = None,
        tempo: float | None = None,
        program: int | None = None,
        key: Key | None = None,
        primer: Primer | None = None,
        keep_primer: bool = True,
        max_copy: int | None = None,
        on_token: Callable[[], object] = lambda: None,
    ) -> list[Composition]:
        """Write `count` pieces of `bars` bars (16 unless told) or `seconds` seconds. See the function `compose`.

        `on_token` is called after each token, for progress. Raises ConfigError for values that cannot be and
        RunError for a run that cannot be used.
        """
        check(count, seed, temperature, top_k, top_p, bars, seconds, tempo, program, max_copy)
        tempo = tempo or self._tempo(primer)
        program = program if program is not None else primer.piece.program if primer else self.program
        ticks_per_beat = self.tokenizer.ticks_per_beat
        length: dict[str, int] = {}
        if seconds is not None:
            new_ticks = max(1, round(seconds * tempo / 60 * ticks_per_beat))
            length["ticks"] = new_ticks + (primer.piece.end if primer else 0)
            beats = -(-new_ticks // ticks_per_beat)
        else:
            length["bars"] = (bars or DEFAULT_BARS) + (primer.full_bars if primer else 0)
            beats = 8 * (bars or DEFAULT_BARS)

        import torch

        from seqgan_music.learning.sampling import generate

        prefix = list(primer.ids) if primer else []
        pitches = key.pitches if key else None
        copies = partial(self._holds_copy, max_copy, primer) if max_copy is not None else None

        def write(own_seed: int) -> Composition:
            rng = torch.Generator(self.generator.output.weight.device).manual_seed(own_seed)
            for _ in range(_TRIES):
                draft = Draft(
                    self.tokenizer,
                    prefix,
                    length,
                    pitches,
                    on_token,
                    copies=copies,
                    most_refusals=_REFUSALS_A_BEAT * beats,
                )
                while True:
                    generate(
                        self.generator,
                        1,
                        _TOKENS_A_BEAT * (beats + 1) - len(draft.ids),
                        rng=rng,
                        temperature=temperature,
                        top_k=top_k,
                        top_p=top_p,
                        prefixes=[prefix + draft.ids] if prefix or draft.ids else None,
                        constraint=draft,
                    )
                    if not draft.revise():
                        break
                decoded = self.tokenizer.decode(prefix + draft.ids)
                piece = _keep(decoded.piece, primer, keep_primer)
                if piece.notes:
                    piece = replace(piece, tempos=(Tempo(0, tempo),), program=program)
                    new = _new_notes(piece, primer) if keep_primer else piece
                    return Composition(
                        piece,
                        tuple(draft.ids),
                        own_seed,
                        decoded.dropped,
                        draft.whole,
                        self.training.longest_run(new) if max_copy is not None else None,
                        draft.refusals,
                    )
            raise RunError("The run writes nothing but rests. Train longer, or sample at a higher temperature.")

        return [write(seed + index) for index in range(count)]

    @cached_property
    def generator(self) -> Generator:
        """The trained generator."""
        return self._load()

    @cached_property
    def training(self) -> Index:
        """The music that the run learnt from, to look copied notes up in. Raises RunError where it is not there."""
        if self._load_training is None:
            raise RunError("The music that this generator learnt from is not known, so copies cannot be found.")
        return self._load_training()

    def _holds_copy(self, most: int, primer: Primer | None, ids: Sequence[int]) -> bool:
        """Whether new ids hold a run of more than `most` notes of the training music."""
        piece = self.tokenizer.decode([*(primer.ids if primer else ()), *ids]).piece
        (runs,) = self.training.runs([_new_notes(piece, primer)], most + 1)
        return bool((runs > most).any())

    def _open_end(self, ids: Iterable[int]) -> list[int]:
        """The ids without their end, and without what is not heard there (rests that fill up a row)."""
        open_ids = [token for token in ids if token != self.tokenizer.end_id]
        notes = self.tokenizer.decode(open_ids).piece.notes
        while open_ids and self.tokenizer.decode(open_ids[:-1]).piece.notes == notes:
            open_ids.pop()
        return open_ids

    def _tempo(self, primer: Primer | None) -> float:
        # A tokenizer that counts time in seconds says so by a tempo of its own, which nothing else may change.
        own = self.tokenizer.decode([]).piece.tempos[0].qpm
        if own != DEFAULT_QPM:
            return own
        return primer.piece.tempos[0].qpm if primer else self.qpm


def compose(
    run: Path,
    *,
    count: int = 1,
    seed: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    bars: int | None = None,
    seconds: float | None = None,
    tempo: float | None = None,
    program: int | None = None,
    key: str | None = None,
    primer: Path | None = None,
    keep_primer: bool = True,
    max_copy: int | None = None,
) -> list[Composition]:
    """Write `count` pieces with a run's generator: of the checkpoint that its evaluation chose, else the best.

    count, seed   piece i is a function of `seed + i` and the other settings alone
    temperature   above 0; below 1 safer, above 1 bolder
    top_k, top_p  only the k likeliest tokens, only the fewest tokens of that joint probability; 0 and 1 are off
    bars, seconds length of what is new; 16 bars unless one of them is given
    tempo         quarter notes a minute; else the primer's, else the training music's median
    program       General MIDI program 0..127; else the primer's, else the training music's commonest
    key           scale that new notes stay in, see `Key.parse`; a primer may leave it
    primer        a file to continue: bars are counted from the end of its last full bar, and where it ends inside
                  a bar the new music goes on there
    keep_primer   whether the pieces begin with the primer; without it they begin at that bar line, or with the
                  bar of the first new note where the primer still sounds under it
    max_copy      no more than so many new notes in a row as in the training music, in whatever key: see
                  `music.metrics.originality`; where no way to it is found, `Composition.copied` says so

    Raises RunError, ConfigError for impossible values, InputError for the primer.
    """
    check(count, seed, temperature, top_k, top_p, bars, seconds, tempo, program, max_copy)
    scale = Key.parse(key) if key is not None else None
    composer = Composer.open(run)
    return composer.compose(
        count=count,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        bars=bars,
        seconds=seconds,
        tempo=tempo,
        program=program,
        key=scale,
        primer=composer.read_primer(primer) if primer else None,
        keep_primer=keep_primer,
        max_copy=max_copy,
    )


def check(
    count: int,
    seed: int,
    temperature: float,
    top_k: int,
    top_p: float,
    bars: int | None,
    seconds: float | None,
    tempo: float | None,
    program: int | None,
    max_copy: int | None = None,
) -> None:
    """Raise ConfigError for a setting of `compose` that cannot be."""
    if bars is not None and seconds is not None:
        raise ConfigError("Give bars or seconds, not both.")
    # Written so that NaN, which compares false with everything, is refused.
    for name, value, fine, bounds in (
        ("count", count, 1 <= count <= 10_000, "1 to 10000"),
        ("seed", seed, 0 <= seed < SEED_LIMIT - 10_000, "0 to 2^63 - 10001"),
        ("temperature", temperature, 0 < temperature <= 100, "above 0 and at most 100"),
        ("top-k", top_k, top_k >= 0, "0 (off) or more"),
        ("top-p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
        ("bars", bars, bars is None or 1 <= bars <= 10_000, "1 to 10000"),
        ("seconds", seconds, seconds is None or 0 < seconds <= 7200, "above 0 and at most 7200"),
        ("tempo", tempo, tempo is None or 10 <= tempo <= 400, "10 to 400 quarter notes a minute"),
        ("program", program, program is None or 0 <= program <= 127, "0 to 127"),
        ("max-copy", max_copy, max_copy is None or 2 <= max_copy <= 1000, "2 to 1000"),
    ):
        if not fine:
            raise ConfigError(f"{name} must be {bounds}, not {value}.")


def find_run(run: Path | None, root: Path = run_folders.RUNS) -> Path:
    """Return the run that is meant: the one named, the newest one, or the model that comes with the package.

    The latter has a name, too, "bundled". Raises RunError where it is meant and is not there.
    """
    if run is not None and (run.is_dir() or run != Path(BUNDLED.name)):
        return run
    if run is None:
        with suppress(RunError):
            return newest_run(root)
    if not BUNDLED.is_dir():
        raise RunError(f"There is no run in {root}/. Train one (seqgan-music train DIR) or name one with --run.")
    return BUNDLED


def newest_run(root: Path = run_folders.RUNS) -> Path:
    """Return the run that `root/latest` names (a link or a text file), else the newest one. Raises RunError."""
    latest = root / "latest"
    if latest.is_dir():
        return latest.resolve()
    try:
        named = root / latest.read_text(encoding="utf-8").strip()
        if named != root and named.is_dir():
            return named
    except (OSError, ValueError):
        pass
    found = (*root.glob("*/config.toml"), *root.glob("*/seed-*/config.toml"))  # the latter of `train --seeds`
    runs = [path.parent for path in found]
    if not runs:
        raise RunError(f"There is no run in {root}/. Train one (seqgan-music train DIR) or name one with --run.")
    return max(runs, key=lambda run: ((run / "config.toml").stat().st_mtime, run.name))


def bars_of(piece: Piece) -> list[Bar]:
    """Return the bars up to the end of the last note, where `Piece.bars` stops at the last onset's."""
    bars = list(piece.bars())
    while bars and bars[-1].end < piece.end:
        bars.append(replace(bars[-1], start=bars[-1].end))
    return bars


def _keep(piece: Piece, primer: Primer | None, keep_primer: bool) -> Piece:
    """The piece without the primer, unless it is kept."""
    if primer is None or keep_primer:
        return piece
    new = _new_notes(piece, primer).notes
    if not new:
        return replace(piece, notes=())
    first = min(primer.piece.end, min(note.onset for note in new))
    bars = [bar for bar in bars_of(piece) if bar.start <= first]
    start = bars[-1].start
    meters = [m for m in piece.meters if m.onset > start]
    return replace(
        piece,
        notes=tuple(replace(note, onset=note.onset - start) for note in new),
        meters=(Meter(0, *bars[-1].meter), *(replace(m, onset=m.onset - start) for m in meters)),
    )


def _new_notes(piece: Piece, primer: Primer | None) -> Piece:
    """The piece with those notes alone that are not the primer's."""
    if primer is None:
        return piece
    known = {(note.onset, note.pitch): note.end for note in primer.piece.notes}
    new = []
    for note in piece.notes:
        end = known.get((note.onset, note.pitch))
        if end is None:
            new.append(note)
        elif note.end > end:  # held on, where a tokenizer cannot tell that from struck again
            new.append(replace(note, onset=end, duration=note.end - end))
    return replace(piece, notes=tuple(sorted(new)))


def _load_generator(run: Path, tokenizer: Tokenizer, checkpoint: str) -> Generator:
    from seqgan_music.learning.checkpoint import load_generator

    generator = load_generator(run, checkpoint)
    if generator.vocabulary_size != len(tokenizer.vocabulary) or generator.start_id != tokenizer.start_id:
        raise RunError(
            f"{run}: the checkpoint has {generator.vocabulary_size} tokens, vocabulary.json "
            f"{len(tokenizer.vocabulary)}: they are of different runs. Use another run, or train again."
        )
    return generator


def _load_training(run: Path, tokenizer: Tokenizer) -> Index:
    from seqgan_music.music import corpus
    from seqgan_music.music.metrics.originality import Index
    from seqgan_music.tokenset import Splits

    if not (run / "tokens.npz").exists():
        raise RunError(f"{run} does not hold the music that it learnt from: --max-copy needs a run that does.")
    train = Splits.load(run / "tokens.npz").train
    return Index(corpus.pieces(train, tokenizer, corpus.labels(run / "scan.json")))


def _typical(run: Path) -> dict[str, Any]:
    """Tempo and program of the training music, where the run's scan says them."""
    try:
        typical = json.loads((run / "scan.json").read_bytes())["typical"]
        return {
            "qpm": min(max(float(typical["qpm"]), 10.0), 400.0),
            "program": min(max(int(typical["program"]), 0), 127),
        }
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}  # they only save typing
