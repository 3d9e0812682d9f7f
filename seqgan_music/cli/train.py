"""`seqgan-music train`: learn from a folder of music."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seqgan_music import machine
from seqgan_music.cli._terminal import interrupt, say
from seqgan_music.errors import ConfigError, OutputError, RankError, SeqganMusicError

if TYPE_CHECKING:
    from seqgan_music.learning.ranks import Ranks
    from seqgan_music.training import Run


@click.command("train")
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@click.option("--config", "config_name", metavar="NAME|PATH", help="A preset or a TOML file.  [default: default]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="RUN", help="The run's folder.  [default: runs/TIME]"
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), metavar="M", help="Shorten the run to M minutes."
)
@click.option("--seed", type=click.IntRange(min=0, max=2**31), metavar="S", help="Change the config's seed.")
@click.option(
    "--seeds", type=click.IntRange(2, 100), metavar="K", help="Train K runs, RUN/seed-1 ..., and compare them."
)
@click.option("--track", metavar="T", help="all, melody, a track's number from 1, or its name.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or cuda:N.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was stopped.")
def command(
    folder: Path | None,
    config_name: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    minutes: float | None,
    seed: int | None,
    seeds: int | None,
    track: str | None,
    device: str,
    resume: Path | None,
) -> None:
    r"""Learn from the music in DIR; without DIR, from the corpus that comes with music21.

    Reads the folder, says what it can use, measures how long it will take, and trains. Everything goes into the
    run's folder. It may be interrupted at any time and resumed to the same result.

    \b
    Example:
      seqgan-music train midi_data/
      seqgan-music train my_songs/ --track melody --minutes 10
      seqgan-music train my_songs/ --config quick --set generator.hidden=128
      seqgan-music train my_songs/ --seeds 3 --out runs/songs
      seqgan-music train --resume runs/latest
      torchrun --nproc-per-node 8 -m seqgan_music train my_songs/
    """
    given = {
        "DIR": folder, "--config": config_name, "--set": overrides, "--out": out, "--minutes": minutes,
        "--seed": seed, "--seeds": seeds, "--track": track,
    }  # fmt: skip
    if resume is not None and (others := [name for name, value in given.items() if value not in (None, ())]):
        raise click.UsageError(
            f"--resume goes on with a run as it is; it cannot be given with {', '.join(others)}."
        )
    import json
    import os
    import shlex
    import signal

    from seqgan_music import config

    signal.signal(signal.SIGTERM, interrupt)
    if seed is not None:
        overrides = (*overrides, f"seed={seed}")
    if track is not None:
        overrides = (*overrides, f"corpus.reading.track={json.dumps(track)}")
    with _joined(device) as group:
        # Mistakes in it are told before torch is imported, which takes seconds.
        settings = config.load(config_name or "default", overrides) if resume is None else None
        if group is not None and seeds is not None:
            raise ConfigError("--seeds trains one run after another: start each by torchrun, with --seed.")
        from seqgan_music import training
        from seqgan_music.learning.ranks import ALONE, own_device

        ranks = group or ALONE
        tell = say if ranks.first else _nothing
        where = own_device(device)
        if settings is not None and seeds is not None:
            from seqgan_music.cli import _seeds

            _seeds.train(folder, settings, seeds=seeds, out=out, device=where, minutes=minutes, learn=_learn)
            return
        if settings is None:
            assert resume is not None
            run = training.Run.open(resume.resolve() if os.path.islink(resume) else resume, where, ranks)
            if run.trainer.progress.finished:
                tell(f"{run.folder} is finished already.")
            else:
                tell("It goes on with the music as it was read when it began: its folder may have changed since.")
        else:
            run = training.Run.begin(
                folder, settings, out=out, device=where, minutes=minutes, say=tell, ranks=ranks
            )
        tell(f"Run: {run.folder}")
        start = "seqgan-music" if ranks.size == 1 else "torchrun --nproc-per-node N -m seqgan_music"
        go_on = f"{start} train --resume {shlex.quote(str(run.folder))}"
        if device != "auto":
            go_on += f" --device {device}"
        _learn(run, go_on)
    if ranks.first:
        _finish(run)
        click.echo(summary(run))


@contextmanager
def _joined(device: str) -> Iterator[Ranks | None]:
    """Yield the processes that torchrun has started; None for one alone, which does not need torch yet."""
    if not machine.started_together():
        yield None
        return
    from seqgan_music.learning import ranks

    with ranks.joined(device) as group:
        yield group


def _nothing(text: str) -> None:
    """Say nothing."""


def _finish(run: Run) -> None:
    """Choose the generator, train its critic and judge it, write the report: no trouble costs the run."""
    from seqgan_music import finishing
    from seqgan_music.cli._evaluating import progress

    for step in finishing.steps(run.folder, run.config):
        try:
            if step.due():
                say(step.title)
                with progress() as show:
                    step.work(show)
        except KeyboardInterrupt:
            say(f"No {step.what}; for one: seqgan-music {step.command}")
            return
        except SeqganMusicError as error:
            say(f"No {step.what}: {error}")


def _learn(run: Run, go_on: str) -> None:
    """Train to the end; `go_on` is what to type where it is stopped before."""
    if not run.ranks.first:
        from seqgan_music.learning.trainer import Silent

        try:
            run.train(Silent())
        except RankError as error:
            raise RankError(f"{error} To go on: {go_on}") from None
        return
    from seqgan_music.cli._screen import Screen

    screen = Screen(run)
    try:
        run.train(screen)
    except KeyboardInterrupt:
        screen.close()
        say(f"Stopped. To go on: {go_on}")
        raise click.Abort from None
    except (OutputError, RankError) as error:
        raise type(error)(f"{error} Then go on: {go_on}") from None
    finally:
        screen.close()


def summary(run: Run) -> str:
    """Return how a finished run ended, for people."""
    from seqgan_music import report
    from seqgan_music.evaluate import result

    best = run.trainer.progress.best or {}
    bits = next((value for name, value in best.items() if name.startswith("validation_bits")), float("nan"))
    seconds = run.trainer.progress.seconds
    took = f"{seconds / 60:.1f} min" if seconds > 90 else f"{seconds:.0f} s"
    lines = [
        f"Finished {run.folder}: best held-out loss {best.get('validation_nats', float('nan')):.4f} nats a token,"
        f" {bits:.3f} bits a {run.splits.train.unit_name} ({best.get('method')}, round {best.get('round')}),"
        f" after {took}.",
        *run.trainer.progress.notes,
    ]
    evaluated = result.read(run.folder)
    if evaluated is not None:
        lines += [f"{verdict['name']}: {verdict['verdict']}. {verdict['why']}" for verdict in evaluated["verdicts"]]
        chosen = result.chosen(run.folder)
        lines.append(f"`sample` uses {chosen.name}: {chosen.why}.")
    elif best.get("method") == "mle" and any(phase.name != "mle" for phase in run.config.phases):
        lines.append("No later phase lowered the held-out loss: `sample` uses the generator from before it.")
    if (run.folder / report.FILE).is_file():
        lines.append(f"Report: {run.folder / report.FILE}")
    lines.append(f"Hear it: seqgan-music sample --run {run.folder} --out song.mid")
    return "\n".join(lines)
