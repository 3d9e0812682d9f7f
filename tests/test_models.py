"""Models draw what they score, at every temperature."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from enumeration import assert_drawn_from, every
from torch import Tensor

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning import models
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.models import GeneratorModel, Model, StepwiseModel, tempered

V, T = 3, 5
CHAIN = torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.1, 0.9], [0.6, 0.4, 0.0]], dtype=torch.float64)
"""Next-token probabilities after each token; the first token follows a 0."""


class Chain(StepwiseModel):
    """A Markov chain, with steps that cannot be."""

    vocabulary_size = V
    length = T

    def start(self, count: int) -> Tensor:
        return torch.zeros(count, dtype=torch.long)

    def log_next(self, state: Tensor) -> Tensor:
        return CHAIN[state].log()

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        return tokens


def generator(seed: int = 1) -> Generator:
    made = Generator(V, V, GeneratorConfig(3, 4, 1, 0.0, init_std=1.0))
    made.initialise(torch.Generator().manual_seed(seed))
    return made


MODELS: list[Model] = [GeneratorModel(generator(), T), Chain()]
each_model = pytest.mark.parametrize("model", MODELS, ids=["generator", "stepwise"])
each_temperature = pytest.mark.parametrize("temperature", [0.5, 1.0, 1.6])


@each_temperature
@each_model
def test_probabilities_of_all_sequences_sum_to_one(model: Model, temperature: float) -> None:
    log_probs = model.log_prob(every(V, T), temperature)
    assert log_probs.dtype == torch.float64
    assert float(log_probs.exp().sum()) == pytest.approx(1.0, abs=1e-5)


@each_temperature
@each_model
def test_a_temperature_means_the_same_in_drawing_and_scoring(model: Model, temperature: float) -> None:
    ids = model.sample(20_000, temperature, torch.Generator().manual_seed(2))
    assert_drawn_from(ids, V, model.log_prob(every(V, T), temperature))


@each_temperature
def test_a_temperature_divides_the_logits_of_every_step(temperature: float) -> None:
    ids = every(V, T)
    with torch.no_grad():
        logits, _ = generator()(generator().inputs_for(ids))
        expected = (logits.double() / temperature).log_softmax(2).gather(2, ids[:, :, None]).sum((1, 2))
    torch.testing.assert_close(MODELS[0].log_prob(ids, temperature), expected, atol=1e-5, rtol=1e-5)
    powers = CHAIN ** (1 / temperature)
    powers /= powers.sum(1, keepdim=True)
    chain = torch.stack([torch.stack([powers[a, b] for a, b in pairwise((0, *row))]) for row in ids.tolist()])
    torch.testing.assert_close(MODELS[1].log_prob(ids, temperature), chain.log().sum(1))


@each_model
def test_a_draw_is_a_sample_of_equal_weights(model: Model) -> None:
    ids, weights = model.draw(50, 0.8, torch.Generator().manual_seed(3))
    assert weights is None
    assert torch.equal(ids, model.sample(50, 0.8, torch.Generator().manual_seed(3)))
    assert not torch.equal(ids, model.sample(50, 0.8, torch.Generator().manual_seed(4)))


@each_model
def test_blocks_of_rows_change_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = every(V, T)
    expected = model.log_prob(ids, 0.8)
    monkeypatch.setattr(models, "CELLS", 7 * V * T)
    torch.testing.assert_close(model.log_prob(ids, 0.8), expected)
    assert_drawn_from(model.sample(5_000, 0.8, torch.Generator().manual_seed(5)), V, expected)


def test_tempering_leaves_the_generator_alone() -> None:
    original, same = generator(), generator()
    assert tempered(original, 1.0) is original
    cooled = tempered(original, 0.5)
    for name, parameter in original.named_parameters():
        assert torch.equal(parameter, same.get_parameter(name))
        factor = 2.0 if name.startswith("output") else 1.0
        torch.testing.assert_close(cooled.get_parameter(name), factor * parameter)
