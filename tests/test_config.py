"""Configurations: presets, files and --set give the stated values, and every mistake is named with its place."""

from __future__ import annotations

import os
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from seqgan_music import choices, config
from seqgan_music.config import ChoiceConfig, Config
from seqgan_music.errors import ConfigError
from seqgan_music.learning import methods

PRESETS = sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))


def file(folder: Path, text: str) -> str:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


# Presets


def test_the_presets_are_the_files_of_configs() -> None:
    assert config.preset_names() == PRESETS != []


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_survives_being_written_and_read(preset: str) -> None:
    loaded = config.load(preset)
    document = config.to_document(loaded)
    assert config.from_document(tomllib.loads(config.to_toml(document)), "again") == loaded


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_names_choices_that_exist_with_options_that_they_have(preset: str) -> None:
    loaded = config.load(preset)
    for package, kind, choice in [
        ("seqgan_music.music.tokenizers", "tokenizer", loaded.tokenizer),
        ("seqgan_music.learning.discriminators", "discriminator", loaded.discriminator),
    ]:
        options = choices.load(package, choice.name, kind).Options
        config.build(options, choice.options, f"{preset}: {kind} '{choice.name}'")
    for phase in loaded.phases:
        methods.check(phase)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_opens_by_saying_what_it_is_for(preset: str) -> None:
    assert (ROOT / "configs" / f"{preset}.toml").read_text(encoding="utf-8").startswith("# ")


# Files


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert config.load(file(tmp_path, "")) == Config()


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert config.load(file(tmp_path, "\ufeffseed = 7")).seed == 7


def test_values_arrive_where_they_belong(tmp_path: Path) -> None:
    text = """
    seed = 7
    corpus.reading.max_seconds = 3
    tokenizer = { name = "pitch_grid", length = 16 }
    [[phase]]
    method = "mle"
    epochs = 2
    [[phase]]
    method = "mle"
    """
    loaded = config.load(file(tmp_path, text))
    assert (loaded.seed, loaded.corpus.reading.max_seconds) == (7, 3.0)
    assert type(loaded.corpus.reading.max_seconds) is float
    assert loaded.tokenizer == ChoiceConfig("pitch_grid", {"length": 16})
    assert loaded.phases == (ChoiceConfig("mle", {"epochs": 2}), ChoiceConfig("mle", {}))


def test_a_choice_without_a_name_means_the_default_one(tmp_path: Path) -> None:
    loaded = config.load(file(tmp_path, "[tokenizer]\nvelocity_bins = 4\n[discriminator]\n"))
    assert loaded.tokenizer == ChoiceConfig(Config().tokenizer.name, {"velocity_bins": 4})
    assert loaded.discriminator == Config().discriminator


MISTAKES = [
    ("sed = 1", "has no option 'sed'. Did you mean 'seed'?"),
    ("[[phaze]]", "has no option 'phaze'. Did you mean 'phase'?"),
    ("phases = []", "has no option 'phases'. Did you mean 'phase'?"),
    ("[generator]\nhiden = 1", "generator has no option 'hiden'. Did you mean 'hidden'?"),
    ("[corpus.reading]\nmax_note = 1", "corpus: reading has no option 'max_note'. Did you mean 'max_notes'?"),
    ("seed = 1.5", "seed must be a whole number, not 1.5."),
    ("seed = true", "seed must be a whole number, not True."),
    ("seed = -1", "seed must be at least 0, not -1."),
    ("seed = 9223372036854775808", "seed must be below 2**63."),
    (f"seed = 1{'0' * 5000}", "is not valid TOML"),
    ("generator = 3", "generator must be a table, not 3."),
    ("[generator]\ndropout = nan", "dropout must be a finite number, not nan."),
    ("[generator]\ndropout = -inf", "dropout must be a finite number, not -inf."),
    ("[generator]\ndropout = 1", "dropout must be in [0, 1)."),
    ("[generator]\ndropout = true", "dropout must be a number, not True."),
    (f"[generator]\ndropout = 1{'0' * 400}", "dropout must be a number, not 1"),
    ("[corpus.reading]\ntrack = 2", "track must be text in quotes, not 2."),
    ("[corpus.reading]\nout_of_range = 'wrap'", "out_of_range must be 'octave' or 'drop'."),
    ("[corpus]\ntest_share = 0.9", "test_share must be above 0 and at most 0.4."),
    ("phase = []", "A run needs at least one [[phase]]."),
    ("phase = 1", "'phase' must be written as [[phase]] tables."),
    ("[[phase]]\nepochs = 1", "phase 1 must be a table with a 'method'"),
    ("[[phase]]\nmethod = 1", "phase 1 must be a table with a 'method'"),
    ("tokenizer = 'note_event'", "[tokenizer] must be a table with a 'name'"),
    ("seed = ", "is not valid TOML"),
    ("seed = 1\nseed = 2", "is not valid TOML"),
    (f"a = {'[' * 5000}", "is not valid TOML"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text[:40] for text, _ in MISTAKES])
