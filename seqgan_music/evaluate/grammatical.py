"""A generator held to its tokenizer's grammar, as `sample` writes: what the row without it leaves out is heard."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from seqgan_music.evaluate.sources import Drawn, cut_short
from seqgan_music.learning import sampling
from seqgan_music.learning.generator import Generator
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import TokenSet

_TOGETHER = 256
"""Sequences drawn at a time."""

Bools = npt.NDArray[np.bool_]


class GrammaticalSource:
    """Draws each id from what the model finds likely among those that make sense there, to the piece's own end."""

    def __init__(self, generator: Generator, tokenizer: Tokenizer, cutoff: float = 0.0) -> None:
        """`tokenizer` has an end id: without one nothing it could read is a mistake."""
        self._generator, self._tokenizer, self._cutoff = generator, tokenizer, cutoff

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Draw from the start id to the end id."""
        rows: list[npt.NDArray[np.int64]] = []
        while len(rows) < count:
            some = min(_TOGETHER, count - len(rows))
            drawn = sampling.generate(
                self._generator,
                some,
                length,
                rng=rng,
                temperature=temperature,
                cutoff=self._cutoff,
                constraint=_Grammars(self._tokenizer, some),
            )
            rows += [np.array(row, dtype=np.int64) for row in drawn]
        return Drawn(rows, cut_short(rows, self._tokenizer.end_id), None)

    def nll(self, data: TokenSet, temperature: float) -> None:
        """Give nothing: how much the grammar takes away differs from id to id, and is not kept."""


class _Grammars:
    """The constraint of many sequences, each with a grammar of its own."""

    def __init__(self, tokenizer: Tokenizer, count: int) -> None:
        first = tokenizer.grammar()
        self._grammars = [first.copy() for _ in range(count)]

    def allowed(self) -> Bools:
        return np.array([grammar.allowed() for grammar in self._grammars])

    def advance(self, tokens: npt.NDArray[np.integer]) -> None:
        for grammar, token in zip(self._grammars, tokens.tolist(), strict=True):
            grammar.advance(token)

    @property
    def finished(self) -> Bools:
        return np.array([grammar.finished for grammar in self._grammars])
