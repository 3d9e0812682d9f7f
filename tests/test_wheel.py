"""The wheel holds all that a user needs and runs without a checkout; the source distribution makes it again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

import seqgan_music
from seqgan_music.compose import BUNDLED

IN_WHEEL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import seqgan_music.config, seqgan_music.cli
from seqgan_music import choices
sys.argv[1:] = ["--version"]
print(json.dumps({
    "file": seqgan_music.__file__,
    "seeds": {name: seqgan_music.config.load(name).seed for name in seqgan_music.config.preset_names()},
    "commands": choices.names("seqgan_music.cli"),
}), flush=True)
seqgan_music.cli.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*line, "--wheel-dir", str(folder), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def build(kind: str, tree: Path, folder: Path) -> Path:
    """Build a "wheel" or an "sdist" of a tree by the backend that pip calls."""
    script = f"import sys; from hatchling.build import build_{kind} as build; print(build(sys.argv[1]))"
    line = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(line, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def git(*arguments: str) -> set[str]:
    """What git lists of the checkout's files."""
    done = subprocess.run(["git", "ls-files", "-z", *arguments], cwd=ROOT, capture_output=True, text=True)
    return set(done.stdout.split("\0")) - {""}


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
        packed = {name.partition("/")[2] for name in archive.getnames()}
    (tree,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    again = build("wheel", tree, tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }
    if shutil.which("git") and (tracked := git()):
        # Nothing is left out, and nothing else goes along but what is about to be tracked.
        assert packed - git("--others", "--exclude-standard") - {"PKG-INFO"} == tracked - git("--deleted")


def test_it_has_every_module_every_preset_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "seqgan_music").rglob("*.py")}
    found = (path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.toml"))
    presets = {f"seqgan_music/{path}" for path in found}
    page = {
        path.relative_to(ROOT).as_posix()
        for folder in ("pages", "report", "studio")
        for kind in ("html", "css", "js", "svg")
        for path in (ROOT / "seqgan_music" / folder).rglob(f"*.{kind}")
    }
    bundled = {path.relative_to(ROOT).as_posix() for path in BUNDLED.rglob("*") if path.is_file()}
    assert packed == modules | presets | page | bundled | {"seqgan_music/py.typed"}
    assert presets


def test_it_says_what_it_is_and_under_which_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name
        }
    assert f"Version: {seqgan_music.__version__}\n" in texts["METADATA"]
    assert "License-Expression: MIT\n" in texts["METADATA"]
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "seqgan-music = seqgan_music.cli:main" in texts["entry_points.txt"]


def test_it_runs_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    line = [sys.executable, "-I", "-c", IN_WHEEL, str(unpacked)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    facts, version = done.stdout.splitlines()
    told = json.loads(facts)
    assert Path(told["file"]) == unpacked / "seqgan_music" / "__init__.py"
    assert sorted(told["seeds"]) == sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))
    commands = {path.stem for path in (ROOT / "seqgan_music" / "cli").glob("[!_]*.py")}
    assert set(told["commands"]) == commands
    assert version == f"seqgan-music, version {seqgan_music.__version__}"
