"""One run = one TOML file: typed, every key documented here, unknown keys refused with the nearest match.

`load("quick")` reads a preset of `seqgan_music/configs`, `load("my.toml")` a file; `overrides` are the
`--set key=value` of the command line. What a tokenizer or method accepts is defined by its own
`Options` dataclass and checked by the same `build` before anything starts.

A key's documentation is the string under its field, as in `docs/config.md`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import reprlib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, Union

from seqgan_music import documents
from seqgan_music.errors import ConfigError, did_you_mean

T = TypeVar("T")

_DEFAULT_TOKENIZER = "note_event"
_DEFAULT_DISCRIMINATOR = "cnn"
_DEFAULT_METHODS = ("mle", "seqgan")
_FIRST_LINE, _LAST_LINE = "# Written by seqgan-music, down to the last line, which says so.", "# This is the end."
_RESTORE = "restore the file, or train again"
_MOST_BYTES = 1 << 20  # of a file of settings; a thousand would do


@dataclass(frozen=True)
class ReadingConfig:
    """What one untrusted file may cost, and which of its notes are taken."""

    ticks_per_beat: int = 12
    """Grid: ticks per quarter note. 12 holds sixteenths and triplets, 4 sixteenths only."""
    track: str = "all"
    """Which notes: "all", "melody" (the track or top line most like a melody), a track number from 1, or a name."""
    instruments: bool = False
    """Whether notes keep their instruments, drums too; for a tokenizer that holds them (ensemble)."""
    pedal_beats: float = 0.0
    """Quarter notes by which the sustain pedal may lengthen a note; 0 leaves the pedal out."""
    out_of_range: str = "octave"
    """Notes outside the 88 keys: "octave" moves them inside by octaves, "drop" leaves them out."""
    max_megabytes: float = 8.0
    """A larger file is skipped."""
    max_notes: int = 50_000
    """A file with more notes is skipped."""
    max_beats: int = 20_000
    """A piece longer than this many quarter notes is skipped."""
    max_tracks: int = 512
    """A file with more tracks is skipped."""
    max_seconds: float = 20.0
    """Wall time for reading one file; past it the file is skipped."""
    max_memory_megabytes: int = 1024
    """Memory for the process that reads one file; past it the file is skipped."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 1, "max_notes", "max_beats", "max_tracks", "max_memory_megabytes")
        _above(self, 0, "max_megabytes", "max_seconds")
        if not 0 <= self.pedal_beats <= 64:
            raise ConfigError(f"pedal_beats must be 0 to 64, not {self.pedal_beats:g}.")
        if self.ticks_per_beat not in (4, 8, 12, 16, 24, 48):
            raise ConfigError("ticks_per_beat must be 4, 8, 12, 16, 24 or 48.")
        if self.out_of_range not in ("octave", "drop"):
            raise ConfigError("out_of_range must be 'octave' or 'drop'.")


