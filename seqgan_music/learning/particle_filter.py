"""Sequences drawn with a view to what has been written so far: a particle filter over a generator.

For each sequence M particles are written side by side. Every `block` ids each is given the log weight of its ids so
far; where the weights of a sequence have come to rest on fewer than half of its particles, these are drawn anew by
weight (systematically; Gordon, Salmond and Smith 1993) and go on from there. At the end one is drawn by weight.

As M grows the sequences are distributed as g(x) e^w(x) / Z, whatever w says of unfinished ones on the way: that
only decides what is kept alive. With w a discriminator's logit log p(x so far) - log g(x so far) this is the data's
own distribution; choosing among whole sequences (`resampling`) needs as many of them as e^KL, this only as many as
each block asks for. With M = 1 it is the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.sampling import next_tokens

Row = npt.NDArray[np.int64]
Weigh = Callable[[Sequence[Row]], npt.NDArray[np.float64]]
"""Log weights (N,) of rows of ids so far, the end id included where there is one; -inf for what must not be."""
EFFECTIVE = 0.5
"""Share of effective particles below which they are drawn anew."""


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
    on_block: Callable[[int], object] = lambda written: None,
) -> list[Row]:
    """Draw `count` sequences to their end id, which is kept, or to `length` ids.

    `on_block` is told after each block how many ids the longest have. Never fails: where nothing has any weight all
    particles weigh the same.
    """
    total = count * particles
    rows: list[Row] = [np.zeros(0, dtype=np.int64)] * total
    current = np.zeros(total)  # log weight of each particle's ids
    pending = np.zeros((count, particles))  # what its weight has grown by since it was last drawn
    going = np.arange(total)
    state = stepper.start(total, length)
    tokens = torch.full((total,), stepper.start_id, device=stepper.device)
    written = 0
    while len(going) and written < length:
        steps = min(block, length - written)
        new = np.zeros((len(going), steps), dtype=np.int64)
        ended = np.zeros(len(going), dtype=np.bool_)
        for step in range(steps):
            stepper.advance(tokens, state)
            tokens = next_tokens(stepper, state, torch.rand(len(going), generator=rng, device=stepper.device))
            new[:, step] = tokens.cpu().numpy()
            ended |= new[:, step] == end_id
        written += steps
        for place, row in enumerate(going):
            rows[row] = np.concatenate([rows[row], _to_end(new[place], end_id)])
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
        going = np.flatnonzero(place_of >= 0)
        if len(going):
            index = torch.from_numpy(place_of[going]).to(stepper.device)
            state, tokens = state.rows(index), tokens[index]
        on_block(written)
    uniforms = torch.rand(count, generator=rng, device=stepper.device).tolist()
    chosen = [int(systematic(weights, 1, uniform)[0]) for weights, uniform in zip(pending, uniforms, strict=True)]
    return [rows[sequence * particles + place] for sequence, place in enumerate(chosen)]


def systematic(log_weights: npt.NDArray[np.float64], count: int, uniform: float) -> npt.NDArray[np.int64]:
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


def _shares(log_weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    largest = log_weights.max()
    if not np.isfinite(largest):
        return np.full(len(log_weights), 1.0 / len(log_weights))
    weights: npt.NDArray[np.float64] = np.exp(log_weights - largest)
    weights /= weights.sum()
    return weights


def _effective(log_weights: npt.NDArray[np.float64]) -> float:
    return float(1.0 / np.square(_shares(log_weights)).sum())


def _growth(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The difference, where what had no weight before has none now."""
    known = np.isfinite(before)
    return np.where(known, after - np.where(known, before, 0.0), -np.inf)


def _to_end(ids: Row, end_id: int | None) -> Row:
    ends = np.flatnonzero(ids == (-1 if end_id is None else end_id))
    return ids[: int(ends[0]) + 1] if len(ends) else ids
