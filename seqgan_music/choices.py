"""A folder is the list of choices: the file `note_event.py` is what a user types as "note_event".

Each file of such a folder defines one class whose name is the file's in CamelCase (`NoteEvent`).
Adding a tokenizer, method, model or format is adding a file; there is no table to keep in step.
Errors inside a choice's own file come through as they are.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from seqgan_music.errors import ConfigError, did_you_mean


def names(package: str) -> list[str]:
    """Return the choices in a package, e.g. `names("seqgan_music.learning.methods")`, without importing them."""
    path = import_module(package).__path__
    return sorted(info.name for info in pkgutil.iter_modules(path) if not info.name.startswith("_"))


def files(folder: Path) -> list[str]:
    """Return the choices that the files of any folder would be."""
    return sorted(info.name for info in pkgutil.iter_modules([str(folder)]) if not info.name.startswith("_"))


def check_free(package: str, folder: Path) -> None:
    """Raise ConfigError where a folder has a choice of a name that a package has already, from elsewhere."""
    path = import_module(package).__path__
    if str(folder.resolve()) in path:
        return
    if taken := {*files(folder)} & {*names(package)}:
        raise ConfigError(f"{folder / min(taken)}.py: there is a '{min(taken)}' already. Choose another name.")


def extend(package: str, folder: Path) -> None:
    """Let the files of a folder be choices of a package too, in this process."""
    path = import_module(package).__path__
    if str(folder.resolve()) not in path:
        path.append(str(folder.resolve()))
        invalidate_caches()


def class_name(name: str) -> str:
    """Return the class a choice's file must define: "pitch_grid" -> "PitchGrid"."""
    return "".join(part.capitalize() for part in name.split("_"))


def load(package: str, name: str, kind: str) -> type[Any]:
    """Return the class of one choice; `kind` names it for people ("method").

    Raises ConfigError where there is no such file, naming the nearest one.
    """
    if name not in names(package):
        raise ConfigError(f"There is no {kind} '{name}'.{did_you_mean(name, names(package))}")
    found: type[Any] = getattr(import_module(f"{package}.{name}"), class_name(name))
    return found
