"""Results of the oracle benchmark on disk, as tables and as figures."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
from fuzz_results import BenchmarkFile
from hypothesis import given
from hypothesis import strategies as st
from made_up_results import GRID, METHODS, benchmark, cell, measures, results, row, truth

from seqgan_music.errors import InputError, RunError
from seqgan_music.oracle_benchmark import figures, tables
from seqgan_music.oracle_benchmark.results import Results, cell_from_document, cell_to_document, load
from seqgan_music.oracle_benchmark.verdicts import verdicts

FULL = benchmark()
SMALL = benchmark(draws=1, seeds=2)
_CELL, _TRUTH = cell_to_document(cell(role="baseline")), asdict(truth())


def test_results_survive_the_disk_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(FULL.to_document(), allow_nan=False))
    assert load(path).to_document() == FULL.to_document()
    assert load(path).cells[7].temperatures == FULL.cells[7].temperatures


def test_what_is_not_finite_survives_too() -> None:
    odd = cell(nll_gen=math.inf, kl_fwd=math.inf, distinct_4=math.nan)
    found = cell_from_document(json.loads(json.dumps(cell_to_document(odd), allow_nan=False)))
    assert found.plain.nll_gen == math.inf
    assert math.isnan(found.plain.distinct_4)


def test_a_cell_is_read_as_it_is_written_while_the_benchmark_runs() -> None:
    document = {
        "label": "mle", "method": "mle", "role": "baseline", "draw": 1, "seed": 2, "updates": 300, "notes": [],
        "temperatures": [{**vars(measures(t))} for t in (1.0, 0.8)],
        "judge": {"d_accuracy": 0.5, "d_bound": 0},
        "curve": [{"updates": 100, "nll_oracle": 4, "validation_nats": 3.5, "entropy": 3.0}],
    }  # fmt: skip
    found = cell_from_document(document)
    assert [m.temperature for m in found.temperatures] == [0.8, 1.0]
    assert isinstance(found.d_bound, float)
    assert found.before == 200
    assert math.isnan(found.curve[0].d_bound)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": "x", "settings": {}, "truth": [], "cells": [{}]}'])
def test_a_file_of_something_else_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match="does not hold results"):
        load(path)
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.json")


def test_the_terminal_table_fits_and_says_each_verdict_twice() -> None:
    lines = tables.terminal(FULL).splitlines()
    assert max(map(len, lines)) <= tables.WIDTH
    head, *rows = lines[: 1 + len(METHODS)]
    assert [line[: tables.LABEL].strip() for line in rows] == list(METHODS)
    place = head.index("verdict")
    for line, (label, judged) in zip(rows, verdicts(FULL).items(), strict=True):
        assert line[place:] == (tables.SHORT.get(judged.verdict, judged.verdict) if judged.verdict else "")
        if judged.verdict:
            assert any(text.startswith(f"{label}: {judged.verdict}. ") for text in lines)
    assert "  ended early (3 of 15 cells)" in lines


def test_numbers_stand_under_their_headings() -> None:
    long = row(
        "a method with a very long name", j=1.3, nll_oracle=11.44, nll_gen=31.3, kl_rev=12.5, kl_fwd=math.nan
    )
    lines = tables.terminal(results(row("mle", "baseline"), long)).splitlines()
    assert lines[2].startswith("a method with a v… 11.440  31.300  3.130 12.500      –  1.300±0.019")
    assert lines[0][:66].endswith("± sd ")
    assert lines[2].endswith("+0.100 [+0.100,+0.100] WORSE")


def test_tables_are_the_same_in_whatever_order_cells_were_done() -> None:
    cells = tuple(c for label in FULL.methods for c in reversed(FULL.methods[label]))
    other = replace(FULL, cells=cells)
    for table in (tables.terminal, tables.markdown, tables.csv):
        assert table(other) == table(FULL)


def test_markdown_tables_are_whole() -> None:
    named = replace(FULL, cells=tuple(replace(c, label=c.label.replace("random", "a|b")) for c in FULL.cells))
    blocks, count = tables.markdown(named).split("\n\n"), 0
    for block in blocks:
        rows = [line.replace(r"\|", "").count("|") for line in block.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1
        count += len(rows)
    assert count == 3 * 2 + 2 * len(METHODS) + len(METHODS) * len(GRID)
    assert r"| a\|b |" in tables.markdown(named)
    assert "| mle | 1.0 |" in tables.markdown(named)


def test_the_csv_holds_every_figure_exactly() -> None:
    rows = list(csv.DictReader(tables.csv(FULL).splitlines()))
    assert len(rows) == len(FULL.cells) * len(GRID)
    found = iter(rows)
    for cells in FULL.methods.values():
        for one in cells:
            for at in one.temperatures:
                line = next(found)
                assert (line["label"], int(line["draw"]), int(line["seed"])) == (one.label, one.draw, one.seed)
                assert float(line["j_judged"]) == at.j_judged
                assert float(line["oracle_entropy"]) == FULL.oracles[one.draw].entropy


WHOLE = json.dumps(results().to_document())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        WHOLE.replace('"cells": [', '"cells": [' + "[" * 100_000, 1),
        WHOLE.replace('"draw": 1', '"draw": Infinity', 1),
        WHOLE.replace('"draw": 1', '"draw": NaN', 1),
        WHOLE.replace('"entropy": 2.62', '"entropy": ' + "9" * 400, 1),
        "null",
        "7",
    ],
)
def test_results_that_are_none_are_one_line(text: str, tmp_path: Path) -> None:
    assert text != WHOLE
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match="does not hold results") as caught:
        load(tmp_path / "results.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("cells/1-1-mle/result.json", None, ""),
        ("cells/1-1-mle/result.json", "[" * 20_000, ""),
        ("cells/1-1-mle/result.json", '{"judge": 1}', ""),
        ("cells/1-1-mle/result.json", json.dumps(cell_to_document(cell(seed=2))), "it is that of another cell"),
        ("cells/1-1-mle/result.json", json.dumps({**_CELL, "notes": [7]}), "its label, method, role and notes"),
        ("draws/1/truth.json", json.dumps({**_TRUTH, "entropy_se": 1e200}), "a number that is too large"),
        ("draws/1/truth.json", "{}", "it has no 'draw'"),
        ("draws/1/truth.json", "7", "it is no JSON object"),
    ],
)
def test_a_benchmark_whose_files_are_damaged_names_the_file(
    file: str, text: str | None, reason: str, tmp_path: Path
) -> None:
    reader = BenchmarkFile(file)
    folder = reader.prepare(tmp_path, reader.seeds[0])
    assert reader.try_(folder) == "read"
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    with pytest.raises(RunError) as told:
        reader.try_(folder)
    assert str(told.value).startswith(f"{folder / file} cannot be read: {reason}")
    assert str(told.value).endswith(" Delete its folder and go on with --resume.")


def test_the_document_holds_results_and_verdicts() -> None:
    document = json.loads(json.dumps(tables.document(SMALL), allow_nan=False))
    assert Results.from_document(document).to_document() == SMALL.to_document()
    said = {judged["label"]: judged["verdict"] for judged in document["verdicts"]}
    assert said == {label: judged.verdict for label, judged in verdicts(SMALL).items()}
    assert said["mle"] is None


def test_quality_is_matched_along_the_temperatures() -> None:
    one = cell()
    at = [(0.5, 3.0, 4.0), (1.0, 3.5, 3.2), (1.5, 5.5, 3.6)]  # temperature, NLL_oracle, NLL_gen
    one = replace(one, temperatures=tuple(measures(t, nll_oracle=q, nll_gen=c) for t, q, c in at))
    assert tables.matched_quality(one, 3.6) == pytest.approx(3.25)  # not 5.5, which gives it too
    assert tables.matched_quality(one, 3.2) == pytest.approx(3.5)
    assert math.isnan(tables.matched_quality(one, 3.19))
    assert math.isnan(tables.matched_quality(one, 4.01))
    assert math.isnan(tables.matched_quality(one, math.nan))


@given(st.lists(st.floats(0, 1), max_size=12).map(sorted), st.floats(0.001, 0.08))
def test_labels_are_put_apart_and_stay_inside(wanted: list[float], distance: float) -> None:
    found = figures.apart(wanted, distance)
    assert all(0 <= place <= 1 + 1e-9 for place in found)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert all(gap >= distance - 1e-9 for gap in gaps)
    # What is already apart stays.
    assert figures.apart(found, distance) == pytest.approx(found)


def test_figures_are_the_same_bytes_for_the_same_results(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        figures.curves(SMALL, tmp_path / folder / "curves")
        figures.divergences(SMALL, tmp_path / folder / "divergences")
    names = ["curves.png", "curves.svg", "divergences.png", "divergences.svg"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "odd",
    [
        results(row("mle", "baseline")),  # nothing but the baseline, no curves
        results(row("mle", "baseline", kl_rev=0.0, kl_fwd=0.0), row("worse", kl_fwd=math.inf, nll_gen=math.inf)),
        results(row("mle", "baseline", kl_rev=math.nan, kl_fwd=math.nan, nll_gen=math.nan), row("collapsed")),
    ],
)
def test_odd_results_have_figures_and_tables_too(odd: Results, tmp_path: Path) -> None:
    figures.curves(odd, tmp_path / "curves")
    figures.divergences(odd, tmp_path / "divergences")
    assert len(list(tmp_path.iterdir())) == 4
    assert odd.cells[0].label in tables.terminal(odd)
    assert odd.cells[0].label in tables.markdown(odd)
