"""What a report is made of: the files of a run folder, read leniently, since a report is also for broken runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqgan_music import documents, run_folders
from seqgan_music.errors import RunError
from seqgan_music.evaluate import result

Document = Mapping[str, Any]

_TEXT_KEYS = ("method",)
_LARGEST = 1e300
"""No measure comes near; whole numbers past floats, which JSON may hold, cannot be drawn."""


@dataclass(frozen=True)
class Sources:
    """A run folder as a report sees it; a file that is missing or damaged is None or empty.

    lines   evaluations while training (`metrics.jsonl`), values that are numbers and the method's name
    scan    which files were used, skipped, why (`scan.json`)
    config  `config.toml` as text
    stale   whether the evaluation is of checkpoints that the run no longer has
    notes   what the trainer had to say: phases that ended early, roll-backs
    """

    folder: Path
    config: str
    lines: tuple[Document, ...]
    scan: Document | None
    evaluation: Document | None
    stale: bool
    notes: tuple[str, ...]

    @classmethod
    def read(cls, run: Path) -> Sources:
        """Read a run folder. Raises RunError where it is none."""
        run_folders.check_run(run)
        evaluation = result.read(run)
        if evaluation is not None and not all(isinstance(evaluation.get(key), list) for key in ("rows", "metrics")):
            evaluation = None
        scan, last = (result.read_object(run / name) for name in ("scan.json", "checkpoints/last.json"))
        progress = last.get("progress") if last else None
        notes = progress.get("notes") if isinstance(progress, dict) else None
        return cls(
            run,
            _text(run / "config.toml"),
            tuple(_lines(run / "metrics.jsonl")),
            scan,
            evaluation,
            bool(evaluation and evaluation.get("chosen")) and result.chosen(run) is result.BEST,
            tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else (),
        )


def _text(path: Path) -> str:
    try:
        return documents.read(path).decode("utf-8", "replace")
    except OSError as error:
        raise RunError(f"{path} cannot be read: {documents.why(error)}.") from None


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        texts = documents.read(path).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for text in texts:
        try:
            line = documents.parsed(text)
        except ValueError:
            continue  # cut short by a stop
        if not isinstance(line, dict) or not all(isinstance(line.get(key), str) for key in _TEXT_KEYS):
            continue
        told = {k: v for k, v in line.items() if k in _TEXT_KEYS or _is_number(v)}
        if told.keys() >= {"phase", "seconds"}:
            found.append(told)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST
