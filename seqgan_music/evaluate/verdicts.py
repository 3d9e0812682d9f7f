"""Verdicts on music: what may be said of a method against MLE, by rules fixed before any result.

A difference d is method - MLE with its 95% interval (`bootstrap`); it is *below 0* where its upper end is. Fréchet
distance and the C2ST's AUC are compared *at equal diversity*: each method is a curve through the temperatures, read
off at the same self-BLEU-4, and d is the mean over the self-BLEU-4 that both curves reach. So no temperature can
win. In this order:

COPIES      at T=1 more windows than of the real pieces hold a run copied from the training set, by 2 points and
            beyond doubt, and more than of MLE's (lower ends of both differences above 0).
COLLAPSED   at T=1 no window of music, or entropy below 0.8 of MLE's, or distinct-4 below 0.8 of the lesser of MLE's
            and the real pieces'.
BEATS MLE   at equal diversity dFréchet is below 0 and by 10% or more, and dAUC is below 0; at T=1 bits a note are
            at most MLE's and 2%; copied share is at most the real pieces' and 2 points, and not above MLE's (lower
            end of d above 0); nor is the lag curve farther from the real one.
TRADED      at T=1 Fréchet distance or AUC is better and self-BLEU-4 higher, but neither is at equal diversity.
MIXED       dFréchet, dAUC or bits (by 2%) is better, but another condition of BEATS MLE fails. Where no temperature
            makes the two equally diverse, d is that at T=1.
WORSE       dFréchet or dAUC (such as they are for MIXED) is above 0, or bits a note are above MLE's by more than
            2%; nothing is better.
NO EFFECT   the rest.
NOT JUDGED  there is no MLE row, or too little music for a Fréchet distance.

With several training runs, run k of the method is paired with run k of MLE, which it began from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from statistics import fmean

import numpy as np
import numpy.typing as npt

from seqgan_music.evaluate.bootstrap import Estimate, Floats, Measured, between_runs

LEAST_GAIN = 0.10
"""Of MLE's Fréchet distance at equal diversity: what is smaller does not matter, however certain."""
BITS = 0.02
"""Of MLE's bits a note: smaller differences are no loss and no gain."""
COPIED = 0.02
"""Points of copied share above the real pieces' own."""
LEAST_DIVERSITY = 0.8
"""Of the entropy, or the distinct-4, of what is compared with."""
_POINTS = 9
"""Places on the common range of self-BLEU-4 where two curves are compared."""

Figures = Mapping[str, Measured]
Curve = Mapping[float, Sequence[Figures]]
"""Temperature -> the figures of each run."""


class Verdict(StrEnum):
    """What is printed."""

    BEATS = "BEATS MLE"
    COPIES = "COPIES"
    COLLAPSED = "COLLAPSED"
    MIXED = "MIXED"
    TRADED = "TRADED DIVERSITY FOR QUALITY"
    WORSE = "WORSE"
    NO_EFFECT = "NO EFFECT"
    NOT_JUDGED = "NOT JUDGED"


@dataclass(frozen=True)
class Judgement:
    """A verdict and why, in one sentence with the figures."""

    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Comparison:
    """A method beside MLE and the real pieces.

    `bits` names the figure "bits_per_note"; `rng` draws runs.
    """

    method: Curve
    baseline: Curve
    real: Figures
    bits: str
    rng: Callable[[], np.random.Generator]

    def plain(self, figure: str) -> Estimate | None:
        """Return d of a figure at T=1, or None where one side lacks it."""
        pairs = list(zip(self.method.get(1.0, ()), self.baseline.get(1.0, ()), strict=False))
        if not pairs or any(figure not in side for pair in pairs for side in pair):
            return None
        return between_runs([mine[figure] - other[figure] for mine, other in pairs], self.rng())

    def matched(self, figure: str) -> tuple[Estimate, float] | None:
        """Return d at equal self-BLEU-4 and MLE's own mean there, or None where the curves share none."""
        found = []
        for run in range(min(len(self.method.get(1.0, ())), len(self.baseline.get(1.0, ())))):
            pair = at_equal_diversity(self._of_run(self.method, run), self._of_run(self.baseline, run), figure)
            if pair is None:
                return None
            found.append(pair)
        if not found:
            return None
        return between_runs([mine - other for mine, other in found], self.rng()), fmean(o.value for _, o in found)

    def level(self, figure: str, curve: Curve) -> float | None:
        """Return the mean over runs of a figure at T=1, or None where a run lacks it."""
        runs = curve.get(1.0, ())
        if not runs or any(figure not in one for one in runs):
            return None
        return fmean(one[figure].value for one in runs)

    def _of_run(self, curve: Curve, run: int) -> list[Figures]:
        return [curve[temperature][run] for temperature in sorted(curve)]