@dataclass(frozen=True)
class CorpusConfig:
    """How a folder becomes pieces, splits and augmented training data."""

    reading: ReadingConfig = field(default_factory=ReadingConfig)
    """Limits and note choice for each file."""
    min_notes: int = 16
    """Pieces with fewer notes are skipped."""
    min_pieces: int = 4
    """Fewer usable pieces than this is an error: nothing can be learnt from them."""
    validation_share: float = 0.1
    """Share of the pieces (by families of duplicates) kept to choose when to stop."""
    test_share: float = 0.1
    """Share of the pieces kept for reports, never seen while training."""
    transpose_down: int = 5
    """Training pieces are also used transposed by up to this many semitones down."""
    transpose_up: int = 6
    """... and up. 5 and 6 give each piece in all 12 keys."""
    workers: int = 0
    """Reading processes; 0 means one a core."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 0, "transpose_down", "transpose_up", "workers")
        at_least(self, 1, "min_notes")
        at_least(self, 3, "min_pieces")
        for name in ("validation_share", "test_share"):
            if not 0 < getattr(self, name) <= 0.4:
                raise ConfigError(f"{name} must be above 0 and at most 0.4.")
        if self.transpose_down > 24 or self.transpose_up > 24:
            raise ConfigError("transpose_down and transpose_up must be at most 24 semitones.")


@dataclass(frozen=True)
class ChoiceConfig:
    """A named choice (tokenizer, discriminator, method) and its options, which its own file defines."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GeneratorConfig:
    """The LSTM generator (SeqGAN section 3.3, "The Generative Model for Sequences")."""

    embedding: int = 64
    """Size E of a token's embedding."""
    hidden: int = 256
    """Size H of the LSTM's state."""
    layers: int = 1
    """LSTM layers, at most 64."""
    dropout: float = 0.3
    """Share of the embedding's and the output's values dropped while training by maximum likelihood."""
    init_std: float = 0.0
    """Standard deviation of all initial weights and biases (0.1 in the paper's code); 0 means torch's defaults."""
    heads: int = 0
    """Heads of attention over the tokens before, for music that comes back; 0 is the paper's plain LSTM."""
    head_size: int = 32
    """Size D of a head's keys and values."""
    memory: int = 512
    """Tokens back that attention reaches."""
    clock: bool = False
    """Whether it is told the bar it writes, and its attention how many bars ago; needs tokens that have bars."""
    returns: bool = False
    """Whether the clock tells which bar the present one repeats, too; needs tokens that say so."""
    voices: bool = False
    """Whether the clock tells which voice is being written, too, and attention its past; needs tokens to say so."""
    summary: bool = False
    """Whether it is told the mean of all that it has written, which a key shows in."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 1, "embedding", "hidden", "layers", "head_size", "memory")
        at_least(self, 0, "heads")
        if self.layers > 64:  # each is built by itself, so that too many would take forever, not only memory
            raise ConfigError(f"layers must be at most 64, not {self.layers}.")
        if self.init_std < 0:
            raise ConfigError("init_std must be at least 0.")
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout must be in [0, 1).")
        if self.returns and not self.clock:
            raise ConfigError("returns needs clock: set generator.clock = true, or returns = false.")
        if self.voices and not self.clock:
            raise ConfigError("voices needs clock: set generator.clock = true, or voices = false.")


REPORTS = ("full", "page", "none")


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured while training, and when the adversarial phase is called off."""

    samples: int = 256
    """Sequences sampled for entropy and distinct-4."""
    midi_samples: int = 3
    """Pieces written as MIDI at each evaluation."""
    held_out_pieces: int = 1000
    """Most pieces of the validation or the test set that figures are taken of, evenly spaced over a larger one."""
    training_pieces: int = 10_000
    """Most training pieces that copies are looked for in, and that baselines and the critic learn from."""
    min_entropy_ratio: float = 0.7
    """Collapse watch: entropy of the samples below this share of the entropy before the adversarial phase."""
    min_distinct_ratio: float = 0.7
    """Collapse watch: distinct-4 of the samples below this share of its value before the adversarial phase."""
    max_discriminator_accuracy: float = 0.97
    """Collapse watch: held-out accuracy of the discriminator above this."""
    report: str = "full"
    """After training: "full" evaluates and writes report.html, "page" writes it without, "none" does neither."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 2, "samples")
        at_least(self, 0, "midi_samples")
        at_least(self, 1, "held_out_pieces", "training_pieces")
        if self.report not in REPORTS:
            raise ConfigError(f"There is no report '{self.report}'.{did_you_mean(self.report, REPORTS)}")


@dataclass(frozen=True)
class SamplingConfig:
    """How a finished run writes music, and is evaluated; training draws from the generator as it is."""

    cutoff: float = 0.003
    """No token is drawn that is less likely than this, but for the likeliest (epsilon sampling); 0 draws any."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if not 0 <= self.cutoff <= 0.5:
            raise ConfigError("cutoff must be in [0, 0.5].")


