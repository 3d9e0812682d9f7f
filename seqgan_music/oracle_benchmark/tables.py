"""Tables of the oracle benchmark: for the terminal, as Markdown, as CSV and as a plain document."""

from __future__ import annotations

import io
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from csv import writer
from dataclasses import fields
from functools import partial
from statistics import median_low, stdev
from typing import Any

from seqgan_music.oracle_benchmark import verdicts
from seqgan_music.oracle_benchmark.results import Cell, Measures, Results
from seqgan_music.oracle_benchmark.verdicts import Judgement, Verdict, best_j

WIDTH = 130
LABEL = 18
"""Most letters of a method's name in the terminal's table."""
NONE = "–"
"""Stands where there is no figure."""

SHORT = {Verdict.TRADED: "TRADED", Verdict.UNPROVEN: "BETTER?", Verdict.NOT_JUDGED: "UNJUDGED"}
"""What the terminal's table says where the verdict is too long; the line below it says it in full."""

MEASURES = {
    "NLL_oracle": "nll_oracle",
    "NLL_gen": "nll_gen",
    "H(G)": "entropy",
    "KLrev": "kl_rev",
    "KLfwd": "kl_fwd",
    "J": "j",
}
"""Heading and field of what has a standard error."""

UNITS = (
    "NLL, H, KL and J are in nats a token, D bound in nats a sequence. D is the judge, a new discriminator trained "
    "against the finished model: its bound is what resampling the model by it would gain. T* is the temperature of "
    "least J, chosen and judged on different sequences of each cell; its median is shown. dJ is the method's J(T*) "
    "less the baseline's, over cells of the same oracle and seed."
)


def terminal(results: Results) -> str:
    """Return the table, at most 130 columns wide, and a line for each verdict."""
    return "\n".join(_terminal(results))


def markdown(results: Results) -> str:
    """Return all tables: at temperature 1, at T* with the verdicts, and through all temperatures."""
    return "\n".join(_markdown(results)) + "\n"


def csv(results: Results) -> str:
    """Return one row a cell and temperature with all that was measured."""
    text = io.StringIO()
    rows = writer(text, lineterminator="\n")
    of_cell = ("label", "method", "role", "draw", "seed", "updates", "d_accuracy", "d_bound")
    of_truth = ("entropy", "entropy_se", "distinct_4", "uniform_nll")
    measured = tuple(f.name for f in fields(Measures))
    rows.writerow([*of_cell, *measured, *(f"oracle_{name}" for name in of_truth), "notes"])
    for cells in results.methods.values():
        for cell in cells:
            truth = [getattr(results.oracles[cell.draw], name) for name in of_truth]
            for measures in cell.temperatures:
                values = [getattr(measures, name) for name in measured]
                rows.writerow([*(getattr(cell, n) for n in of_cell), *values, *truth, "; ".join(cell.notes)])
    return text.getvalue()


def document(results: Results) -> dict[str, Any]:
    """Return the results and the verdicts as a plain document."""
    judged = [judgement.to_document() for judgement in verdicts.verdicts(results).values()]
    return {**results.to_document(), "verdicts": judged}


def matched_quality(cell: Cell, nll_gen: float) -> float:
    """Return NLL_oracle at the temperature where NLL_gen is as given, NaN where no temperature gives it.

    Linear between temperatures (Caccia et al. 2020 compare so). Where several do, the least: the cell's best.
    """
    found = [
        low.nll_oracle + (nll_gen - low.nll_gen) / (high.nll_gen - low.nll_gen) * (high.nll_oracle - low.nll_oracle)
        for low, high in zip(cell.temperatures, cell.temperatures[1:], strict=False)
        if min(low.nll_gen, high.nll_gen) <= nll_gen <= max(low.nll_gen, high.nll_gen) < math.inf
        and low.nll_gen != high.nll_gen
    ]
    return min(found, default=math.nan)


def spread(values: Sequence[float], places: int = 3) -> str:
    """Return "1.172 ± 0.010", mean and standard deviation; the mean alone of one value."""
    mean = number(sum(values) / max(len(values), 1), places)
    return f"{mean} ± {stdev(values):.{places}f}" if len(values) > 1 and all(map(math.isfinite, values)) else mean


def number(value: float, places: int = 3) -> str:
    """Return a rounded number; "–" for NaN."""
    return NONE if math.isnan(value) else f"{value:z.{places}f}"


