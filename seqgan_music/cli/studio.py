"""`seqgan-music studio`: a page on this machine to make music with a run, hear it, see it, steer it."""

from __future__ import annotations

from pathlib import Path

import click

from seqgan_music import run_folders
from seqgan_music.cli._terminal import interrupt, say


@click.command()
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run folder to begin with.  [default: the newest of --runs, else 'bundled', which comes with the package]",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=run_folders.RUNS,
    show_default=True,
    metavar="DIR",
    help="Folder whose runs can be chosen.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1.  [default: 8765, else any free one]"
)
@click.option("--browser/--no-browser", default=True, help="Whether to open the page.  [yes]")
def command(run: Path | None, runs: Path, port: int | None, browser: bool) -> None:
    r"""Open the studio: a page where you make, hear, see and steer new music.

    Several candidates side by side; play one, switch to another at the same place, ask for more like it, have a bar
    written anew, give a file of your own to be continued, take MIDI, MP3 or a score along. It answers on this
    machine only and asks nothing of the network. The address it prints holds a token that lets you in and other
    users of the machine not. Ctrl-C ends it.

    \b
    Example:
      seqgan-music studio
      seqgan-music studio --run runs/jigs --port 8080 --no-browser
    """
    import signal
    import webbrowser

    from seqgan_music.compose import find_run
    from seqgan_music.studio.server import serve

    def ready(address: str, door: Path) -> None:
        click.echo(f"Studio: {address}")
        say("Ctrl-C ends it.")
        if browser:
            webbrowser.open(door.as_uri())

    if run is not None:
        run = find_run(run)
        run_folders.check_run(run)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        serve(runs, run, port, ready)
    except KeyboardInterrupt:
        say("The studio has ended.")