@dataclass(frozen=True)
class JudgeConfig:
    """A discriminator trained from nothing against a finished model, the same for every method."""

    epochs: int = 5
    """Most epochs over the training data and as many new samples of the model."""
    patience: int = 2
    """Epochs without a better bound on validation data after which it ends."""
    samples: int = 10_000
    """Most real sequences an epoch."""
    batch: int = 64
    """Sequences an update."""
    learning_rate: float = 3e-4
    """Of Adam."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 1, "epochs", "patience", "samples", "batch")
        _above(self, 0, "learning_rate")


@dataclass(frozen=True)
class CriticConfig:
    """The critic: after all phases it learns to tell the music from the generator's, and which bars do not fit."""

    negatives: int = 2048
    """Pieces that the generator writes for it to learn from; 0 trains no critic."""
    held_out: int = 256
    """Pieces that it writes to choose the epoch by, and as many to rank others among."""
    epochs: int = 8
    """Epochs; the best by held-out cross-entropy is kept."""
    windows: int = 8000
    """Windows an epoch, half of them real."""
    bar_windows: int = 4000
    """Windows an epoch, all real, with damaged bars, from which it learns to point at bars; 0 leaves that out."""
    batch: int = 64
    """Windows an update."""
    learning_rate: float = 2e-3
    """Of AdamW at the start; it falls to 2%."""
    weight_decay: float = 0.01
    """Of AdamW."""
    embedding: int = 32
    """Size of a note's embedding."""
    channels: int = 64
    """Filters over notes."""
    hidden: int = 96
    """Filters over bars."""
    dropout: float = 0.3
    """Share of values dropped while training."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 0, "negatives", "bar_windows")
        at_least(self, 1, "held_out", "epochs", "windows", "batch", "embedding", "channels", "hidden")
        _above(self, 0, "learning_rate")
        if self.weight_decay < 0 or not 0 <= self.dropout < 1:
            raise ConfigError("weight_decay must be at least 0, dropout in [0, 1).")


@dataclass(frozen=True)
class Config:
    """Everything that defines a run, but for the data itself."""

    seed: int = 1
    """One seed reproduces the run on one machine."""
    sequence_length: int = 128
    """Tokens of a sequence, T, in the adversarial phase and in the samples that are measured."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """How the folder is read."""
    tokenizer: ChoiceConfig = field(default_factory=lambda: ChoiceConfig(_DEFAULT_TOKENIZER))
    """The tokenizer's name and options (seqgan_music/music/tokenizers)."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """Sizes of the generator."""
    discriminator: ChoiceConfig = field(default_factory=lambda: ChoiceConfig(_DEFAULT_DISCRIMINATOR))
    """The discriminator's name and options (seqgan_music/learning/discriminators)."""
    phases: tuple[ChoiceConfig, ...] = tuple(map(ChoiceConfig, _DEFAULT_METHODS))
    """The methods of the run, in order (seqgan_music/learning/methods)."""
    objectives: Mapping[str, Any] = field(default_factory=dict)
    """What music should be like besides real, and how much that weighs (seqgan_music/music/objectives)."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Measurements while training."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How music is drawn at the end."""
    critic: CriticConfig = field(default_factory=CriticConfig)
    """What learns to judge the generator's music at the end."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 0, "seed")
        if self.seed >= 2**63:
            raise ConfigError("seed must be below 2**63.")
        at_least(self, 4, "sequence_length")
        if not self.phases:
            raise ConfigError("A run needs at least one [[phase]].")


def preset_names(kind: str = "") -> list[str]:
    """Names that `--config` accepts besides a path; `kind` is the folder of a command's own presets ("oracle")."""
    return sorted(path.stem for path in (_preset_folder() / kind).glob("*.toml"))


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a preset or a file, apply `key=value` overrides, and check every key and value.

    Keys of overrides are dotted: `seed=2`, `generator.hidden=128`, `phase.mle.updates=500` (every phase of that
    method), `phase.2.g_steps=4` (by position, from 1). Raises ConfigError.
    """
    return from_document(*read_document(name_or_path, overrides))


def of_run(folder: Path) -> Config:
    """Read the configuration that a run's folder keeps. Raises ConfigError, also where part of it is missing."""
    document, where = read_document(str(folder / "config.toml"))
    if "phase" not in document:  # every setting is written out there, and the phases last
        raise ConfigError(f"{where} is cut short: {_RESTORE}.")
    return from_document(document, where)


def of_run_if_any(folder: Path) -> Config:
    """Read the configuration of a run, as `of_run`, or return the defaults where its folder keeps none."""
    return of_run(folder) if os.path.lexists(folder / "config.toml") else Config()


