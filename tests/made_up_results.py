"""Made-up results of the oracle benchmark, from a few numbers: what the rules and the tables are tried on."""

from __future__ import annotations

import random

from seqgan_music.oracle_benchmark.results import Cell, Measures, Point, Results, Truth

GRID = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
H_P = 2.62


def measures(temperature: float = 1.0, **changes: float) -> Measures:
    """Measures of an ordinary MLE at T=1, but for the changes; J, and both halves of it, follow from the KLs."""
    found = {"nll_oracle": 3.80, "nll_gen": 3.15, "entropy": 3.13, "kl_rev": 0.67, "kl_fwd": 0.53}
    found |= {f"{name}_se": 0.003 for name in found}
    found |= {"j_se": 0.004, "effective": 1.0, "distinct_4": 0.95} | changes
    j = found["kl_rev"] + found["kl_fwd"]
    return Measures(temperature=temperature, **{"j": j, "j_chosen": j, "j_judged": j, **found})


def cell(draw: int = 1, seed: int = 1, label: str = "mle", role: str = "", **changes: float) -> Cell:
    """One cell whose J has its least value, as given, at temperature 1; all else is the same at all of three."""
    accuracy = changes.pop("d_accuracy", 0.7)
    at = measures(**changes)
    away = {name: getattr(at, name) + 1.0 for name in ("j", "j_chosen", "j_judged")}
    grid = (measures(0.8, **changes | away), at, measures(1.25, **changes | away))
    return Cell(label, "mle", role, draw, seed, grid, accuracy, d_bound=0.1, updates=10, curve=(), notes=())


def truth(draw: int = 1, entropy: float = H_P) -> Truth:
    """The oracle that goes with them."""
    return Truth(draw, entropy=entropy, entropy_se=0.003, distinct_4=0.96, uniform_nll=9.5)


def row(
    label: str, role: str = "", j: float = 1.2, spread: float = 0.01, pairs: int = 6, **changes: float
) -> list[Cell]:
    """Cells of a method on 2 oracle draws whose J are `j` -+ `spread`, the same in all rows but for `j`."""
    cells = []
    for number in range(pairs):
        each = j + spread * (number - (pairs - 1) / 2)
        halves = {"j": each, "j_chosen": each, "j_judged": each}
        cells.append(cell(1 + number % 2, 1 + number // 2, label, role, **{**halves, **changes}))
    return cells


def results(*rows: list[Cell]) -> Results:
    """A benchmark of such rows."""
    return Results(
        "made up", {"vocabulary_size": 100}, (truth(1), truth(2)), tuple(c for cells in rows for c in cells)
    )


METHODS = {
    # label: role, what it has more than MLE of NLL_oracle, NLL_gen and H(G), the judge's accuracy and bound
    "mle": ("baseline", 0.0, 0.0, 0.0, 0.57, 0.02),
    "random": ("", 5.6, 1.46, 1.47, 0.99, 4.3),
    "ngram": ("", 0.35, 0.25, 0.28, 0.62, 0.12),
    "mle continued": ("control", -0.02, 0.01, -0.03, 0.57, 0.02),
    "scheduled sampling": ("", -0.08, 0.06, -0.12, 0.60, 0.05),
    "pg bleu": ("", -0.35, 0.30, -0.45, 0.78, 0.6),
    "seqgan paper": ("", -0.25, 0.12, -0.32, 0.66, 0.2),
    "seqgan anchored": ("", -0.01, -0.005, 0.0, 0.57, 0.02),
    "constant": ("placebo", -0.12, 0.06, -0.15, 0.61, 0.08),
    "shuffled": ("placebo", -0.10, 0.05, -0.12, 0.60, 0.07),
    "resampled": ("", 0.02, -0.03, 0.03, 0.55, 0.005),
    "cot": ("", -0.03, -0.06, 0.02, 0.56, 0.01),
    "oracle": ("truth", -1.18, -0.53, -0.51, 0.50, 0.0),
}
UNTRAINED = ("random", "ngram", "oracle")
FROM_NOTHING = (*UNTRAINED, "mle", "scheduled sampling")


def benchmark(draws: int = 3, seeds: int = 5) -> Results:
    """Thirteen methods through all temperatures, with curves, as a real benchmark might give them."""
    rng = random.Random(1)
    truths = {draw: truth(draw, H_P + rng.gauss(0, 0.08)) for draw in range(1, draws + 1)}
    cells = [
        _cell(label, truths[draw], seed, rng)
        for label in METHODS
        for draw in truths
        for seed in range(1, seeds + 1)
    ]
    return Results("made up", {"vocabulary_size": 100}, tuple(truths.values()), tuple(cells))


def _cell(label: str, oracle: Truth, seed: int, rng: random.Random) -> Cell:
    role, quality, coverage, entropy, accuracy, bound = METHODS[label]
    noise = [rng.gauss(0, 0.008) for _ in range(3)]
    at = []
    for temperature in GRID:
        away = 0.0 if label == "random" else temperature - 1.0
        nll_oracle = 1.18 + quality + 2.6 * away - away**2 + noise[0]
        nll_gen = 0.53 + coverage - 0.15 * away + (2.2 if away < 0 else 0.8) * away**2 + noise[1]
        h = 0.51 + entropy + 2.6 * away - 1.6 * away**2 + noise[2]
        reverse, forward = nll_oracle - h, nll_gen
        if label == "oracle":
            reverse, forward = 0.9 * away**2 + noise[0] / 9, 1.1 * away**2 + noise[1] / 9
        found = {"kl_rev": reverse, "kl_fwd": forward}
        found |= {half: reverse + forward + rng.gauss(0, 0.003) for half in ("j_chosen", "j_judged")}
        for name, value in (("nll_oracle", nll_oracle), ("nll_gen", nll_gen), ("entropy", h)):
            found[name] = oracle.entropy + value
        at.append(measures(temperature, **found, distinct_4=min(0.99, 0.93 + 0.2 * away + 0.08 * entropy)))
    own, before = (2400 if role == "baseline" else 1200), (0 if label in FROM_NOTHING else 2400)
    if label in UNTRAINED:
        own = 0
    curve = _curve(at[GRID.index(1.0)], own, before, oracle.entropy, rng)
    notes = ("ended early",) if label == "cot" and seed == 1 else ()
    return Cell(label, label, role, oracle.draw, seed, tuple(at), accuracy, bound, before + own, curve, notes)


def _curve(end: Measures, own: int, before: int, entropy: float, rng: random.Random) -> tuple[Point, ...]:
    points = []
    for updates in range(0, own + 1, 100):
        left = 1 - updates / own if own else 0.0
        # From where the baseline ended, or from nearly uniform.
        first = (entropy + 1.18, entropy + 0.53) if before else (9.4, 4.6)
        share = left if before else left**6
        quality = end.nll_oracle + (first[0] - end.nll_oracle) * share + rng.gauss(0, 0.012)
        coverage = end.nll_gen + (first[1] - end.nll_gen) * share + rng.gauss(0, 0.008)
        points.append(Point(updates, quality, coverage, end.entropy))
    return tuple(points)
