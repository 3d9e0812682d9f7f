"""`seqgan-music report`: a run as one page to hear, see and judge."""

from __future__ import annotations

from pathlib import Path

import click

from seqgan_music.cli._evaluating import write_report
from seqgan_music.cli._terminal import interrupt


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Page to write.  [default: in the run]"
)
@click.option(
    "--samples", type=click.IntRange(0, 100), default=3, show_default=True, metavar="N", help="New pieces to hear."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, metavar="S", help="Theirs."
)
@click.option("--evaluation/--no-evaluation", default=True, help="Whether to evaluate where that is due.  [yes]")
def command(run: Path | None, out: Path | None, samples: int, seed: int, evaluation: bool) -> None:
    r"""Write a run's report: one HTML file that opens from disk, without a network.

    What was trained on, learning curves, whether the adversarial phase helped, new pieces to hear and see with the
    critic's score and the nearest training tune. A run that has no evaluation, or was trained further since, is
    evaluated first, which takes a minute or more. Without RUN, the newest of runs/.

    \b
    Example:
      seqgan-music report
      seqgan-music report runs/jigs --samples 6 --out six.html
    """
    import signal

    from seqgan_music import report
    from seqgan_music.compose import newest_run
    from seqgan_music.files import check_writable

    signal.signal(signal.SIGTERM, interrupt)
    folder = run or newest_run()
    check_writable(out or folder / report.FILE)
    path = write_report(folder, out=out, samples=samples, seed=seed, evaluation=evaluation)
    click.echo(f"Report: {click.format_filename(path)}")
