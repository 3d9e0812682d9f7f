"""Sequences drawn with a view to what has been written so far: a particle filter over a generator.

For each sequence M particles are written side by side. Every `block` ids each is given the log weight of its ids so
far; where the weights of a sequence have come to rest on fewer than half of its particles, these are drawn anew by
weight (systematically; Gordon, Salmond and Smith 1993) and go on from there. At the end one is drawn by weight.

As M grows the sequences are distributed as g(x) e^w(x) / Z, whatever w says of unfinished ones on the way: that
only decides what is kept alive. With w a discriminator's logit log p(x so far) - log g(x so far) this is the data's
own distribution; choosing among whole sequences (`resampling`) needs as many of them as e^KL, this only as many as
each block asks for. With M = 1 it is the generator.

Rows may be steered: what may not come next is masked, and what a mask takes weighs nothing, as where one sequence
is drawn. To weigh it would be exact (masks would be conditions), but prefers sequences in which little can go
wrong: in music, few notes (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_music.learning import sampling
from seqgan_music.learning.generator import Stepper, StepState

Row = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Weigh = Callable[[Sequence[Row]], Floats]
"""Log weights (N,) of rows of ids so far, the end id included where there is one; -inf for what must not be."""
EFFECTIVE = 0.5
"""Share of effective particles below which they are drawn anew."""


class Steering(Protocol):
    """What may come next in each of N rows; `rows` (M,) are those that are asked about, none of them finished."""

    def allowed(self, rows: Row) -> Bools:
        """(M, V): true for each id that may come next; at least one a row."""
        ...

    def advance(self, rows: Row, ids: Row) -> Bools:
        """Take the id (M,) of each row; (M,) false where it is refused and another is to be drawn."""
        ...

    def finished(self, rows: Row) -> Bools:
        """(M,): rows that take no more ids."""
        ...

    def select(self, source: Row) -> None:
        """Let row i go on as row `source[i]` did, (N,)."""
        ...


@torch.no_grad()
def draw(
    stepper: Stepper,
    count: int,
    length: int,
    rng: torch.Generator,
    *,
    particles: int,
    block: int,
    weigh: Weigh,
    end_id: int | None = None,
    prefix: Sequence[int] = (),
    steering: Steering | None = None,
    top_k: int = 0,
    top_p: float = 1.0,
    on_block: Callable[[int], object] = lambda written: None,
) -> list[Row]:
    """Draw `count` sequences after a prefix to their end id, which is kept, or to `length` ids.

    `steering` knows of `count * particles` rows, which it takes to be after the prefix; top-k and top-p need it.
    `on_block` is told after each block how many ids the longest have. Never fails: where nothing has any weight all
    particles weigh the same.
    """
    total = count * particles
    rows: list[Row] = [np.zeros(0, dtype=np.int64)] * total
    current = np.zeros(total)  # log weight of each particle's ids
    pending = np.zeros((count, particles))  # what its weight has grown by since it was last drawn
    going = np.arange(total)
    state = stepper.start(total, len(prefix) + length)
    tokens = torch.full((total,), stepper.start_id, device=stepper.device)
    for token in prefix:
        stepper.advance(tokens, state)
        tokens = torch.full_like(tokens, token)
    written = 0
    while len(going) and written < length:
        steps = min(block, length - written)
        new = np.zeros((len(going), steps), dtype=np.int64)
        ended = np.zeros(len(going), dtype=np.bool_)
        lengths = np.zeros(len(going), dtype=np.int64)
        for step in range(steps):
            stepper.advance(tokens, state)
            lengths += ~ended
            if steering is None:
                dice = torch.rand(len(going), generator=rng, device=stepper.device)
                tokens = sampling.next_tokens(stepper, state, dice)
            else:
                places = np.flatnonzero(~ended)
                tokens = _steered(stepper, state, going, places, rng, steering, top_k, top_p)
                ended[places] = steering.finished(going[places])
            new[:, step] = tokens.cpu().numpy()
            ended |= new[:, step] == end_id
        written += steps
        for place, row in enumerate(going):
            rows[row] = np.concatenate([rows[row], new[place, : lengths[place]]])
        weighed = current.copy()
        weighed[going] = weigh([rows[row] for row in going])
        pending += _growth(current, weighed).reshape(count, particles)
        current = weighed
        place_of = np.full(total, -1)
        place_of[going[~ended]] = np.flatnonzero(~ended)
        source = np.arange(total)
        for sequence in range(count):
            if _effective(pending[sequence]) < EFFECTIVE * particles:
                first = sequence * particles
                uniform = float(torch.rand((), generator=rng, device=stepper.device))
                source[first : first + particles] = first + systematic(pending[sequence], particles, uniform)
                pending[sequence] = 0.0
        rows, current, place_of = [rows[row] for row in source], current[source], place_of[source]
        if steering is not None:
            steering.select(source)
        going = np.flatnonzero(place_of >= 0)
        if len(going):
            index = torch.from_numpy(place_of[going]).to(stepper.device)
            state, tokens = state.rows(index), tokens[index]
        on_block(written)
    uniforms = torch.rand(count, generator=rng, device=stepper.device).tolist()
    chosen = [int(systematic(weights, 1, uniform)[0]) for weights, uniform in zip(pending, uniforms, strict=True)]
    return [rows[sequence * particles + place] for sequence, place in enumerate(chosen)]


def _steered(
    stepper: Stepper,
    state: StepState,
    going: Row,
    places: Row,
    rng: torch.Generator,
    steering: Steering,
    top_k: int,
    top_p: float,
) -> Tensor:
    """Draw what comes next (M,) in the rows `going` (M,), of which those at `places` still want it."""
    tokens = torch.zeros(len(going), dtype=torch.long, device=stepper.device)
    logits = stepper.logits(state)  # (M, V + padding)
    while len(places):
        index = torch.from_numpy(places).to(stepper.device)
        mask = torch.from_numpy(steering.allowed(going[places])).to(stepper.device)
        allowed = logits[index]
        allowed[:, : mask.shape[1]].masked_fill_(~mask, float("-inf"))
        allowed = sampling.restrict(allowed, cutoff=stepper.cutoff, top_k=top_k, top_p=top_p)
        allowed -= allowed.amax(1, keepdim=True)
        drawn = sampling.draw(allowed.exp_(), torch.rand(len(places), generator=rng, device=stepper.device))
        tokens[index] = drawn
        places = places[~steering.advance(going[places], drawn.cpu().numpy())]
    return tokens


def systematic(log_weights: Floats, count: int, uniform: float) -> npt.NDArray[np.int64]:
    """Draw `count` indices by weight with one uniform in [0, 1): each as often as its share asks, to within one.

    Where nothing has any weight all weigh the same.
    """
    weights = _shares(log_weights)
    ends = weights.cumsum()
    found: npt.NDArray[np.int64] = np.searchsorted(
        ends, (np.arange(count) + uniform) / count * ends[-1], side="right"
    )
    kept: npt.NDArray[np.int64] = np.minimum(found, np.flatnonzero(weights)[-1])
    return kept


def _shares(log_weights: Floats) -> Floats:
    largest = log_weights.max()
    if not np.isfinite(largest):
        return np.full(len(log_weights), 1.0 / len(log_weights))
    weights: Floats = np.exp(log_weights - largest)
    weights /= weights.sum()
    return weights


def _effective(log_weights: Floats) -> float:
    return float(1.0 / np.square(_shares(log_weights)).sum())


def _growth(before: Floats, after: Floats) -> Floats:
    """The difference, where what had no weight before has none now."""
    known = np.isfinite(before)
    return np.where(known, after - np.where(known, before, 0.0), -np.inf)
