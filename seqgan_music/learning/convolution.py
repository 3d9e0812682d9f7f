"""Layers of a convolutional classifier (Kim 2014), computed so that their training is cheap.

Convolutions and the maximum over time: for every filter and sequence only the window with the greatest output gets
a gradient, so that the weights' gradient is a sum of B windows a filter (a bag of rows), not of B * T. As all
sequences are worked on at once, time before sequence, each offset inside a filter is one product with a slice of
the embeddings: no window is copied. Equal to `torch.nn.Conv1d` and `amax` up to float rounding; where windows tie,
one of them gets the whole gradient.

A wide linear layer over a small batch: the batch is kept innermost, (features, B), and the weights' gradient is
computed in blocks of rows, which the matrix library does in half the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

POSITIONS = 8
"""Windows a sequence above which a bag of the winning rows is cheaper than the product with all rows (measured)."""

BLOCKS = 40
"""Blocks in which a wide layer's gradient is computed (measured: 20 to 80 are alike)."""


class _Pool(torch.autograd.Function):
    """For filters of one or more widths: the greatest output over time, (filters, B)."""

    @staticmethod
    def forward(ctx: Any, embedded: Tensor, *weights: Tensor) -> Tensor:
        batch, _, size = embedded.shape
        columns = embedded.permute(2, 1, 0).reshape(size, -1)  # (E, T * B): time before sequence
        offsets = [weight.permute(2, 0, 1).contiguous() for weight in weights]  # each (width, filters, E)
        maxima, winners = [], []
        for weight in offsets:
            width, filters, _ = weight.shape
            rows = columns.shape[1] - (width - 1) * batch  # windows * B
            outputs = weight[0] @ columns[:, :rows]  # (filters, windows * B)
            for offset in range(1, width):
                outputs.addmm_(weight[offset], columns[:, offset * batch : offset * batch + rows])
            outputs = outputs.view(filters, -1, batch)
            best = outputs.amax(1)  # (filters, B)
            # The last window that reaches the maximum, at a tenth of the cost of `max(1)`.
            steps = torch.arange(rows // batch, device=outputs.device, dtype=outputs.dtype)
            winners.append(torch.eq(outputs, best[:, None], out=outputs).mul_(steps[:, None]).amax(1).long())
            maxima.append(best)
        ctx.save_for_backward(columns, *offsets, *winners)
        return torch.cat(maxima)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        columns, *saved = ctx.saved_tensors
        offsets, winners = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        batch = winners[0].shape[1]
        embedded = columns.t().contiguous()  # (T * B, E)
        gradient = torch.zeros_like(columns)
        weights = []
        parts = grads[0].contiguous().split([len(winner) for winner in winners])
        for weight, winner, part in zip(offsets, winners, parts, strict=True):
            width, filters, size = weight.shape
            rows = len(embedded) - (width - 1) * batch
            outputs = part.new_zeros(filters, rows // batch, batch)
            outputs = outputs.scatter_(1, winner[:, None], part[:, None]).view(filters, rows)
            for offset in range(width):
                gradient[:, offset * batch : offset * batch + rows].addmm_(weight[offset].t(), outputs)
            if rows > POSITIONS * batch:
                index = winner * batch + torch.arange(batch, device=winner.device)  # (filters, B) rows of embedded
                moved = [embedded[offset * batch :] for offset in range(width)]
                bags = [F.embedding_bag(index, slice_, mode="sum", per_sample_weights=part) for slice_ in moved]
                weights.append(torch.stack(bags, 2))  # (filters, E, width)
            else:
                windows = embedded.as_strided((width, rows, size), (batch * size, size, 1))
                weights.append(torch.bmm(outputs.expand(width, filters, rows), windows).permute(1, 2, 0))
        return gradient.view(gradient.shape[0], -1, batch).permute(2, 1, 0), *weights


def pooled_convolutions(embedded: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Return the greatest output over time of each filter, as (filters, B), without bias.

    `embedded` is (B, T, E); `weights` are those of `nn.Conv1d`, each (filters, E, width) with width <= T.
    """
    if embedded.is_cuda:  # launches of kernels count there, not operations
        rows = embedded.transpose(1, 2)  # (B, E, T)
        return torch.cat([F.conv1d(rows, weight).amax(2) for weight in weights], 1).t()
    pooled: Tensor = _Pool.apply(embedded, *weights)  # type: ignore[no-untyped-call]
    return pooled


class _Linear(torch.autograd.Function):
    """Weight (M, K) times columns (K, B), plus bias (M): (M, B)."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(columns, weight)
        return torch.addmm(bias[:, None], weight, columns)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        columns, weight = ctx.saved_tensors
        grad = grads[0].contiguous()  # (M, B)
        rows, batch = grad.shape
        blocks = math.gcd(rows, BLOCKS)
        right = columns.t().contiguous().expand(blocks, batch, -1)
        return (grad.t() @ weight).t(), torch.bmm(grad.view(blocks, -1, batch), right).view_as(weight), grad.sum(1)


def linear(columns: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return weight (M, K) times columns (K, B) plus bias (M), as (M, B): `nn.Linear` with the batch innermost."""
    product: Tensor = _Linear.apply(columns, weight, bias)  # type: ignore[no-untyped-call]
    return product
