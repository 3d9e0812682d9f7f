"""Where a row's music comes from: a generator at a temperature, counts, dice, or a copy of the training set.

Generators are sampled in one batch and unconstrained, from the start id to the end id, so that it is they who are
measured and not a grammar around them (`grammatical`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.methods.ngram import NgramModel
from seqgan_music.learning.models import tempered
from seqgan_music.learning.policy_gradient import until_end
from seqgan_music.learning.sampling import whole
from seqgan_music.tokenset import TokenSet

MARKOV_CONTEXT = 3
"""Tokens that the Markov row looks back."""
MOST_TOKENS = 4096
"""No sequence is sampled longer: a real piece longer than this is seen by the windows of its first part."""
_MARKOV_DISCOUNT = 0.75
_SCORED = 1 << 15
"""Tokens scored at a time."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """Sequences of one source. `rows` hold the ids with their end id, where one came; `entropy` in nats a token.

    `cut` counts the sequences that were stopped before they had ended; without an end id none is.
    """

    rows: list[npt.NDArray[np.int64]]
    cut: int
    entropy: float | None


class Source(Protocol):
    """What a row of the table is made of."""

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Draw `count` sequences of at most `length` ids."""
        ...

    def nll(self, data: TokenSet, temperature: float) -> Floats | None:
        """Return -log of the probability of each sequence, nats (N,), or None where there is no likelihood."""
        ...


class GeneratorSource:
    """An LSTM generator; a temperature divides its logits, in drawing and in scoring alike.

    Ids less likely than the cut-off are not drawn, but scored like all: bits and entropy are the whole model's.
    """

    def __init__(self, generator: Generator, end_id: int | None, cutoff: float = 0.0) -> None:
        self.generator = generator
        self._end_id, self._cutoff = end_id, cutoff

    @torch.no_grad()
    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Draw from the start id to the end id."""
        generator = tempered(self.generator, temperature)
        rows = whole(Stepper(generator, cutoff=self._cutoff), count, length, rng, self._end_id)
        tokens = TokenSet.from_rows(
            rows,
            vocabulary_size=generator.vocabulary_size,
            start_id=generator.start_id,
            end_id=self._end_id,
        )
        total = float(_nll(generator, tokens).sum())
        return Drawn(rows, cut_short(rows, self._end_id), total / sum(map(len, rows)))

    @torch.no_grad()
    def nll(self, data: TokenSet, temperature: float) -> Floats:
        """Score whole sequences, batched by length."""
        return _nll(tempered(self.generator, temperature), data)


class MarkovSource:
    """What followed the last three ids in the training set, with absolute discounting (`methods/ngram.py`)."""

    def __init__(self, train: TokenSet) -> None:
        self._end_id = train.end_id
        order = MARKOV_CONTEXT + 1
        longest = int(train.lengths.max())
        sequences = Sequences(train, torch.device("cpu"))
        self._model = NgramModel(sequences, longest, train.start_id, order, _MARKOV_DISCOUNT)

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Draw from the start id to the end id."""
        self._model.length = length
        ids = self._model.sample(count, temperature, rng)
        chosen = until_end(ids, self._end_id)
        rows = [row[mask].cpu().numpy() for row, mask in zip(ids, chosen, strict=True)]
        total = float(self._of(ids, chosen, temperature).sum())
        return Drawn(rows, cut_short(rows, self._end_id), total / int(chosen.sum()))

    def nll(self, data: TokenSet, temperature: float) -> Floats:
        """Score each sequence."""
        rows = [torch.from_numpy(data.row(index).astype(np.int64))[None] for index in range(len(data))]
        return np.array([-float(self._model.log_prob(row, temperature)) for row in rows])

    def _of(self, ids: Tensor, chosen: Tensor, temperature: float) -> Floats:
        rows = [row[mask][None] for row, mask in zip(ids, chosen, strict=True)]
        return np.array([-float(self._model.log_prob(row, temperature)) for row in rows])


class RandomSource:
    """Ids drawn uniformly from the vocabulary, as many as training sequences have."""

    def __init__(self, train: TokenSet) -> None:
        self._train = train

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Draw lengths from the training set, then ids."""
        end_id, size = self._train.end_id, self._train.vocabulary_size
        which = torch.randint(len(self._train), (count,), generator=rng).numpy()
        lengths = np.minimum(self._train.lengths[which], length)
        rows = []
        for wanted in lengths:
            row = torch.randint(size, (int(wanted),), generator=rng).numpy()
            if end_id is not None:
                row[row == end_id] = (end_id + 1) % size
                row[-1] = end_id
            rows.append(row)
        return Drawn(rows, 0, math.log(size))

    def nll(self, data: TokenSet, temperature: float) -> Floats:
        """Every id has probability 1 / V."""
        found = np.asarray(data.lengths * math.log(data.vocabulary_size), dtype=np.float64)
        return found


class RowsSource:
    """Sequences that are there already: held-out pieces, or training pieces passed off as new ones."""

    def __init__(self, data: TokenSet) -> None:
        self._data = data

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Take sequences in random order, each as often as any other."""
        turns = -(-count // len(self._data))
        order = torch.cat([torch.randperm(len(self._data), generator=rng) for _ in range(turns)])[:count]
        return Drawn([self._data.row(index)[:length].astype(np.int64) for index in order.tolist()], 0, None)

    def nll(self, data: TokenSet, temperature: float) -> None:
        """Give nothing: a list of pieces has no likelihood."""


def _nll(generator: Generator, data: TokenSet) -> Floats:
    """Return the NLL of whole sequences, nats, batched by length."""
    sequences = Sequences(data, generator.output.weight.device)
    found = np.zeros(len(data))
    for group in sequences.groups(64):
        for index in group.split(max(1, _SCORED // int(sequences.lengths[group].max()))):
            ids = sequences.rows(index, int(sequences.lengths[index].max()), -1)
            log_probs = generator.log_probs(ids.clamp(min=0)) * (ids >= 0)
            found[index.numpy()] = -log_probs.sum(1, dtype=torch.float64).cpu().numpy()
    return found


def cut_short(rows: Sequence[npt.NDArray[np.integer]], end_id: int | None) -> int:
    """Return how many sequences have no end."""
    return 0 if end_id is None else sum(int(row[-1]) != end_id for row in rows)
