"""BLEU and self-BLEU against nltk and one sequence at a time; the paper's figures against all pairs."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.learning.bleu import Bleu
from seqgan_music.music.metrics.bleu import SMOOTHING, bleu, self_bleu
from seqgan_music.music.metrics.paper import paper_bleu, paper_mse, paper_rows
from seqgan_music.music.notes import Note, Piece, Tempo

sequences = st.lists(st.lists(st.integers(0, 4), max_size=9), min_size=2, max_size=6)
orders = st.integers(1, 5)


@pytest.fixture(scope="module")
def nltk() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("nltk.translate.bleu_score")


@settings(max_examples=100, deadline=None)
@given(sequences, sequences, orders)
def test_bleu_is_nltks(nltk: Any, candidates: list[list[int]], references: list[list[int]], order: int) -> None:
    method, weights = nltk.SmoothingFunction(SMOOTHING).method1, [1 / order] * order
    expected = [nltk.sentence_bleu(references, some, weights, method) for some in candidates]
    assert bleu(candidates, references, order).tolist() == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(sequences, orders)
def test_self_bleu_is_bleu_against_the_others(some: list[list[int]], order: int) -> None:
    expected = [bleu([own], some[:i] + some[i + 1 :], order)[0] for i, own in enumerate(some)]
    assert self_bleu(some, order).tolist() == pytest.approx(expected)


def test_bleu_is_that_of_the_rewards() -> None:
    rng = torch.Generator().manual_seed(1)
    references, candidates = (torch.randint(5, (20, 12), generator=rng) for _ in range(2))
    expected = Bleu(references, 4, 5)(candidates)
    assert bleu(candidates.numpy(), references.numpy()).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_a_reference_scores_1_a_stranger_0_and_one_sequence_over_and_over_has_self_bleu_1() -> None:
    rows = np.random.default_rng(1).integers(0, 50, (20, 12)).tolist()
    assert bleu(rows, rows).tolist() == pytest.approx([1] * 20)
    assert bleu([[60] * 12], rows).tolist() == [0]
    assert self_bleu([rows[0]] * 3).tolist() == pytest.approx([1] * 3)
    assert self_bleu(rows).max() < 0.5


def test_without_references_there_is_no_bleu() -> None:
    assert math.isnan(bleu([[1]], [])[0])
    assert math.isnan(self_bleu([[1]])[0])
    assert bleu([], [[1]]).tolist() == []


def test_the_papers_rows_are_pitches_each_two_fifths_of_a_second() -> None:
    notes = (Note(0, 60, 12), Note(12, 64, 12), Note(36, 67, 12 * 29))  # at 150 a minute a step is a beat
    (row,) = paper_rows(Piece(notes, tempos=(Tempo(0, 150.0),)))
    assert row.tolist() == [60, 64, 0, *[67] * 29]
    assert paper_rows(Piece(())).shape == (0, 32)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_the_papers_mse_is_the_mean_over_all_pairs(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.choice([0, 60, 62, 67], (count, 32)) for count in (n, m))
    gaps = [(a - b) ** 2 for first in x.tolist() for second in y.tolist() for a, b in zip(first, second) if a and b]  # noqa: B905
    assert paper_mse(x, y) == pytest.approx(sum(gaps) / len(gaps) if gaps else math.nan, nan_ok=True)


def test_what_is_wrong_with_the_papers_figures() -> None:
    rng = np.random.default_rng(1)
    real = 60 + rng.integers(-8, 9, (400, 32)).cumsum(axis=1) % 24
    training, held_out = real[:200], real[200:]
    against_itself = paper_mse(training, held_out)
    mean_for_ever = np.full((200, 32), round(float(held_out.mean())))
    assert paper_mse(mean_for_ever, held_out) == pytest.approx(against_itself / 2, rel=0.1)
    assert paper_mse(rng.permuted(training, axis=1), held_out) == pytest.approx(against_itself, rel=0.1)
    assert paper_bleu(held_out[:1].repeat(200, axis=0), held_out).tolist() == pytest.approx([1] * 200)
    assert paper_bleu(training, held_out).mean() < 0.9
