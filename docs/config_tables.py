"""Print docs/config.md: every key of a configuration, read from the code. `make docs` writes it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import textwrap
from importlib.util import find_spec
from typing import Any

from seqgan_music import choices, config
from seqgan_music.config import ChoiceConfig, Config, GeneratorConfig
from seqgan_music.oracle_benchmark.settings import PRESETS, Settings

HEAD = """\
# Configuration

A run is defined by one TOML file. `--config quick` takes a preset of `configs/` ({presets}), `--config my.toml` a
file of yours; `--set key=value` changes single keys, as in `--set generator.hidden=128`, `--set
phase.mle.updates=500` (every phase of that method) or `--set phase.2.g_steps=4` (the second phase). A key that is
left out has the default below; a key that does not exist is an error that names the nearest one. The run's folder
keeps the whole configuration as `config.toml`, which `--config` takes again.

This file is written by `make docs` from the code, where each key and its meaning stand; edit them there.
"""

ORACLE = """
# The oracle benchmark

`seqgan-music oracle --config NAME` takes a preset of `configs/oracle` ({presets}) or a file; `--set` as above, with
`method.LABEL` in place of `phase.METHOD`. `[generator]`, `[discriminator]` and methods' options are those above.
"""

OBJECTIVES = """
`objectives.key = 0.5` is a weight; `[objectives.key]` with `weight = 0.5` takes options beside it. With
`reward = "logit"` (recipe `anchored`) the reward becomes the logit plus the sum of weight times score, so that a
weight of 1 makes a piece of score 1 up to e = 2.7 times as likely against one of score 0. With
`reward = "probability"` (recipe `paper`) the weights are shares of the reward, 1 together at most, and D has the
rest, as in ORGAN. Only the method `seqgan` takes objectives. Targets that are left out become the median of the
training music, and stand in the run's `config.toml`. `[objectives.liked]` with `weight = 1` and
`run = "runs/first"` rewards what the ratings of another run say is liked. What each did: `docs/objectives.md`.
"""

ROW = """
## `[[method]]`

One row of the table; the first is the baseline. Beside the options of its method:

| key | type | default | meaning |
| --- | --- | --- | --- |
| `label` | text | the method's name | name in tables, figures and `--methods` |
| `start` | text | the baseline's label | the row above whose generator it goes on from; `"nothing"`: untrained |
| `role` | text | `""` | `"placebo"`, `"control"`: what a method must beat, too; `"truth"`: the oracle |
"""

CHOICES = {
    "tokenizer": ("seqgan_music.music.tokenizers", 'name = "{name}"'),
    "discriminator": ("seqgan_music.learning.discriminators", 'name = "{name}"'),
    "phase": ("seqgan_music.learning.methods", 'method = "{name}"'),
    "objectives": ("seqgan_music.music.objectives", "[objectives.{name}]"),
    "oracle": ("seqgan_music.learning.oracles", 'name = "{name}"'),
}
TYPES = {
    "int": "whole number",
    "float": "number",
    "float | None": "number",
    "str": "text",
    "bool": "true, false",
    "tuple[int, ...]": "list of whole numbers",
    "tuple[float, ...]": "list of numbers",
}
HEADINGS = {
    "tokenizer": "[tokenizer]",
    "discriminator": "[discriminator]",
    "phase": "[[phase]]",
    "objectives": "[objectives]",
    "oracle": "[oracle]",
}


def meanings(cls: type[Any]) -> dict[str, str]:
    """The string under each field of a dataclass and of those it extends, on one line."""
    found = {}
    for parent in filter(dataclasses.is_dataclass, reversed(cls.__mro__)):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
            ):
                found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def shown(value: Any) -> str:
    """A value as it would be written in TOML, or a dash where a key has no value unless it is given."""
    return "–" if value is None else json.dumps(value)


def table(cls: type[Any]) -> list[str]:
    """The rows of a dataclass's plain keys."""
    told = meanings(cls)
    lines = []
    for field in dataclasses.fields(cls):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(default) or field.name in ("phases", "rows", "objectives"):
            continue
        if field.name not in told:
            sys.exit(f"{cls.__module__}: {cls.__qualname__}.{field.name} has no string under it with its meaning")
        kind = TYPES[str(field.type)]
        lines.append(
            f"| `{field.name}` | {kind} | `{shown(default)}` | {told[field.name].replace('|', '&#124;')} |"
        )
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *lines] if lines else []


def sections(value: Any, path: str, known: tuple[type[Any], ...] = ()) -> list[str]:
    """The section of one dataclass and, after it, of those inside it that have none yet."""
    first = (type(value).__doc__ or "").strip().splitlines()[0]
    lines = [f"\n## `[{path}]`\n" if path else "\n## Top level\n", first, "", *table(type(value))]
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner) and not isinstance(inner, (ChoiceConfig, *known)):
            lines += sections(inner, f"{path}.{field.name}".lstrip("."), known)
    return lines


def options(key: str) -> list[str]:
    """The sections of a folder of choices, one a file."""
    package, selector = CHOICES[key]
    if find_spec(package) is None:
        return []
    told = meanings(Settings if key == "oracle" else Config)["phases" if key == "phase" else key]
    lines = [f"\n## `{HEADINGS[key]}`\n", told]
    for name in choices.names(package):
        cls = choices.load(package, name, key)
        first = (inspect.getdoc(inspect.getmodule(cls)) or "").splitlines()[0]
        lines += [f"\n### `{selector.format(name=name)}`\n", first, "", *(table(cls.Options) or ["No options."])]
        for recipe, values in getattr(cls, "recipes", {}).items():
            changed = ", ".join(f"`{option} = {shown(value)}`" for option, value in values.items())
            lines.append(f'\n`recipe = "{recipe}"`: {changed or "the defaults"}.')
    return lines


def main() -> None:
    """Print the page."""
    presets = ", ".join(f"`{name}`" for name in config.preset_names())
    lines = [HEAD.format(presets=presets), *sections(Config(), "")]
    for key in ("tokenizer", "discriminator", "phase"):
        lines += options(key)
    lines += [*options("objectives")[:2], OBJECTIVES, *options("objectives")[2:]]
    presets = ", ".join(f"`{name}`" for name in config.preset_names(PRESETS))
    lines += [
        ORACLE.format(presets=presets),
        *sections(Settings(), "", (GeneratorConfig,)),
        *options("oracle"),
        ROW,
    ]
    print("\n".join(lines).replace("\n\n\n", "\n\n"))


if __name__ == "__main__":
    main()
