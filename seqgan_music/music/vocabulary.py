"""vocabulary.json: which tokenizer made a run's ids, so that other versions read them alike or say they cannot."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from seqgan_music import documents
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.files import replacing
from seqgan_music.music import tokenizers
from seqgan_music.music.tokenizers import Tokenizer

LARGEST_BYTES = 4_000_000
LARGEST_TICKS_PER_BEAT = 960

_FIELDS = {"tokenizer": str, "options": dict, "ticks_per_beat": int, "tokens": list}


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write name, options, ticks per beat and the name of every id, whole or not at all. Raises OutputError."""
    document = {
        "tokenizer": tokenizer.name,
        "options": dataclasses.asdict(tokenizer.options),
        "ticks_per_beat": tokenizer.ticks_per_beat,
        "tokens": tokenizer.vocabulary,
    }
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Tokenizer:
    """Return the tokenizer of a run.

    Raises RunError naming the file where it cannot be read, is not what `save` writes, or where this version's
    tokens for those options are not the tokens stored: every id would mean something else.
    """
    document = _document(path)
    try:
        tokenizer = tokenizers.create(document["tokenizer"], document["options"], document["ticks_per_beat"])
    except ConfigError as error:
        raise RunError(f"The vocabulary {path} cannot be used: {error}") from None
    if list(tokenizer.vocabulary) != document["tokens"]:
        raise RunError(
            f"The vocabulary {path} is not that of tokenizer '{tokenizer.name}' in this version"
            f" ({len(document['tokens'])} tokens there, {len(tokenizer.vocabulary)} here):"
            " train again, or use the version that made the run."
        )
    return tokenizer


def _document(path: Path) -> dict[str, Any]:
    damaged = f"The vocabulary {path} is damaged"
    advice = "restore the file, or train again."
    try:
        document = documents.parsed(documents.read(path, LARGEST_BYTES))
    except OSError as error:
        raise RunError(f"Cannot read the vocabulary {path}: {documents.why(error)}; {advice}") from None
    except ValueError:
        raise RunError(f"{damaged}: it is not JSON; {advice}") from None
    if not isinstance(document, dict):
        raise RunError(f"{damaged}: it is no table of keys; {advice}")
    for key, kind in _FIELDS.items():
        # A bool is an int to Python, and not to us.
        if type(document.get(key)) is not kind:
            raise RunError(f"{damaged}: '{key}' is missing or of the wrong kind; {advice}")
    if not 1 <= document["ticks_per_beat"] <= LARGEST_TICKS_PER_BEAT:
        raise RunError(f"{damaged}: 'ticks_per_beat' must be 1 to {LARGEST_TICKS_PER_BEAT}; {advice}")
    return document
