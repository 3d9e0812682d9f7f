"""The rules of the verdicts on music, on made-up figures, and the intervals that they stand on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_music.evaluate.bootstrap import Estimate, Measured, between_runs, over_runs, resample, student
from seqgan_music.evaluate.verdicts import Comparison, Judgement, Verdict, at_equal_diversity, judge

SPREAD = 0.01
"""Standard deviation of every figure's resamples, in its own unit."""
TEMPERATURES = (0.8, 0.9, 1.0, 1.1)
BASE = {
    "frechet": 10.0, "c2st_auc": 0.9, "bits_per_note": 3.0, "copied_share": 0.05, "lag_distance": 0.1,
    "distinct_4": 0.5, "entropy": 2.0,
}  # fmt: skip
REAL = {"copied_share": 0.05, "distinct_4": 0.5}

Made = dict[float, list[dict[str, Measured]]]


def row(figures: dict[str, float], seed: int = 0, spread: float = SPREAD) -> dict[str, Measured]:
    rng = np.random.default_rng(seed)
    return {name: Measured(value, value + spread * rng.standard_normal(200)) for name, value in figures.items()}


def curve(runs: int = 1, *, shift: float = 0.0, seed: int = 0, **changed: float) -> Made:
    """A method through the temperatures: self-BLEU-4 falls from 0.9 to 0.6, moved by `shift`."""
    diversity = dict(zip(TEMPERATURES, (0.9, 0.8, 0.7, 0.6), strict=True))
    return {
        t: [row({**BASE, **changed, "self_bleu_4": diversity[t] + shift}, seed + 10 * n) for n in range(runs)]
        for t in TEMPERATURES
    }


def judged(method: Made, baseline: Made | None = None) -> Judgement:
    rng = partial(np.random.default_rng, 1)
    return judge(
        Comparison(method, curve(seed=5) if baseline is None else baseline, row(REAL), "bits_per_note", rng)
    )


BETTER = {"frechet": 8.0, "c2st_auc": 0.8}


def test_better_in_both_and_worse_in_nothing_beats_mle() -> None:
    found = judged(curve(**BETTER))
    assert found.verdict is Verdict.BEATS
    assert found.why.startswith("At equal diversity Fréchet distance differs by -2 [-2.0")


@pytest.mark.parametrize(
    ("changed", "verdict", "why"),
    [
        ({"frechet": 8.0}, Verdict.MIXED, "at equal diversity AUC differs by"),
        ({"c2st_auc": 0.8}, Verdict.MIXED, "at equal diversity Fréchet distance differs by"),
        ({"frechet": 9.5, "c2st_auc": 0.8}, Verdict.MIXED, "differs by -0.5, less than 10% of MLE's 10"),
        ({**BETTER, "bits_per_note": 3.2}, Verdict.MIXED, "bits a note are 3.20, MLE's 3.00"),
        ({**BETTER, "lag_distance": 0.3}, Verdict.MIXED, "its form is farther from the real one"),
        ({**BETTER, "copied_share": 0.5}, Verdict.COPIES, "50% of its windows"),
        ({**BETTER, "distinct_4": 0.3}, Verdict.COLLAPSED, "Distinct-4 0.30 is below 0.8 of MLE's 0.50"),
        ({**BETTER, "entropy": 1.5}, Verdict.COLLAPSED, "Entropy 1.50 nats a token is below 0.8 of MLE's 2.00"),
        ({"bits_per_note": 2.8}, Verdict.MIXED, "Bits a note are lower by 6.7%"),
        ({"bits_per_note": 2.96}, Verdict.NO_EFFECT, "bits a note differ by -0.04"),
        ({"bits_per_note": 3.1}, Verdict.WORSE, "Bits a note are higher by 3.3%"),
        ({"frechet": 12.0}, Verdict.WORSE, "Fréchet distance at equal diversity is higher"),
        ({}, Verdict.NO_EFFECT, "AUC differs by +0 "),
    ],
)
def test_each_rule(changed: dict[str, float], verdict: Verdict, why: str) -> None:
    found = judged(curve(**changed))
    assert found.verdict is verdict
    assert why in found.why


def test_a_lower_temperature_is_no_gain_but_a_trade() -> None:
    """The same line through Fréchet distance and self-BLEU-4, walked further along."""

    def line(shift: float, seed: int) -> Made:
        made = curve(shift=shift, seed=seed)
        for rows in made.values():
            diversity = rows[0]["self_bleu_4"].value
            rows[0] |= row({"frechet": 30 - 25 * diversity, "c2st_auc": 1.3 - 0.5 * diversity}, seed + 1)
        return made

    found = judged(line(0.1, 0), line(0.0, 5))
    assert found.verdict is Verdict.TRADED
    assert "self-BLEU-4 is higher" in found.why


def test_what_is_nowhere_as_diverse_never_beats_mle() -> None:
    assert judged(curve(shift=0.5, **BETTER)).verdict is Verdict.TRADED
    found = judged(curve(shift=-0.5, **BETTER))
    assert found.verdict is Verdict.MIXED
    assert "no temperature makes it as diverse" in found.why
    assert judged(curve(shift=0.5, frechet=12.0)).verdict is Verdict.WORSE
    assert "diversity nowhere being equal, Fréchet distance differs by +0 " in judged(curve(shift=0.5)).why


