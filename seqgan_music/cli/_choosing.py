"""Several candidates for each piece, of which the best is kept: how many, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click

from seqgan_music.errors import ConfigError

_OPTIONS = (
    click.option("--best-of", type=int, metavar="N", help="Write N candidates for each piece and keep the best."),
    click.option(
        "--prefer",
        metavar="WEIGHTS",
        help="What is best: 'key=1,range=0.5,liked=2', see docs/objectives.md.  [default: the critic]",
    ),
    click.option(
        "--critic",
        "particles",
        type=int,
        is_flag=False,
        flag_value=8,
        metavar="[N]",
        help="Write N pieces side by side; go on, every few notes, with what the run's critic finds likely; 0: do"
        " without it.  [default: as the run's evaluation chose, 0 or 8]",
    ),
)


def with_choice(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as one argument, `choice`."""

    @wraps(function)
    def collected(best_of: int | None, prefer: str | None, particles: int | None, **given: Any) -> None:
        if prefer is not None and best_of is None:
            raise ConfigError("--prefer chooses among candidates: say how many with --best-of, as in --best-of 8.")
        from seqgan_music.asking import Choice

        function(choice=Choice(1 if best_of is None else best_of, prefer, particles), **given)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def told(why: Mapping[str, Any] | None) -> str:
    """Say why a piece was chosen, for people; empty where none was."""
    if why is None:
        return ""
    parts = ", ".join(f"{name} {score:.2f}" for name, score in why["parts"].items())
    return f"best of {why['of']} ({parts}; {why['score']:.2f} where the mean is {why['mean']:.2f}), "
