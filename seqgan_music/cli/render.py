"""`seqgan-music render`: any music file as sound, score, picture or MIDI."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seqgan_music.cli._writing import named, with_outs
from seqgan_music.errors import ConfigError, InputError

if TYPE_CHECKING:
    from seqgan_music.music.arrangement import Arrangement


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_outs
@click.option("--track", "tracks", multiple=True, help="Only this track, by number or name; may be given again.")
@click.option("--bars", help="Only these bars, as 5-12.")
@click.option("--seconds", help="Only what begins within these seconds, as 0-30.")
@click.option("--title", help="Of scores, pictures and tracks.  [default: the file's]")
@click.option("--key", help="Key signature of the score, as 'C major' or 'F# minor'.  [default: found by itself]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: Path,
    outs: tuple[Path, ...],
    score: bool,
    soundfont: Path | None,
    tracks: tuple[str, ...],
    bars: str | None,
    seconds: str | None,
    title: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    r"""Write FILE, of any kind that is read, in other formats: heard, seen, or as notation.

    All tracks play with their own instruments, drums too, in the file's own time. Nothing is learnt or composed.

    \b
    Example:
      seqgan-music render song.mid --out song.mp3 --out song.png
      seqgan-music render song.mid --out song.svg --score --track melody
      seqgan-music render tune.abc --out tune.musicxml --out tune.wav --soundfont FluidR3_GM.sf2
    """
    from seqgan_music.compose.bars import bars_of
    from seqgan_music.music import formats
    from seqgan_music.music.arranging import read_arrangement
    from seqgan_music.music.keys import Key

    signature = Key.parse(key).signature if key else None
    options = formats.Options(title=title, key=signature, score=score, soundfont=soundfont)
    formats.check(outs, options)
    if bars and seconds:
        raise ConfigError("Give bars or seconds, not both.")
    span = _span("bars", bars) if bars else _span("seconds", seconds) if seconds else None
    found = read_arrangement(file)
    assert found.arrangement is not None
    music = _chosen(found.arrangement, tracks, file)
    if span:
        music = _part(music, span, "bars" if bars else "seconds", file)
    options = replace(options, title=title if title is not None else music.name or file.stem)
    formats.check(outs, options, music)
    for out in outs:
        formats.write(music, out, options)
    whole = music.together
    told = {
        "files": [str(out) for out in outs],
        "tracks": [
            {"name": t.name, "program": t.program, "drums": t.drums, "notes": len(t.notes)} for t in music.tracks
        ],
        "bars": len(bars_of(whole)),
        "notes": len(whole.notes),
        "seconds": round(whole.seconds_at(whole.end), 3),
        "others": found.others,
        "counts": dict(found.counts),
    }
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    if found.others:
        click.echo(f"{click.format_filename(file)}: the first of {found.others + 1} pieces", err=True)
    count = len(music.tracks)
    click.echo(
        f"{named(outs)}: {told['bars']} bars, {count} track{'s' * (count != 1)}, {told['notes']} notes, "
        f"{told['seconds']:.1f} seconds"
    )


def _chosen(music: Arrangement, wanted: tuple[str, ...], file: Path) -> Arrangement:
    """Return the tracks that are named, by number from 1, by name, or by a part of the name."""
    if not wanted:
        return music
    names = [track.name.casefold() for track in music.tracks]
    kept = set()
    for text in wanted:
        number = int(text) if text.isdecimal() and len(text) < 6 else 0
        exact = [place for place, name in enumerate(names) if name == text.casefold()]
        within = [place for place, name in enumerate(names) if text.casefold() in name]
        places = [number - 1] if 1 <= number <= len(names) else exact or within
        if not places:
            listed = ", ".join(f"{n} '{track.name}'" for n, track in enumerate(music.tracks[:12], 1))
            raise InputError(f"{file} has no track '{text}'. Its tracks: {listed}.")
        kept.update(places)
    return replace(music, tracks=tuple(music.tracks[place] for place in sorted(kept)))


def _span(what: str, text: str) -> tuple[float, float]:
    """Return "5-12" as numbers: bars counted from 1, or seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*", text)
    first, last = (float(match[1]), float(match[2])) if match else (0.0, -1.0)
    whole = what == "seconds" or (first.is_integer() and last.is_integer() and first >= 1)
    if not whole or (last < first if what == "bars" else last <= first):
        raise ConfigError(f"--{what} must be as {'5-12' if what == 'bars' else '0-30'}, not '{text}'.")
    return first, last


def _part(music: Arrangement, span: tuple[float, float], what: str, file: Path) -> Arrangement:
    from bisect import bisect_left

    from seqgan_music.compose.bars import bars_of

    whole = music.together
    if what == "bars":
        bars = bars_of(whole)
        if span[0] > len(bars):
            raise InputError(f"{file} has {len(bars)} bars and no bar {span[0]:.0f}.")
        first, last = int(span[0]) - 1, min(int(span[1]), len(bars)) - 1
        part = music.excerpt(bars[first].start, bars[last].end)
    else:
        ticks = range(whole.end + 1)
        start, end = (bisect_left(ticks, time, key=whole.seconds_at) for time in span)
        part = music.excerpt(start, end)
    if not any(track.notes for track in part.tracks):
        raise InputError(f"In {what} {span[0]:g}-{span[1]:g} of {file} no note begins.")
    return replace(part, tracks=tuple(track for track in part.tracks if track.notes))