def test_a_mistake_is_one_line_that_names_the_file_and_the_key(text: str, message: str, tmp_path: Path) -> None:
    path = file(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        config.load(path)
    assert str(raised.value).startswith(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_preset_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^There is no preset 'quik'\. Did you mean 'quick'\? A file is given"):
        config.load("quik")
    with pytest.raises(ConfigError, match="There is no preset"):
        config.load("x" * 5000)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="it is a pipe, socket or device"):
        config.load(str(tmp_path / "pipe.toml"))
    for path, reason in [(tmp_path / "no.toml", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(ConfigError, match=f"Cannot read the configuration .*: {reason}"):
            config.load(str(path))
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        config.load(str(tmp_path / "latin.toml"))


# --set

PHASES = """
[[phase]]
method = "mle"
epochs = 1
[[phase]]
method = "seqgan"
[[phase]]
method = "mle"
"""


def test_set_reads_values_as_toml_and_all_else_as_text(tmp_path: Path) -> None:
    path = file(tmp_path, "")
    overrides = ["seed=2", "generator.dropout = 0.5", "corpus.reading.track=melody", "tokenizer.name='pitch_grid'"]
    loaded = config.load(path, [*overrides, "tokenizer.length=8", "discriminator.widths=[1, 2]"])
    assert (loaded.seed, loaded.generator.dropout, loaded.corpus.reading.track) == (2, 0.5, "melody")
    assert loaded.tokenizer == ChoiceConfig("pitch_grid", {"length": 8})
    assert loaded.discriminator == ChoiceConfig(Config().discriminator.name, {"widths": [1, 2]})


def test_set_reaches_phases_by_method_and_by_position(tmp_path: Path) -> None:
    path = file(tmp_path, PHASES)
    by_method = config.load(path, ["phase.mle.epochs=5"]).phases
    assert [phase.options for phase in by_method] == [{"epochs": 5}, {}, {"epochs": 5}]
    by_position = config.load(path, ["phase.3.epochs=6"]).phases
    assert [phase.options for phase in by_position] == [{"epochs": 1}, {}, {"epochs": 6}]


def test_set_reaches_the_default_phases_of_a_file_without_any(tmp_path: Path) -> None:
    loaded = config.load(file(tmp_path, ""), ["phase.mle.epochs=5"])
    first, *others = Config().phases
    assert loaded.phases == (ChoiceConfig(first.name, {"epochs": 5}), *others)


def test_the_last_of_several_settings_counts(tmp_path: Path) -> None:
    assert config.load(file(tmp_path, "seed = 1"), ["seed=2", "seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set takes key=value, not 'seed'."),
        ("=1", "--set takes key=value, not '=1'."),
        ("seed=abc", "seed must be a whole number, not 'abc'."),
        ("seed=", "seed must be a whole number, not ''."),
        ("generator.hiden=1", "Did you mean 'hidden'?"),
        ("generater.hidden=1", "Did you mean 'generator'?"),
        ("seed.x=1", "'seed' has no keys of its own"),
        ("seed.x.y=1", "has no keys of its own"),
        ("phase.mel.epochs=1", "there is no phase 'mel'. Did you mean 'mle'?"),
        ("phase.4.epochs=1", "there is no phase '4'."),
        ("phase.epochs=1", "say which phase, as in phase.mle.epochs=..."),
        ("phase=3", "'phase' must be written as [[phase]] tables."),
        (f"generator.layers=1{'0' * 20}", "layers must be at most 64, not 1000"),
        (f"seed=1{'0' * 5000}", "seed must be a whole number"),
        (f"seed={'[' * 5000}", "seed must be a whole number"),
    ],
)
def test_a_mistaken_set_is_one_line(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(file(tmp_path, f"seed = 1\n{PHASES}"), [override])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


# Writing

keys = st.text(st.characters(codec="utf-8"), max_size=8)
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | keys
values = plain | st.lists(plain.filter(lambda value: value is not None) | st.dictionaries(keys, st.integers(0, 9)))


def without_none(value: Any) -> Any:
    """The document as TOML can hold it: keys without a value are left out."""
    return {k: without_none(v) if isinstance(v, dict) else v for k, v in value.items() if v is not None}


@given(
    st.recursive(st.dictionaries(keys, values, max_size=4), lambda inner: st.dictionaries(keys, inner, max_size=3))
)
def test_to_toml_writes_what_tomllib_reads(document: dict[str, Any]) -> None:
    assert tomllib.loads(config.to_toml(document)) == without_none(document)


# Documentation


def test_docs_config_md_is_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "docs" / "config_tables.py"), run_name="__main__")
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == capsys.readouterr().out, "docs/config.md is older than the code: make docs"
