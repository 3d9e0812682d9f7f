"""The policy gradient on examples worked out by hand, and the laws of its baseline."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_sampling import make

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning import evaluation, policy_gradient
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator
from seqgan_music.tokenset import TokenSet


def test_loss_on_a_two_by_three_example() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -0.25, -4.0]], requires_grad=True)
    advantages = torch.tensor([[1.0, 0.5, 2.0], [-1.0, 3.0, 7.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    summed = policy_gradient.loss(log_probs, advantages, mask, mean=False)
    assert float(summed.detach()) == pytest.approx(1.0 + 1.0 + 6.0 - 0.5 + 0.75)
    averaged = policy_gradient.loss(log_probs, advantages, mask, mean=True)
    assert float(averaged.detach()) == pytest.approx(8.25 / 5)
    summed.backward()
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [[-1.0, -0.5, -2.0], [1.0, -3.0, 0.0]]


def test_gradient_is_that_of_the_expected_reward() -> None:
    # One token, rewards known: the estimator's mean over all tokens is the exact gradient of E[r].
    generator = make(size=5)
    rewards = torch.tensor([0.1, 0.9, 0.3, 0.0, 0.5])
    ids = torch.arange(5)[:, None]
    log_probs = generator.log_probs(ids)
    probabilities = log_probs.exp()
    (probabilities[:, 0] * rewards).sum().neg().backward(retain_graph=True)
    exact = generator.output.bias.grad
    assert exact is not None
    exact = exact.clone()
    generator.zero_grad()
    weighted = probabilities.detach() * rewards[:, None]
    policy_gradient.loss(log_probs, weighted, torch.ones(5, 1, dtype=torch.bool), mean=False).backward()
    assert generator.output.bias.grad is not None
    torch.testing.assert_close(generator.output.bias.grad, exact)


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 10_000))
def test_leave_one_out_is_the_mean_of_the_others(batch: int, length: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, length, generator=rng)
    mask = torch.rand(batch, length, generator=rng) < 0.7
    baseline = policy_gradient.leave_one_out(values, mask)
    for row in range(batch):
        for step in range(length):
            others = [values[i, step] for i in range(batch) if i != row and mask[i, step]]
            expected = float(sum(others) / len(others)) if others else 0.0
            assert float(baseline[row, step]) == pytest.approx(expected, abs=1e-5)


def test_reward_to_go_sums_from_each_step_on() -> None:
    assert policy_gradient.reward_to_go(torch.tensor([[1.0, 2.0, 4.0]])).tolist() == [[7.0, 6.0, 4.0]]


def test_until_end_includes_the_first_end_only() -> None:
    ids = torch.tensor([[1, 9, 9, 9], [9, 9, 9, 9], [1, 2, 3, 4]])
    assert policy_gradient.until_end(ids, 9).tolist() == [
        [True, True, False, False],
        [True, False, False, False],
        [True, True, True, True],
    ]
    assert policy_gradient.until_end(ids, None).all()


def tokens(rows: list[list[int]], **more: object) -> TokenSet:
    return TokenSet.from_rows(rows, vocabulary_size=5, start_id=5, end_id=4, **more)  # type: ignore[arg-type]


def test_held_out_loss_is_the_sum_over_whole_sequences_whatever_the_window() -> None:
    generator = make(size=5)
    rows = [[0, 1, 2, 3, 4], [3, 4], [1, 1, 1, 1, 1, 1, 4]]
    data = Sequences(tokens(rows, units=[2, 1, 3], unit_name="note"), torch.device("cpu"))
    total = -sum(float(generator.log_probs(torch.tensor([row])).detach().sum()) for row in rows)
    for window in (2, 3, 100):
        measures = evaluation.held_out(generator, data, window, batch=2)
        assert measures["validation_nats"] == pytest.approx(total / 14, rel=1e-5)
        assert measures["validation_bits_per_note"] == pytest.approx(total / 0.6931472 / 6, rel=1e-5)


def shiftable() -> Sequences:
    """Of ids 0-3 and the end 4; one shift moves up and has no place for 3, one down and has none for 0."""
    shifts = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 3, 4], [0, 0, 1, 2, 4]]).numpy()
    allowed = torch.tensor([[True, True, False], [True, False, True]]).numpy()
    return Sequences(tokens([[0, 1, 2, 4], [3, 4]], shifts=shifts, shift_allowed=allowed), torch.device("cpu"))


def test_openings_are_padded_balanced_and_as_they_stand() -> None:
    rows = shiftable().openings(400, 3, torch.Generator().manual_seed(0)).tolist()
    assert (rows.count([0, 1, 2]), rows.count([3, 4, 4])) == (200, 200)


def test_a_share_of_the_sequences_gets_one_of_its_shifts() -> None:
    data, rng = shiftable(), torch.Generator().manual_seed(0)
    shifts = data.random_shifts(torch.tensor([0, 1]).repeat(4000), 0.5, rng)
    for row, shift in ((shifts[::2], 1), (shifts[1::2], 2)):
        assert set(row.tolist()) == {0, shift}
        assert abs(int((row > 0).sum()) - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5  # of two, the first is none
    assert not data.random_shifts(torch.tensor([0] * 99), 0.0, rng).any()


def test_a_sequence_is_only_shifted_where_all_its_ids_have_a_place() -> None:
    data, rng = shiftable(), torch.Generator().manual_seed(0)
    moved = data.shifted(torch.tensor([[0, 2, 4], [0, 3, 4], [1, 2, 4]]).repeat(300, 1), rng).tolist()
    assert set(map(tuple, moved[1::3])) == {(0, 3, 4)}
    assert set(map(tuple, moved[::3])) == {(0, 2, 4), (1, 3, 4)}
    assert set(map(tuple, moved[2::3])) == {(1, 2, 4), (2, 3, 4), (0, 1, 4)}
    assert abs(moved[::3].count([1, 3, 4]) - 150) < 4 * 75**0.5


def test_a_shifted_sequence_begins_with_a_start_of_its_own_where_the_start_is_no_token() -> None:
    ids, which = torch.tensor([[1, 2], [3, 0]]), torch.tensor([False, True])
    music, oracle = (Generator(5, start, GeneratorConfig(4, 4)) for start in (5, 0))
    assert music.inputs_for(ids, which).tolist() == [[5, 1], [6, 3]]
    assert oracle.inputs_for(ids, which).tolist() == [[0, 1], [0, 3]]


def test_groups_hold_every_sequence_once() -> None:
    data = Sequences(tokens([[1] * n + [4] for n in range(1, 40)]), torch.device("cpu"))
    for rng in (None, torch.Generator().manual_seed(1)):
        groups = data.groups(4, rng)
        assert sorted(int(i) for group in groups for i in group) == list(range(39))
        assert max(len(group) for group in groups) == 4


def test_discriminator_bound_of_a_perfect_ratio_is_the_kl_divergence() -> None:
    # On two "sequences" with probabilities (0.8, 0.2) real and (0.5, 0.5) generated, s = log p/q gives KL exactly.
    real = torch.tensor([[0]] * 8 + [[1]] * 2)
    fake = torch.tensor([[0]] * 5 + [[1]] * 5)

    class Ratio(torch.nn.Module):
        def scorer(self) -> object:
            return lambda ids: torch.tensor([0.8 / 0.5, 0.2 / 0.5]).log()[ids[:, 0]]

    measures = evaluation.discrimination(Ratio(), real, fake)  # type: ignore[arg-type]
    kl = 0.8 * torch.tensor(1.6).log() + 0.2 * torch.tensor(0.4).log()
    assert measures["d_bound"] == pytest.approx(float(kl), abs=1e-6)
    assert measures["d_accuracy"] == pytest.approx(0.5 * (0.8 + 0.5))


def test_distinct_counts_different_ngrams_of_chosen_tokens() -> None:
    ids = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 9, 9]]).numpy()
    chosen = torch.tensor([[True] * 6, [True] * 5 + [False]]).numpy()
    # n-grams: 1111 three times, 1234, 2349: three different of five.
    assert evaluation.distinct(ids, chosen) == pytest.approx(3 / 5)