def judge(comparison: Comparison) -> Judgement:
    """Return the verdict of a method."""
    if not comparison.baseline.get(1.0) or not comparison.method.get(1.0):
        return Judgement(Verdict.NOT_JUDGED, "There is no MLE at T=1 to compare with.")
    if copied := copies(comparison):
        return Judgement(Verdict.COPIES, _sentence([copied]))
    if signs := list(collapse(comparison)):
        return Judgement(Verdict.COLLAPSED, _sentence(signs))
    if comparison.plain("frechet") is None:
        return Judgement(Verdict.NOT_JUDGED, "There is too little music to compare.")
    gains, losses, lacking = list(better(comparison)), list(worse(comparison)), list(missing(comparison))
    known = _known(comparison)
    if gains and not lacking:
        return Judgement(Verdict.BEATS, _sentence([*known, "copied share and bits are no worse"]))
    if traded := trade(comparison):
        return Judgement(Verdict.TRADED, _sentence([traded, *known]))
    if gains:
        return Judgement(Verdict.MIXED, _sentence([f"{' and '.join(gains)}, but {lacking[0]}", *lacking[1:]]))
    if losses:
        return Judgement(Verdict.WORSE, _sentence(losses))
    return Judgement(Verdict.NO_EFFECT, _sentence(known))


def copies(comparison: Comparison) -> str | None:
    """Say that it copies, where it does."""
    runs, real = comparison.method.get(1.0, ()), comparison.real.get("copied_share")
    more = comparison.plain("copied_share")
    if real is None or more is None or not more.above:
        return None
    above_real = between_runs([one["copied_share"] - real for one in runs], comparison.rng())
    if not (above_real.above and above_real.value > COPIED):
        return None
    share = real.value + above_real.value
    return f"{share:.0%} of its windows hold a run copied from the training set, of real ones {real.value:.0%} do"


def collapse(comparison: Comparison) -> Iterator[str]:
    """Say which signs of collapse there are, at T=1."""
    mine, other = (partial(comparison.level, curve=curve) for curve in (comparison.method, comparison.baseline))
    if mine("frechet") is None and other("frechet") is not None:
        yield "it writes no window of music"
    entropy, least = mine("entropy"), other("entropy")
    if entropy is not None and least is not None and entropy < LEAST_DIVERSITY * least:
        yield f"entropy {entropy:.2f} nats a token is below {LEAST_DIVERSITY} of MLE's {least:.2f}"
    different, of_mle, real = mine("distinct_4"), other("distinct_4"), comparison.real.get("distinct_4")
    if different is not None and of_mle is not None and real is not None:
        limit = min(of_mle, real.value)
        if different < LEAST_DIVERSITY * limit:
            whose = "MLE's" if of_mle == limit else "the real pieces'"
            yield f"distinct-4 {different:.2f} is below {LEAST_DIVERSITY} of {whose} {limit:.2f}"


def better(comparison: Comparison) -> Iterator[str]:
    """Say what is better than MLE's beyond doubt."""
    for figure, name in (("frechet", "Fréchet distance"), ("c2st_auc", "AUC")):
        found, plain = comparison.matched(figure), comparison.plain(figure)
        if found is not None and found[0].below:
            yield f"{name} at equal diversity is lower by {_size(*found)}"
        elif found is None and plain is not None and plain.below:
            yield f"{name} at T=1 is lower, d {plain}"
    bits = comparison.plain(comparison.bits)
    base = comparison.level(comparison.bits, comparison.baseline)
    if bits is not None and base is not None and bits.below and bits.value < -BITS * base:
        yield f"{_words(comparison.bits)} are lower by {-bits.value / base:.1%}"


def worse(comparison: Comparison) -> Iterator[str]:
    """Say what is worse than MLE's beyond doubt."""
    for figure, name in (("frechet", "Fréchet distance"), ("c2st_auc", "AUC")):
        found = comparison.matched(figure)
        estimate = found[0] if found is not None else comparison.plain(figure)
        if estimate is not None and estimate.above:
            where = "at equal diversity" if found is not None else "at T=1, the diversity nowhere being equal,"
            yield f"{name} {where} is higher, d {estimate}"
    bits = comparison.plain(comparison.bits)
    base = comparison.level(comparison.bits, comparison.baseline)
    if bits is not None and base is not None and bits.above and bits.value > BITS * base:
        yield f"{_words(comparison.bits)} are higher by {bits.value / base:.1%}"


