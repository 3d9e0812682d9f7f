"""The blocked cross-entropy equals torch's, in value and in gradient, whatever the blocks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sampling import make
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.learning import likelihood
from seqgan_music.learning.data import IGNORED
from seqgan_music.learning.likelihood import nll, weighted_nll


def made(seed: int, rows: int, size: int, scale: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    hidden, weight, bias = (
        (torch.randn(shape, generator=rng, dtype=torch.float64) * scale).requires_grad_()
        for shape in ((rows, 4), (size, 4), (size,))
    )
    targets = torch.randint(size, (rows,), generator=rng)
    return hidden, weight, bias, targets, torch.randn(rows, generator=rng, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 7), st.sampled_from([0.5, 30.0]), st.integers(1, 80)
)
def test_equals_torchs_in_value_and_gradient(seed: int, rows: int, size: int, scale: float, cells: int) -> None:
    hidden, weight, bias, targets, weights = made(seed, rows, size, scale)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(likelihood.CELLS, "cpu", cells)  # any number of rows a block
        each, total = (
            nll(hidden, weight, bias, targets),
            weighted_nll(hidden, weight, bias, targets, weights),
        )
        expected = F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none")
        torch.testing.assert_close(each, expected)
        torch.testing.assert_close(total, (expected * weights).sum())
        parameters = (hidden, weight, bias)
        wanted = torch.autograd.grad((expected * weights).sum(), parameters)
        torch.testing.assert_close(torch.autograd.grad((each * weights).sum(), parameters), wanted)
        torch.testing.assert_close(torch.autograd.grad(total, parameters), wanted)
        with torch.no_grad():
            torch.testing.assert_close(weighted_nll(hidden, weight, bias, targets, weights), total)


def test_gradient_equals_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(likelihood.CELLS, "cpu", 1)
    hidden, weight, bias, targets, weights = made(1, 5, 6, 0.7)
    assert torch.autograd.gradcheck(lambda *p: nll(*p, targets), (hidden, weight, bias))
    assert torch.autograd.gradcheck(lambda *p: weighted_nll(*p, targets, weights), (hidden, weight, bias))


def test_large_logits_do_not_overflow_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(likelihood.CELLS, "cpu", 1)
    hidden = torch.tensor([[100.0], [-100.0]], requires_grad=True)
    weight, bias = torch.tensor([[10.0], [0.0], [-10.0]]), torch.zeros(3)
    losses = nll(hidden, weight, bias, torch.tensor([0, 0]))
    assert losses.tolist() == [0.0, 2000.0]
    losses.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[0.0], [-20.0]]


def test_the_generators_loss_skips_what_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(likelihood.CELLS, "cpu", 1)
    generator = make(size=9)
    ids = torch.randint(9, (3, 7), generator=torch.Generator().manual_seed(2))
    targets = ids.clone()
    targets[0, 4:] = IGNORED
    loss, _ = generator.loss(generator.inputs_for(ids), targets)
    kept = targets != IGNORED
    torch.testing.assert_close(loss, -generator.log_probs(ids)[kept].mean())
    found = torch.autograd.grad(loss, list(generator.parameters()))
    logits, _ = generator(generator.inputs_for(ids))
    plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    for mine, theirs in zip(found, torch.autograd.grad(plain, list(generator.parameters())), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-5)
    nothing, _ = generator.loss(generator.inputs_for(ids), torch.full_like(ids, IGNORED))
    assert nothing.item() == 0.0
