"""Verdicts: what may be said of a method against MLE, by rules fixed before any result.

Cells are paired by oracle draw and seed. A difference d is method - MLE, its interval the 95% t-interval of the
mean over all pairs. J(T*): each cell's temperature is chosen by `j_chosen` and judged by `j_judged`, J of other
sequences; dJ is the difference of J(T*), so that no temperature can win it. dJ is *below 0* where its upper end is
below 0 and its mean is more than 3 standard errors of measurement below 0. In this order:

BEATS MLE            dJ is below 0, by 2% or more of the J(T*) of MLE, and its mean is below 0 on each oracle draw;
                     dKLfwd at T=1 is at most 0.02; J(T*) is below that of each placebo and each control (upper end
                     of the paired difference below 0), at least one of each having been run. And no temperature
                     could do it: T* of MLE lies inside the grid, and dJ is below 0, by 2%, even against the J that
                     MLE would have between the temperatures of the grid (parabola over log T through T* and its
                     neighbours). A placebo or a control never gets it: its gain is not its reward's.
COLLAPSED            at T=1, means over cells: H(G), or distinct-4, is below 0.8 of the lesser of MLE's and the
                     oracle's; or NLL_oracle is below H(P), and below MLE's, by more than 3 standard errors; or the
                     judge's accuracy is above 0.95 and H(G) below MLE's. (Never what is as MLE is.)
TRADED DIVERSITY FOR QUALITY
                     NLL_oracle at T=1 is better (upper end below 0, mean below -0.02), dJ is not below 0.
WORSE                the lower end of dJ is above 0.
BETTER, NOT PROVEN   dJ is below 0, but another condition of BEATS MLE fails.
NO EFFECT            the rest: the interval of dJ holds 0, or its distance from 0 is within the error.
NOT JUDGED           fewer than 2 pairs, so that there is no interval, or J is not a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import fmean, stdev

from seqgan_music.oracle_benchmark.results import Cell, Results

LEAST_GAIN = 0.02
"""Of MLE's J(T*): what is smaller does not matter, however certain."""
MOST_COVERAGE_LOST = 0.02
"""Nats a token of KLfwd at T=1."""
LEAST_QUALITY = 0.02
"""Nats a token of NLL_oracle at T=1."""
LEAST_DIVERSITY = 0.8
"""Of the entropy, or the distinct-4, of what is compared with."""
TOLD_APART = 0.95
"""Accuracy of the judge."""
ERRORS = 3.0
"""Standard errors of measurement."""
CONFIDENCE = 0.95


class Verdict(StrEnum):
    """What is printed."""

    BEATS = "BEATS MLE"
    COLLAPSED = "COLLAPSED"
    TRADED = "TRADED DIVERSITY FOR QUALITY"
    WORSE = "WORSE"
    UNPROVEN = "BETTER, NOT PROVEN"
    NO_EFFECT = "NO EFFECT"
    NOT_JUDGED = "NOT JUDGED"


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences and its interval; without ends (NaN) for fewer than 2 pairs."""

    mean: float
    low: float
    high: float
    pairs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Difference:
        """Return the t-interval. Infinite differences of one sign are an interval at infinity."""
        if not values:
            return cls(math.nan, math.nan, math.nan, 0)
        mean = sum(values) / len(values)
        if len(values) < 2:
            return cls(mean, math.nan, math.nan, len(values))
        finite = math.isfinite(mean)
        half = quantile(len(values) - 1) * stdev(values) / len(values) ** 0.5 if finite else 0.0
        return cls(mean, mean - half, mean + half, len(values))

    def __str__(self) -> str:
        """Return "-0.031 [-0.040, -0.022]"."""
        if not self.pairs:
            return "–"
        ends = "" if math.isnan(self.low) else f" [{self.low:+z.3f}, {self.high:+z.3f}]"
        return f"{self.mean:+z.3f}{ends}"


@dataclass(frozen=True)
class Judgement:
    """A row's verdict and why; the baseline and the truth have differences but none."""

    label: str
    verdict: Verdict | None
    reason: str
    """One sentence, with the figures."""
    d_j: Difference
    """Of J(T*)."""
    d_nll_oracle: Difference
    """At T=1."""
    d_kl_fwd: Difference
    """At T=1."""

    def to_document(self) -> dict[str, object]:
        """Return a plain document; what is no number is None."""
        document = asdict(self)
        for name, difference in document.items():
            if isinstance(difference, dict):
                document[name] = {key: v if math.isfinite(v) else None for key, v in difference.items()}
        return document


