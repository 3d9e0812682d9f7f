"""What the project says of itself is so: versions agree, the README's commands exist, its tree is the tree."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from conftest import ROOT

import seqgan_music
from seqgan_music.cli import commands

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
PROGRAM = [line for line in LINES if line.startswith("seqgan-music ")]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def command_in(line: str) -> tuple[click.Command, list[str]]:
    """The command that a line names, and its arguments."""
    _, name, *arguments = shlex.split(line.split(">")[0])
    if name.startswith("-"):
        return commands, [name]
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command, arguments


def test_the_changelogs_top_version_is_the_packages() -> None:
    top = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert top is not None
    assert top[1] == seqgan_music.__version__


def test_the_citations_version_is_the_packages() -> None:
    assert f"\nversion: {seqgan_music.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", PROGRAM)
def test_a_command_of_the_readme_can_be_typed(line: str) -> None:
    command, arguments = command_in(line)
    context = click.Context(command, info_name=command.name)
    # Options and their number of values are checked here; files and runs need not be there.
    parser = command.make_parser(context)
    if arguments != ["--help"]:
        parser.parse_args(args=list(arguments))


def test_the_readme_shows_every_command() -> None:
    shown = {shlex.split(line)[1] for line in PROGRAM}
    assert set(commands.list_commands(click.Context(commands))) <= shown


@pytest.mark.parametrize("line", [line for line in LINES if "make " in line])
def test_a_make_target_of_the_readme_exists(line: str) -> None:
    assert set(line.split("make ")[1].split()) <= TARGETS


def test_every_make_target_is_explained_by_make_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE)) == TARGETS


OLD = "sys.version_info = (3, 9, 2)"
BARE = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'ensurepip' else f(n)"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (OLD, "seqgan-music needs Python 3.11 or newer; {python} is 3.9. Name another one: make PYTHON=python3.12"),
        (
            BARE,
            "{python} cannot make a virtual environment. On Debian and Ubuntu: apt install python{v}-venv",
        ),
        (None, "There is no '{python}'. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python"),
    ],
)
def test_make_says_what_is_wrong_with_a_python(patch: str | None, message: str, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "fake-python"
    if patch:
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; {patch}; exec(sys.argv[1])" "$2"\n')
        python.chmod(0o755)
    line = ["make", "--no-print-directory", "demo", f"PYTHON={python}"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == message.format(python=python, v="{}.{}".format(*sys.version_info))
    assert not (tmp_path / ".venv").exists()


def test_presets_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"--config ([\w-]+)(?![\w.-])", README))
    assert named
    assert named <= {path.stem for path in (ROOT / "configs").rglob("*.toml")}


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def tree() -> dict[Path, str]:
    """The README's file tree: each path with its caption."""
    (block,) = [text for kind, text in BLOCKS if not kind and text.startswith("seqgan_music/")]
    found: dict[Path, str] = {}
    folders: list[str] = []
    for line in block.splitlines():
        name, _, caption = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name.rstrip("/")]
        found[Path(*folders)] = caption.strip()
    return found


def test_the_readmes_tree_is_there_and_captioned() -> None:
    for path, caption in tree().items():
        assert (ROOT / path).exists(), f"the README's tree has {path}"
        assert caption or path == Path("seqgan_music"), f"{path} has no caption in the README's tree"


def test_every_module_and_folder_is_in_the_readmes_tree() -> None:
    package = ROOT / "seqgan_music"
    there = set()
    for folder in (package, package / "music", package / "learning"):
        for path in folder.iterdir():
            if path.suffix == ".py" or (path / "__init__.py").exists():
                there.add(path.relative_to(ROOT))
    silent = {path for path in there if path.name.startswith("__")}
    assert there - silent <= set(tree())


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for requirement in wanted:
        name = re.split(r"[<>=~!\[; ]", requirement)[0]
        assert re.search(rf"^{name}==\S+$", pins, re.MULTILINE), f"{name} has no version in constraints.txt"
