"""A run on stderr: a bar for the round's steps, a line for each evaluation, notes as they come."""

from __future__ import annotations

import time
from typing import Any

import click
from tqdm import tqdm

from seqgan_music.learning.generator import Generator
from seqgan_music.learning.trainer import Line
from seqgan_music.training import Run, Teller

_APART = 0.2
"""Seconds between two states of the bar."""


class Screen(Teller):
    """Tells how a run goes, with a bar between the lines."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, self._write)
        self._bar: tqdm[Any] = tqdm(
            disable=None, leave=False, dynamic_ncols=True, bar_format="  |{bar:20}| {desc}", desc="starting"
        )
        self._name = ""
        self._started = (0.0, 0)
        """When the phase began or went on, and after how many rounds."""
        self._steps = (0, 0)
        """Small steps of this round so far, and of the round before."""
        self._shown = 0.0
        self._measures: dict[str, float] = {}

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        """A phase begins, or goes on."""
        self._name, self._started = name, (time.monotonic(), done)
        self._steps, self._measures = (0, 0), {}
        super().phase(number, name, rounds, done)

    def progress(self, measures: dict[str, float]) -> None:
        """A small step is done."""
        self._steps = (self._steps[0] + 1, self._steps[1])
        self._measures.update(measures)
        if self._bar.disable or time.monotonic() - self._shown < _APART:
            return
        self._shown = time.monotonic()
        done, rounds = self.rounds
        steps, before = self._steps
        # Rounds of a phase differ in steps: the last one's number is a guess for this one.
        reached = done + (min(steps / before, 0.95) if before else 0.0)
        self._bar.total, self._bar.n = rounds, reached
        told = [f"{name} {float(value):.3f}" for name, value in list(self._measures.items())[:3]]
        text = "  ".join([f"{self._name} round {done + 1}/{rounds}", *self._left(reached), *told])
        self._bar.set_description_str(text, refresh=False)
        self._bar.refresh()

    def evaluated(self, line: Line, generator: Generator, is_best: bool) -> None:
        """A round is measured."""
        self._steps = (0, self._steps[0])
        super().evaluated(line, generator, is_best)

    def close(self) -> None:
        """Clear the bar."""
        self._bar.close()

    def _left(self, reached: float) -> list[str]:
        began, done = self._started
        if self.rounds[0] == done:
            return []
        seconds = (time.monotonic() - began) / (reached - done) * (self.rounds[1] - reached)
        return [f"{seconds / 60:.1f} min left" if seconds > 90 else f"{seconds:.0f} s left"]

    def _write(self, text: str) -> None:
        self._bar.clear()
        click.echo(text, err=True)