def verdicts(results: Results) -> dict[str, Judgement]:
    """Return the judgement of every row by label."""
    return {label: of(results, label) for label in results.methods}


def of(results: Results, label: str) -> Judgement:
    """Return the judgement of one row."""
    cells = results.methods[label]
    d_j = paired(cells, results.baseline, best_j)
    d_nll_oracle = paired(cells, results.baseline, lambda cell: cell.plain.nll_oracle)
    d_kl_fwd = paired(cells, results.baseline, lambda cell: cell.plain.kl_fwd)
    verdict, reason = _verdict(results, cells, d_j, d_nll_oracle, d_kl_fwd)
    return Judgement(label, verdict, reason, d_j, d_nll_oracle, d_kl_fwd)


def best_j(cell: Cell) -> float:
    """Return J(T*) of a cell."""
    return cell.best.j_judged


def between_temperatures(cell: Cell) -> float:
    """Return by how much J may fall between the temperatures of the grid, infinity where T* is at its end.

    From J(T*) to the vertex of the parabola over log T through T* and its two neighbours.
    """
    place = cell.temperatures.index(cell.best)
    if not 0 < place < len(cell.temperatures) - 1:
        return math.inf
    (x0, y0), (x1, y1), (x2, y2) = (
        (math.log(m.temperature), m.j) for m in cell.temperatures[place - 1 : place + 2]
    )
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (right - left) / (x2 - x0)
    if not bend > 0:
        return 0.0
    slope = left + bend * (x1 - x0)  # of the parabola at T*
    return slope**2 / (4 * bend)


def paired(cells: Sequence[Cell], others: Sequence[Cell], value: Callable[[Cell], float]) -> Difference:
    """Return the interval of value(cell) - value(other) over what is paired."""
    return Difference.of([value(cell) - value(other) for cell, other in _pairs(cells, others)])


