"""What commands that work for long share: words for people on stderr, and an end that may be asked for."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import click

_ONCE = 1.0
"""Seconds in which further signals are the first one again: a key reaches a process by its group and its parent."""
_asked: list[float] = []


def say(text: str) -> None:
    """Tell people; results alone go to stdout."""
    click.echo(text, err=True)


def hear_interrupts() -> None:
    """Let Ctrl-C end a command in order, and only once; where it was to be ignored it still is."""
    _asked.clear()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, interrupt)


def interrupt(*_: object) -> None:
    """End in order: for Ctrl-C, and for SIGTERM, by which machines are shut down.

    What is being written is undone or finished. Pressed again because that takes long, the process ends at once, as
    by kill -9, which a command survives anywhere; pressed twice in a hurry, it still ends in order.
    """
    now = time.monotonic()
    if not _asked:
        _asked.append(now)
        raise KeyboardInterrupt
    if now - _asked[0] > _ONCE:
        os._exit(130)


def end_on_interrupts() -> None:
    """Let signals end the process without a word from here on: all is said and done but for libraries' own ends."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(kind) is interrupt:
            with suppress(ValueError):
                signal.signal(kind, signal.SIG_DFL)
