"""A folder is the list of choices: names are its files, classes follow from names, a mistake names the nearest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqgan_music import choices
from seqgan_music.errors import ConfigError, did_you_mean


@pytest.fixture
def fruit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of three choices, of which one cannot be imported, and two files that are none."""
    folder = tmp_path / "fruit_of_a_test"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "red_apple": "class RedApple: sweet = True",
        "pear": "class Pear: sweet = False",
        "durian": "import no_such_module_at_all",
        "_shared": "class Shared: pass",
        "notes.txt": "",
    }.items():
        (folder / (name if "." in name else f"{name}.py")).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder.name
    for name in [module for module in sys.modules if module.split(".")[0] == folder.name]:
        del sys.modules[name]


def test_names_are_the_files_sorted_without_private_ones(fruit: str) -> None:
    assert choices.names(fruit) == ["durian", "pear", "red_apple"]


def test_listing_imports_no_choice(fruit: str) -> None:
    choices.names(fruit)
    assert [name for name in sys.modules if name.startswith(f"{fruit}.")] == []


def test_a_choice_is_the_class_named_as_its_file(fruit: str) -> None:
    assert choices.load(fruit, "red_apple", "fruit").sweet is True
    assert choices.class_name("pitch_grid") == "PitchGrid"
    assert choices.class_name("mle") == "Mle"


def test_a_misspelt_choice_names_the_nearest(fruit: str) -> None:
    with pytest.raises(ConfigError, match=r"^There is no fruit 'peer'\. Did you mean 'pear'\?$"):
        choices.load(fruit, "peer", "fruit")
    with pytest.raises(ConfigError, match=r"^There is no fruit 'zzz'\. Choices: durian, pear, red_apple\.$"):
        choices.load(fruit, "zzz", "fruit")


def test_a_private_file_is_no_choice(fruit: str) -> None:
    with pytest.raises(ConfigError):
        choices.load(fruit, "_shared", "fruit")


def test_an_error_in_a_choices_own_file_comes_through(fruit: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        choices.load(fruit, "durian", "fruit")


def test_nothing_to_choose_from_suggests_nothing() -> None:
    assert did_you_mean("x", []) == ""
