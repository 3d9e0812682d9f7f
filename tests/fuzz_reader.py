"""What the fuzzer tries: a reader, whole files for it, and what must hold of what it makes of damaged ones.

`try_` returns "read" or "refused" and raises on anything else: then the law is broken, see `fuzz`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from random import Random

import mutations

READ, REFUSED = "read", "refused"


class Reader(ABC):
    """One reader. `bounded` says that a process of its own bounds its time and memory."""

    name: str
    bounded = False

    @cached_property
    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Whole files to begin from."""

    def case(self, dice: Random) -> bytes:
        """Return a damaged file."""
        return mutations.damaged(dice.choice(self.seeds), dice, self.seeds)

    @abstractmethod
    def prepare(self, place: Path, data: bytes) -> Path:
        """Write the case into an empty folder; return what the reader is given."""

    @abstractmethod
    def try_(self, path: Path) -> str:
        """Read it. Raises SeqganMusicError where it is refused."""


def check_message(error: Exception) -> None:
    """One line, for people, that a terminal can show."""
    text = str(error)
    assert text.strip(), "an error without a word"
    assert "\n" not in text, f"more than one line: {text[:300]!r}"
    assert len(text) <= 1000, f"{len(text):,} characters: {text[:300]!r}"
