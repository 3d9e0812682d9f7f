"""Why a file gives no piece: a stable reason, and a sentence for people."""

from __future__ import annotations

from seqgan_music.errors import InputError


class UnusableError(InputError):
    """A file without a usable piece. `reason` is its stable category, the message a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


def printable(text: str, length: int = 80) -> str:
    """Return foreign text fit for one line of a terminal: printable and not too long."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * length])
    return " ".join(line.split())[:length]
