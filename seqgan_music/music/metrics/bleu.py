r"""BLEU and self-BLEU of integer sequences, as nltk defines them, for thousands of sequences at once.

    BLEU-n  = brevity · exp(mean over k = 1 .. n of log p_k)
    p_k     = clipped matches / k-grams of the sequence
    brevity = exp(min(0, 1 - r / c)),  c the sequence's length, r the nearest reference length, the shorter of two

A match counts at most as often as the k-gram stands in the one reference that has it most often. Where a p_k has
no match, 0.1 matches are taken (Chen and Cherry 2014, method 1), and where no single token matches BLEU is 0. BLEU
of a set is the mean over its sequences, each against all references (Papineni et al. 2002, the sentence's form);
self-BLEU is that of each sequence against all the others of its own set (Zhu et al. 2018, Texygen).

Range 0..1. BLEU: higher is nearer to the references. Self-BLEU: real music's value is the aim, more means samples
that repeat each other. Both grow with the number of references, so compare equal numbers. BLEU is blind to
diversity and copying (training music and one tune over and over score best), to what is further apart than n
tokens, and to everything that the tokens leave out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqgan_music.music.metrics.arrays import Floats, Ints

SMOOTHING = 0.1

IntSequence = Sequence[int] | npt.NDArray[np.integer]


def bleu(candidates: Sequence[IntSequence], references: Sequence[IntSequence], order: int = 4) -> Floats:
    """Return the BLEU of each candidate against all references: (N,); NaN without references."""
    if not len(references):
        return np.full(len(candidates), np.nan)
    texts = _Texts([*references, *candidates])
    first = len(references)
    matches = np.zeros((order, len(candidates)))
    for n, (gram, text, count) in enumerate(texts.grams(order)):
        most = np.zeros(int(gram.max(initial=-1)) + 1, dtype=np.int64)
        reference = text < first
        np.maximum.at(most, gram[reference], count[reference])
        clipped = np.minimum(count, most[gram])
        matches[n] = np.bincount(text, clipped, len(texts.lengths))[first:]
    lengths = texts.lengths[first:]
    return _bleu(matches, lengths, _nearest(lengths, texts.lengths[:first]))


def self_bleu(sequences: Sequence[IntSequence], order: int = 4) -> Floats:
    """Return the BLEU of each sequence against all the others: (N,); NaN of a single one."""
    if len(sequences) < 2:
        return np.full(len(sequences), np.nan)
    texts = _Texts(sequences)
    matches = np.zeros((order, len(sequences)))
    for n, (gram, text, count) in enumerate(texts.grams(order)):
        by_count = np.lexsort((count, gram))  # of each n-gram, the sequence that has it most often comes last
        gram, text, count = gram[by_count], text[by_count], count[by_count]
        last = np.append(gram[1:] != gram[:-1], True)[: len(gram)]
        top = count[last][gram]
        before = np.where(np.append(True, last[:-1])[: len(gram)], 0, np.roll(count, 1))
        others = np.where(last, before, top)  # the most that another sequence has
        matches[n] = np.bincount(text, np.minimum(count, others), len(sequences))
    lengths = texts.lengths
    return _bleu(matches, lengths, _nearest(lengths, lengths, leave_one_out=True))


class _Texts:
    """Sequences one after the other, and their n-grams counted."""

    def __init__(self, sequences: Sequence[IntSequence]) -> None:
        self.lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        whole = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in sequences])
        self._tokens = _numbered(whole)  # (total,)
        self._text = np.repeat(np.arange(len(sequences)), self.lengths)

    def grams(self, order: int) -> list[tuple[Ints, Ints, Ints]]:
        """Return for n = 1 .. order: n-grams numbered from 0, the sequence that has each, and how often; sorted."""
        found = []
        gram, texts = self._tokens, len(self.lengths)
        size = int(gram.max(initial=0)) + 1
        for n in range(1, order + 1):
            if n > 1:  # the (n - 1)-gram that begins here, and the token after it
                gram = _numbered(gram[: len(gram) - 1] * size + self._tokens[n - 1 :])
            text = self._text[: len(gram)]
            inside = text == self._text[n - 1 :]
            pairs, counts = np.unique(gram[inside] * texts + text[inside], return_counts=True)
            found.append((_numbered(pairs // texts), pairs % texts, counts))
        return found


def _numbered(keys: Ints) -> Ints:
    """Return the rank of each key among the different ones."""
    return np.unique(keys, return_inverse=True)[1]


def _nearest(lengths: Ints, references: Ints, *, leave_one_out: bool = False) -> Ints:
    """Return the reference length nearest to each length (N,), the shorter of two; of the others, on request."""
    different, counts = np.unique(references, return_counts=True)
    distance = np.abs(lengths[:, None] - different).astype(np.float64)  # (N, different)
    if leave_one_out:
        distance[(distance == 0) & (counts == 1)] = np.inf
    return np.asarray(different[distance.argmin(axis=1)])


def _bleu(matches: Floats, lengths: Ints, nearest: Ints) -> Floats:
    """Return BLEU (N,) from clipped matches (order, N), lengths and nearest reference lengths (N,)."""
    order = len(matches)
    possible = np.maximum(1, lengths - np.arange(order)[:, None])
    precision = np.where(matches == 0, SMOOTHING, matches) / possible
    brevity = np.minimum(0.0, 1.0 - nearest / np.maximum(1, lengths))
    return np.asarray(np.where(matches[0] == 0, 0.0, np.exp(np.log(precision).mean(axis=0) + brevity)))
