"""The rules of the layout, read from the source: who may import whom, and how a module begins.

errors | arguments, choices, config, files, run_folders, pages, ... | music, learning | training, ... | asking,
report, studio, finishing | library | cli | the front door
A module imports only what stands to its left, music and learning never each other, and music never torch. The front
door (`__init__`) is for others: what the package itself takes from it is the version alone.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "seqgan_music"
ORDER = [
    {"errors"},
    {
        "arguments",
        "documents",
        "choices",
        "config",
        "arrays",
        "tokenset",
        "files",
        "run_folders",
        "machine",
        "memory",
        "pages",
    },
    {"music", "learning"},
    {"rewards", "training", "compose", "critic", "preference", "evaluate", "oracle_benchmark"},
    {"asking", "report", "studio", "finishing"},
    {"library"},
    {"cli"},
    {"__init__", "__main__"},
]
LAYER = {part: number for number, parts in enumerate(ORDER) for part in parts}
VERSION = "seqgan_music.__version__"
LONGEST = 600  # lines; past it a file has more than one purpose


def name_of(path: Path) -> str:
    """Dotted name of a module inside the package: "music.notes", "music" for its __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Full names of all that a module imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name in line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@cache
def inside(module: str) -> frozenset[str]:
    """Modules of the package that a module imports, by their names inside it."""
    found = set()
    for name in imports(module):
        if name.split(".")[0] != "seqgan_music" or name == VERSION:
            continue
        inner = name.split(".")[1:]
        while inner and ".".join(inner) not in MODULES:
            inner.pop()  # the last part is a class or function
        found.add(".".join(inner) or "__init__")
    return frozenset(found)


def part(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_place_in_the_order(module: str) -> None:
    assert part(module) in LAYER, f"give '{part(module)}' its place in ORDER, in this file, and in the README"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_stands_to_its_left(module: str) -> None:
    for other in inside(module):
        if part(other) == part(module):
            continue
        here, there = LAYER[part(module)], LAYER[part(other)]
        assert there <= here, f"{module} imports {other}, which stands to its right"
        assert {part(module), part(other)} != {"music", "learning"}, f"{module} imports {other}: the other wing"


def test_no_module_imports_itself_by_a_detour() -> None:
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in finished:
            for other in sorted(inside(module) - {module}):
                visit(other, (*path, module))
            finished.add(module)

    for module in MODULES:
        visit(module, ())


FORBIDDEN = {
    "music": ["torch", "safetensors", "seqgan_music.learning"],
    "learning": ["music21", "pretty_midi", "mido", "seqgan_music.music"],
    "config": ["torch", "numpy", "music21"],
    "tokenset": ["torch", "music21"],
    "arrays": ["torch", "music21"],
    "files": ["torch", "numpy", "music21"],
    "documents": ["torch", "numpy", "music21"],
    "run_folders": ["torch", "numpy", "music21"],
}


@pytest.mark.parametrize("wing", FORBIDDEN)
def test_a_wing_never_names_what_belongs_to_the_other(wing: str) -> None:
    for module in (m for m in MODULES if part(m) == wing):
        for name in imports(module):
            for forbidden in FORBIDDEN[wing]:
                assert not f"{name}.".startswith(f"{forbidden}."), f"{module} imports {name}"


@pytest.mark.parametrize("wing", FORBIDDEN)
def test_importing_a_wing_does_not_load_the_other_by_a_detour(wing: str) -> None:
    script = "import importlib, sys\nfor name in sys.argv[2:]:\n    importlib.import_module(name)\n"
    script += "    assert not (bad := set(sys.argv[1].split()) & set(sys.modules)), f'importing {name} loads {bad}'"
    names = [f"seqgan_music.{module}" for module in MODULES if part(module) == wing]
    line = [sys.executable, "-c", script, " ".join(FORBIDDEN[wing]), *names]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_on_its_first_line_what_it_is_for(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    document = ast.get_docstring(tree(module))
    assert document, f"{module} has no docstring"
    assert text.startswith(('"""', 'r"""')), f"{module} does not open with its docstring"
    assert document.splitlines()[0].endswith((".", ":")), f"{module}'s first line is not a sentence of its own"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_one_purpose_and_so_is_short(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert MODULES[module].stem not in ("utils", "util", "helpers", "common", "misc")
