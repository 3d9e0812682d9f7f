"""New music written bar by bar by a particle filter, where bars have wishes of their own (`Controls.by_bar`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from seqgan_music.compose.controls import Controls
from seqgan_music.compose.particles import Filled, Particles, Window
from seqgan_music.compose.rewriting import Score
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.sampling import generate
from seqgan_music.music.tokenizers import Filling, Grammar, Tokenizer


def write(
    particles: Particles,
    generator: Generator,
    tokenizer: Tokenizer,
    controls: Controls,
    rng: torch.Generator,
    *,
    prefix: Sequence[int],
    begin: int,
    bars: int,
    ticks: int | None,
    score: Score | None = None,
) -> tuple[list[int], Filled]:
    """Return new ids after `prefix`, which ends at tick `begin`, and what is known of their choice.

    They go on to the end of `bars` bars from the last full one, or to tick `ticks`. The meter is the prefix's, else
    drawn as the generator likes. `score` weighs the pieces so far after every bar.
    """
    opening = [] if prefix else _opening(generator, tokenizer, controls, rng)
    ids = [*prefix, *opening]
    start, length = tokenizer.last_bar(ids)
    line = start + (begin - start) // length * length
    end = ticks if ticks is not None else line + bars * length
    lines = [begin, *range(line + length, end, length), end]
    windows = [
        Window(left, right, end, left, controls.pitches(number), controls.weigh(number))
        for number, (left, right) in enumerate(pairwise(lines), 1)
    ]
    head = tokenizer.decode(ids).piece

    def judge(fillings: Sequence[Filling]) -> Sequence[float]:
        assert score is not None
        return score([replace(head, notes=tuple(sorted([*head.notes, *one.new_notes()]))) for one in fillings])

    filled = particles.fill(tokenizer.filling(ids), windows, end, judge=judge if score is not None else None)
    closing = [tokenizer.end_id] if tokenizer.end_id is not None else []
    return [*opening, *filled.ids, *closing], filled


def _opening(generator: Generator, tokenizer: Tokenizer, controls: Controls, rng: torch.Generator) -> list[int]:
    """Draw what stands before the first note: a meter, where the tokenizer has one."""
    ids: list[int] = []
    while not tokenizer.last_bar(ids)[1]:
        ((token,),) = generate(
            generator,
            1,
            1,
            rng=rng,
            temperature=controls.temperature,
            cutoff=controls.cutoff or 0.0,
            top_k=controls.top_k,
            top_p=controls.top_p,
            prefixes=[ids] if ids else None,
            constraint=_Next(tokenizer.grammar(pitches=controls.pitches(1), prefix=ids)),
        )
        ids.append(token)
    return ids


class _Next:
    """The constraint of one id."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self.finished = np.zeros(1, dtype=np.bool_)

    def allowed(self) -> np.ndarray:
        return self._grammar.allowed()[None]

    def advance(self, tokens: np.ndarray) -> None:
        self._grammar.advance(int(tokens[0]))
