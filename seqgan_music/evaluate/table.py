"""An evaluation for the terminal, at most 100 columns wide, from its document (`Evaluation.document`)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqgan_music.evaluate.figures import PLACES, catalogue
from seqgan_music.evaluate.ground import PLAIN
from seqgan_music.evaluate.material import NOVELTY

WIDTH = 100
NONE = "–"
"""Stands where there is no figure."""

_NAME = 14

Document = Mapping[str, Any]


def terminal(found: Document) -> str:
    """Return the tables and what is said of them."""
    return "\n".join(_lines(found))


def number(value: float, places: int) -> str:
    """Return a rounded number, "–" for NaN, with fewer decimal places where it is large."""
    if math.isnan(value):
        return NONE
    return f"{value:z.{max(0, places - 1) if abs(value) >= 100 else places}f}"


def _lines(found: Document) -> Iterator[str]:
    data, runs, cutoff = found["data"], len(found["runs"]), found.get("cutoff")
    of = f"{data['test_pieces']} pieces" + (
        " of the test split" if found["split"] == "test" else f" {found['split']}"
    )
    yield from _wrapped(
        f"Evaluated on {of}; {data['windows_compared']} windows of at most 16 bars are compared,"
        f" {data['generated_pieces']} pieces drawn a row" + (f", {runs} runs" if runs > 1 else "") + "."
    )
    yield ""
    columns = [
        (f"bits_per_{data['unit']}", "bits", 6, 2), ("frechet", "Fréchet", 8, 2), ("overlap", "overl", 6, 2),
        ("w1", "W1", 6, 2),
        ("c2st_auc", "AUC", 6, 2), ("bleu_4", "BLEU", 6, 2), ("self_bleu_4", "self", 6, 2),
        ("lag_distance", "lag", 6, 3), (f"novelty_{NOVELTY}", f"nov-{NOVELTY}", 6, 2),
        ("copied_share", "copied", 7, 2), ("valid_share", "valid", 6, 2), ("meter_share", "meter", 6, 3),
    ]  # fmt: skip
    yield f"{'':{_NAME}}{'T':>4}" + "".join(f"{title:>{width}}" for _, title, width, _ in columns)
    for row in found["rows"]:
        yield _row(row, [(name, width, places) for name, _, width, places in columns])
    yield ""
    yield from _wrapped(
        f"bits a {data['unit']}; Fréchet, W1, AUC, lag: lower is better; overl, valid: higher; the others:"
        " as real. real: other held-out pieces, the floor. copies: training pieces passed off as new."
        + (f" No token less likely than {cutoff:g} was drawn; bits are of all." if cutoff else "")
        + (
            " +grammar: as `sample` writes, without tokens that make no sense where they stand."
            if any(row["kind"] == "grammar" for row in found["rows"])
            else ""
        )
    )
    yield from _plain_temperature(found)
    yield from _judged(found)


def _row(row: Document, columns: Sequence[tuple[str, int, int]]) -> str:
    name, figures = row["name"], row["figures"]
    shown = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
    text = "".join(
        f"{number(figures[column]['value'] if column in figures else math.nan, places):>{width}}"
        for column, width, places in columns
    )
    temperature = "" if row["temperature"] is None else f"{row['temperature']:g}"
    return f"{shown:{_NAME}}{temperature:>4}{text}"


def _plain_temperature(found: Document) -> Iterator[str]:
    """Intervals at T=1, drift, and what the paper measured."""
    unit = found["data"]["unit"]
    names = {one.name: one for one in catalogue(unit)}
    shown = [f"bits_per_{unit}", "frechet", "c2st_auc", "copied_share", *(f"frechet_{place}" for place in PLACES)]
    shown += ["paper_bleu_4", "paper_mse"]
    rows = [row for row in found["rows"] if row["temperature"] in (None, PLAIN)]
    yield ""
    yield "At T=1, with 95% intervals:"
    for name in shown:
        known = [f"{row['name']} {_estimate(row['figures'][name])}" for row in rows if name in row["figures"]]
        if known:
            yield from _wrapped(f"{names[name].title}: {', '.join(known)}", "    ")


def _judged(found: Document) -> Iterator[str]:
    yield ""
    for judged in found["verdicts"]:
        yield from _wrapped(f"{judged['name']}: {judged['verdict']}. {judged['why']}")
    for note in found["notes"]:
        yield from _wrapped(note)
    if found["chosen"] is not None:
        yield from _wrapped(f"`sample` uses {found['chosen']['name']}: {found['chosen']['why']}.")
    if found["copies"]:
        first = found["copies"][0]
        yield from _wrapped(
            f"Longest copied run of {first['file']}: {first['notes']} notes from bar {first['bar']} on,"
            f" as in {first['source']}, bar {first['source_bar']}."
        )


def _estimate(found: Mapping[str, float]) -> str:
    """Return a figure with its interval, where that is known."""
    value = number(found["value"], 2 if abs(found["value"]) >= 10 else 3)
    if "low" not in found:
        return value
    low, high = (number(found[end], 2 if abs(found[end]) >= 10 else 3) for end in ("low", "high"))
    return f"{value} [{low}, {high}]"


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False)
