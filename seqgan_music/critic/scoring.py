"""Untrusted files -> what a run's critic says of each, or why it cannot say anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seqgan_music import config as configs
from seqgan_music.critic.judging import Critic, Judgement
from seqgan_music.music import vocabulary
from seqgan_music.music.loading import read_files
from seqgan_music.music.notes import Piece
from seqgan_music.music.tokenizers import Tokenizer


@dataclass(frozen=True)
class Scored:
    """One piece of a file as the run's tokenizer holds it, or why there is none; `name` says which of several."""

    path: Path
    name: str
    piece: Piece | None = None
    judgement: Judgement | None = None
    reason: str = ""


def score(run: Path, critic: Critic, paths: Sequence[Path]) -> Iterator[Scored]:
    """Yield what the critic says of each piece of each file, in their order. Raises RunError, ConfigError."""
    tokenizer = vocabulary.load(run / "vocabulary.json")
    for path, outcome in read_files(paths, configs.of_run_if_any(run).corpus.reading):
        if isinstance(outcome, str):
            yield Scored(path, str(path), reason=outcome)
            continue
        for number, piece in enumerate(outcome, 1):
            name = str(path) if len(outcome) == 1 else f"{path}#{number}"
            held = hold(piece, tokenizer)
            judgement = critic.judge(held) if held is not None else None
            if held is None or judgement is None:
                yield Scored(path, name, reason="no notes that this run's tokenizer can hold")
            else:
                yield Scored(path, name, held, judgement)


def hold(piece: Piece, tokenizer: Tokenizer) -> Piece | None:
    """Return a piece as the tokenizer holds it, with its own tempo and instrument; None where nothing is left."""
    held, _ = tokenizer.normalise(piece)
    return replace(held, tempos=piece.tempos[:1], program=piece.program, name=piece.name) if held.notes else None
