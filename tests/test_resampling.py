"""A re-weighted model: with the true ratio it is the truth, with none it is its base."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqgan_music.learning.divergence import HeldOut, measure
from seqgan_music.learning.models import GeneratorModel
from seqgan_music.learning.oracles.lstm import Lstm, LstmOptions
from seqgan_music.learning.resampling import ResampledModel, effective, strength_for

SIZE, LENGTH = 4, 4
EVERY = torch.cartesian_prod(*[torch.arange(SIZE)] * LENGTH)


def drawn(seed: int, std: float) -> GeneratorModel:
    return Lstm(SIZE, LENGTH, LstmOptions(4, 6, std), torch.Generator().manual_seed(seed))


def resampled(strength: float = 1.0, **more: int) -> tuple[ResampledModel, GeneratorModel]:
    """A base that is not the oracle, weighted by the true log-ratio of the two; and the oracle."""
    base, oracle = drawn(1, 0.7), drawn(2, 0.7)

    def score(ids: Tensor) -> Tensor:
        return oracle.log_prob(ids, 1.0) - base.log_prob(ids, 1.0)

    return ResampledModel(base, score, strength=strength, **more), oracle


def test_the_true_ratio_makes_it_the_oracle_in_both_directions() -> None:
    model, oracle = resampled()
    held_out = HeldOut.of(oracle, oracle.sample(5000, 1.0, torch.Generator().manual_seed(3)))
    found = measure(model, oracle, held_out, 1.0, 5000, torch.Generator().manual_seed(4))
    # log Z, 0 here, is a mean over 16,384 samples.
    slack = 0.02 / LENGTH
    assert found["kl_rev"] == pytest.approx(0.0, abs=4 * found["kl_rev_se"] + slack)
    assert found["kl_fwd"] == pytest.approx(0.0, abs=4 * found["kl_fwd_se"] + slack)
    assert found["j"] == pytest.approx(0.0, abs=4 * found["j_se"] + 1e-4)
    base = measure(drawn(1, 0.7), oracle, held_out, 1.0, 5000, torch.Generator().manual_seed(4))
    assert base["j"] > 10 * base["j_se"]


@pytest.mark.parametrize(("strength", "temperature"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.7)])
def test_log_prob_is_normalised_and_samples_follow_it(strength: float, temperature: float) -> None:
    model, _ = resampled(strength, candidates=32)
    probability = model.log_prob(EVERY, temperature).exp()
    assert float(probability.sum()) == pytest.approx(1.0, abs=0.03)
    ids = model.sample(1500, temperature, torch.Generator().manual_seed(5))
    assert ids.shape == (1500, LENGTH)
    surprise = -model.log_prob(ids, temperature)
    entropy = -float((probability * probability.log()).sum())
    assert float(surprise.mean()) == pytest.approx(entropy, abs=4 * float(surprise.std()) / 1500**0.5 + 0.03)


def test_a_sample_is_chosen_from_its_own_candidates_in_proportion() -> None:
    # Of two candidates a first token 0 is certain where both have it, and wins 3 to 1 where one has.
    base = drawn(1, 0.7)
    model = ResampledModel(base, lambda ids: (ids[:, 0] == 0) * torch.tensor(3.0).log(), candidates=2)
    share = float(base.log_prob(EVERY[EVERY[:, 0] == 0], 1.0).exp().sum())
    expected = share**2 + 2 * share * (1 - share) * 3 / 4
    zeros = (model.sample(20_000, 1.0, torch.Generator().manual_seed(6))[:, 0] == 0).double().mean()
    assert float(zeros) == pytest.approx(expected, abs=4 * 0.5 / 20_000**0.5)


def test_without_strength_it_is_its_base() -> None:
    model, _ = resampled(0.0)
    torch.testing.assert_close(model.log_prob(EVERY, 0.8), drawn(1, 0.7).log_prob(EVERY, 0.8))
    _, weights = model.draw(10, 1.0, torch.Generator().manual_seed(7))
    assert not weights.any()


def test_the_strength_is_as_large_as_the_effective_share_allows() -> None:
    scores = torch.randn(4000, generator=torch.Generator().manual_seed(8))
    # For normal s of deviation 1 the share at a strength is e^(-strength squared).
    assert effective(0.8 * scores) == pytest.approx(math.exp(-0.64), rel=0.1)
    assert strength_for(scores, 0.5, 0.3) == 0.5
    lowered = strength_for(20 * scores, 1.0, 0.3)
    assert effective(lowered * 20 * scores) == pytest.approx(0.3, abs=1e-3)
    assert lowered == pytest.approx((-math.log(0.3)) ** 0.5 / 20, rel=0.05)
    assert strength_for(20 * scores, 1.0, 0.0) == 1.0
