"""`train --seeds K`: one recipe trained K times, each run with a seed of its own, then judged together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seqgan_music.cli._evaluating import progress
from seqgan_music.cli._terminal import say

if TYPE_CHECKING:
    import torch

    from seqgan_music.config import Config
    from seqgan_music.training import Run


def train(
    music: Path | None,
    settings: Config,
    *,
    seeds: int,
    out: Path | None,
    device: torch.device,
    minutes: float | None,
    learn: Callable[[Run, str], None],
) -> None:
    """Train `seed-1` ... in one folder, then compare them. Runs that are there already are gone on with.

    The first run's resolved config is that of all, so that `minutes` shortens each alike.
    """
    from seqgan_music import run_folders, training
    from seqgan_music.evaluate import evaluation, result, table
    from seqgan_music.evaluate.ground import Options

    parent = out or run_folders.RUNS / run_folders.stamp()
    folders = [parent / f"seed-{number}" for number in range(1, seeds + 1)]
    for number, folder in enumerate(folders):
        if (folder / training.CONFIG).is_file():
            run = training.Run.open(folder, device)
        else:
            own = replace(settings, seed=settings.seed + number)
            run = training.Run.begin(music, own, out=folder, device=device, minutes=minutes, say=say)
        if number == 0:
            settings, minutes = run.config, None
        say(f"Run {number + 1} of {seeds}: {folder}")
        learn(run, f"the same command with --out {parent}")
    with progress() as show:
        found = evaluation.compare(folders, Options(), show=show)
    document = found.document()
    result.write(parent / result.FILE, document)
    click.echo(table.terminal(document))
    say(f"Written: {parent / result.FILE}")
