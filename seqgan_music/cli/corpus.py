"""`seqgan-music corpus`: write the music that music21 carries as MIDI files to train on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from seqgan_music.music.embedded import Written


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("midi_data"),
    show_default=True,
    help="Folder to write into; each collection gets a folder of its name there.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At least N pieces of each. Default: all.")
@click.option("--list", "only_list", is_flag=True, help="Describe the collections and write nothing.")
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Processes. Default: one a core.")
@click.option("--json", "as_json", is_flag=True, help="Print every piece, and every one left out, as JSON.")
def command(
    names: tuple[str, ...], out: Path, limit: int | None, only_list: bool, workers: int | None, as_json: bool
) -> None:
    r"""Write music of music21's own corpus as MIDI files, offline.

    NAME is a collection, `folk` or `chorales`; without one, all of them. Files that are there and good stay as they
    are, and a run that was interrupted is completed by running it again. What each file is, and why other pieces
    were left out, is in manifest.json beside the files.

    \b
    Example:
        seqgan-music corpus folk --limit 500 --out midi_data/
    """
    from seqgan_music.music import embedded

    chosen = {name: embedded.collection(name) for name in names or embedded.COLLECTIONS}
    if only_list:
        listing = [
            {
                "name": name,
                "about": item.about,
                "licence": item.licence,
                "considered": len(embedded.sources(name)),
                "books": list(item.folders),
            }
            for name, item in chosen.items()
        ]
        click.echo(json.dumps(listing, indent=2) if as_json else "\n\n".join(map(_described, listing)))
        return
    results = [embedded.write(name, out / name, limit=limit, workers=workers) for name in chosen]
    if as_json:
        keys = ("name", "pieces", "left_out", "written")
        listed = [{"folder": str(done.folder), **{key: getattr(done, key) for key in keys}} for done in results]
        click.echo(json.dumps(listed, indent=2))
    else:
        click.echo("\n".join(map(_summary, results)))


def _described(item: dict[str, object]) -> str:
    return f"{item['name']}: {item['about']}; {item['considered']:,} to choose from.\n  {item['licence']}"


def _summary(done: Written) -> str:
    reasons = Counter(entry["reason"] for entry in done.left_out)
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    why = f"Left out: {left_out}; {done.folder / 'manifest.json'} names each." if left_out else "None left out."
    return f"{done.name}: {len(done.pieces):,} pieces in {done.folder}, {len(done.written):,} written now. {why}"
