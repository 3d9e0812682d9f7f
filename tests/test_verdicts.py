"""The verdicts' rules on made-up figures, and the negative tests of the protocol on exact little models."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_results import H_P, results, row
from torch import Tensor

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.divergence import HeldOut, distinct_4, measure
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.models import GeneratorModel, Model, tempered
from seqgan_music.oracle_benchmark.results import Cell, Measures, Results, Truth
from seqgan_music.oracle_benchmark.verdicts import (
    Difference,
    Judgement,
    Verdict,
    between_temperatures,
    of,
    verdicts,
)

MLE = row("mle", "baseline")
PLACEBO = row("constant", "placebo", j=1.25)
CONTROL = row("more mle", "control", j=1.19)


def verdict_of(*rows: list[Cell]) -> tuple[Verdict | None, str]:
    """The verdict of the first of the rows, and its reason."""
    judged = of(results(*rows), rows[0][0].label)
    return judged.verdict, judged.reason


def test_the_interval_is_students() -> None:
    found = Difference.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.high - found.mean == pytest.approx(2.776 * (2.5**0.5) / 5**0.5, rel=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_one_pair_has_no_interval() -> None:
    found = Difference.of([0.25])
    assert (found.mean, found.pairs) == (0.25, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_gain_on_all_oracles_over_all_controls_beats_mle() -> None:
    verdict, reason = verdict_of(row("method", j=1.1), MLE, PLACEBO, CONTROL)
    assert verdict is Verdict.BEATS
    assert "dJ -0.100 [-0.100, -0.100] on 6 pairs" in reason


@pytest.mark.parametrize(
    ("method", "others", "reason"),
    [
        (row("method", j=1.18), [PLACEBO, row("more mle", "control")], "less than 2% of MLE's J(T*) 1.200"),
        (row("method", j=1.1, kl_fwd=0.56), [PLACEBO, CONTROL], "dKLfwd at T=1 is +0.030"),
        (row("method", j=1.1), [row("constant", "placebo", j=1.05), CONTROL], "not better than constant"),
        (row("method", j=1.1), [PLACEBO, row("more mle", "control", j=1.1)], "not better than more mle"),
        (row("method", j=1.1), [CONTROL], "no placebo was run"),
        (row("method", j=1.1), [PLACEBO], "no control was run"),
        (row("noise", "placebo", j=1.1), [CONTROL], "it is a placebo"),
        (row("longer", "control", j=1.1), [PLACEBO], "it is a control"),
    ],
)
def test_a_gain_that_lacks_one_condition_is_not_proven(method: list[Cell], others: list[Cell], reason: str) -> None:
    verdict, found = verdict_of(method, MLE, *others)
    assert verdict is Verdict.UNPROVEN
    assert reason in found


def test_what_a_temperature_may_have_done_is_not_proven() -> None:
    def with_grid(cells: list[Cell], j: Callable[[float], float]) -> list[Cell]:
        at = [(t, cells[0].plain.j + j(math.log(t))) for t in (0.8, 1.0, 1.25)]
        grid = tuple(replace(cells[0].plain, temperature=t, j=x, j_chosen=x, j_judged=x) for t, x in at)
        return [replace(c, temperatures=grid) for c in cells]

    # J is least between 1.0, where it is 0.04 more, and 1.25, where it is 0.06 more.
    tilted = with_grid(row("mle", "baseline", j=1.15, spread=0.0), lambda x: 4 * (x - 0.1) ** 2)
    assert between_temperatures(tilted[0]) == pytest.approx(0.04)
    others = [PLACEBO, row("more", "control")]
    verdict, reason = verdict_of(row("method", j=1.14, spread=0.0), tilted, *others)
    assert verdict is Verdict.UNPROVEN
    assert "0.040 taken off for temperatures between those tried" in reason
    assert verdict_of(row("method", j=1.12, spread=0.0), tilted, *others)[0] is Verdict.BEATS
    steep = with_grid(row("mle", "baseline", j=1.15), lambda x: -x)
    assert "at an end of the temperatures tried" in verdict_of(row("method", j=0.8), steep, *others)[1]


def test_a_gain_on_one_oracle_alone_is_not_proven() -> None:
    pairs = 24  # so many that the mean is certain, though the second oracle is a loss
    better = [
        replace(c, temperatures=tuple(replace(m, j_judged=m.j_judged + shift) for m in c.temperatures))
        for c in row("method", pairs=pairs)
        for shift in [-0.2 if c.draw == 1 else 0.01]
    ]
    rivals = [
        row(name, role, pairs=pairs) for name, role in (("m", "baseline"), ("p", "placebo"), ("c", "control"))
    ]
    verdict, reason = verdict_of(better, *rivals)
    assert verdict is Verdict.UNPROVEN
    assert "dJ is +0.010 on oracle draw 2" in reason


def test_a_gain_within_the_error_of_measurement_is_no_effect() -> None:
    # dJ is -0.05 in every pair, so its interval has no width; each J(T*) has an error of 0.05 * sqrt(2).
    noisy = [
        row(label, role, j=j, j_se=0.05) for label, role, j in (("method", "", 1.15), ("mle", "baseline", 1.2))
    ]
    verdict, reason = verdict_of(*noisy, PLACEBO, CONTROL)
    assert verdict is Verdict.NO_EFFECT
    assert f"({0.05 * 2 / 6**0.5:.3f})" in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"entropy": 0.79 * H_P}, "H(G) 2.07 is below 0.8 of the oracle's 2.62"),
        ({"distinct_4": 0.75}, "distinct-4 0.75 is below 0.8 of MLE's 0.95"),
        ({"nll_oracle": H_P - 0.01}, "NLL_oracle 2.610 is below the oracle's own, H(P) 2.620"),
        ({"d_accuracy": 0.96, "entropy": 3.0}, "right in 96.0%"),
    ],
)
def test_each_sign_of_collapse_is_one(changes: dict[str, float], reason: str) -> None:
    verdict, found = verdict_of(row("method", j=1.3, **changes), MLE)
    assert verdict is Verdict.COLLAPSED
    assert reason in found


@pytest.mark.parametrize(
    "changes",
    [
        {"entropy": 0.81 * H_P},
        {"distinct_4": 0.78},
        {"nll_oracle": H_P - 0.004},  # 3 standard errors are 0.0082
        {"d_accuracy": 0.96, "entropy": 3.2},  # told apart, but by more diversity than MLE's
    ],
)
def test_what_is_just_short_of_collapse_is_not(changes: dict[str, float]) -> None:
    assert verdict_of(row("method", j=1.3, **changes), MLE)[0] is not Verdict.COLLAPSED


def test_better_quality_without_a_smaller_distance_is_a_trade() -> None:
    assert verdict_of(row("method", j=1.3, nll_oracle=3.7), MLE)[0] is Verdict.TRADED
    assert verdict_of(row("method", j=1.2, nll_oracle=3.7), MLE)[0] is Verdict.TRADED
    assert verdict_of(row("method", j=1.2, nll_oracle=3.79), MLE)[0] is Verdict.NO_EFFECT


def test_a_larger_distance_is_worse() -> None:
    assert verdict_of(row("method", j=1.21), MLE)[0] is Verdict.WORSE
    assert verdict_of(row("method", j=math.inf), MLE)[0] is Verdict.WORSE


@pytest.mark.parametrize("changes", [{}, {"entropy": 1.0, "distinct_4": 0.3, "nll_oracle": 2.0, "d_accuracy": 1.0}])
def test_the_same_cells_are_no_effect(changes: dict[str, float]) -> None:
    verdict, reason = verdict_of(row("method", **changes), row("mle", "baseline", **changes), PLACEBO, CONTROL)
    assert verdict is Verdict.NO_EFFECT
    assert "+0.000 [+0.000, +0.000] holds 0" in reason


def test_what_cannot_be_compared_is_not_judged() -> None:
    assert verdict_of(row("method", j=1.0)[:1], MLE, PLACEBO, CONTROL)[0] is Verdict.NOT_JUDGED
    assert "one pair only" in verdict_of(row("method", j=1.0)[:1], MLE)[1]
    assert verdict_of(row("method", j=1.0))[0] is Verdict.NOT_JUDGED
    assert verdict_of(row("method", j=math.nan), MLE)[0] is Verdict.NOT_JUDGED


def test_baseline_and_truth_have_no_verdict() -> None:
    found = verdicts(results(MLE, row("oracle", "truth", j=0.0, kl_rev=0.001, kl_fwd=-0.002)))
    assert [judged.verdict for judged in found.values()] == [None, None]
    assert "KLrev +0.0010 (s.e. 0.0012), KLfwd -0.0020" in found["oracle"].reason


@given(st.floats(0.9, 1.5), st.floats(0.9, 1.5), st.randoms(use_true_random=False))
def test_what_is_no_better_than_a_placebo_never_beats_mle(j: float, placebo: float, order: random.Random) -> None:
    rows = [
        row("method", j=max(j, placebo)),
        MLE,
        row("constant", "placebo", j=placebo),
        row("m", "control", j=1.5),
    ]
    found = results(*rows)
    judged = of(found, "method")
    assert judged.verdict is not Verdict.BEATS
    cells = list(found.cells)
    order.shuffle(cells)
    assert of(replace(found, cells=tuple(cells)), "method") == judged  # in whatever order they were done


# The negative tests: real measurements of models of which everything is known.

SIZE, LENGTH, COUNT, TEMPERATURES = 12, 4, 1000, (0.8, 1.0, 1.25, 1.6, 2.2)
PAIRS = [(draw, seed) for draw in (1, 2) for seed in (1, 2)]
EVERY = torch.cartesian_prod(*[torch.arange(SIZE)] * LENGTH)  # (V^T, T)
Make = Callable[[Generator, Generator, torch.Generator], Model]


def plain(g0: Generator, truth: Generator, rng: torch.Generator) -> Model:
    return GeneratorModel(g0, LENGTH)


def the_oracle(g0: Generator, truth: Generator, rng: torch.Generator) -> Model:
    return GeneratorModel(truth, LENGTH)


@cache
def at(temperature: float) -> Make:
    return lambda g0, truth, rng: GeneratorModel(tempered(g0, temperature), LENGTH)


def rewarded_for_anything(g0: Generator, truth: Generator, rng: torch.Generator) -> Model:
    """REINFORCE with reward 1, no baseline and no discriminator: a random walk that loses entropy."""
    drifting = Generator(SIZE, 0, g0.config)
    drifting.load_state_dict(g0.state_dict())
    optimizer = torch.optim.Adam(drifting.parameters(), 0.02)
    for _ in range(60):
        ids = GeneratorModel(drifting, LENGTH).sample(32, 1.0, rng)
        optimizer.zero_grad()
        (-drifting.log_probs(ids).sum(1).mean()).backward()
        optimizer.step()
    return GeneratorModel(drifting.requires_grad_(False), LENGTH)


class TrueRatio:
    """G's samples weighted by P / G, the resampling that a perfect discriminator gives; normalised exactly."""

    vocabulary_size, length = SIZE, LENGTH

    def __init__(self, g0: Generator, truth: Generator, rng: torch.Generator) -> None:
        self.base, self.oracle = GeneratorModel(g0, LENGTH), GeneratorModel(truth, LENGTH)
        self.ratios = self.ratio(EVERY)
        self.all: dict[float, Tensor] = {}  # log-probability of every sequence by temperature

    def ratio(self, ids: Tensor) -> Tensor:
        return self.oracle.log_prob(ids, 1.0) - self.base.log_prob(ids, 1.0)

    def draw(self, count: int, temperature: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        ids = self.base.sample(count, temperature, rng)
        return ids, self.ratio(ids)

    def sample(self, count: int, temperature: float, rng: torch.Generator) -> Tensor:
        return EVERY[torch.multinomial(self.every(temperature).exp(), count, replacement=True, generator=rng)]

    def log_prob(self, ids: Tensor, temperature: float) -> Tensor:
        powers = SIZE ** torch.arange(LENGTH - 1, -1, -1)
        return self.every(temperature)[(ids * powers).sum(1)]

    def every(self, temperature: float) -> Tensor:
        if temperature not in self.all:
            self.all[temperature] = (self.base.log_prob(EVERY, temperature) + self.ratios).log_softmax(0)
        return self.all[temperature]


def cooler_oracle(g0: Generator, truth: Generator, rng: torch.Generator) -> Model:
    return GeneratorModel(tempered(truth, 0.8), LENGTH)


@cache
def generators() -> dict[tuple[int, int], tuple[Generator, Generator]]:
    """For each draw and seed the oracle, and a generator near it."""
    shape, found = GeneratorConfig(embedding=4, hidden=6, dropout=0.0, init_std=1.0), {}
    for draw, seed in PAIRS:
        oracle, near = Generator(SIZE, 0, shape), Generator(SIZE, 0, shape)
        oracle.initialise(torch.Generator().manual_seed(draw))
        near.load_state_dict(oracle.state_dict())
        rng = torch.Generator().manual_seed(100 * draw + seed)
        for parameter in near.parameters():
            parameter.data += 0.6 * torch.randn(parameter.shape, generator=rng)
        found[draw, seed] = oracle.requires_grad_(False), near.requires_grad_(False)
    return found


@cache
def held_out(draw: int) -> HeldOut:
    oracle = GeneratorModel(generators()[draw, 1][0], LENGTH)
    return HeldOut.of(oracle, oracle.sample(COUNT, 1.0, torch.Generator().manual_seed(draw)))


@cache
def measured(make: Make, number: int = 1) -> list[Cell]:
    """Measure a model on every pair as the benchmark does; another number gives other random numbers."""
    cells = []
    for (draw, seed), (oracle, near) in generators().items():
        rng = torch.Generator().manual_seed(1000 * number + 10 * draw + seed)
        model, truth = make(near, oracle, rng), GeneratorModel(oracle, LENGTH)
        at = [measure(model, truth, held_out(draw), temperature, COUNT, rng) for temperature in TEMPERATURES]
        grid = tuple(Measures(temperature=t, **found) for t, found in zip(TEMPERATURES, at, strict=True))
        cells.append(Cell("", "", "", draw, seed, grid, 0.6, 0.1, 1, (), ()))
    return cells


def bench(**rows: tuple[str, list[Cell]]) -> Results:
    """A benchmark of rows: label = role, cells."""
    cells = [replace(c, label=label, role=role) for label, (role, measured) in rows.items() for c in measured]
    truths = [Truth(d, *held_out(d).entropy, distinct_4(held_out(d).ids), 3.0) for d in (1, 2)]
    return Results("exact", {"vocabulary_size": SIZE}, tuple(truths), tuple(cells))


def judged(make: Make, number: int = 1) -> Judgement:
    """The judgement of a model beside MLE and its controls."""
    mle, more = measured(plain), measured(plain, 2)
    placebo = measured(rewarded_for_anything)
    rows = {"mle": ("baseline", mle), "placebo": ("placebo", placebo), "control": ("control", more)}
    return of(bench(method=("", measured(make, number)), **rows), "method")


def test_mle_against_itself_is_no_effect() -> None:
    assert judged(plain, 3).verdict is Verdict.NO_EFFECT


def test_mle_at_another_temperature_never_beats_mle() -> None:
    found = judged(at(0.8))
    assert found.verdict in (Verdict.TRADED, Verdict.NO_EFFECT)
    assert found.d_nll_oracle.high < 0  # though the figure that papers print is better


@pytest.mark.parametrize("temperature", [1.12, 1.4])
def test_a_temperature_between_those_tried_never_beats_mle(temperature: float) -> None:
    assert judged(at(temperature)).verdict is not Verdict.BEATS


def test_constant_reward_never_beats_mle() -> None:
    found = judged(rewarded_for_anything)
    assert found.verdict not in (Verdict.BEATS, Verdict.UNPROVEN)
    before, after = (fmean(c.plain.entropy for c in measured(make)) for make in (plain, rewarded_for_anything))
    assert after < before


def test_resampling_by_the_true_ratio_beats_mle() -> None:
    found = judged(TrueRatio)
    assert found.verdict is Verdict.BEATS, found.reason


def test_the_oracle_as_a_method_has_no_divergence() -> None:
    for found in measured(the_oracle):
        assert abs(found.plain.kl_rev) <= 4 * found.plain.kl_rev_se + 1e-12
        assert abs(found.plain.kl_fwd) <= 4 * found.plain.kl_fwd_se + 1e-12


def test_a_tempered_oracle_is_never_better_than_the_oracle() -> None:
    rows = {"oracle": ("baseline", measured(the_oracle)), "none": ("placebo", measured(the_oracle, 2))}
    found = bench(tempered=("", measured(cooler_oracle)), same=("control", measured(the_oracle, 3)), **rows)
    assert of(found, "tempered").d_nll_oracle.high < 0
    # It stands below H(P), which nothing but a loss of diversity reaches.
    assert of(found, "tempered").verdict is Verdict.COLLAPSED
    assert of(found, "none").verdict is of(found, "same").verdict is Verdict.NO_EFFECT
