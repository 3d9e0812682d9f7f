"""The options that say what new music should be like, for every command that writes some."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from seqgan_music.compose import Controls

_OPTIONS = (
    click.option("--temperature", default=1.0, show_default=True, help="Below 1 safer, above 1 bolder."),
    click.option(
        "--cutoff", type=float, metavar="P", help="No token less likely than P; 0 is off.  [default: the run's]"
    ),
    click.option("--top-k", default=0, show_default=True, help="Only the K likeliest tokens; 0 is off."),
    click.option(
        "--top-p", default=1.0, show_default=True, help="Only the likeliest tokens of joint probability P."
    ),
    click.option("--bars", type=int, help="New bars, however many.  [default: 16, and an upbeat]"),
    click.option("--seconds", type=float, help="Length of what is new, instead of --bars."),
    click.option(
        "--tempo", type=float, help="Quarter notes a minute; the primer's or the training music's unless given."
    ),
    click.option("--program", help="Instrument: General MIDI number 0-127 or name; as for --tempo unless given."),
    click.option("--key", help="Scale that new notes stay in: 'C major', 'F# minor', 'Bb', 'D dorian' ..."),
    click.option(
        "--density", help="Notes that begin in a bar, as near as can be: '4', '3-6', or bar by bar '4,4,8,8'."
    ),
    click.option(
        "--range", "pitch_range", help="Pitches of new notes: 'C4-G5', '60-79', or bar by bar 'C4-C5,G4-G5'."
    ),
    click.option(
        "--keep-primer/--no-primer", default=True, help="Whether the output begins with the primer.  [keep]"
    ),
    click.option("--max-copy", type=int, help="No more than so many notes in a row from the training music."),
)


def with_controls(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as one argument, `controls`."""

    @wraps(function)
    def collected(**given: Any) -> None:
        own = {name: given.pop(name) for name in _names()}
        function(controls=_parsed(own), **given)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def _names() -> list[str]:
    from dataclasses import fields

    from seqgan_music.compose import Controls

    return [field.name for field in fields(Controls)]


def _parsed(given: dict[str, Any]) -> Controls:
    from seqgan_music.compose import Controls, Density, Key, PitchRange
    from seqgan_music.music.formats.midi import program_number

    program, key = given.pop("program"), given.pop("key")
    density, pitch_range = given.pop("density"), given.pop("pitch_range")
    return Controls(
        program=program_number(program) if program is not None else None,
        key=Key.parse(key) if key is not None else None,
        density=Density.parse(density) if density is not None else None,
        pitch_range=PitchRange.parse(pitch_range) if pitch_range is not None else None,
        **given,
    )
