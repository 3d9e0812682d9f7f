"""A run folder with a generator of random weights, to sample from in tests of what comes after training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning import checkpoint
from seqgan_music.learning.generator import Generator
from seqgan_music.music import tokenizers, vocabulary
from seqgan_music.tokenset import Splits, TokenSet


def make_run(
    run: Path,
    tokenizer: str = "note_event",
    *,
    typical: object = None,
    vocabulary_size: int = 0,
    options: Mapping[str, object] | None = None,
) -> Path:
    """Write a run whose generator has H = 16; a `vocabulary_size` makes it disagree with its tokenizer."""
    made = tokenizers.create(tokenizer, options or {}, 12)
    size = vocabulary_size or len(made.vocabulary)
    generator = Generator(size, size, GeneratorConfig(embedding=8, hidden=16))
    generator.initialise(torch.Generator().manual_seed(1))
    vocabulary.save(made, run / "vocabulary.json")
    tensors = checkpoint.prefixed(generator.state_dict(), "generator")
    checkpoint.save(run, "best", tensors, {"generator": checkpoint.describe_generator(generator)})
    if typical is not None:
        (run / "scan.json").write_text(json.dumps({"typical": typical}))
    return run


def teach(run: Path, rows: Sequence[Sequence[int]], names: Sequence[str] = ()) -> None:
    """Write rows of ids as what the run learnt from, and the names of their files where there are any."""
    tokenizer = vocabulary.load(run / "vocabulary.json")
    tokens = TokenSet.from_rows(
        rows,
        vocabulary_size=len(tokenizer.vocabulary),
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        sources=range(len(rows)) if names else None,
    )
    Splits(tokens, tokens.select([]), tokens.select([])).save(run / "tokens.npz")
    if names:
        files = [{"pieces": [{"name": name, "status": "kept"}]} for name in names]
        (run / "scan.json").write_text(json.dumps({"files": files}))
