"""What commands that work for long share: words for people on stderr, and an end that may be asked for."""

from __future__ import annotations

import click


def say(text: str) -> None:
    """Tell people; results alone go to stdout."""
    click.echo(text, err=True)


def interrupt(*_: object) -> None:
    """Take SIGTERM, by which machines are shut down, for Ctrl-C: what is being written is undone or finished."""
    raise KeyboardInterrupt
