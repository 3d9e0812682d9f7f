"""Draws are exact, the fast step is the LSTM's, and restrictions keep what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from enumeration import every
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.evaluation import drift
from seqgan_music.learning.generator import Generator, Stepper, dropout
from seqgan_music.learning.sampling import draw, generate, next_tokens, restrict, sample, whole


def make(
    size: int = 70, hidden: int = 12, layers: int = 1, start: int | None = None, seed: int = 0, **attention: int
) -> Generator:
    config = GeneratorConfig(8, hidden, layers, dropout=0.0, **attention)
    generator = Generator(size, size if start is None else start, config)
    generator.initialise(torch.Generator().manual_seed(seed))
    if generator.attention is not None:  # zeros would hide a lag that is told wrongly
        torch.nn.init.normal_(generator.attention.lag_bias, generator=torch.Generator().manual_seed(seed))
    return generator


LOOKS_BACK = {"heads": 3, "head_size": 5}


def counting(size: int = 12) -> Generator:
    """Next token is last plus one, with certainty; the start leads to 0."""
    generator = make(size, hidden=size + 1)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
        generator.embedding = torch.nn.Embedding.from_pretrained(torch.eye(size + 1) * 40.0)
        lstm = torch.nn.LSTM(size + 1, size + 1, batch_first=True)
        for parameter in lstm.parameters():
            torch.nn.init.zeros_(parameter)
        n = size + 1
        lstm.bias_ih_l0[:n] = 40.0  # input gate open
        lstm.bias_ih_l0[n : 2 * n] = -40.0  # forget all
        lstm.bias_ih_l0[3 * n :] = 40.0  # output gate open
        lstm.weight_ih_l0[2 * n : 3 * n] = torch.eye(n)
        generator.lstm = lstm
        following = torch.zeros(size, n)
        for token in range(n):
            following[(token + 1) % n % size, token] = 100.0
        generator.output.weight.copy_(following)
    return generator


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0.0, 1.0))
def test_draw_is_the_inverse_cdf(seed: int, blocks: int, zeros: float) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random((7, blocks * Stepper.BLOCK)).astype(np.float32) * (rng.random((7, 1)) * 1e3)
    weights[rng.random(weights.shape) < zeros * 0.95] = 0.0
    weights[:, rng.integers(weights.shape[1])] += 1e-3
    uniforms = rng.random(7).astype(np.float32)
    drawn = draw(torch.from_numpy(weights), torch.from_numpy(uniforms)).numpy()
    cdf = weights.astype(np.float64).cumsum(1)
    target = uniforms.astype(np.float64) * cdf[:, -1]
    rows = np.arange(7)
    assert (weights[rows, drawn] > 0).all()
    # Within float32 rounding of the exact inverse: the target lies in the drawn index's interval.
    slack = 1e-5 * cdf[:, -1]
    assert (cdf[rows, drawn] >= target - slack).all()
    assert (cdf[rows, drawn] - weights[rows, drawn] <= target + slack).all()


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1.0 - 2.0**-24])
def test_draw_never_returns_an_index_of_weight_zero(uniform: float) -> None:
    weights = torch.zeros(3, 2 * Stepper.BLOCK)
    weights[0, 5], weights[1, 100], weights[2, 63] = 1e-20, 1e20, 1.0
    assert draw(weights, torch.full((3,), uniform)).tolist() == [5, 100, 63]


def test_draws_have_the_softmax_frequencies() -> None:
    generator = make(size=70)
    stepper = Stepper(generator)
    state = stepper.start(200_000, 1)
    stepper.advance(torch.full((200_000,), 70), state)
    uniforms = torch.rand(200_000, generator=torch.Generator().manual_seed(3))
    counts = torch.bincount(next_tokens(stepper, state, uniforms), minlength=70).double()
    logits, _ = generator(torch.tensor([[70]]))
    expected = logits[0, 0].softmax(0).double().detach() * 200_000
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 69 + 4 * (2 * 69) ** 0.5  # four standard deviations


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("attention", [{}, LOOKS_BACK, {**LOOKS_BACK, "memory": 4}, {**LOOKS_BACK, "memory": 1}])
def test_stepper_gives_the_logits_of_the_generator(layers: int, attention: dict[str, int]) -> None:
    generator = make(layers=layers, **attention)
    ids = torch.randint(70, (9, 15), generator=torch.Generator().manual_seed(1))
    inputs = generator.inputs_for(ids)
    expected, _ = generator(inputs)
    stepper = Stepper(generator, torch.float32)
    state = stepper.start(9, 15)
    for step in range(15):
        stepper.advance(inputs[:, step], state)
        logits = stepper.logits(state)
        torch.testing.assert_close(logits[:, :70], expected[:, step], atol=2e-6, rtol=1e-5)
        assert torch.isinf(logits[:, 70:]).all()


def test_stepper_in_bfloat16_stays_within_its_rounding() -> None:
    # 8 bits of mantissa: a probability may be off by a few percent of itself, not more.
    generator = make(layers=2, hidden=32)
    ids = torch.randint(70, (32, 20), generator=torch.Generator().manual_seed(1))
    inputs = generator.inputs_for(ids)
    expected, _ = generator(inputs)
    stepper = Stepper(generator, torch.bfloat16)
    state = stepper.start(32, 20)
    for step in range(20):
        stepper.advance(inputs[:, step], state)
        ratio = F.log_softmax(stepper.logits(state)[:, :70], 1) - F.log_softmax(expected[:, step].detach(), 1)
        assert float(ratio.abs().max()) < 0.05


@pytest.mark.parametrize("cutoff", [0.0, 0.01, 0.02, 0.9])
def test_a_stepper_draws_only_what_is_above_its_cut_off(cutoff: float) -> None:
    generator = make(70, seed=3)
    with torch.no_grad():
        generator.output.weight.mul_(20)
    stepper, plain = Stepper(generator, torch.float32, cutoff), Stepper(generator, torch.float32)
    state, other = stepper.start(5, 1), plain.start(5, 1)
    for one, its in ((stepper, state), (plain, other)):
        one.advance(torch.arange(5), its)
    expected = restrict(plain.logits(other)[:, :70], cutoff=cutoff).softmax(1)
    weights = stepper.weights(state, slice(0, 5))[:, :70]
    assert torch.allclose(weights / weights.sum(1, keepdim=True), expected, atol=1e-6)
    assert int((expected > 0).sum()) == {0.0: 350, 0.9: 5}.get(cutoff, int((expected > 0).sum()))
    assert not torch.any((expected > 0) & (expected < cutoff) & (expected < expected.amax(1, keepdim=True)))


def test_large_logits_do_not_overflow() -> None:
    generator = make()
    with torch.no_grad():
        generator.output.bias[:2] = 500.0
    stepper = Stepper(generator)
    assert not stepper.safe
    ids = sample(stepper, 200, 3, torch.Generator().manual_seed(0))
    assert set(ids.unique().tolist()) == {0, 1}


def test_counting_generator_counts() -> None:
    ids = sample(Stepper(counting()), 4, 12, torch.Generator().manual_seed(0))
    assert ids.tolist() == [list(range(12))] * 4
    rows = generate(counting(), 2, 3, rng=torch.Generator().manual_seed(0), prefixes=[[1, 2], [5, 6]])
    assert rows == [[3, 4, 5], [7, 8, 9]]


def test_after_the_end_only_ends_follow() -> None:
    generator = make(size=6)
    ids = sample(Stepper(generator), 300, 30, torch.Generator().manual_seed(0), end_id=2)
    ended = (ids == 2).cumsum(1) > 0
    assert (ids[ended] == 2).all()
    assert 0 < int(ended[:, 5].sum()) < 300
    rows = generate(generator, 50, 30, rng=torch.Generator().manual_seed(0), end_id=2)
    assert all(2 not in row[:-1] and (row[-1] == 2 or len(row) == 30) for row in rows)


@pytest.mark.parametrize("attention", [{}, LOOKS_BACK])
def test_whole_sequences_are_those_of_sample_and_cost_no_step_beyond_the_longest(
    attention: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, count, length, end = make(size=9, **attention), 60, 400, 3
    fed = []
    advance = Stepper.advance
    monkeypatch.setattr(Stepper, "advance", lambda *given: fed.append(len(given[1])) or advance(*given))
    rows = whole(Stepper(generator), count, length, torch.Generator().manual_seed(1), end)
    monkeypatch.undo()
    longest = max(map(len, rows))
    assert len(fed) == longest < length
    assert fed[0] == count
    assert fed == sorted(fed, reverse=True)
    assert sum(fed) < 1.3 * sum(map(len, rows))
    same = sample(Stepper(generator), count, longest, torch.Generator().manual_seed(1), end).tolist()
    assert [row.tolist() for row in rows] == [ids[: ids.index(end) + 1] for ids in same]


def test_same_seed_same_samples() -> None:
    stepper = Stepper(make())
    first, second, other = (sample(stepper, 5, 9, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_restrictions_on_a_worked_example() -> None:
    logits = torch.tensor([[0.4, 0.1, 0.3, 0.2]]).log()
    kept = [restrict(logits, top_k=2), restrict(logits, top_p=0.6), restrict(logits, top_p=0.75)]
    assert [torch.isfinite(row[0]).tolist() for row in kept] == [
        [True, False, True, False],
        [True, False, True, False],
        [True, False, True, True],
    ]
    cut = [restrict(logits, cutoff=least) for least in (0.0, 0.12, 0.3, 0.9)]
    assert [torch.isfinite(some).tolist() for some in cut] == [
        (logits.softmax(1) >= least).tolist() for least in (0.0, 0.12, 0.3, float(logits.softmax(1).max()))
    ]
    cold = restrict(logits, temperature=0.5).softmax(1)
    torch.testing.assert_close(cold, torch.tensor([[0.16, 0.01, 0.09, 0.04]]) / 0.30)
    assert torch.equal(restrict(logits), logits)
    assert torch.isfinite(restrict(logits, top_p=1e-9)).sum() == 1


class OnlyEven:
    """Allows even ids, and ends each row after its own number of them."""

    def __init__(self, wanted: list[int], size: int) -> None:
        self.left = np.array(wanted)
        self.mask = np.arange(size) % 2 == 0

    def allowed(self) -> npt.NDArray[np.bool_]:
        return np.tile(self.mask, (len(self.left), 1))

    def advance(self, tokens: npt.NDArray[np.integer]) -> None:
        self.left = self.left - 1

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        return self.left <= 0


def test_constraints_hold_and_end_each_row_by_itself() -> None:
    rows = generate(
        make(), 3, 50, rng=torch.Generator().manual_seed(0), constraint=OnlyEven([4, 9, 1], 70), temperature=2.0
    )
    assert [len(row) for row in rows] == [4, 9, 1]
    assert all(token % 2 == 0 for row in rows for token in row)


def test_dropout_keeps_the_mean_and_is_off_without_a_generator() -> None:
    values = torch.ones(100_000)
    dropped = dropout(values, 0.25, torch.Generator().manual_seed(0))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    assert dropout(values, 0.25, None) is values


def test_drift_is_the_kl_divergence() -> None:
    now, before = make(size=4, seed=1, heads=2), make(size=4, seed=2)
    with torch.no_grad():
        log_probs, others = (generator.log_probs(every(4, 3)).sum(1) for generator in (now, before))
    exact = float((log_probs.exp() * (log_probs - others)).sum()) / 3
    ids = sample(Stepper(now, torch.float32), 40_000, 3, torch.Generator().manual_seed(0))
    assert drift(now, now, ids[:100], None) == 0.0
    assert drift(now, before, ids, None) == pytest.approx(exact, rel=0.05)
