"""`seqgan-music evaluate`: how good is a run's music, did each phase help, is it copied."""

from __future__ import annotations

from pathlib import Path

import click

from seqgan_music.cli._evaluating import parse_temperatures, progress
from seqgan_music.cli._terminal import interrupt, say


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="DIR", help="Other music, instead of the test split."
)
@click.option(
    "--temperatures", default="0.8,0.9,1.0,1.1", show_default=True, metavar="T,...", help="Of sampling; 1 is added."
)
@click.option("--pieces", type=int, default=0, metavar="N", help="Pieces a row.  [default: 1.3 a test piece]")
@click.option("--seed", type=int, default=1, show_default=True, metavar="S", help="Of sampling and of intervals.")
@click.option(
    "--critic",
    "particles",
    type=int,
    metavar="N",
    help="Measure what the run's critic leaves of N pieces side by side; 0: no such row.  [default: 8]",
)
@click.option("--paper-metrics", is_flag=True, help="Add the SeqGAN paper's own figures for music.")
@click.option("--json", "as_json", is_flag=True, help="Print evaluation.json instead of the table.")
def command(
    run: Path | None,
    against: Path | None,
    temperatures: str,
    pieces: int,
    seed: int,
    particles: int | None,
    paper_metrics: bool,
    as_json: bool,
) -> None:
    r"""Compare what RUN writes with music that it has not learnt from; without RUN, the newest of runs/.

    Measures every phase of the run, and beside them real music, copies of the training set, dice and a Markov
    chain. Says of each method whether it beats maximum likelihood, and chooses, on the validation split, the phase
    that `sample` uses and whether its critic chooses among what it writes. Writes evaluation.json into the run's
    folder; with --against, evaluation-DIR.json.

    \b
    Example:
      seqgan-music evaluate
      seqgan-music evaluate runs/jigs --temperatures 0.9,1.0 --json
      seqgan-music evaluate runs/jigs --against other_tunes/
      seqgan-music evaluate runs/jigs --critic 16
    """
    import json
    import signal

    from seqgan_music import finishing
    from seqgan_music.compose import newest_run

    signal.signal(signal.SIGTERM, interrupt)
    grid = parse_temperatures(temperatures)
    folder = run or newest_run()
    from seqgan_music.evaluate import table
    from seqgan_music.evaluate.ground import Options

    options = Options(grid, pieces, seed, paper_metrics=paper_metrics)
    with progress() as show:
        found, path = finishing.evaluate(folder, options, against=against, critic=particles, show=show)
    document = found.document()
    click.echo(json.dumps(document, indent=1, allow_nan=False) if as_json else table.terminal(document))
    say(f"Written: {path} ({found.seconds:.0f} s)")
