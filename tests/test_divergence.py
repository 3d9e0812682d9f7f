"""The measures are exact: they agree with sums over all sequences, and nothing but the oracle scores 0."""

from __future__ import annotations

import pytest
import torch
from enumeration import every
from torch import Tensor

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.divergence import HeldOut, distinct_4, measure
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.models import GeneratorModel, Model

V, T, COUNT = 4, 5, 4000
SEQUENCES = every(V, T)


def model(seed: int) -> GeneratorModel:
    generator = Generator(V, V, GeneratorConfig(3, 4, 1, 0.0, init_std=0.7))
    generator.initialise(torch.Generator().manual_seed(seed))
    return GeneratorModel(generator, T)


ORACLE, OTHER = model(1), model(2)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def held_out(seed: int = 3, count: int = COUNT) -> HeldOut:
    return HeldOut.of(ORACLE, ORACLE.sample(count, 1.0, rng(seed)))


def exact(judged: Model, temperature: float) -> dict[str, float]:
    """The measures, as sums over all sequences."""
    log_g, log_p = judged.log_prob(SEQUENCES, temperature), ORACLE.log_prob(SEQUENCES, 1.0)
    g, p = log_g.exp(), log_p.exp()
    sums: dict[str, Tensor] = {
        "nll_oracle": -(g * log_p).sum(),
        "nll_gen": -(p * log_g).sum(),
        "entropy": -(g * log_g).sum(),
        "kl_rev": (g * (log_g - log_p)).sum(),
        "kl_fwd": (p * (log_p - log_g)).sum(),
        "j": ((g - p) * (log_g - log_p)).sum(),
    }
    return {name: float(value) / T for name, value in sums.items()}


class Weighted:
    """`OTHER`'s distribution, drawn as weighted samples of a broader one."""

    vocabulary_size = V
    length = T

    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        return OTHER.sample(count, temperature, rng)

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        ids = OTHER.sample(count, 2 * temperature, rng)
        return ids, OTHER.log_prob(ids, temperature) - OTHER.log_prob(ids, 2 * temperature) + 5.0  # unnormalised

    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        return OTHER.log_prob(ids, temperature)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("judged", [OTHER, Weighted()], ids=["plain", "weighted"])
def test_measures_agree_with_sums_over_all_sequences(judged: Model, temperature: float) -> None:
    found = measure(judged, ORACLE, held_out(), temperature, COUNT, rng(5))
    for name, value in exact(judged, temperature).items():
        assert 0 < found[f"{name}_se"] < 0.05
        assert abs(found[name] - value) < 4 * found[f"{name}_se"], name


def test_standard_errors_are_the_spread_of_repeated_measures() -> None:
    for judged in (OTHER, Weighted()):
        runs = [measure(judged, ORACLE, held_out(seed, 400), 1.0, 400, rng(900 + seed)) for seed in range(40)]
        for name in ("kl_rev", "kl_fwd", "j", "entropy", "nll_oracle"):
            spread = torch.tensor([run[name] for run in runs]).std()
            told = torch.tensor([run[f"{name}_se"] for run in runs]).mean()
            # The spread of 40 normal values is known to 11% of itself (one standard deviation).
            assert float(spread / told) == pytest.approx(1.0, abs=0.45), name


def test_parts_of_a_measure_add_up() -> None:
    found = measure(OTHER, ORACLE, held_out(), 0.8, COUNT, rng(5))
    assert found["kl_rev"] == pytest.approx(found["nll_oracle"] - found["entropy"])
    assert found["kl_fwd"] == pytest.approx(found["nll_gen"] - held_out().entropy[0])
    assert found["j"] == pytest.approx(found["kl_rev"] + found["kl_fwd"])
    assert found["j"] == pytest.approx((found["j_chosen"] + found["j_judged"]) / 2)  # halves of an even number
    assert found["effective"] == 1.0


def test_the_oracle_itself_scores_zero_both_ways() -> None:
    found = measure(ORACLE, ORACLE, held_out(), 1.0, COUNT, rng(5))
    for name in ("kl_rev", "kl_fwd", "j", "j_chosen", "j_judged"):
        assert found[name] == pytest.approx(0.0, abs=1e-12)
    entropy, error = held_out().entropy
    assert abs(entropy - exact(ORACLE, 1.0)["entropy"]) < 4 * error
    assert abs(found["nll_oracle"] - entropy) < 4 * 2**0.5 * error


def test_collapse_lowers_the_papers_measure_and_raises_j() -> None:
    truth = measure(ORACLE, ORACLE, held_out(), 1.0, COUNT, rng(5))
    collapsed = measure(ORACLE, ORACLE, held_out(), 0.5, COUNT, rng(6))
    error = (truth["nll_oracle_se"] ** 2 + collapsed["nll_oracle_se"] ** 2) ** 0.5
    assert collapsed["nll_oracle"] < truth["nll_oracle"] - 4 * error
    assert collapsed["j"] > 4 * collapsed["j_se"]


def test_effective_share_is_that_of_the_weights() -> None:
    p, q = OTHER.log_prob(SEQUENCES, 1.0).exp(), OTHER.log_prob(SEQUENCES, 2.0).exp()
    found = measure(Weighted(), ORACLE, held_out(), 1.0, 20_000, rng(7))["effective"]
    assert found == pytest.approx(float(1 / (p * p / q).sum()), rel=0.05)


def test_distinct_4_on_a_worked_example() -> None:
    # 0123, 1231; 0123, 1230: three different ones of four.
    assert distinct_4(torch.tensor([[0, 1, 2, 3, 1], [0, 1, 2, 3, 0]])) == 0.75
