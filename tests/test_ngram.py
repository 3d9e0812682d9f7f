"""The n-gram against its formula, written out over the whole vocabulary."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.learning.data import Sequences
from seqgan_music.learning.methods.ngram import NgramModel
from seqgan_music.tokenset import TokenSet

SIZE, LENGTH, DISCOUNT = 4, 4, 0.6


def rows_of(seed: int, count: int = 6) -> list[list[int]]:
    return torch.randint(SIZE - 1, (count, LENGTH), generator=torch.Generator().manual_seed(seed)).tolist()


def model_of(rows: list[list[int]], order: int, start_id: int) -> NgramModel:
    tokens = TokenSet.from_rows(rows, vocabulary_size=SIZE, start_id=start_id, end_id=None)
    return NgramModel(Sequences(tokens, torch.device("cpu")), LENGTH, start_id, order, DISCOUNT)


def plain(rows: list[list[int]], order: int, start_id: int, context: list[int]) -> list[float]:
    """The next token's distribution, by the formula."""
    found = [1 / SIZE] * SIZE
    for width in range(order):
        end = ([start_id] * order + context)[len(context) + order - width :]
        counts = Counter(
            row[step]
            for row in rows
            for step in range(LENGTH)
            if ([start_id] * order + row[:step])[order + step - width :] == end
        )
        total = counts.total()
        if total:
            left = DISCOUNT * len(counts) / total
            found = [max(counts[w] - DISCOUNT, 0) / total + left * found[w] for w in range(SIZE)]
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, SIZE), st.sampled_from([1.0, 0.5, 1.7]))
def test_probability_is_the_formula_at_any_temperature(
    seed: int, order: int, start_id: int, temperature: float
) -> None:
    rows = rows_of(seed)
    sequence = torch.randint(SIZE, (LENGTH,), generator=torch.Generator().manual_seed(seed + 1)).tolist()
    expected = torch.zeros((), dtype=torch.float64)
    for step, token in enumerate(sequence):
        logits = torch.tensor(plain(rows, order, start_id, sequence[:step]), dtype=torch.float64).log()
        expected += (logits / temperature).log_softmax(0)[token]
    found = model_of(rows, order, start_id).log_prob(torch.tensor([sequence]), temperature)
    torch.testing.assert_close(found, expected[None])


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_samples_have_the_probabilities(order: int, temperature: float) -> None:
    model = model_of(rows_of(3), order, 0)
    count = 40_000
    ids = model.sample(count, temperature, torch.Generator().manual_seed(1))
    every = torch.cartesian_prod(*[torch.arange(SIZE)] * LENGTH)
    probability = model.log_prob(every, temperature).exp()
    assert float(probability.sum()) == pytest.approx(1.0)
    keys = (ids * SIZE ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    seen = torch.bincount(keys, minlength=SIZE**LENGTH).double()
    likely = probability * count >= 5
    chi2 = float(((seen - probability * count).square() / (probability * count))[likely].sum())
    degrees = int(likely.sum())
    assert chi2 < degrees + 5 * (2 * degrees) ** 0.5
    assert float(seen[~likely].sum()) == pytest.approx(float(probability[~likely].sum()) * count, abs=150)
