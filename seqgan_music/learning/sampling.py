"""From logits to ids: exact inverse-CDF draws, temperature, top-k, top-p, and sampling under constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_music.learning.generator import Generator, Stepper, StepState
from seqgan_music.learning.ranks import Rng, uniforms

BELOW_ONE = 1.0 - 2.0**-23


class Constraint(Protocol):
    """What may come next in each of B sequences, known to the caller alone (a grammar, a scale, a length)."""

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(B, V): true for each id that may come next; at least one a row that is not finished."""
        ...

    def advance(self, tokens: npt.NDArray[np.integer]) -> None:
        """Take the id (B,) chosen for each sequence; those of finished ones mean nothing."""
        ...

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """(B,): sequences that take no more ids."""
        ...


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Return one index (N,) a row with probability in proportion to `weights` (N, K * BLOCK), all >= 0.

    Exact inverse CDF on block sums, then inside the block that is hit: two short cumulative sums instead of
    one over the whole row. `uniforms` (N,) lie in [0, 1). An index of weight 0 is never returned.
    """
    count = len(weights)
    blocks = weights.view(count, -1, Stepper.BLOCK)  # (N, K, BLOCK)
    cdf = blocks.sum(2).cumsum(1)  # (N, K)
    total = cdf[:, -1]
    target = torch.minimum(uniforms * total, total * BELOW_ONE)
    # The first block whose cumulative sum exceeds the target: it cannot be an empty one.
    block = torch.searchsorted(cdf, target[:, None], right=True)  # (N, 1)
    before = torch.where(block > 0, cdf.gather(1, (block - 1).clamp_(min=0)), 0.0)
    row = torch.arange(count, device=weights.device) * cdf.shape[1]
    inside = weights.view(-1, Stepper.BLOCK).index_select(0, row + block[:, 0]).cumsum(1)  # (N, BLOCK)
    rest = torch.minimum(target[:, None] - before, inside[:, -1:] * BELOW_ONE)
    return (block * Stepper.BLOCK + torch.searchsorted(inside, rest, right=True))[:, 0]


@torch.no_grad()
def next_tokens(stepper: Stepper, state: StepState, uniforms: Tensor) -> Tensor:
    """Draw the next token (N,) of each sequence at temperature 1, in blocks of rows."""
    drawn = []
    for start in range(0, len(uniforms), stepper.rows):
        rows = slice(start, start + stepper.rows)
        drawn.append(draw(stepper.weights(state, rows), uniforms[rows]))
    return torch.cat(drawn)


@torch.no_grad()
def sample(stepper: Stepper, count: int, length: int, rng: Rng, end_id: int | None = None) -> Tensor:
    """Draw `count` sequences from G at temperature 1: ids (N, T). After the end id only end ids follow."""
    state = stepper.start(count, length)
    tokens = torch.full((count,), stepper.start_id, device=stepper.device)
    ids = torch.empty(count, length, dtype=torch.long, device=stepper.device)
    for step in range(length):
        stepper.advance(tokens, state)
        drawn = next_tokens(stepper, state, uniforms([count], rng, stepper.device))
        if end_id is not None and step > 0:
            drawn = torch.where(tokens == end_id, end_id, drawn)
        ids[:, step] = tokens = drawn
    return ids


@torch.no_grad()
def whole(
    stepper: Stepper, count: int, length: int, rng: torch.Generator, end_id: int | None
) -> list[npt.NDArray[np.int64]]:
    """Draw `count` sequences from G at temperature 1 to their end id, which is kept, or to `length` ids.

    Those that have ended are not carried on with; which numbers a sequence draws does not depend on that.
    """
    state = stepper.start(count, length)
    tokens = torch.full((count,), stepper.start_id, device=stepper.device)
    going = torch.arange(count)
    ended = torch.zeros(count, dtype=torch.bool, device=stepper.device)  # of those that are going
    ids = torch.full((count, length), -1)
    for step in range(length):
        stepper.advance(tokens, state)
        numbers = torch.rand(count, generator=rng, device=stepper.device)
        tokens = next_tokens(stepper, state, numbers[going.to(stepper.device)])
        ids[going, step] = tokens.cpu()
        if end_id is None:
            continue
        ended |= tokens == end_id
        left = len(going) - int(ended.sum())
        if left == 0:
            break
        if left < 0.9 * len(going):  # fewer rows are worth a copy of their states
            kept = (~ended).nonzero()[:, 0]
            state, tokens, going, ended = state.rows(kept), tokens[kept], going[kept.cpu()], ended[kept]
    return [row[: _length(row, end_id)] for row in ids.numpy()]


def _length(row: npt.NDArray[np.int64], end_id: int | None) -> int:
    """Ids up to the first end id and with it, of a row that may be padded with -1."""
    ends = np.flatnonzero(row == (-1 if end_id is None else end_id))
    return int(ends[0]) + (end_id is not None) if len(ends) else len(row)


def restrict(
    logits: Tensor, *, temperature: float = 1.0, cutoff: float = 0.0, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """Return logits (N, V) after temperature, cut-off, top-k, then top-p (Holtzman et al. 2020); the rest are -inf.

    `cutoff` 0, `top_k` 0 and `top_p` 1 restrict nothing. The cut-off drops ids less likely than it, but never the
    likeliest (epsilon sampling, Hewitt, Manning and Liang 2022): what a model takes to be barely possible is mostly
    wrong. Top-p keeps the fewest most likely ids whose probability reaches it.
    """
    logits = logits / temperature
    if cutoff > 0.0:
        probabilities = logits.softmax(1)
        least = probabilities.amax(1, keepdim=True).clamp(max=cutoff)
        logits = logits.masked_fill(probabilities < least, float("-inf"))
    if 0 < top_k < logits.shape[1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if top_p < 1.0:
        ordered, order = logits.sort(descending=True)
        probabilities = ordered.softmax(1)
        reached = probabilities.cumsum(1) - probabilities >= top_p  # before this id
        logits = logits.masked_fill(reached.scatter(1, order, reached), float("-inf"))
    return logits


@torch.no_grad()
def generate(
    generator: Generator,
    count: int,
    max_length: int,
    *,
    rng: torch.Generator,
    end_id: int | None = None,
    temperature: float = 1.0,
    cutoff: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    prefixes: Sequence[Sequence[int]] | None = None,
    constraint: Constraint | None = None,
) -> list[list[int]]:
    """Sample `count` sequences with every control; return the ids after each prefix, the end id included.

    `prefixes` must have one length; the constraint is taken to have seen them. Without a constraint a sequence
    ends after `end_id` or `max_length` ids.
    """
    stepper = Stepper(generator, torch.float32)
    size = generator.vocabulary_size
    state = stepper.start(count, max_length + max(map(len, prefixes or [()])))
    tokens = torch.full((count,), stepper.start_id, device=stepper.device)
    for column in zip(*(prefixes or []), strict=True):
        stepper.advance(tokens, state)
        tokens = torch.tensor(column, device=stepper.device)
    rows: list[list[int]] = [[] for _ in range(count)]
    finished = np.zeros(count, dtype=np.bool_)
    for _ in range(max_length):
        if constraint is not None:
            finished = finished | constraint.finished
        if finished.all():
            break
        stepper.advance(tokens, state)
        logits = stepper.logits(state)
        if constraint is not None:
            allowed = torch.from_numpy(constraint.allowed() | finished[:, None]).to(stepper.device)
            logits[:, :size].masked_fill_(~allowed, float("-inf"))
        logits = restrict(logits, temperature=temperature, cutoff=cutoff, top_k=top_k, top_p=top_p)
        logits -= logits.amax(1, keepdim=True)
        tokens = draw(logits.exp_(), torch.rand(count, generator=rng, device=stepper.device))
        drawn = tokens.cpu().numpy()
        for row in np.flatnonzero(~finished):
            rows[row].append(int(drawn[row]))
        if constraint is not None:
            constraint.advance(drawn)
        elif end_id is not None:
            finished = finished | (drawn == end_id)
    return rows
