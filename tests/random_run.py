"""A run folder with a generator of random weights, to sample from in tests of what comes after training."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning import checkpoint
from seqgan_music.learning.generator import Generator
from seqgan_music.music import tokenizers, vocabulary


def make_run(run: Path, tokenizer: str = "note_event", *, typical: object = None, vocabulary_size: int = 0) -> Path:
    """Write a run whose generator has H = 16; a `vocabulary_size` makes it disagree with its tokenizer."""
    made = tokenizers.create(tokenizer, {}, 12)
    size = vocabulary_size or len(made.vocabulary)
    generator = Generator(size, size, GeneratorConfig(embedding=8, hidden=16))
    generator.initialise(torch.Generator().manual_seed(1))
    vocabulary.save(made, run / "vocabulary.json")
    tensors = checkpoint.prefixed(generator.state_dict(), "generator")
    checkpoint.save(run, "best", tensors, {"generator": checkpoint.describe_generator(generator)})
    if typical is not None:
        (run / "scan.json").write_text(json.dumps({"typical": typical}))
    return run
