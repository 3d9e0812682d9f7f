"""Cross-entropy of an output layer over a large vocabulary, and its gradients, block by block of rows.

The logits of a block stay in cache while the loss and all gradients are computed from them: the matrix of N * V
logits never exists. With p the softmax of a row, r its weight and y its target:

    d loss / d h = r (p W - W_y)        d loss / d W = sum over rows of r (p - e_y) h'

N rows (tokens), H hidden size, V vocabulary; all losses in nats.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CELLS = {"cpu": 1 << 19, "cuda": 1 << 28}
"""Logits held at a time: about two megabytes on a CPU, where they must stay in cache."""

SAFE_LOGIT = 60.0
"""exp() of logits up to this size, summed over any vocabulary, stays finite in float32."""

Gradients = tuple[Tensor, Tensor, Tensor]
"""Of hidden (N, H), weight (V, H) and bias (V)."""


def nll(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the loss (N,) of each target (N,) given hidden (N, H); the gradient computes its logits again."""
    if _few(hidden, weight):
        return F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none")
    found: Tensor = _Nll.apply(hidden, weight, bias, targets)  # type: ignore[no-untyped-call]
    return found


def weighted_nll(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
    """Return the sum of the losses, each times its row's weight (N,); the weights get no gradient.

    The weights are known beforehand, so that one pass over the logits gives loss and gradients.
    """
    if _few(hidden, weight) or not torch.is_grad_enabled():
        return nll(hidden, weight, bias, targets) @ rows
    found: Tensor = _WeightedNll.apply(hidden, weight, bias, targets, rows)  # type: ignore[no-untyped-call]
    return found


class _Nll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, weight, bias, targets)
        return _sweep(hidden, weight, bias, targets, None)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets = ctx.saved_tensors
        return *_sweep(hidden, weight, bias, targets, grads[0])[1], None


class _WeightedNll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        losses, gradients = _sweep(hidden, weight, bias, targets, rows)
        ctx.save_for_backward(*gradients)
        return losses @ rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(grads[0] * gradient for gradient in ctx.saved_tensors), None, None


def _sweep(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, rows: Tensor | None
) -> tuple[Tensor, Gradients | tuple[()]]:
    """Return the losses (N,) and, with weights of the rows (N,), the gradients of their weighted sum."""
    inputs = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)  # (N, H + 1): the bias is one more column
    columns = torch.cat([weight, bias[:, None]], 1).t()  # (H + 1, V)
    size = max(1, CELLS[hidden.device.type] // len(weight))
    buffer = hidden.new_empty(min(size, len(hidden)), len(weight))
    # Where no logit can be large, exp() needs no shift. On a GPU to ask would cost more than the shift.
    shift = hidden.is_cuda or not bool(_largest(hidden, weight, bias) < SAFE_LOGIT)
    losses = hidden.new_empty(len(hidden))
    if rows is not None:
        to_hidden, to_columns = (
            torch.empty_like(hidden),
            torch.zeros_like(columns, memory_format=torch.contiguous_format),
        )
    for start in range(0, len(hidden), size):
        block = slice(start, start + size)
        part = inputs[block]
        logits = torch.mm(part, columns, out=buffer[: len(part)])
        if shift:
            logits -= logits.amax(1, keepdim=True)
        losses[block] = -logits.gather(1, targets[block, None])[:, 0]
        total = logits.exp_().sum(1)
        losses[block] += total.log()
        if rows is not None:
            share = (rows[block] / total)[:, None]  # turns exp(logits) into row weight times softmax
            torch.mm(logits, weight, out=to_hidden[block]).mul_(share)
            to_columns.addmm_((part * share).t().contiguous(), logits)
    if rows is None:
        return losses, ()
    to_hidden -= weight[targets] * rows[:, None]
    to_rows = to_columns.t().contiguous().index_add_(0, targets, inputs * rows[:, None], alpha=-1)  # (V, H + 1)
    return losses, (to_hidden, to_rows[:, :-1].contiguous(), to_rows[:, -1].contiguous())


def _few(hidden: Tensor, weight: Tensor) -> bool:
    """Return whether all logits are so few that torch's own loss is the cheaper one."""
    return len(hidden) * len(weight) <= CELLS[hidden.device.type]


def _largest(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a bound on the size of all logits."""
    return hidden.abs().max() * weight.abs().sum(1).max() + bias.abs().max()