def _terminal(results: Results) -> Iterator[str]:
    judged = verdicts.verdicts(results)
    width = min(LABEL, max(map(len, results.methods), default=0))
    yield (
        f"{'':{width}}{'NLL_or':>7}{'NLL_gen':>8}{'H(G)':>7}{'KLrev':>7}{'KLfwd':>7}{'J':>6} ± sd {'dist4':>6}"
        f"{'D acc':>6}{'bound':>6}{'T*':>5}{'J(T*)':>7}  {'dJ [95%]':<22} verdict"
    )
    for label, cells in results.methods.items():
        yield _terminal_row(label, width, cells, judged[label])
    yield ""
    for text in (f"{results.name}: {_extent(results)}", _truth(results), UNITS):
        yield from _wrapped(text)
    yield ""
    for label, judgement in judged.items():
        yield from _wrapped(f"{label}: {_said(judgement)} {_updates(results.methods[label])}")
        for note in _notes(results.methods[label]):
            yield from _wrapped(f"  {note}")


def _terminal_row(label: str, width: int, cells: Sequence[Cell], judgement: Judgement) -> str:
    def mean(value: Callable[[Cell], float], columns: int, places: int = 3) -> str:
        return f"{number(_mean(cells, value), places):>{columns}}"

    name = label if len(label) <= width else label[: width - 1] + "…"
    deviation = spread([cell.plain.j for cell in cells]).partition(" ± ")[2]
    verdict = judgement.verdict and SHORT.get(judgement.verdict, str(judgement.verdict))
    row = (
        f"{name:{width}}{mean(lambda c: c.plain.nll_oracle, 7)}{mean(lambda c: c.plain.nll_gen, 8)}"
        f"{mean(lambda c: c.plain.entropy, 7)}{mean(lambda c: c.plain.kl_rev, 7)}"
        f"{mean(lambda c: c.plain.kl_fwd, 7)}{mean(lambda c: c.plain.j, 7)}{deviation and f'±{deviation}':<6}"
        f"{mean(lambda c: c.plain.distinct_4, 5, 2)}{mean(lambda c: c.d_accuracy, 6, 2)}"
        f"{mean(lambda c: c.d_bound, 6, 2)}{_best_temperature(cells):>5}{mean(best_j, 7)}"
        f"  {_narrow(judgement, cells):<22} {verdict or ''}"
    )
    return row.rstrip()


def _narrow(judgement: Judgement, cells: Sequence[Cell]) -> str:
    """Return dJ in at most 22 columns."""
    if cells[0].role == "baseline":
        return ""
    text = str(judgement.d_j).replace(", ", ",")
    if len(text) <= 22:
        return text
    return f"{judgement.d_j.mean:+.2f} [{judgement.d_j.low:+.2f},{judgement.d_j.high:+.2f}]"


def _markdown(results: Results) -> Iterator[str]:
    judged = verdicts.verdicts(results)
    methods = results.methods
    yield f"# Oracle benchmark `{results.name}`"
    for text in (_extent(results), _truth(results), UNITS):
        yield ""
        yield text
    yield ""
    yield "Figures are mean ± standard deviation over cells (standard error of measurement of that mean)."
    yield ""
    yield "## At temperature 1"
    yield ""
    yield from _grid(
        ["method", *MEASURES, "distinct-4", "D accuracy", "D bound", "updates"],
        [
            [
                label,
                *_measured(cells, lambda cell: cell.plain),
                spread([cell.d_accuracy for cell in cells]),
                spread([cell.d_bound for cell in cells]),
                f"{_mean(cells, lambda cell: cell.updates):,.0f}",
            ]
            for label, cells in methods.items()
        ],
    )
    yield ""
    yield "## Against the baseline"
    yield ""
    yield (
        "Differences are paired by oracle and seed, with 95% t-intervals; the rules of the verdicts stand in "
        "`seqgan_music/oracle_benchmark/verdicts.py`. Matched NLL_oracle is that at the temperature where NLL_gen "
        "is the baseline's at T=1, so at equal diversity."
    )
    yield ""
    yield from _grid(
        ["method", "T*", "J(T*)", "matched NLL_oracle", "dNLL_oracle", "dKLfwd", "dJ", "verdict"],
        [
            [
                label,
                _best_temperature(cells),
                spread([best_j(cell) for cell in cells]),
                _matched(results, cells),
                *_differences(judged[label], cells),
            ]
            for label, cells in methods.items()
        ],
    )
    yield ""
    for label, judgement in judged.items():
        yield f"- **{label}**: {_said(judgement)}"
        yield from (f"  - {note}" for note in _notes(methods[label]))
    yield ""
    yield "## Through the temperatures"
    yield ""
    yield from _grid(
        ["method", "T", *MEASURES, "distinct-4", "effective"],
        [
            [
                label,
                str(temperature),
                *_measured(cells, partial(_at, temperature=temperature)),
                number(sum(_at(cell, temperature).effective for cell in cells) / len(cells), 2),
            ]
            for label, cells in methods.items()
            for temperature in _temperatures(cells)
        ],
    )


