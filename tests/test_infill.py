"""Gaps filled between kept bars: the distribution is the right one, and what is kept is kept to the note."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from seqgan_music.compose import Controls
from seqgan_music.compose.particles import Particles, Window
from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.ragged import Ragged
from seqgan_music.music import tokenizers
from seqgan_music.music.notes import Meter, Note, Piece
from seqgan_music.music.tokenizers import Tokenizer

PITCHES = frozenset({60, 64})


def tiny_generator(vocabulary_size: int, *, heads: int = 2, layers: int = 1, seed: int = 1) -> Generator:
    config = GeneratorConfig(embedding=4, hidden=8, layers=layers, heads=heads, head_size=4, memory=6)
    generator = Generator(vocabulary_size, vocabulary_size, config)
    generator.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        generator.output.weight *= 4  # far from even
    return generator


def only(generator: Generator, tokenizer: Tokenizer, pitches: Collection[int]) -> None:
    """Let it name these pitches alone."""
    for token, name in enumerate(tokenizer.vocabulary):
        if name.startswith("PITCH(") and int(name[6:-1]) not in pitches:
            with torch.no_grad():
                generator.output.bias[token] = -1e4


# Sequences of different lengths


@pytest.mark.parametrize(("layers", "heads"), [(1, 0), (2, 0), (1, 2), (2, 2)])
def test_rows_of_different_lengths_have_the_generators_likelihood(layers: int, heads: int) -> None:
    generator = tiny_generator(20, layers=layers, heads=heads)
    begun = [3, 4, 5, 6, 7, 8, 9, 1]  # longer than the memory
    rows = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12, 13], [2, 2], []]
    ragged = Ragged(generator, begun)
    ragged.select([0] * len(rows))
    found: list[list[float]] = [[] for _ in rows]
    own = list(range(len(rows)))  # which of the rows stands where

    def feed(most: int) -> None:
        left = [most] * len(rows)

        def choose(places: list[int], logits: Tensor) -> list[int]:
            tokens = []
            for place, log_prob in zip(places, logits.log_softmax(1), strict=True):
                row, left[place] = own[place], left[place] - 1
                step = len(found[row])
                over = step == len(rows[row]) or left[place] < 0
                tokens.append(-1 if over else rows[row][step])
                if not over:
                    found[row].append(float(log_prob[rows[row][step]]))
            return tokens

        ragged.go_on(choose)

    feed(2)
    feed(0)
    own = [3, 0, 2, 1, 4]
    ragged.select(own)
    feed(4)
    feed(9)
    for row, log_probs in zip(rows, found, strict=True):
        expected = generator.log_probs(torch.tensor([begun + row]))[0, len(begun) :]
        assert torch.allclose(torch.tensor(log_probs), expected, atol=1e-5)


# The distribution


Chances = dict[tuple[Note, ...], float]


def fillings(tokenizer: Tokenizer, generator: Generator, old: Piece, gap: tuple[int, int], bound: int) -> Chances:
    """Probability of each way to fill bars that begin and end at the ticks `gap`, by trying all ids there are.

    It knows the free grammar and `decode` alone: ids are left, something, right, as they decode to the kept notes
    and new ones in the gap, where `right` is how kept notes, no two at once, are written.
    """
    kept = {note for note in old.notes if not gap[0] <= note.onset < gap[1]}
    later = sorted(note for note in kept if note.onset >= gap[1])
    names = {name: index for index, name in enumerate(tokenizer.vocabulary)}
    before = tuple(sorted(note for note in kept if note.onset < gap[0]))
    left = tokenizer.encode(replace(old, notes=before))[0][:-1]

    def fits(notes: Iterable[Note]) -> bool:
        return all(note in kept or (gap[0] <= note.onset < gap[1] and note.end <= bound) for note in notes)

    def right(ids: list[int]) -> list[int]:
        start, length = tokenizer.last_bar(ids)
        cursor = tokenizer.grammar(prefix=ids).cursor  # type: ignore[attr-defined]
        more = []
        for note in later:
            crossed = (note.onset - start) // length
            start += crossed * length
            if note.onset != cursor:
                more += ["BAR"] * crossed
                if note.onset != max(cursor, start):
                    more.append(f"AT({note.onset - start})")
            cursor = note.end
            more += [f"PITCH({note.pitch})", f"END({(note.end - start - 1) % length + 1})"]
        return [names[name] for name in (*more, "END_OF_PIECE")]

    found: dict[tuple[int, ...], tuple[Note, ...]] = {}

    def search(ids: list[int]) -> None:
        grammar = tokenizer.grammar(prefix=ids, pitches=PITCHES)
        if grammar.phase == "free":  # type: ignore[attr-defined]
            whole = (*ids, *right(ids))
            decoded = tokenizer.decode(whole)
            notes = set(decoded.piece.notes)
            if not decoded.dropped and kept <= notes and fits(notes):
                found[whole] = tuple(sorted(notes - kept))
        for token in np.flatnonzero(grammar.allowed()):
            if tokenizer.vocabulary[token].startswith(("METER", "END_OF")):
                continue
            after = [*ids, int(token)]
            state = tokenizer.grammar(prefix=after)
            begun = max(state.bar_start, state.onset)  # type: ignore[attr-defined]
            if begun < gap[1] and fits(tokenizer.decode(after).piece.notes):
                search(after)

    search(left)
    with torch.no_grad():
        logs = [float(generator.log_probs(torch.tensor([ids]))[0, len(left) :].double().sum()) for ids in found]
    chances: Chances = defaultdict(float)
    for new, log in zip(found.values(), logs, strict=True):
        chances[new] += float(np.exp(log - np.logaddexp.reduce(logs)))
    return dict(chances)


OLD = {
    "in the middle": ((Note(0, 60, 1), Note(1, 64, 1), Note(2, 60, 2), Note(4, 64, 2)), (2, 4), 4),
    "before a rest": ((Note(0, 60, 2), Note(2, 60, 2), Note(5, 64, 1)), (2, 4), 5),
    "under a note that is held": ((Note(0, 60, 3), Note(2, 64, 2), Note(4, 64, 2)), (2, 4), 4),
    "bar by bar, before a rest": ((Note(0, 60, 1), Note(2, 64, 1), Note(5, 60, 1)), (2, 4), 5),
    "at the end": ((Note(0, 60, 1), Note(1, 64, 1), Note(2, 60, 2)), (2, 4), 4),
}


@pytest.mark.parametrize("where", OLD)
def test_fills_have_the_generators_own_distribution_given_both_sides(where: str) -> None:
    notes, gap, bound = OLD[where]
    tokenizer = tokenizers.create("note_event", {}, 1)
    generator = tiny_generator(len(tokenizer.vocabulary), seed=3)
    only(generator, tokenizer, PITCHES)
    bars = 1 if where.startswith("bar by bar") else 2  # ticks
    old = Piece(notes, 1, (Meter(0, bars, 4),))
    exact = fillings(tokenizer, generator, old, gap, bound)
    (ids,) = tokenizer.encode(old)
    seen: dict[tuple[Note, ...], float] = defaultdict(float)

    def look(candidates: object, until: int) -> list[float]:
        weights = particles._log_weights.softmax(0).tolist()
        for filling, weight in zip(particles._fillings, weights, strict=True):
            if weight > 1e-12:
                seen[tuple(filling.new_notes())] += weight
        return [0.0] * len(weights)

    particles = Particles(
        generator,
        Controls(),
        torch.Generator().manual_seed(1),
        candidates=1000,
        pitches=torch.tensor([name.startswith("PITCH(") for name in tokenizer.vocabulary]),
        most_ids=lambda window: 50,
        weigh=look,
        on_token=lambda: None,
    )
    heard_after = gap[0] if where == "at the end" else -1
    windows = [Window(start, start + bars, bound, heard_after) for start in range(*gap, bars)]
    filled = particles.fill(tokenizer.filling(ids), windows, max(gap[1], old.end))
    if where == "at the end":  # it has to be heard
        exact = {new: chance for new, chance in exact.items() if new}
        exact = {new: chance / sum(exact.values()) for new, chance in exact.items()}
    assert set(seen) <= set(exact)
    for new, chance in exact.items():
        error = (chance / filled.effective) ** 0.5
        assert abs(seen[new] - chance) < 5 * error + 2e-3, (new, chance, seen[new])
