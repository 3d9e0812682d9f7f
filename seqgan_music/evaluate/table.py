"""An evaluation for the terminal, at most 100 columns wide."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from seqgan_music.evaluate.bootstrap import Estimate
from seqgan_music.evaluate.evaluation import Entry, Evaluation
from seqgan_music.evaluate.figures import PLACES, catalogue
from seqgan_music.evaluate.ground import PLAIN
from seqgan_music.evaluate.material import NOVELTY

WIDTH = 100
NONE = "–"
"""Stands where there is no figure."""

_NAME = 14


def terminal(found: Evaluation) -> str:
    """Return the tables and what is said of them."""
    return "\n".join(_lines(found))


def number(value: float, places: int) -> str:
    """Return a rounded number, "–" for NaN, with fewer decimal places where it is large."""
    if math.isnan(value):
        return NONE
    return f"{value:z.{max(0, places - 1) if abs(value) >= 100 else places}f}"


def _lines(found: Evaluation) -> Iterator[str]:
    ground = found.ground
    reference = ground.reference
    of = f"{reference.material.count} pieces" + (
        " of the test split" if found.split == "test" else f" {found.split}"
    )
    yield from _wrapped(
        f"Evaluated on {of}; {len(reference.kept.windows)} windows of at most 16 bars are compared,"
        f" {ground.count} pieces drawn a row" + (f", {len(found.runs)} runs" if len(found.runs) > 1 else "") + "."
    )
    yield ""
    columns = [
        (found.bits, "bits", 6, 2), ("frechet", "Fréchet", 8, 2), ("overlap", "overl", 6, 2), ("w1", "W1", 6, 2),
        ("c2st_auc", "AUC", 6, 2), ("bleu_4", "BLEU", 6, 2), ("self_bleu_4", "self", 6, 2),
        ("lag_distance", "lag", 6, 3), (f"novelty_{NOVELTY}", f"nov-{NOVELTY}", 6, 2),
        ("copied_share", "copied", 7, 2), ("valid_share", "valid", 6, 2), ("meter_share", "meter", 6, 3),
    ]  # fmt: skip
    yield f"{'':{_NAME}}{'T':>4}" + "".join(f"{title:>{width}}" for _, title, width, _ in columns)
    for entry in found.entries:
        yield _row(found, entry, [(name, width, places) for name, _, width, places in columns])
    yield ""
    yield from _wrapped(
        f"bits a {ground.test.unit_name}; Fréchet, W1, AUC, lag: lower is better; overl, valid: higher; the others:"
        " as real. real: other held-out pieces, the floor. copies: training pieces passed off as new."
        + (f" No token less likely than {found.cutoff:g} was drawn; bits are of all." if found.cutoff else "")
    )
    yield from _plain_temperature(found)
    yield from _judged(found)


def _row(found: Evaluation, entry: Entry, columns: Sequence[tuple[str, int, int]]) -> str:
    name = entry.name if len(entry.name) <= _NAME else f"{entry.name[: _NAME - 1]}…"
    figures = found.figures(entry)
    text = "".join(
        f"{number(figures[column].value if column in figures else math.nan, places):>{width}}"
        for column, width, places in columns
    )
    temperature = "" if entry.temperature is None else f"{entry.temperature:g}"
    return f"{name:{_NAME}}{temperature:>4}{text}"


def _plain_temperature(found: Evaluation) -> Iterator[str]:
    """Intervals at T=1, drift, and what the paper measured."""
    names = {one.name: one for one in catalogue(found.ground.test.unit_name)}
    shown = [found.bits, "frechet", "c2st_auc", "copied_share", *(f"frechet_{place}" for place in PLACES)]
    shown += ["paper_bleu_4", "paper_mse"]
    entries = [entry for entry in found.entries if entry.temperature in (None, PLAIN)]
    yield ""
    yield "At T=1, with 95% intervals:"
    for name in shown:
        rows = [(entry.name, found.figures(entry).get(name)) for entry in entries]
        known = [f"{label} {_estimate(value)}" for label, value in rows if value is not None]
        if known:
            yield from _wrapped(f"{names[name].title}: {', '.join(known)}", "    ")


def _judged(found: Evaluation) -> Iterator[str]:
    yield ""
    for name, judgement in found.verdicts().items():
        yield from _wrapped(f"{name}: {judgement.verdict}. {judgement.why}")
    for note in found.notes:
        yield from _wrapped(note)
    if found.chosen is not None:
        yield from _wrapped(f"`sample` uses {found.chosen['name']}: {found.chosen['why']}.")
    if found.copies:
        first = found.copies[0]
        yield from _wrapped(
            f"Longest copied run of {first['file']}: {first['notes']} notes from bar {first['bar']} on,"
            f" as in {first['source']}, bar {first['source_bar']}."
        )


def _estimate(found: Estimate) -> str:
    value = number(found.value, 2 if abs(found.value) >= 10 else 3)
    if math.isnan(found.low):
        return value
    low, high = (number(end, 2 if abs(end) >= 10 else 3) for end in (found.low, found.high))
    return f"{value} [{low}, {high}]"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False)
