"""`seqgan-music compare`: several runs together, as training seeds of one recipe or against the first."""

from __future__ import annotations

from pathlib import Path

import click

from seqgan_music.cli._evaluating import parse_temperatures, progress
from seqgan_music.cli._terminal import interrupt, say


@click.command("compare")
@click.argument("runs", type=click.Path(path_type=Path), metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the result as JSON, too.")
@click.option(
    "--temperatures", default="0.8,0.9,1.0,1.1", show_default=True, metavar="T,...", help="Of sampling; 1 is added."
)
@click.option("--pieces", type=int, default=0, metavar="N", help="Pieces a row.  [default: 1.3 a test piece]")
@click.option("--seed", type=int, default=1, show_default=True, metavar="S", help="Of sampling and of intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of the table.")
def command(
    runs: tuple[Path, ...], out: Path | None, temperatures: str, pieces: int, seed: int, as_json: bool
) -> None:
    r"""Judge a method over several training runs of one recipe, or compare runs of different recipes.

    Runs that differ in their seed alone are pooled: each method is compared, run by run, with the maximum
    likelihood phase that it began from, and the intervals hold for new seeds as for new pieces. Runs of different
    recipes are compared with the first one. All must have learnt from the same folder.

    \b
    Example:
      seqgan-music compare runs/jigs/seed-1 runs/jigs/seed-2 runs/jigs/seed-3
      seqgan-music compare runs/small runs/large
    """
    import json
    import signal

    signal.signal(signal.SIGTERM, interrupt)
    if len(runs) < 2:
        raise click.UsageError("Give at least two runs to compare.")
    grid = parse_temperatures(temperatures)
    from seqgan_music.files import check_writable

    if out is not None:
        check_writable(out)
    from seqgan_music.evaluate import evaluation, result, table
    from seqgan_music.evaluate.ground import Options

    with progress() as show:
        found = evaluation.compare(runs, Options(grid, pieces, seed), show=show)
    document = found.document()
    if out is not None:
        result.write(out, document)
        say(f"Written: {out}")
    click.echo(json.dumps(document, indent=1, allow_nan=False) if as_json else table.terminal(document))
