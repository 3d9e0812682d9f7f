"""Particle filter: with the true log-ratio it draws from the truth, with one particle from its base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.particle_filter import Row, draw, systematic

SIZE, LENGTH, END = 3, 4, 0
COUNT, MANY = 400, 32


def generator(seed: int) -> Generator:
    made = Generator(SIZE, SIZE, GeneratorConfig(embedding=4, hidden=6, init_std=0.7))
    made.initialise(torch.Generator().manual_seed(seed))
    return made.requires_grad_(False)


def log_probs(of: Generator, rows: Sequence[Row]) -> np.ndarray:
    """Log probability of what each row has so far: its end id too, where it has one."""
    padded = torch.zeros(len(rows), LENGTH, dtype=torch.long)
    inside = torch.zeros(len(rows), LENGTH, dtype=torch.bool)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = torch.from_numpy(row)
        inside[index, : len(row)] = True
    return (of.log_probs(padded) * inside).sum(1).double().numpy()


def every() -> list[Row]:
    """All sequences that can be: ended by END, or LENGTH ids without it."""
    found, open_rows = [], [()]
    for _ in range(LENGTH):
        longer = [(*row, token) for row in open_rows for token in range(SIZE)]
        found += [row for row in longer if row[-1] == END]
        open_rows = [row for row in longer if row[-1] != END]
    return [np.array(row) for row in (*found, *open_rows)]


def total_variation(rows: Sequence[Row], truth: Generator) -> float:
    """Distance of the rows' frequencies from the exact probabilities, 0 to 1."""
    known = every()
    exact = dict(zip(map(bytes, known), np.exp(log_probs(truth, known)), strict=True))
    assert sum(exact.values()) == pytest.approx(1.0, abs=1e-4)
    seen: dict[bytes, float] = {}
    for row in rows:
        seen[bytes(row)] = seen.get(bytes(row), 0.0) + 1 / len(rows)
    assert seen.keys() <= exact.keys()
    return 0.5 * sum(abs(seen.get(row, 0.0) - probability) for row, probability in exact.items())


def drawn(particles: int, block: int, weigh: object, seed: int = 5, count: int = COUNT) -> list[Row]:
    stepper = Stepper(generator(1), torch.float32)
    rng = torch.Generator().manual_seed(seed)
    return draw(stepper, count, LENGTH, rng, particles=particles, block=block, weigh=weigh, end_id=END)  # type: ignore[arg-type]


def ratio(rows: Sequence[Row]) -> np.ndarray:
    return log_probs(generator(2), rows) - log_probs(generator(1), rows)


def noise() -> float:
    """Total variation of exact draws that one set in a thousand exceeds."""
    probabilities = np.exp(log_probs(generator(2), every()))
    counts = np.random.default_rng(0).multinomial(COUNT, probabilities / probabilities.sum(), size=2000)
    return float(np.quantile(0.5 * np.abs(counts / COUNT - probabilities).sum(1), 0.999))


NOISE = 0.15


def test_the_noise_is_what_it_is_said_to_be() -> None:
    assert noise() == pytest.approx(NOISE, abs=0.015)


@pytest.mark.parametrize("block", [2, LENGTH])
def test_with_the_true_ratio_it_draws_from_the_truth(block: int) -> None:
    rows = drawn(MANY, block, ratio)
    assert total_variation(rows, generator(2)) < NOISE
    assert total_variation(rows, generator(1)) > 2 * NOISE


def test_one_particle_is_the_generator_whatever_its_weights() -> None:
    assert total_variation(drawn(1, 2, ratio), generator(1)) < NOISE


def test_equal_weights_leave_the_generator_as_it_is() -> None:
    rows = drawn(4, 2, lambda rows: np.zeros(len(rows)))
    assert total_variation(rows, generator(1)) < NOISE


def test_what_is_said_of_unfinished_rows_changes_nothing_in_the_limit() -> None:
    def misled(rows: Sequence[Row]) -> np.ndarray:
        whole = np.array([len(row) == LENGTH or row[-1] == END for row in rows])
        return np.where(whole, ratio(rows), [0.5 * float((row == 1).sum()) for row in rows])

    assert total_variation(drawn(MANY, 2, misled), generator(2)) < NOISE + 0.02


def test_what_must_not_be_is_not_drawn_while_anything_else_is_alive() -> None:
    def never(rows: Sequence[Row]) -> np.ndarray:
        return np.array([-np.inf if (row == 3).any() else 0.0 for row in rows])

    rows = drawn(MANY, 2, never, count=300)
    assert not any((row == 3).any() for row in rows)
    # Where nothing may be, something comes all the same.
    assert len(drawn(4, 2, lambda rows: np.full(len(rows), -np.inf), count=5)) == 5


