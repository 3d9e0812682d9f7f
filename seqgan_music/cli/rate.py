"""`seqgan-music rate`: thumbs up or down for pieces, kept with a run and learnt from, or taken back."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("rate")
@click.argument("files", type=click.Path(path_type=Path), metavar="FILE...", nargs=-1, required=True)
@click.option("--up/--down", "liked", default=None, help="Whether you like it.")
@click.option("--remove", is_flag=True, help="Take back what you said of it.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run folder that keeps the rating.  [default: the newest of runs/]",
)
def command(files: tuple[Path, ...], liked: bool | None, remove: bool, run: Path | None) -> None:
    r"""Say that you like FILE, or do not, and let the run learn your taste.

    Ratings are kept in the run's ratings.jsonl; of two of the same notes the later one counts. What they teach
    ranks new pieces: sample --prefer liked=1.

    \b
    Example:
      seqgan-music rate song-1.mid song-4.mid --up
      seqgan-music rate song-2.mid --down --run runs/jigs
      seqgan-music rate song-4.mid --remove
    """
    if (liked is None) != remove:
        raise click.UsageError("Say --up, --down or --remove, one of them.")
    from seqgan_music import compose, config, preference
    from seqgan_music.compose.primers import read_pieces
    from seqgan_music.errors import InputError, RunError
    from seqgan_music.preference import ratings
    from seqgan_music.run_folders import check_run

    run = compose.newest_run() if run is None else compose.find_run(run)
    if run == compose.BUNDLED:
        raise RunError("Ratings are kept with a run of your own, not with the bundled one. Train one first.")
    check_run(run)
    reading = config.of_run(run).corpus.reading
    pieces = [piece for file in files for piece in read_pieces(file, reading, "File").pieces]
    known = {rating.piece for rating in ratings.load(run)} if remove else set(pieces)
    if not known.intersection(pieces):
        raise InputError(f"{run} has no rating of {'this music' if len(files) == 1 else 'any of this music'}.")
    for piece in pieces:
        if piece in known:
            ratings.add(run, piece, liked)
    click.echo(preference.fit(run).describe())
