"""The layers computed in unusual order equal torch's own, in value and in gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from seqgan_music.learning.convolution import linear, pooled_convolutions


def plain(embedded: Tensor, weights: list[Tensor]) -> Tensor:
    return torch.cat([F.conv1d(embedded.transpose(1, 2), weight).amax(2) for weight in weights], 1).t()


def made(seed: int, batch: int, length: int, filters: dict[int, int]) -> tuple[Tensor, list[Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    embedded = torch.randn(batch, length, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    weights = [
        torch.randn(count, 5, width, generator=rng, dtype=torch.float64, requires_grad=True)
        for width, count in filters.items()
    ]
    return embedded, weights


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 14), st.data())
def test_equals_torchs_convolutions_in_value_and_gradient(
    seed: int, batch: int, length: int, data: st.DataObject
) -> None:
    filters = data.draw(st.dictionaries(st.integers(1, length), st.integers(1, 4), min_size=1, max_size=4))
    embedded, weights = made(seed, batch, length, filters)
    found, expected = pooled_convolutions(embedded, weights), plain(embedded, weights)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(found, (embedded, *weights), upstream),
        torch.autograd.grad(expected, (embedded, *weights), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("length", [5, 12])  # products with all rows; bags of the winning rows
def test_gradient_equals_finite_differences(length: int) -> None:
    embedded, weights = made(3, 2, length, {1: 2, 3: 3})
    assert torch.autograd.gradcheck(lambda x, *w: pooled_convolutions(x, list(w)), (embedded, *weights))


@pytest.mark.parametrize("length", [6, 15])
def test_where_windows_tie_one_takes_the_whole_gradient(length: int) -> None:
    # A sequence of one token only: all windows are identical, so that filters learn as if there were one.
    token = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    _, weights = made(4, 1, length, {2: 3})
    whole = (token, *weights)
    for mine, theirs in zip(
        torch.autograd.grad(pooled_convolutions(token.expand(2, length, 5), weights).sum(), whole),
        torch.autograd.grad(plain(token.expand(2, length, 5), weights).sum(), whole),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("rows", "batch"), [(7, 3), (80, 1), (120, 16)])
def test_linear_equals_torchs_in_value_and_gradient(rows: int, batch: int) -> None:
    rng = torch.Generator().manual_seed(rows)
    shapes = ((9, batch), (rows, 9), (rows,))
    columns, weight, bias = (
        torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_() for shape in shapes
    )
    found, expected = linear(columns, weight, bias), F.linear(columns.t(), weight, bias).t()
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=rng, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(found, (columns, weight, bias), upstream),
        torch.autograd.grad(expected, (columns, weight, bias), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    assert torch.autograd.gradcheck(linear, (columns, weight, bias))