Holds = Callable[[Sequence[int], int], bool]


class Steered:
    """Steering by what must hold of the ids of a row and the next one: to be allowed, and not to be refused."""

    def __init__(self, rows: int, fine: Holds, taken: Holds | None = None) -> None:
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self._fine, self._taken = fine, taken or (lambda ids, token: True)

    def allowed(self, rows: Row) -> np.ndarray:
        return np.array([[self._fine(self.ids[row], token) for token in range(SIZE)] for row in rows])

    def advance(self, rows: Row, ids: Row) -> np.ndarray:
        taken = np.array([self._taken(self.ids[row], token) for row, token in zip(rows, ids, strict=True)])
        for row, token in zip(rows[taken], ids[taken], strict=True):
            assert END not in self.ids[row]
            self.ids[row].append(int(token))
        return taken

    def finished(self, rows: Row) -> np.ndarray:
        return np.array([END in self.ids[row] for row in rows], dtype=bool)

    def select(self, source: Row) -> None:
        self.ids = [list(self.ids[row]) for row in source]


def steered(
    particles: int, steering: Steered, prefix: Sequence[int] = (), length: int = LENGTH, base: int = 1
) -> list[Row]:
    rng = torch.Generator().manual_seed(3)
    return draw(
        Stepper(generator(1), torch.float32),
        COUNT,
        length,
        rng,
        particles=particles,
        block=1,
        weigh=lambda rows: np.zeros(len(rows)),
        end_id=END,
        prefix=prefix,
        steering=steering,
    )


def distance(rows: Sequence[Row], exact: dict[tuple[int, ...], float]) -> float:
    """Total variation of the rows' frequencies from weights of sequences, which need not add up to 1."""
    seen = Counter(tuple(row.tolist()) for row in rows)
    assert seen.keys() <= exact.keys()
    total = sum(exact.values())
    return 0.5 * sum(abs(seen[row] / len(rows) - weight / total) for row, weight in exact.items())


def test_what_a_mask_takes_weighs_nothing() -> None:
    """Where an id is masked the others share its chance, and nobody is chosen for it."""

    def fine(ids: Sequence[int], token: int) -> bool:
        return (token != 2 or ids[-1:] == [1]) and (token != END or len(ids) > 1)

    model, detour = generator(1), {}
    for row in every():
        if not all(fine(row[:place].tolist(), token) for place, token in enumerate(row.tolist())):
            continue
        padded = torch.zeros(1, LENGTH, dtype=torch.long)
        padded[0, : len(row)] = torch.from_numpy(row)
        chance = 1.0
        for place, token in enumerate(row.tolist()):
            steps = padded[:, : place + 1].repeat(SIZE, 1)
            steps[:, place] = torch.arange(SIZE)
            here = model.log_probs(steps)[:, place].exp().numpy()
            here *= [fine(row[:place].tolist(), other) for other in range(SIZE)]
            chance *= here[token] / here.sum()
        detour[tuple(row.tolist())] = chance
    assert distance(steered(8, Steered(COUNT * 8, fine)), detour) < NOISE


def test_a_refused_id_is_drawn_anew_and_a_prefix_is_heard() -> None:
    def anything(ids: Sequence[int], token: int) -> bool:
        return True

    prefix = [2, 1]
    rows = steered(1, Steered(COUNT, anything, lambda ids, token: token != 2), prefix, 1)
    steps = torch.tensor([[*prefix, token] for token in range(SIZE)])
    chances = generator(1).log_probs(steps)[:, 2].exp().tolist()
    assert distance(rows, {(0,): chances[0], (1,): chances[1]}) < 0.1


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    first, again, other = (drawn(8, 2, ratio, seed, 50) for seed in (7, 7, 8))
    assert [row.tolist() for row in first] == [row.tolist() for row in again]
    assert [row.tolist() for row in first] != [row.tolist() for row in other]


@given(
    st.lists(st.floats(-30, 30) | st.just(float("-inf")), min_size=1, max_size=12),
    st.integers(1, 20),
    st.floats(0, 1, exclude_max=True),
)
def test_systematic_draws_each_as_often_as_its_share_to_within_one(
    log_weights: list[float], count: int, uniform: float
) -> None:
    weights = np.array(log_weights)
    found = np.bincount(systematic(weights, count, uniform), minlength=len(weights))
    shares = np.exp(weights - weights.max()) if np.isfinite(weights).any() else np.ones(len(weights))
    expected = count * shares / shares.sum()
    assert found.sum() == count
    assert np.all(np.abs(found - expected) < 1 + 1e-6)