def test_a_method_without_music_has_collapsed() -> None:
    silent: Made = {t: [row({"bits_per_note": 3.0, "entropy": 2.0})] for t in TEMPERATURES}
    assert judged(silent) == Judgement(Verdict.COLLAPSED, "It writes no window of music.")


def test_who_copies_no_more_than_people_for_all_one_knows_does_not_copy() -> None:
    unsure = curve(**BETTER)
    unsure[1.0][0] |= row({"copied_share": 0.1}, spread=0.05)
    found = judged(unsure)
    assert found.verdict is Verdict.MIXED
    assert "10% of its windows hold a copied run, 5% of real ones do" in found.why


def test_with_too_little_music_nothing_is_judged() -> None:
    short: Made = {t: [row({"bits_per_note": 2.0, "entropy": 2.0})] for t in TEMPERATURES}
    assert judged(short, short).verdict is Verdict.NOT_JUDGED


def test_without_a_baseline_nothing_is_judged() -> None:
    assert judged(curve(), {}).verdict is Verdict.NOT_JUDGED


def test_a_gain_that_other_seeds_do_not_show_is_no_gain() -> None:
    sure, unsure = curve(3, **BETTER), curve(3, **BETTER)
    for rows in unsure.values():
        for change, one in zip((-6.0, 0.0, 3.0), rows, strict=True):
            one |= row({"frechet": 10.0 + change})
    assert judged(sure, curve(3, seed=5)).verdict is Verdict.BEATS
    assert judged(unsure, curve(3, seed=5)).verdict is Verdict.MIXED


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_a_run_compared_with_itself_has_no_effect(shifts: Sequence[float], seed: int) -> None:
    made: Made = {
        t: [row({**BASE, "frechet": 10 + s, "self_bleu_4": 0.8 - t / 10}, seed) for s in shifts] for t in (0.9, 1.0)
    }
    found = judge(Comparison(made, made, row(REAL), "bits_per_note", partial(np.random.default_rng, seed)))
    assert found.verdict is Verdict.NO_EFFECT


def test_curves_are_read_off_at_the_same_self_bleu() -> None:
    """y = 10 x for one and 10 x + 1 for the other, over 0.5..0.8 and 0.6..0.9: means over 0.6..0.8 are 7 and 8."""
    one = [row({"self_bleu_4": x, "frechet": 10 * x}, spread=0) for x in (0.8, 0.5)]
    other = [row({"self_bleu_4": x, "frechet": 10 * x + 1}, spread=0) for x in (0.9, 0.7, 0.6)]
    pair = at_equal_diversity(one, other, "frechet")
    assert pair is not None
    assert [m.value for m in pair] == pytest.approx([7.0, 8.0])
    assert pair[0].resamples == pytest.approx(np.full(200, 7.0))
    assert at_equal_diversity(one[1:], other, "frechet") is None
    assert at_equal_diversity(one, other, "c2st_auc") is None


def test_resamples_draw_every_piece_as_often_as_any_other() -> None:
    counts = resample(20, 4000, np.random.default_rng(1))
    assert (counts.sum(1) == 20).all()
    assert counts.mean(0) == pytest.approx(np.ones(20), abs=4 * (0.95 / 4000) ** 0.5)
    assert counts.var() == pytest.approx(0.95, abs=0.03)


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(3.0, 2.0, 400)
    counts = resample(400, 2000, rng)
    found = Measured(float(values.mean()), counts @ values / 400).estimate()
    half = 1.96 * values.std() / 20
    assert found.value == values.mean()
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
    assert (found.high + found.low) / 2 == pytest.approx(found.value, abs=0.1 * half)


def test_an_interval_is_moved_by_the_bias_of_resampling() -> None:
    """Every resample of a distance lies 5 too high; the interval must still hold the distance."""
    found = Measured(1.0, 6.0 + 0.1 * np.random.default_rng(3).standard_normal(1000)).estimate()
    assert (found.low, found.high) == pytest.approx((0.8, 1.2), abs=0.02)


def test_a_figure_without_resamples_has_no_interval() -> None:
    found = Measured(0.5, np.full(10, np.nan)).estimate()
    assert found.value == 0.5
    assert str(found) == "+0.5"
    assert not found.below
    assert not found.above


def test_runs_widen_the_interval_by_their_spread() -> None:
    runs = [Measured(value, np.full(500, value)) for value in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert over_runs(runs, np.random.default_rng(1)).value == 3.0
    found = between_runs(runs, np.random.default_rng(1))
    half = student([1.0, 2.0, 3.0, 4.0, 5.0])
    assert half == pytest.approx(2.776 * (2.5**0.5) / 5**0.5, rel=1e-3)
    assert found == Estimate(3.0, pytest.approx(3.0 - half), pytest.approx(3.0 + half))
