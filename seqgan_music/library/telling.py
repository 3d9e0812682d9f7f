"""Functions that are told how far something is, by the library's callers or by nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Told = TypeVar("Told")


def told(progress: Callable[[Told], object] | None) -> Callable[[Told], None]:
    """Return a function that passes on what it is told, if anybody is to be told, and returns nothing."""

    def show(what: Told) -> None:
        if progress is not None:
            progress(what)

    return show