def quantile(freedom: int) -> float:
    """Return the two-sided quantile of Student's t: 2.776 for 4 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def _verdict(
    results: Results, cells: Sequence[Cell], d_j: Difference, d_nll_oracle: Difference, d_kl_fwd: Difference
) -> tuple[Verdict | None, str]:
    role = cells[0].role
    if role == "baseline":
        return None, "What the others are compared with."
    if role == "truth":
        at = [cell.plain for cell in cells]
        reverse, forward = (fmean(getattr(m, name) for m in at) for name in ("kl_rev", "kl_fwd"))
        errors = [_root([getattr(m, f"{name}_se") for m in at]) / len(at) for name in ("kl_rev", "kl_fwd")]
        return None, (
            f"The oracle itself: KLrev {reverse:+.4f} (s.e. {errors[0]:.4f}), "
            f"KLfwd {forward:+.4f} (s.e. {errors[1]:.4f}); both are 0 but for the error."
        )
    pairs = _pairs(cells, results.baseline)
    if not pairs:
        return Verdict.NOT_JUDGED, "No cell of the baseline to compare with."
    error = _error(pairs)
    below = d_j.high < 0 and d_j.mean < -ERRORS * error
    lacking = list(_lacking(results, pairs, d_j, d_kl_fwd))
    if below and not lacking:
        known = f"dJ {d_j} on {d_j.pairs} pairs, dKLfwd at T=1 {d_kl_fwd.mean:+.3f}"
        return Verdict.BEATS, f"{known}; better than every placebo and control."
    if signs := list(_collapse(results, pairs)):
        return Verdict.COLLAPSED, f"{'; '.join(signs)}."
    if d_j.pairs < 2:
        return Verdict.NOT_JUDGED, f"dJ {d_j} on one pair only, so without an interval."
    if math.isnan(d_j.mean):
        return Verdict.NOT_JUDGED, "J is not a number."
    if d_nll_oracle.high < 0 and d_nll_oracle.mean < -LEAST_QUALITY and not below:
        return Verdict.TRADED, f"At T=1 dNLL_oracle {d_nll_oracle} looks better, dKLfwd {d_kl_fwd}, but dJ {d_j}."
    if d_j.low > 0:
        return Verdict.WORSE, f"dJ {d_j}: farther from the oracle even at its best temperature."
    if below:
        return Verdict.UNPROVEN, f"dJ {d_j}, but {'; '.join(lacking)}."
    if d_j.high < 0:
        return Verdict.NO_EFFECT, f"dJ {d_j} is within {ERRORS:.0f} standard errors of measurement ({error:.3f})."
    return Verdict.NO_EFFECT, f"dJ {d_j} holds 0."


def _lacking(
    results: Results, pairs: Sequence[tuple[Cell, Cell]], d_j: Difference, d_kl_fwd: Difference
) -> Iterator[str]:
    """Say which conditions of BEATS MLE fail, other than that dJ is below 0."""
    cells = [cell for cell, _ in pairs]
    role = cells[0].role
    if role:
        yield f"it is a {role}: this is what updates give without a reward to learn from"
    base = fmean(best_j(other) for _, other in pairs)
    between = fmean(between_temperatures(other) for _, other in pairs)
    if math.isinf(between):
        yield "T* of MLE is at an end of the temperatures tried, so that another temperature may do as much"
    elif not (d_j.high + between < 0 and -d_j.mean - between >= LEAST_GAIN * abs(base)):
        than = f"less than {LEAST_GAIN:.0%} of MLE's J(T*) {base:.3f}"
        yield f"that is {than}, {between:.3f} taken off for temperatures between those tried"
    if not d_kl_fwd.mean <= MOST_COVERAGE_LOST:
        yield f"dKLfwd at T=1 is {d_kl_fwd.mean:+.3f}"
    for draw in sorted({cell.draw for cell in cells}):
        d_draw = paired([cell for cell in cells if cell.draw == draw], results.baseline, best_j)
        if not d_draw.mean < 0:
            yield f"dJ is {d_draw.mean:+.3f} on oracle draw {draw}"
    for kind in ("placebo", "control"):
        rivals = [rows for rows in results.methods.values() if rows[0].role == kind]
        if not rivals:
            yield f"no {kind} was run"
        for rows in rivals:
            difference = paired(cells, rows, best_j)
            if rows[0].label != cells[0].label and not difference.high < 0:
                yield f"it is not better than {rows[0].label} (J(T*) {difference})"


def _collapse(results: Results, pairs: Sequence[tuple[Cell, Cell]]) -> Iterator[str]:
    """Say which signs of collapse there are, at T=1, from means over cells."""
    at, at_mle = [cell.plain for cell, _ in pairs], [other.plain for _, other in pairs]
    truths = [results.oracles[cell.draw] for cell, _ in pairs]
    entropy, mle, true = (fmean(one.entropy for one in many) for many in (at, at_mle, truths))
    if entropy < LEAST_DIVERSITY * min(mle, true):
        yield f"H(G) {entropy:.2f} is below {LEAST_DIVERSITY} of {_less(mle, true)}"
    different, mle_different, all_different = (
        fmean(one.distinct_4 for one in many) for many in (at, at_mle, truths)
    )
    if different < LEAST_DIVERSITY * min(mle_different, all_different):
        yield f"distinct-4 {different:.2f} is below {LEAST_DIVERSITY} of {_less(mle_different, all_different)}"
    quality, mle_quality = (fmean(measures.nll_oracle for measures in many) for many in (at, at_mle))
    # Cells of one draw share the error of its H(P).
    errors = [truths.count(truth) * truth.entropy_se for truth in results.truth]
    error = _root([*(measures.nll_oracle_se for measures in at + at_mle), *errors]) / len(pairs)
    if quality < min(true, mle_quality) - ERRORS * error:
        yield f"NLL_oracle {quality:.3f} is below the oracle's own, H(P) {true:.3f}"
    accuracy = fmean(cell.d_accuracy for cell, _ in pairs)
    if accuracy > TOLD_APART and entropy < mle:
        yield f"a new discriminator is right in {accuracy:.1%} and H(G) {entropy:.2f} is below MLE's {mle:.2f}"


def _less(mle: float, true: float) -> str:
    return f"MLE's {mle:.2f}" if mle < true else f"the oracle's {true:.2f}"


def _error(pairs: Sequence[tuple[Cell, Cell]]) -> float:
    """Return the standard error of measurement of the mean difference of J(T*), which half the sequences judge."""
    errors = [cell.best.j_se for pair in pairs for cell in pair]
    return math.sqrt(2) * _root(errors) / len(pairs)


def _pairs(cells: Sequence[Cell], others: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    by_pair = {other.pair: other for other in others}
    return [(cell, by_pair[cell.pair]) for cell in cells if cell.pair in by_pair]


def _root(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values))
