"""Cooperative training: its divergence by hand, and G pulled to a known distribution from nothing."""

from __future__ import annotations

import pytest
import torch
from test_methods import lstm, setting
from test_sampling import make

from seqgan_music.config import ChoiceConfig
from seqgan_music.learning import methods
from seqgan_music.learning.divergence import HeldOut, measure
from seqgan_music.learning.methods.cot import mediated


def test_divergence_is_the_kl_of_next_tokens_after_the_prefixes_that_count() -> None:
    generator, mediator = make(5, seed=1), make(5, hidden=7, seed=2)
    ids = torch.tensor([[1, 2, 3], [4, 0, 1]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    with torch.no_grad():
        found = float(mediated(generator, mediator, ids, mask))
        log_g, log_m = (model(generator.inputs_for(ids))[0].log_softmax(2) for model in (generator, mediator))
    expected = [
        sum(float(log_g[i, t, v].exp() * (log_g[i, t, v] - log_m[i, t, v])) for v in range(5))
        for i, t in ((0, 0), (0, 1), (0, 2), (1, 0))
    ]
    assert found == pytest.approx(sum(expected) / 4, rel=1e-5)


def test_an_untrained_generator_comes_nearer_to_the_truth_without_any_likelihood_of_its_own() -> None:
    oracle = lstm()
    options = {
        "updates": 120,
        "round_updates": 120,
        "pretrain": 0,
        "g_learning_rate": 2e-2,
        "m_learning_rate": 2e-2,
    }
    placed = setting(oracle)
    method = methods.create(ChoiceConfig("cot", options), placed)
    held_out = HeldOut.of(oracle, oracle.sample(2000, 1.0, torch.Generator().manual_seed(1)))

    def j() -> float:
        return measure(method.model(), oracle, held_out, 1.0, 2000, torch.Generator().manual_seed(2))["j"]

    before = j()
    method.advance()
    assert j() < 0.6 * before
