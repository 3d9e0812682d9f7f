"""Every example of docs/library.md runs as it stands there, one after the other, in a folder with made-up music."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from made_up_music import tune

import seqgan_music
from seqgan_music.library.extending import KINDS

PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|toml))\n")
"""First line of a block that is a file and not run."""


README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run in, with music; parts that are plugged in go again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", str(tmp_path / "cache"))
    for seed in range(40):
        seqgan_music.write(tune(seed), f"my_songs/tune{seed}.mid")
    paths = {package: list(sys.modules[package].__path__) for package in KINDS.values() if package in sys.modules}
    yield tmp_path
    for package, path in paths.items():
        sys.modules[package].__path__[:] = path
    sys.modules.pop("seqgan_music.learning.discriminators.pooled", None)


def test_the_examples_run_as_they_stand(
    place: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    names: dict[str, object] = {"__name__": "example"}
    said = io.StringIO()
    for kind, text in BLOCKS:
        assert kind in ("python", "toml")
        if file := FILE.match(text):
            (place / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (place / file[1]).write_text(text)
            continue
        with contextlib.redirect_stdout(said), caplog.at_level(logging.WARNING):
            exec(compile(text, f"docs/library.md, in {text.splitlines()[0]!r}", "exec"), names)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")  # what was said was said by the examples
    assert caplog.messages == []
    evaluation = names["evaluation"]
    assert isinstance(evaluation, seqgan_music.Evaluation)
    assert str(evaluation) in said.getvalue()
    assert "'H major' is not a key." in said.getvalue()
    figures = names["figures"]
    assert {"frechet", "c2st_auc", "copied_share"} <= set(figures)  # type: ignore[call-overload]


def test_the_readmes_examples_run_where_there_is_no_run_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    with contextlib.redirect_stdout(io.StringIO()):
        for text in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
            exec(compile(text, "README.md", "exec"), names)
    assert capfd.readouterr() == ("", "")


def test_the_reference_lists_the_public_names_and_no_other() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: seqgan_music\.(\w+)", text, re.MULTILINE)
    assert sorted(listed) == sorted(set(seqgan_music.__all__) - {"__version__"})


def test_the_pages_menu_has_every_page() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    menus = re.findall(r"^```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    listed = [name for menu in menus for name in menu.split()]
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index")
