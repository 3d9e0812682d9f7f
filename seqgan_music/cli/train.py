"""`seqgan-music train`: learn from a folder of music."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from seqgan_music.learning.generator import Generator
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
      seqgan-music train --resume runs/latest
    """
    given = {
        "DIR": folder, "--config": config_name, "--set": overrides, "--out": out, "--minutes": minutes,
        "--seed": seed, "--track": track,
    }  # fmt: skip
    if resume is not None and (others := [name for name, value in given.items() if value]):
        raise click.UsageError(
            f"--resume goes on with a run as it is; it cannot be given with {', '.join(others)}."
        )
    import json

    from seqgan_music import config, training

    where = training.pick_device(device)
    if resume is not None:
        run = training.Run.open(resume.resolve() if resume.is_symlink() else resume, where)
        if run.trainer.progress.finished:
            click.echo(f"{run.folder} is finished already.", err=True)
    else:
        if seed is not None:
            overrides = (*overrides, f"seed={seed}")
        if track is not None:
            overrides = (*overrides, f"corpus.reading.track={json.dumps(track)}")
        settings = config.load(config_name or "default", overrides)
        run = training.Run.begin(folder, settings, out=out, device=where, minutes=minutes, say=_say)
    click.echo(f"Run: {run.folder}", err=True)
    screen = Screen(run)
    try:
        run.train(screen)
    except KeyboardInterrupt:
        screen.close()
        click.echo(f"Stopped. To go on: seqgan-music train --resume {run.folder}", err=True)
        raise
    screen.close()
    click.echo(summary(run))


class Screen:
    """Shows a run on stderr: a bar for the round's steps, a line for each evaluation, notes as they come."""

    def __init__(self, run: Run) -> None:
        from tqdm import tqdm

        self._run = run
        self._bar: tqdm[Any] = tqdm(disable=None, leave=False, bar_format="{desc} {postfix}", mininterval=0.5)
        self._rounds = (0, 0)
        self._name = ""
        self._pace: tuple[float, int] | None = None

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        """A phase begins, or goes on."""
        import time

        phases = len(self._run.config.phases)
        self._name, self._rounds, self._pace = name, (done, rounds), (time.monotonic(), done)
        self._write(f"Phase {number + 1} of {phases}: {name}, {rounds} rounds" + (f", {done} done" if done else ""))

    def progress(self, measures: dict[str, float]) -> None:
        """A small step is done."""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in measures.items())
        self._bar.set_description_str(
            f"{self._name} round {self._rounds[0] + 1}/{self._rounds[1]}{self._left()}", False
        )
        self._bar.set_postfix_str(shown, False)
        self._bar.update(1)

    def evaluated(self, line: dict[str, Any], generator: Generator, is_best: bool) -> None:
        """A round is measured: show it and let a few samples be heard."""
        self._rounds = (line["round"], self._rounds[1])
        self._run.write_samples(generator, f"{line['phase']}-{line['method']}-{line['round']:04}")
        bits = next(value for name, value in line.items() if name.startswith("validation_bits"))
        unit = self._run.splits.train.unit_name
        text = (
            f"  round {line['round']:>3}/{self._rounds[1]}  held-out {line['validation_nats']:.4f} nats a token,"
            f" {bits:.3f} bits a {unit}  entropy {line['entropy']:.2f}  distinct-4 {line['distinct_4']:.2f}"
        )
        if line["method"] != "mle" and line["round"] > 0:
            text += f"  D acc {line['d_accuracy']:.2f} bound {line['d_bound']:+.2f}"
            if "reward" in line:
                text += f"  reward {line['reward']:.3f}"
        self._write(text + ("  *" if is_best else ""))

    def note(self, text: str) -> None:
        """Say what people must know."""
        self._write(f"  {text}")

    def close(self) -> None:
        """Clear the bar."""
        self._bar.close()

    def _left(self) -> str:
        import time

        done, rounds = self._rounds
        if self._pace is None or done <= self._pace[1]:
            return ""
        seconds = (time.monotonic() - self._pace[0]) / (done - self._pace[1]) * (rounds - done)
        return f", {seconds / 60:.1f} min left" if seconds > 90 else f", {seconds:.0f} s left"

    def _write(self, text: str) -> None:
        self._bar.clear()
        click.echo(text, err=True)


def summary(run: Run) -> str:
    """Return how a finished run ended, for people."""
    best = run.trainer.progress.best or {}
    bits = next((value for name, value in best.items() if name.startswith("validation_bits")), float("nan"))
    lines = [
        f"Finished {run.folder}: best held-out loss {best.get('validation_nats', float('nan')):.4f} nats a token,"
        f" {bits:.3f} bits a {run.splits.train.unit_name} ({best.get('method')}, round {best.get('round')}),"
        f" after {run.trainer.progress.seconds / 60:.1f} min.",
        *run.trainer.progress.notes,
    ]
    adversarial = [phase.name for phase in run.config.phases if phase.name != "mle"]
    if adversarial and best.get("method") == "mle":
        lines.append(
            f"The adversarial phase ({', '.join(adversarial)}) did not lower the held-out loss:"
            " `sample` uses the generator from before it."
        )
    lines.append(f"Hear it: seqgan-music sample --run {run.folder} --out song.mid")
    return "\n".join(lines)


def _say(text: str) -> None:
    click.echo(text, err=True)
