"""`evaluation.json` in a run folder: what was found, when the test split was read, and which checkpoint to use.

Read by `sample`, `report` and `compare`; does not import torch. A choice holds for the very tensors that were
evaluated: after more training it is void.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqgan_music import documents
from seqgan_music.files import replacing

FILE = "evaluation.json"
FORMAT = 1
MOST_PARTICLES = 1024
"""Written side by side for one piece."""

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Chosen:
    """The checkpoint that `sample` uses, and why; among how many particles its critic chooses, if it does."""

    checkpoint: str
    name: str
    why: str
    particles: int | None = None


BEST = Chosen("best", "best", "the best by held-out loss; no evaluation has compared it with the other phases")


def write(path: Path, document: dict[str, Any]) -> None:
    """Write an evaluation, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def read(run: Path) -> dict[str, Any] | None:
    """Return the run's evaluation, or None where there is none that this version can read."""
    document = read_object(run / FILE)
    return document if document is not None and document.get("format") == FORMAT else None


def chosen(run: Path) -> Chosen:
    """Return the checkpoint to sample from: the one an evaluation chose, while it is what it was, else the best."""
    choice = (read(run) or {}).get("chosen")
    if not isinstance(choice, dict):
        return BEST
    name, label, why, digest = (choice.get(key) for key in ("checkpoint", "name", "why", "sha256"))
    if not isinstance(name, str) or not isinstance(label, str) or not isinstance(why, str):
        return BEST
    saved = read_object(run / _CHECKPOINTS / f"{Path(name).name}.json")
    if saved is None or digest is None or saved.get("sha256") != digest:
        return BEST
    particles = choice.get("particles")
    known = type(particles) is int and 1 <= particles <= MOST_PARTICLES
    return Chosen(Path(name).name, label, why, particles if known else None)


def lacks_critic(run: Path) -> bool:
    """Whether there is an evaluation that no critic had a part in."""
    choice = (read(run) or {}).get("chosen")
    return isinstance(choice, dict) and "particles" not in choice


def read_object(path: Path) -> dict[str, Any] | None:
    """Return a file's JSON object, or None where there is none that can be read."""
    try:
        document = documents.load(path)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