def missing(comparison: Comparison) -> Iterator[str]:
    """Say which conditions of BEATS MLE fail."""
    frechet, auc = comparison.matched("frechet"), comparison.matched("c2st_auc")
    if frechet is None:
        yield "no temperature makes it as diverse as MLE"
    elif not frechet[0].below:
        yield f"at equal diversity Fréchet distance differs by {frechet[0]}"
    elif not frechet[0].value <= -LEAST_GAIN * frechet[1]:
        than = f"less than {LEAST_GAIN:.0%} of MLE's {frechet[1]:.3g}"
        yield f"at equal diversity Fréchet distance differs by {frechet[0].value:+.3g}, {than}"
    if auc is None:
        yield "there are too few pieces for an AUC"
    elif not auc[0].below:
        yield f"at equal diversity AUC differs by {auc[0]}"
    bits = comparison.level(comparison.bits, comparison.method)
    base = comparison.level(comparison.bits, comparison.baseline)
    if bits is None or base is None:
        yield "it has no likelihood"
    elif not bits <= (1 + BITS) * base:
        yield f"{_words(comparison.bits)} are {bits:.2f}, MLE's {base:.2f}"
    share, limit = comparison.level("copied_share", comparison.method), _copied_limit(comparison)
    if share is not None and limit is not None and share > limit:
        yield f"{share:.0%} of its windows hold a copied run, {limit - COPIED:.0%} of real ones do"
    more = comparison.plain("copied_share")
    if more is not None and more.above:
        yield f"it copies more than MLE, d of the copied share {more}"
    form = comparison.plain("lag_distance")
    if form is not None and form.above:
        yield f"its form is farther from the real one, d of the lag distance {form}"


def trade(comparison: Comparison) -> str | None:
    """Say what it gained for diversity at T=1, where nothing is gained at equal diversity."""
    narrower = comparison.plain("self_bleu_4")
    if narrower is None or not narrower.above:
        return None
    looks = []
    for figure, name in (("frechet", "Fréchet distance"), ("c2st_auc", "AUC")):
        found, plain = comparison.matched(figure), comparison.plain(figure)
        if found is not None and found[0].below:
            return None
        if plain is not None and plain.below:
            looks.append(f"{name} looks better, d {plain}")
    return f"at T=1 {' and '.join(looks)}, and self-BLEU-4 is higher, d {narrower}" if looks else None


def at_equal_diversity(
    method: Sequence[Figures], baseline: Sequence[Figures], figure: str
) -> tuple[Measured, Measured] | None:
    """Return the means of a figure over the self-BLEU-4 that both curves reach, None where they share none.

    A curve is linear between its temperatures. The places are the same in all resamples.
    """
    curves = [
        [(one["self_bleu_4"], one[figure]) for one in curve if "self_bleu_4" in one and figure in one]
        for curve in (method, baseline)
    ]
    if not all(curves):
        return None
    reach = [[x.value for x, _ in curve] for curve in curves]
    low, high = max(map(min, reach)), min(map(max, reach))
    if low > high:
        return None
    places = np.linspace(low, high, _POINTS)
    means = []
    for curve in curves:
        value = _read_off(places, [x.value for x, _ in curve], [y.value for _, y in curve])
        xs = np.array([x.resamples for x, _ in curve])  # (temperatures, B)
        ys = np.array([y.resamples for _, y in curve])
        means.append(Measured(value, np.array([_read_off(places, *pair) for pair in zip(xs.T, ys.T, strict=True)])))
    return means[0], means[1]


def _read_off(places: Floats, x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    order = np.argsort(x, kind="stable")
    return float(np.interp(places, np.asarray(x)[order], np.asarray(y)[order]).mean())


def _copied_limit(comparison: Comparison) -> float | None:
    real = comparison.real.get("copied_share")
    return None if real is None else real.value + COPIED


def _known(comparison: Comparison) -> list[str]:
    said = []
    for figure, name in (("frechet", "Fréchet distance"), ("c2st_auc", "AUC")):
        found, plain = comparison.matched(figure), comparison.plain(figure)
        if found is not None:
            said.append(f"at equal diversity {name} differs by {found[0]}")
        elif plain is not None:
            said.append(f"at T=1, the diversity nowhere being equal, {name} differs by {plain}")
    bits = comparison.plain(comparison.bits)
    if bits is not None:
        said.append(f"{_words(comparison.bits)} differ by {bits}")
    return said or ["nothing could be compared"]


def _size(difference: Estimate, base: float) -> str:
    share = f"{-difference.value / base:.0%}, " if base > 0 else ""
    return f"{share}d {difference}"


def _words(figure: str) -> str:
    return figure.replace("_per_", " a ").replace("_", " ")


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