def resolve(
    given: str | os.PathLike[str] | Mapping[str, Any] | Config, settings: Mapping[str, Any] | None = None
) -> Config:
    """Return the configuration of a preset, a file, a mapping as `from_document` takes, or another configuration.

    `settings` change single keys, dotted as those of `load`'s overrides: {"generator.hidden": 128}. Raises
    ConfigError.
    """
    if isinstance(given, Config):
        document, where = to_document(given), "the configuration"
    elif isinstance(given, Mapping):
        document, where = _plain(given), "the configuration"
    else:
        document, where = read_document(os.fspath(given))
    for key, value in (settings or {}).items():
        if not isinstance(key, str):
            raise ConfigError(f"settings: keys must be text, as 'generator.hidden', not {reprlib.repr(key)}.")
        _put(document, key, _plain(value))
    return from_document(document, where)


def _plain(value: Any) -> Any:
    """Return a copy of a value as TOML would give it: tables, lists, and Python's numbers in numpy's place."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Real) and not isinstance(value, bool):
        return int(value) if isinstance(value, Integral) else float(value)
    return value


def read_document(name_or_path: str, overrides: Sequence[str] = (), kind: str = "") -> tuple[dict[str, Any], str]:
    """Read a preset or a file and apply `key=value` overrides; return the document and its name for errors.

    Raises ConfigError.
    """
    text, where = _read(name_or_path, kind)
    if text.startswith(_FIRST_LINE) and not text.rstrip().endswith(_LAST_LINE):
        raise ConfigError(f"{where} is cut short: {_RESTORE}.")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from None
    for override in overrides:
        _override(document, override)
    return document, where


def from_document(document: Mapping[str, Any], where: str) -> Config:
    """Check a parsed document and return the configuration. `where` names it in errors. Raises ConfigError."""
    rest = dict(document)
    keys = {f.name for f in dataclasses.fields(Config)} - {"phases"} | {"phase"}
    for key in rest.keys() - keys:
        raise ConfigError(f"{where} has no option '{key}'.{did_you_mean(key, keys)}")
    phases = rest.pop("phase", None)
    if phases is not None:
        if not isinstance(phases, list) or not all(isinstance(phase, dict) for phase in phases):
            raise ConfigError(f"{where}: 'phase' must be written as [[phase]] tables.")
        rest["phases"] = [read_choice(phase, "method", f"{where}, phase {i}") for i, phase in enumerate(phases, 1)]
    for key, default in (("tokenizer", _DEFAULT_TOKENIZER), ("discriminator", _DEFAULT_DISCRIMINATOR)):
        if key in rest:
            rest[key] = read_choice(rest[key], "name", f"{where}, [{key}]", default)
    if not isinstance(rest.get("objectives", {}), Mapping):
        raise ConfigError(f"{where}: objectives must be a table, as in objectives.key = 0.5.")
    return build(Config, rest, where)


def to_document(config: Config) -> dict[str, Any]:
    """Return the configuration as a plain document that `from_document` and `to_toml` accept."""
    document = dataclasses.asdict(config)
    document["phase"] = [{"method": p.name, **p.options} for p in config.phases]
    del document["phases"]
    for key in ("tokenizer", "discriminator"):
        choice = getattr(config, key)
        document[key] = {"name": choice.name, **choice.options}
    return document


def to_file(document: Mapping[str, Any]) -> str:
    """Write a document as TOML of which it shows when its end is missing: what is left may be valid, and less."""
    return f"{_FIRST_LINE}\n{to_toml(document)}\n{_LAST_LINE}\n"


def to_toml(document: Mapping[str, Any], prefix: str = "") -> str:
    """Write a document of plain values, tables and lists of tables as TOML."""
    lines, tables = [], []
    for key, value in document.items():
        name = f"{prefix}{_toml_key(key)}"
        if isinstance(value, Mapping):
            body = to_toml(value, f"{name}.")
            tables.append(f"\n[{name}]\n{body}")
        elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
            tables.extend(f"\n[[{name}]]\n{to_toml(item, f'{name}.')}" for item in value)
        elif value is not None:
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}\n")
    return "".join(lines + tables)


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a mapping: every key known, every value of the field's type.

    `where` names the place in errors: "configs/quick.toml", "Method 'seqgan'". Raises ConfigError.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a table of options, not {type(values).__name__}.")
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where} has no option '{key}'.{did_you_mean(key, known)}")
        checked[key] = _checked(hints[key], value, f"{where}: {key}")
    try:
        return cls(**checked)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _checked(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, not {reprlib.repr(value)}.")
        return build(hint, value, where)  # type: ignore[arg-type]
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _checked(next(o for o in options if o is not type(None)), value, where)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, not {reprlib.repr(value)}.")
        return tuple(_checked(item, part, where) for part in value)
    if hint is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if hint in (int, float, str, bool):
        if type(value) is not hint:
            names = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
            raise ConfigError(f"{where} must be {names[hint]}, not {reprlib.repr(value)}.")
        if hint is float and not math.isfinite(value):
            raise ConfigError(f"{where} must be a finite number, not {value}.")
    return value


def read_choice(table: Any, key: str, where: str, default: str | None = None) -> ChoiceConfig:
    """Return the choice that a table makes by its `key` ("name", "method"). Raises ConfigError."""
    name = table.get(key, default) if isinstance(table, Mapping) else None
    if not isinstance(name, str):
        raise ConfigError(f"{where} must be a table with a '{key}', which is text in quotes.")
    return ChoiceConfig(name, {k: v for k, v in table.items() if k != key})


def _override(document: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, not '{text}'.")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        value = raw.strip()
    _put(document, key, value)


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key. Raises ConfigError."""
    *path, last = key.strip().split(".")
    if path[:1] == ["phase"]:
        document.setdefault("phase", [{"method": method} for method in _DEFAULT_METHODS])
    targets: list[Any] = [document]
    for part in path:
        following: list[Any] = []
        for target in targets:
            if isinstance(target, list):
                chosen = [t for i, t in enumerate(target, 1) if part in (str(i), *_names(t))]
                if not chosen:
                    known = [name for t in target for name in _names(t)]
                    raise ConfigError(f"--set {key}: there is no {path[0]} '{part}'.{did_you_mean(part, known)}")
                following.extend(chosen)
            elif isinstance(target, dict):
                following.append(target.setdefault(part, {}))
            else:
                raise ConfigError(f"--set {key}: what stands before '.{part}' has no keys of its own.")
        targets = following
    for target in targets:
        if isinstance(target, list):
            name = path[0]
            raise ConfigError(f"--set {key}: say which {name}, as in {name}.mle.{last}=... or {name}.1.{last}=...")
        if not isinstance(target, dict):
            raise ConfigError(f"--set {key}: '{path[-1]}' has no keys of its own.")
        target[last] = value


