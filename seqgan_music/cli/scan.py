"""`seqgan-music scan`: which files of a folder can be learnt from, which not, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("scan")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--track", metavar="T", help="all, melody, a track's number from 1, or its name.")
@click.option("--json", "as_json", is_flag=True, help="Print everything about every file as JSON.")
@click.option("--config", "config_name", default="default", show_default=True, help="A preset or a TOML file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated.")
def command(folder: Path, track: str | None, as_json: bool, config_name: str, overrides: tuple[str, ...]) -> None:
    r"""Say which files of DIR can be learnt from, and what is wrong with the others.

    Reads .mid .midi .kar .abc .musicxml .mxl .xml .krn, in folders of any depth. Exit code 2 where there is too
    little music to train on. What was read is kept in ~/.cache/seqgan-music; SEQGAN_MUSIC_CACHE=DIR moves it.

    \b
    Example:
      seqgan-music scan midi_data/
      seqgan-music scan my_songs/ --track melody --set corpus.min_notes=32
      seqgan-music scan my_songs/ --json > scan.json
    """
    from seqgan_music import config
    from seqgan_music.music import corpus

    if track is not None:
        overrides = (*overrides, f"corpus.reading.track={json.dumps(track)}")
    settings = config.load(config_name, overrides).corpus
    scan = corpus.scan(folder, settings, progress=True, check=False)
    if as_json:
        for part in scan.json_text():
            click.echo(part, nl=False)
        click.echo()
    else:
        click.echo(scan.table())
    scan.check()
