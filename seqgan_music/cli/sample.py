"""`seqgan-music sample`: write new music with a trained run."""

from __future__ import annotations

import json
import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqgan_music import __version__
from seqgan_music.cli._controls import settings, with_controls
from seqgan_music.errors import ConfigError

if TYPE_CHECKING:
    from seqgan_music.compose import Composition, Controls, Primer

_SUFFIXES = (".mid", ".midi")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write, .mid or .midi.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run folder.  [default: the newest of runs/, else 'bundled', which comes with the package]",
)
@click.option(
    "-n", "--count", default=1, show_default=True, help="Pieces; more than one are numbered song-1.mid ..."
)
@click.option("--seed", type=int, help="Makes the same files again; drawn and printed unless given.")
@with_controls
@click.option("--primer", type=click.Path(path_type=Path), help="Music to continue, of any kind that is read.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    out: Path,
    run: Path | None,
    count: int,
    seed: int | None,
    controls: Controls,
    primer: Path | None,
    as_json: bool,
) -> None:
    r"""Write new music as MIDI.

    Of several pieces each has the next seed; each file's text event holds the line that makes that file again.
    --max-copy takes notes back while writing where they would copy, in whatever key; a primer's own do not count.

    \b
    Example:
      seqgan-music sample --out song.mid
      seqgan-music sample --out jig.mid --bars 32 --key "D dorian" --program flute --tempo 96
      seqgan-music sample --out next.mid --primer my_tune.mid --no-primer -n 8
    """
    from seqgan_music import compose
    from seqgan_music.files import check_writable
    from seqgan_music.music.formats.midi import write_midi

    if out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--out must end in {' or '.join(_SUFFIXES)}, not '{out.name}'.")
    seed = secrets.randbelow(10**9) if seed is None else seed
    compose.check_seeds(seed, count)
    named, run = run, compose.find_run(run)
    composer = compose.Composer.open(run)
    if named is None and run == compose.BUNDLED:
        click.echo("no run of your own yet: using the model that comes with seqgan-music", err=True)
    if composer.chosen.checkpoint != "best":
        click.echo(f"generator {composer.chosen.name}: {composer.chosen.why}", err=True)
    files = [out] if count == 1 else [out.with_stem(f"{out.stem}-{index}") for index in range(1, count + 1)]
    for file in files:
        check_writable(file)
    primed = composer.read_primer(primer) if primer else None
    if primer and primed:
        click.echo(_primer_line(primer, primed), err=True)
    name = run.resolve().name
    told = {"run": name, **settings(controls), "primer": primer.name if primer else None}
    given = [part for option, value in told.items() if value is not None for part in (f"--{option}", str(value))]
    if primer and not controls.keep_primer:
        given.append("--no-primer")
    import torch

    # One sequence at a time is too little work to share: more threads only wait for each other.
    torch.set_num_threads(1)
    with _progress() as bar:
        pieces = composer.compose(controls, seed=seed, count=count, primer=primed, on_token=bar.update)
    results = []
    for file, composition in zip(files, pieces, strict=True):
        line = shlex.join(["seqgan-music", "sample", *given, "--seed", str(composition.seed)])
        write_midi(
            composition.piece,
            file,
            title=name,
            comment=f"seqgan-music {__version__}: {line}",
            key=controls.key.signature if controls.key else None,
        )
        result = _result(file, composition, controls.max_copy)
        results.append(result)
        if not as_json:
            click.echo(
                f"{click.format_filename(file)}: {result['bars']} bars, {result['notes']} notes, "
                f"{result['seconds']:.1f} seconds, seed {composition.seed}"
            )
            if controls.max_copy is not None:
                click.echo(f"{click.format_filename(file)}: longest copied run: {composition.copied or 'none'}")
        for warning in _warnings(composition, controls.max_copy):
            click.echo(f"{click.format_filename(file)}: {warning}", err=True)
    if as_json:
        found = {"run": str(run), "chosen": vars(composer.chosen), "settings": told, "files": results}
        click.echo(json.dumps(found, indent=1))


def _result(file: Path, composition: Composition, max_copy: int | None) -> dict[str, Any]:
    from seqgan_music.compose import bars_of

    piece = composition.piece
    result = {
        "path": str(file),
        "bars": len(bars_of(piece)),
        "notes": len(piece.notes),
        "seconds": round(piece.seconds_at(piece.end), 3),
        "tempo": piece.tempos[0].qpm,
        "program": piece.program,
        "seed": composition.seed,
        "dropped": dict(composition.dropped),
        "finished": composition.finished,
    }
    if max_copy is not None:
        result["copied"] = vars(composition.copied) if composition.copied else None
        result["refusals"] = composition.refusals
    return result


def _warnings(composition: Composition, max_copy: int | None) -> list[str]:
    warnings = []
    if composition.dropped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in composition.dropped.items())
        warnings.append(f"{composition.dropped.total()} tokens made no sense and were left out ({kinds})")
    if not composition.finished:
        warnings.append("the generator did not come to the length asked for and was stopped")
    if max_copy is not None and composition.copied and composition.copied.notes > max_copy:
        warnings.append(
            f"no way was found to copy at most {max_copy} notes in a row, though {composition.refusals} were taken"
            " back; try another --seed, a higher --temperature or a larger --max-copy"
        )
    return warnings


def _primer_line(path: Path, primer: Primer) -> str:
    from seqgan_music.compose import bars_of

    said = (
        f"primer {click.format_filename(path)}: {len(bars_of(primer.piece))} bars, {len(primer.piece.notes)} notes"
    )
    if primer.others:
        said += f", the first of {primer.others + 1} pieces"
    changes = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in primer.changes.items())
    return f"{said}; changed: {changes}" if changes else said


def _progress() -> Any:
    from tqdm import tqdm

    # A tune takes less than a second and needs no bar.
    return tqdm(desc="writing", unit=" tokens", disable=None, leave=False, delay=1)
