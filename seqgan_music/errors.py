"""The errors that a user can mend: each becomes one clear line on the terminal and exit code 2.

Anything that is not a `SeqganMusicError` is a bug of ours and keeps its traceback.
A message says what happened, to which file or key, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 800
"""Characters of a message."""


class SeqganMusicError(Exception):
    """Base of everything a user can mend. The command line prints it as one line and exits with 2."""

    def __str__(self) -> str:
        """Return the message as one line of a length that can be read, whatever text from a file it quotes."""
        text = r"\n".join(super().__str__().splitlines())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]} ... {text[-90:]}"


class InputError(SeqganMusicError):
    """A file or folder that cannot be used: missing, unreadable, of the wrong kind, without music."""


class ConfigError(SeqganMusicError):
    """A setting that does not exist or cannot be: unknown key, wrong type, impossible value."""


class RunError(SeqganMusicError):
    """A run folder that cannot be used: no checkpoint, a damaged one, one of another vocabulary, one in use."""


class OutputError(SeqganMusicError):
    """A result that cannot be written: no space left, no permission, a folder in its place."""


class WorkerError(SeqganMusicError):
    """A process that reads files, or does other parts of the work, cannot start: the machine has no room for it."""


class RankError(SeqganMusicError):
    """One of several processes that train together has ended, or cannot be reached: the others cannot go on."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice nearest to `word`, or " Choices: ..." where none is near."""
    names = sorted(choices)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Choices: {', '.join(names)}." if names else ""
