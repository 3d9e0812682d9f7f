"""The folder of a benchmark: begun, gone on with, finished into tables and figures. `seqgan-music oracle` calls it.

`oracle.toml` (every setting written out), `draws/` (data and truth of each oracle), `cells/` (one folder a method,
draw and seed), and at the end `results.json`, `table.md`, `cells.csv`, `curves` and `divergences` as PNG and SVG.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from seqgan_music import config as configs
from seqgan_music import run_folders
from seqgan_music.errors import RunError
from seqgan_music.learning import discriminators, methods, oracles, sizes
from seqgan_music.oracle_benchmark import cells, figures, results, schedule, settings, tables
from seqgan_music.oracle_benchmark.results import Results
from seqgan_music.oracle_benchmark.settings import Row, Settings
from seqgan_music.run_folders import write_text

CONFIG, RESULTS, TABLE, CELLS, CURVES, DIVERGENCES = (
    "oracle.toml",
    "results.json",
    "table.md",
    "cells.csv",
    "curves",
    "divergences",
)


def check(chosen: Settings) -> Settings:
    """Check every choice before any work, and return the settings with all options written out.

    Raises ConfigError.
    """
    oracles.check(chosen.oracle)
    sizes.check(
        lambda: [discriminators.create(chosen.discriminator, 2, chosen.length)],
        "Make its filters, or length, smaller.",
    )
    return replace(chosen, rows=tuple(_checked(row) for row in chosen.rows))


def begin(chosen: Settings, name: str, out: Path | None) -> Path:
    """Make the folder of a new benchmark. Raises SeqganMusicError."""
    chosen = check(chosen)
    run_folders.check_free(out or run_folders.RUNS / "new", [CONFIG])
    with run_folders.new_folder(out, [CONFIG], prefix="oracle-") as folder:
        document = {"name": name, **settings.to_document(chosen)}
        write_text(folder / CONFIG, configs.to_file(document))
    return folder


def open_folder(folder: Path) -> tuple[Settings, str]:
    """Return the settings and the name of a benchmark that was begun. Raises RunError, ConfigError."""
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder} is not a benchmark: it has no {CONFIG}. Begin one: seqgan-music oracle.")
    document, where = configs.read_document(str(folder / CONFIG))
    name = document.pop("name", folder.name)
    return check(settings.from_document(document, where)), str(name)


def run(folder: Path, *, device: str, workers: int, show: Callable[[schedule.State], None]) -> Results:
    """Do what is missing and write tables and figures. Raises SeqganMusicError."""
    chosen, name = open_folder(folder)
    with run_folders.locked(folder):
        run_folders.sweep(folder, *(folder / "draws").glob("*"))
        schedule.run(folder, chosen, device, workers, show)
        return finish(folder, chosen, name)


def finish(folder: Path, chosen: Settings, name: str) -> Results:
    """Gather the cells that are done and write results, tables and figures. Raises RunError, OutputError."""
    found = gathered(folder, chosen, name)
    write_text(folder / RESULTS, json.dumps(found.to_document(), indent=1))
    write_text(folder / TABLE, tables.markdown(found))
    write_text(folder / CELLS, tables.csv(found))
    figures.curves(found, folder / CURVES)
    figures.divergences(found, folder / DIVERGENCES)
    return found


def gathered(folder: Path, chosen: Settings, name: str) -> Results:
    """Return the results of all cells. Raises RunError where a file is missing, damaged, or another cell's."""
    truth = []
    for draw in range(1, chosen.draws + 1):
        with cells.told(cells.draw_folder(folder, draw) / cells.TRUTH) as document:
            truth.append(results.truth_from_document(document))
            if truth[-1].draw != draw:
                raise ValueError("it is that of another draw")
    found = []
    for row in chosen.rows:
        for draw in range(1, chosen.draws + 1):
            for seed in range(1, chosen.seeds + 1):
                with cells.told(cells.cell_folder(folder, row, draw, seed) / cells.RESULT) as document:
                    cell = results.cell_from_document(document)
                    if (cell.label, cell.role, cell.draw, cell.seed) != (row.label, row.role, draw, seed):
                        raise ValueError("it is that of another cell")
                    found.append(cell)
    return Results(name, settings.to_document(chosen), tuple(truth), tuple(found))


def _checked(row: Row) -> Row:
    return replace(row, method=methods.resolved(row.method))
