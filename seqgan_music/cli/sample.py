"""`seqgan-music sample`: write new music with a trained run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqgan_music.cli._choosing import told as why_chosen
from seqgan_music.cli._choosing import with_choice
from seqgan_music.cli._controls import with_controls
from seqgan_music.cli._pieces import Pieces, with_pieces
from seqgan_music.cli._writing import named as files_named
from seqgan_music.cli._writing import numbered, with_outs

if TYPE_CHECKING:
    from seqgan_music.asking import Choice
    from seqgan_music.compose import Composition, Controls, Primer


@click.command()
@with_outs
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run folder.  [default: the newest of runs/, else 'bundled', which comes with the package]",
)
@with_pieces
@with_controls
@with_choice
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    outs: tuple[Path, ...],
    score: bool,
    soundfont: Path | None,
    run: Path | None,
    pieces: Pieces,
    controls: Controls,
    choice: Choice,
    as_json: bool,
) -> None:
    r"""Write new music: MIDI, sound, score or picture, as the suffixes say.

    Of several pieces each has a seed of its own; each file's text event holds the line that makes that file again.
    --keep-bars and --vary write bars of a file anew so that they lead to what is kept; the rest keeps its notes.
    --max-copy takes notes back while writing where they would copy, in whatever key; a primer's own do not count.
    Where its evaluation found that it helps, or with --critic or --best-of, the run's critic chooses, and a piano
    roll shows its heat strip.

    \b
    Example:
      seqgan-music sample --out song.mid
      seqgan-music sample --out song.mid --out song.mp3 --out song.svg --score
      seqgan-music sample --out jig.mid --bars 32 --key "D dorian" --program flute --tempo 96
      seqgan-music sample --out next.mid --primer my_tune.mid --no-primer -n 8
      seqgan-music sample --out mended.mid --primer my_tune.mid --keep-bars 1-4,7-16
      seqgan-music sample --out like.mid --vary my_tune.mid --distance 0.3 --seed 1-8
      seqgan-music sample --out best.mid --best-of 8 --prefer key=1,repetition=1,liked=2
    """
    from seqgan_music import compose
    from seqgan_music.asking import Desk
    from seqgan_music.music import formats

    files = numbered(outs, len(pieces.seeds))
    options = formats.Options(score=score, soundfont=soundfont)
    formats.check([out for own in files for out in own], options)
    named, run = run, compose.find_run(run)
    composer = compose.Composer.open(run, progress=True)
    if named is None and run == compose.BUNDLED:
        click.echo("no run of your own yet: using the model that comes with seqgan-music", err=True)
    if composer.chosen.checkpoint != "best":
        click.echo(f"generator {composer.chosen.name}: {composer.chosen.why}", err=True)
    source = pieces.source
    primer = composer.read_primer(source, track=pieces.track) if source else None
    if source and primer:
        click.echo(_primer_line(source, primer), err=True)
    desk = Desk(run, composer, controls, pieces.asked(primer), choice)
    for note in desk.notes:
        click.echo(note, err=True)
    import torch

    # One sequence at a time is too little work to share: more threads only wait for each other.
    torch.set_num_threads(1)
    with _progress() as bar:
        written = [desk.write(seed, bar.update) for seed in pieces.seeds]
    for own, composition in zip(files, written, strict=True):
        formats.check(own, options, composition.piece)
    results = []
    for own, composition in zip(files, written, strict=True):
        for out in own:
            composition.write(out, score=score, soundfont=soundfont)
        result = _result(own, composition, controls.max_copy)
        results.append(result)
        shown = files_named(own)
        if not as_json:
            click.echo(
                f"{shown}: {_bars(composition, controls)}, {result['notes']} notes, "
                f"{result['seconds']:.1f} seconds, {_changed(composition)}{why_chosen(composition.why)}"
                f"seed {composition.seed}"
            )
            if controls.max_copy is not None:
                click.echo(f"{shown}: longest copied run: {composition.copied or 'none'}")
        for warning in _warnings(composition, controls.max_copy):
            click.echo(f"{shown}: {warning}", err=True)
    if as_json:
        found = {
            "run": str(run),
            "chosen": vars(composer.chosen),
            "settings": desk.settings(),
            "files": results,
        }
        click.echo(json.dumps(found, indent=1))


def _bars(composition: Composition, controls: Controls) -> str:
    """Say how many bars there are; of a length that nobody asked for, without the upbeat."""
    from seqgan_music.compose import DEFAULT_BARS

    count = composition.bars
    alone = controls.bars is None and controls.seconds is None and composition.changed is None
    return f"{DEFAULT_BARS} bars and an upbeat" if alone and count == DEFAULT_BARS + 1 else f"{count} bars"


def _changed(composition: Composition) -> str:
    return "" if composition.changed is None else f"{composition.changed:.0%} of the notes changed, "


def _result(files: Sequence[Path], composition: Composition, max_copy: int | None) -> dict[str, Any]:
    from seqgan_music.music.arrangement import Arrangement

    piece = composition.piece
    result = {
        "path": str(files[0]),
        "paths": [str(file) for file in files],
        "bars": composition.bars,
        "notes": len(piece.notes),
        "seconds": round(composition.seconds, 3),
        "tempo": piece.tempos[0].qpm,
        "program": piece.program,
        "seed": composition.seed,
        "dropped": dict(composition.dropped),
        "finished": composition.finished,
    }
    instruments = [track.name for track in Arrangement.of(piece).tracks if track.name]
    if instruments:
        result["instruments"] = instruments
    if composition.changed is not None:
        result["changed"] = round(composition.changed, 4)
    if composition.effective is not None:
        result["effective"] = round(composition.effective, 1)
    if max_copy is not None:
        result["copied"] = vars(composition.copied) if composition.copied else None
        result["refusals"] = composition.refusals
    if composition.why is not None:
        result["chosen"] = dict(composition.why)
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
