"""The rollout engine against answers worked out by hand and against the slow, obvious way."""

from __future__ import annotations

import pytest
import slow_reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sampling import counting, make
from torch import Tensor

from seqgan_music.config import ChoiceConfig
from seqgan_music.learning import discriminators
from seqgan_music.learning.discriminators import PlainScorer
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.rollout import action_values, complete, prefixes


class SumOf:
    """A "discriminator" that sums the ids of a sequence."""

    def __call__(self, ids: Tensor) -> Tensor:
        return ids.sum(1).float()

    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        return completed.sum(2).float()


def test_values_of_the_hand_computed_case() -> None:
    # Rows hold b + 1, completions are 0, D sums: the value at (b, t) is (b + 1)(t + 1).
    generator = make(size=5)
    with torch.no_grad():
        for parameter in generator.output.parameters():
            parameter.zero_()
        generator.output.bias[0] = 1000.0
    ids = torch.arange(1, 4)[:, None].expand(3, 6).contiguous()
    rng = torch.Generator().manual_seed(0)
    values = action_values(Stepper(generator), SumOf(), ids, 4, rng, reward=lambda score: score)
    expected = torch.tensor([[(b + 1) * (t + 1) for t in range(6)] for b in range(3)]).float()
    torch.testing.assert_close(values, expected)


def test_counting_generator_goes_on_from_each_prefix() -> None:
    ids = torch.tensor([[3, 7, 1, 0, 5], [9, 2, 2, 8, 4]])
    completed = complete(Stepper(counting()), ids, [1, 3, 4], 2, torch.Generator().manual_seed(0))
    assert completed[0, 0].tolist() == [[3, 4, 5, 6, 7]] * 2
    assert completed[1, 0].tolist() == [[3, 7, 1, 2, 3]] * 2
    assert completed[0, 1].tolist() == [[9, 10, 11, 0, 1]] * 2
    assert completed[2, 1].tolist() == [[9, 2, 2, 8, 9]] * 2


@pytest.mark.parametrize(("layers", "end_id", "stride"), [(1, None, 1), (2, 3, 1), (1, 3, 3)])
@pytest.mark.parametrize("attention", [{}, {"heads": 2, "memory": 6}])
def test_completions_equal_the_slow_ones_for_the_same_uniforms(
    layers: int, end_id: int | None, stride: int, attention: dict[str, int]
) -> None:
    batch, length, rollouts = 4, 9, 3
    generator = make(size=13, layers=layers, seed=2, **attention)
    ids = torch.randint(13, (batch, length), generator=torch.Generator().manual_seed(5))
    known = prefixes(length, stride)
    fast = complete(
        Stepper(generator, torch.float32), ids, known, rollouts, torch.Generator().manual_seed(9), end_id
    )
    # The engine draws one row of uniforms a step, in order of prefix, sequence, rollout.
    rng = torch.Generator().manual_seed(9)
    uniforms = {}
    for step in range(1, length):
        begun = [prefix for prefix in known if prefix <= step]
        if begun:
            row = torch.rand(len(begun) * batch * rollouts, generator=rng).view(len(begun), batch, rollouts)
            uniforms.update({(prefix, step): row[i] for i, prefix in enumerate(begun)})
    for index, prefix in enumerate(known):
        for rollout in range(rollouts):

            def draw(probabilities: Tensor, prefix: int, step: int, rollout: int = rollout) -> Tensor:
                cdf = probabilities.double().cumsum(1)
                target = uniforms[prefix, step][:, rollout].double() * cdf[:, -1]
                return torch.searchsorted(cdf, target[:, None], right=True)[:, 0].clamp(max=12)

            slow = slow_reference.complete(generator, ids, prefix, draw, end_id)
            assert torch.equal(fast[index, :, rollout], slow)


def test_values_agree_with_the_slow_ones_in_the_mean() -> None:
    generator = make(size=8, seed=1)
    discriminator = discriminators.create(ChoiceConfig("cnn", {"scale": 0.1, "embedding": 8}), 8, 6)
    discriminator.initialise(torch.Generator().manual_seed(4))
    ids = torch.randint(8, (3, 6), generator=torch.Generator().manual_seed(5))
    rng = torch.Generator().manual_seed(0)
    fast = action_values(Stepper(generator), discriminator.scorer(), ids, 2000, rng)
    draw = slow_reference.multinomial(torch.Generator().manual_seed(1))
    slow = slow_reference.action_values(generator, discriminator, ids, 100, draw)
    torch.testing.assert_close(fast[:, -1], slow[:, -1])  # the last token's value is exact
    assert float((fast - slow).abs().max()) < 5 * 0.5 * (1 / 100 + 1 / 2000) ** 0.5  # 5 standard errors at most


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(2, 36), st.sampled_from([1, 3, 20]))
def test_scorer_of_the_cnn_equals_its_convolutions(seed: int, size: int, length: int, rows: int) -> None:
    discriminator = discriminators.create(ChoiceConfig("cnn", {"scale": 0.02, "embedding": 5}), size, length)
    rng = torch.Generator().manual_seed(seed)
    discriminator.initialise(rng)
    scorer, plain = discriminator.scorer(), PlainScorer(discriminator)
    ids = torch.randint(size, (rows, length), generator=rng)
    torch.testing.assert_close(scorer(ids), plain(ids), atol=1e-4, rtol=1e-4)
    for prefix in {1, length // 2, length - 1} - {0, length}:
        completed = ids[:, None].repeat(1, 4, 1)
        completed[:, :, prefix:] = torch.randint(size, (rows, 4, length - prefix), generator=rng)
        torch.testing.assert_close(
            scorer.completions(ids, completed, prefix),
            plain.completions(ids, completed, prefix),
            atol=1e-4,
            rtol=1e-4,
        )


def test_stride_interpolates_between_the_rolled_out_prefixes() -> None:
    # With completions that do not depend on chance, values at rolled-out prefixes are those of stride 1.
    generator, ids = counting(), torch.tensor([[3, 7, 1, 0, 5, 5, 2, 9, 11, 0]])
    options = {"reward": lambda score: score, "rollouts": 1, "rng": torch.Generator()}
    every = action_values(Stepper(generator), SumOf(), ids, **options)
    third = action_values(Stepper(generator), SumOf(), ids, stride=3, **options)
    for prefix in (3, 6, 9, 10):
        assert third[0, prefix - 1] == every[0, prefix - 1]
    assert third[0, 0] == third[0, 1] == every[0, 2]
    assert float(third[0, 3]) == pytest.approx(float(every[0, 2] * 2 / 3 + every[0, 5] / 3))


def test_stride_beyond_the_length_leaves_the_whole_sequence_only() -> None:
    ids = torch.tensor([[1, 2, 3]])
    values = action_values(Stepper(counting()), SumOf(), ids, 2, torch.Generator(), reward=lambda s: s, stride=7)
    assert values.tolist() == [[6.0, 6.0, 6.0]]
