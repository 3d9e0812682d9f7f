"""BLEU of many sequences at once against BLEU of one, written out."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.learning.bleu import SMOOTHING, Bleu


def ngrams(tokens: list[int], n: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def plain(tokens: list[int], references: list[list[int]], order: int) -> float:
    logs = []
    for n in range(1, order + 1):
        matches = sum(
            min(count, max(ngrams(reference, n)[gram] for reference in references))
            for gram, count in ngrams(tokens, n).items()
        )
        logs.append(math.log((matches or SMOOTHING) / max(1, len(tokens) - n + 1)))
    nearest = min((abs(len(reference) - len(tokens)), len(reference)) for reference in references)[1]
    return math.exp(sum(logs) / order + min(0.0, 1 - nearest / len(tokens)))


def until(row: list[int], end_id: int | None) -> list[int]:
    return row[: row.index(end_id) + 1] if end_id in row else row


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(2, 4), st.integers(1, 9), st.booleans())
def test_bleu_is_that_of_one_sequence_at_a_time(seed: int, order: int, size: int, length: int, ends: bool) -> None:
    rng = torch.Generator().manual_seed(seed)
    references, ids = (torch.randint(size, (count, length), generator=rng) for count in (5, 7))
    end_id = 0 if ends else None
    found = Bleu(references, order, size, end_id)(ids)
    whole = [until(row, end_id) for row in references.tolist()]
    expected = [plain(until(row, end_id), whole, order) for row in ids.tolist()]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_reference_scores_one_and_a_stranger_next_to_nothing() -> None:
    references = torch.randint(50, (20, 12), generator=torch.Generator().manual_seed(1))
    bleu = Bleu(references, 4, 100)
    torch.testing.assert_close(bleu(references), torch.ones(20))
    stranger = bleu(references + 50)
    expected = math.exp(sum(math.log(SMOOTHING / (12 - n + 1)) for n in range(1, 5)) / 4)
    assert stranger.tolist() == pytest.approx([expected] * 20)


def test_completions_are_scored_as_they_stand() -> None:
    rng = torch.Generator().manual_seed(2)
    references, completed = torch.randint(4, (5, 6), generator=rng), torch.randint(4, (3, 2, 6), generator=rng)
    bleu = Bleu(references, 2, 4)
    torch.testing.assert_close(bleu.completions(completed[:, 0], completed, 3)[:, 1], bleu(completed[:, 1]))