def _names(entry: Any) -> set[str]:
    """By what an entry of a list of tables is chosen: its method, and its label where it has one."""
    return {str(entry[key]) for key in ("method", "label") if key in entry} if isinstance(entry, dict) else set()


def _preset_folder() -> Path:
    inside = Path(str(resources.files("seqgan_music"))) / "configs"
    # In a checkout the presets stand at the top level; the wheel carries them inside the package.
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / "configs"


def _read(name_or_path: str, kind: str) -> tuple[str, str]:
    names = preset_names(kind)
    preset = _preset_folder() / kind / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if name_or_path in names:
        return preset.read_text(encoding="utf-8"), f"preset '{name_or_path}'"
    if path.suffix != ".toml" and not os.path.exists(path):
        raise ConfigError(
            f"There is no preset '{name_or_path}'.{did_you_mean(name_or_path, names)}"
            " A file is given by its path, ending in .toml."
        )
    try:
        data = documents.read(path, _MOST_BYTES)
        return data.decode("utf-8-sig"), str(path)  # some editors begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"Cannot read the configuration {path}: {reason}.") from None


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # The escapes of JSON are TOML's too, but TOML wants one for DEL as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml_value(item)}" for key, item in value.items()) + "}"
    return repr(value)


def at_least(config: object, least: int, *names: str) -> None:
    """Raise ConfigError where one of these fields is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise ConfigError(f"{name} must be at least {least}, not {getattr(config, name)}.")


def _above(config: object, bound: float, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > bound:
            raise ConfigError(f"{name} must be above {bound:g}, not {getattr(config, name)}.")
