"""Scheduled sampling: its schedules, and the law of the inputs that it mixes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_methods import SIZE, lstm, setting

from seqgan_music.learning import policy_gradient
from seqgan_music.learning.methods.scheduled_sampling import SCHEDULES, ScheduledSampling, ScheduledSamplingOptions

TRUE = 2
"""The token of which all the data consists here."""

AS_IT_IS = torch.tensor([False])
RNG = torch.Generator().manual_seed(1)


def mixing(sampled: float, done: float, end_id: int | None = None) -> ScheduledSampling:
    placed = setting(lstm())
    placed.train.end_id = end_id
    method = ScheduledSampling(placed, ScheduledSamplingOptions(updates=1000, sampled=sampled))
    method._updates = int(1000 * done)
    return method


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0, 0.99), st.floats(0, 1), st.floats(0, 1))
def test_a_schedule_grows_from_nothing_to_its_end(name: str, last: float, one: float, other: float) -> None:
    schedule = SCHEDULES[name]
    assert schedule(0.0, last) == pytest.approx(0.0, abs=1e-12)
    assert schedule(1.0, last) == pytest.approx(last)
    early, late = sorted((one, other))
    assert schedule(early, last) <= schedule(late, last) + 1e-12


def test_the_inverse_sigmoid_is_half_way_at_half_time_and_the_exponential_multiplies() -> None:
    assert SCHEDULES["inverse_sigmoid"](0.5, 0.8) == pytest.approx(0.4)
    assert 1 - SCHEDULES["exponential"](0.5, 0.75) == pytest.approx(0.25**0.5)


def test_at_first_the_inputs_are_those_of_maximum_likelihood() -> None:
    ids = torch.full((3, 4), TRUE)
    assert mixing(0.9, 0.0).inputs(ids, AS_IT_IS, RNG).tolist() == [[0, TRUE, TRUE, TRUE]] * 3


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_each_input_is_true_or_drawn_after_the_mixed_inputs_before_it(share: float) -> None:
    count = 20_000
    method = mixing(share, 1.0)
    generator = method._setting.generator
    with torch.no_grad():
        generator.output.weight.mul_(8.0)
    mixed = method.inputs(torch.full((count, 4), TRUE), AS_IT_IS, RNG)
    assert (mixed[:, 0] == 0).all()
    true = torch.nn.functional.one_hot(torch.tensor(TRUE), SIZE)
    for prefix in ([], [1], [TRUE], [3, TRUE]):
        rows = (mixed[:, 1 : 1 + len(prefix)] == torch.tensor(prefix, dtype=torch.long)).all(1)
        following = mixed[rows, 1 + len(prefix)]
        with torch.no_grad():
            own = generator(torch.tensor([[0, *prefix]]))[0][0, -1].softmax(0)
        expected = (1 - share) * true + share * own
        found = torch.bincount(following, minlength=SIZE) / len(following)
        slack = 4.5 * (expected * (1 - expected) / len(following)).sqrt() + 1e-9
        assert len(following) > 100
        assert ((found - expected).abs() <= slack).all()


def test_an_end_of_its_own_is_not_fed() -> None:
    mixed = mixing(0.99, 1.0, end_id=4).inputs(torch.full((2000, 4), TRUE), AS_IT_IS, RNG)
    assert policy_gradient.until_end(mixed, 4).all()
    assert not (mixed == 4).any()
    assert (mixed == 3).any()
