"""What is benchmarked: oracle, sizes, methods, seeds; one TOML file, typed, every key documented here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from seqgan_music import config as configs
from seqgan_music.config import ChoiceConfig, GeneratorConfig, JudgeConfig, at_least, build, read_choice
from seqgan_music.errors import ConfigError, did_you_mean

PRESETS = "oracle"
"""Folder of the presets."""

NOTHING = "nothing"
"""As `start`: an untrained generator."""

ROLES = ("", "baseline", "placebo", "control", "truth")


@dataclass(frozen=True)
class Row:
    """One row of the table: a method, its options, and what it starts from."""

    label: str
    """Its name in tables, figures and `--methods`."""
    method: ChoiceConfig
    """The method and its options (seqgan_music/learning/methods)."""
    start: str
    """Label of the row whose generator it goes on from, or "nothing"."""
    role: str = ""
    """"baseline" (the first row), "placebo" or "control" (what a method must also beat), "truth" (the oracle)."""


@dataclass(frozen=True)
class Settings:
    """One benchmark: every method on every oracle draw with every seed."""

    seed: int = 1
    """All other seeds follow from it."""
    seeds: int = 5
    """Generators trained on each oracle, by each method."""
    draws: int = 3
    """Oracles drawn."""
    vocabulary_size: int = 100
    """V: tokens of the oracle."""
    length: int = 20
    """T: tokens a sequence."""
    train: int = 10_000
    """Sequences that the methods learn from."""
    validation: int = 2_000
    """Sequences by which training is ended."""
    held_out: int = 10_000
    """Sequences by which models are measured; no training sees them."""
    samples: int = 10_000
    """Sequences sampled from each model at each temperature."""
    curve_samples: int = 2_000
    """Sequences sampled for each point of the learning curves."""
    temperatures: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
    """Grid at which every model is measured; 1 must be in it."""
    oracle: ChoiceConfig = field(default_factory=lambda: ChoiceConfig("lstm"))
    """The oracle and its options (seqgan_music/learning/oracles)."""
    generator: GeneratorConfig = field(
        default_factory=lambda: GeneratorConfig(embedding=32, hidden=32, dropout=0.0, init_std=0.1)
    )
    """Sizes of every method's generator."""
    discriminator: ChoiceConfig = field(default_factory=lambda: ChoiceConfig("cnn"))
    """Every method's discriminator, and the judge's (seqgan_music/learning/discriminators)."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """How the judge learns."""
    rows: tuple[Row, ...] = ()
    """The methods, the baseline first."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        at_least(self, 0, "seed")
        at_least(self, 1, "seeds", "draws")
        at_least(self, 2, "vocabulary_size", "train", "validation")
        at_least(self, 4, "length", "held_out", "samples", "curve_samples")
        if self.seed >= 2**31 or max(self.seeds, self.draws) > 1000:
            raise ConfigError("seed must be below 2**31, seeds and draws at most 1000.")
        if 1.0 not in self.temperatures or min(self.temperatures) <= 0:
            raise ConfigError("temperatures must be above 0, and 1.0 among them.")
        if len(set(self.temperatures)) < len(self.temperatures):
            raise ConfigError("temperatures must differ.")

    @property
    def baseline(self) -> Row:
        """The row that all others are compared with."""
        return self.rows[0]

    def row(self, label: str) -> Row:
        """Return the row of that label."""
        return next(row for row in self.rows if row.label == label)


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Settings:
    """Read a preset of `configs/oracle` or a file; overrides as in `config.load`, `method` in place of `phase`.

    Raises ConfigError. Methods' own options are checked later, since that needs torch.
    """
    return from_document(*configs.read_document(name_or_path, overrides, PRESETS))


def from_document(document: Mapping[str, Any], where: str) -> Settings:
    """Check a parsed document. `where` names it in errors. Raises ConfigError."""
    rest = dict(document)
    keys = {f.name for f in fields(Settings)} - {"rows"} | {"method"}
    if "objectives" in rest:
        raise ConfigError(f"{where}: the oracle's tokens are no music, so it has no [objectives]. Leave them out.")
    for key in rest.keys() - keys:
        raise ConfigError(f"{where} has no option '{key}'.{did_you_mean(key, keys)}")
    tables = rest.pop("method", [])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{where}: methods must be written as [[method]] tables, the baseline first.")
    rest["rows"] = _rows(tables, where)
    for key, default in (("oracle", "lstm"), ("discriminator", "cnn")):
        if key in rest:
            rest[key] = read_choice(rest[key], "name", f"{where}, [{key}]", default)
    return build(Settings, rest, where)


def to_document(settings: Settings) -> dict[str, Any]:
    """Return the settings as a plain document that `from_document` and `config.to_toml` accept."""
    document = asdict(settings)
    del document["rows"]
    for key in ("oracle", "discriminator"):
        choice = getattr(settings, key)
        document[key] = {"name": choice.name, **choice.options}
    document["method"] = [
        {"method": row.method.name, "label": row.label, "start": row.start, "role": row.role, **row.method.options}
        for row in settings.rows
    ]
    return document


def slug(label: str) -> str:
    """Return the label as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", label)


def choose(settings: Settings, names: Sequence[str]) -> Settings:
    """Keep the rows whose label or method is named, and those that they start from. Raises ConfigError."""
    known = [name for row in settings.rows for name in (row.label, row.method.name)]
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no method '{name}' in this benchmark.{did_you_mean(name, known)}")
    kept = {row.label for row in settings.rows if row.label in names or row.method.name in names}
    kept |= {settings.baseline.label}
    while more := {settings.row(label).start for label in kept} - kept - {NOTHING}:
        kept |= more
    return replace(settings, rows=tuple(row for row in settings.rows if row.label in kept))


def _rows(tables: Sequence[Any], where: str) -> tuple[Row, ...]:
    rows: list[Row] = []
    for number, table in enumerate(tables, 1):
        here = f"{where}, method {number}"
        choice = read_choice(table, "method", here)
        options = dict(choice.options)
        told = {key: options.pop(key) for key in ("label", "start", "role") if key in options}
        if not all(isinstance(value, str) for value in told.values()):
            raise ConfigError(f"{here}: label, start and role must be text in quotes.")
        label = told.get("label", choice.name.replace("_", " "))
        labels = [row.label for row in rows]
        start = told.get("start", labels[0] if rows else NOTHING)
        role = told.get("role", "" if rows else "baseline")
        # A folder is named after it, and disks of other systems do not tell capitals from small letters.
        if not label or label == NOTHING or slug(label).lower() in (slug(other).lower() for other in labels):
            raise ConfigError(f"{here}: the label '{label}' is taken, or as good as; give it another.")
        if start not in (*labels, NOTHING):
            raise ConfigError(f"{here}: start must be \"nothing\" or a label above it, not '{start}'.")
        if role not in ROLES or (role == "baseline") != (not rows):
            raise ConfigError(f'{here}: role must be "placebo", "control", "truth" or "", not \'{role}\'.')
        rows.append(Row(label, ChoiceConfig(choice.name, options), start, role))
    return tuple(rows)