def _measured(cells: Sequence[Cell], choose: Callable[[Cell], Measures]) -> Iterator[str]:
    """Give the text of all measures with a standard error, and distinct-4."""
    at = [choose(cell) for cell in cells]
    for name in MEASURES.values():
        error = sum(getattr(measures, f"{name}_se") ** 2 for measures in at) ** 0.5 / len(at)
        yield f"{spread([getattr(measures, name) for measures in at])} ({number(error)})"
    yield spread([measures.distinct_4 for measures in at])


def _differences(judgement: Judgement, cells: Sequence[Cell]) -> list[str]:
    if cells[0].role == "baseline":
        return [NONE] * 4
    differences = (judgement.d_nll_oracle, judgement.d_kl_fwd, judgement.d_j)
    return [*map(str, differences), judgement.verdict or NONE]


def _matched(results: Results, cells: Sequence[Cell]) -> str:
    by_pair = {cell.pair: cell.plain.nll_gen for cell in results.baseline}
    return spread([matched_quality(cell, by_pair.get(cell.pair, math.nan)) for cell in cells])


def _extent(results: Results) -> str:
    """Say how much was run."""
    draws, seeds = {cell.draw for cell in results.cells}, {cell.seed for cell in results.cells}
    return (
        f"{_count(len(results.methods), 'method')}, {_count(len(draws), 'oracle draw')}, "
        f"{_count(len(seeds), 'seed')} on each; {_count(len(results.cells), 'cell')}."
    )


def _truth(results: Results) -> str:
    """Say what the oracle itself gives."""
    size = results.settings["vocabulary_size"]
    errors = sum(truth.entropy_se**2 for truth in results.truth) ** 0.5 / max(len(results.truth), 1)
    return (
        f"The oracle: H(P) {spread([truth.entropy for truth in results.truth])} (s.e. {errors:.3f}), the least "
        f"NLL_gen; distinct-4 {spread([truth.distinct_4 for truth in results.truth], 2)}; uniform tokens: NLL_gen "
        f"= ln V {math.log(size):.3f}, NLL_oracle {spread([truth.uniform_nll for truth in results.truth])}."
    )


def _said(judgement: Judgement) -> str:
    return f"{judgement.verdict}. {judgement.reason}" if judgement.verdict else judgement.reason


def _updates(cells: Sequence[Cell]) -> str:
    least, most = (choose(cell.updates for cell in cells) for choose in (min, max))
    return f"({least:,} updates)" if least == most else f"({least:,} to {most:,} updates)"


def _notes(cells: Sequence[Cell]) -> Iterator[str]:
    """Say each note once, and in how many cells."""
    for note, count in Counter(note for cell in cells for note in dict.fromkeys(cell.notes)).items():
        yield note if count == len(cells) else f"{note} ({count} of {len(cells)} cells)"


def _best_temperature(cells: Sequence[Cell]) -> str:
    return str(median_low(cell.best.temperature for cell in cells))


def _temperatures(cells: Sequence[Cell]) -> list[float]:
    return [measures.temperature for measures in cells[0].temperatures]


def _at(cell: Cell, temperature: float) -> Measures:
    return next(measures for measures in cell.temperatures if measures.temperature == temperature)


def _mean(cells: Sequence[Cell], value: Callable[[Cell], float]) -> float:
    return sum(map(value, cells)) / len(cells)


def _count(many: int, what: str) -> str:
    return f"{many} {what}" if many == 1 else f"{many} {what}s"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give a Markdown table, figures to the right."""
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def _wrapped(text: str) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
