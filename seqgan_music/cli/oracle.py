"""`seqgan-music oracle`: benchmark the training methods against a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqgan_music.cli._terminal import interrupt, say
from seqgan_music.machine import usable_cores

if TYPE_CHECKING:
    from seqgan_music.oracle_benchmark.schedule import State


@click.command("oracle")
@click.option("--config", "config_name", metavar="NAME|PATH", help="A preset or a TOML file.  [default: small]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated.")
@click.option("--methods", metavar="LABEL,...", help="Only these methods, and what they start from.")
@click.option("--seeds", type=click.IntRange(1, 1000), metavar="N", help="Generators a method and oracle.")
@click.option("--draws", type=click.IntRange(1, 1000), metavar="N", help="Oracles drawn.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="S", help="Change the config's seed.")
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Processes.  [default: one a core]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder.  [default: runs/oracle-TIME]")
@click.option("--device", default="cpu", show_default=True, metavar="D", help="cpu, cuda, cuda:N or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--require", multiple=True, metavar="LABEL", help="Exit with 1 unless this method BEATS MLE.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with one that was stopped.")
def command(
    config_name: str | None,
    overrides: tuple[str, ...],
    methods: str | None,
    seeds: int | None,
    draws: int | None,
    seed: int | None,
    workers: int | None,
    out: Path | None,
    device: str,
    as_json: bool,
    require: tuple[str, ...],
    resume: Path | None,
) -> None:
    r"""Benchmark the training methods against an oracle: a known distribution in the corpus's place.

    Trains every method on samples of random oracles, with several seeds, and measures how far each generator is
    from the truth, exactly: both KL divergences at every temperature. Says of each method whether it beats
    maximum likelihood. Everything goes into one folder; it may be interrupted at any time and resumed.

    \b
    Example:
      seqgan-music oracle --config quick
      seqgan-music oracle --methods mle,seqgan --seeds 3
      seqgan-music oracle --config form --set oracle.noise=0.02
      seqgan-music oracle --resume runs/oracle-2026-11-22_18-00-00
    """
    given = {
        "--config": config_name, "--set": overrides, "--methods": methods, "--seeds": seeds, "--draws": draws,
        "--seed": seed, "--out": out,
    }  # fmt: skip
    if resume is not None and (others := [name for name, value in given.items() if value not in (None, ())]):
        raise click.UsageError(
            f"--resume goes on with a benchmark as it is; it cannot be given with {', '.join(others)}."
        )
    import json
    import shlex
    import signal

    from seqgan_music.oracle_benchmark import settings

    signal.signal(signal.SIGTERM, interrupt)
    for key, value in (("seeds", seeds), ("draws", draws), ("seed", seed)):
        if value is not None:
            overrides = (*overrides, f"{key}={value}")
    # Mistakes in it are told before torch is imported, which takes seconds.
    name = config_name or "small"
    chosen = settings.load(name, overrides) if resume is None else None
    if chosen is not None and methods is not None:
        chosen = settings.choose(chosen, [part.strip() for part in methods.split(",") if part.strip()])
    from seqgan_music.learning import devices
    from seqgan_music.oracle_benchmark import benchmark, tables, verdicts

    where = devices.pick(device)
    if chosen is None:
        assert resume is not None
        folder, _ = resume, benchmark.open_folder(resume)
    else:
        unknown = [label for label in require if label not in {row.label for row in chosen.rows}]
        if unknown:
            raise click.UsageError(f"--require {unknown[0]}: there is no such row in this benchmark.")
        folder = benchmark.begin(chosen, Path(name).stem, out)
    count = workers or (usable_cores() if where.type == "cpu" else 1)
    say(f"Folder: {folder}")
    say(f"Device: {where}, {count} process{'es' if count > 1 else ''} of one thread each")
    screen = Screen()
    try:
        results = benchmark.run(folder, device=str(where), workers=count, show=screen.show)
    except KeyboardInterrupt:
        screen.close()
        say(f"Stopped. To go on: seqgan-music oracle --resume {shlex.quote(str(folder))}")
        raise click.Abort from None
    finally:
        screen.close()
    click.echo(json.dumps(tables.document(results), indent=1) if as_json else tables.terminal(results))
    say(f"Tables and figures: {folder}")
    if any(verdicts.of(results, label).verdict is not verdicts.Verdict.BEATS for label in require):
        raise SystemExit(1)


class Screen:
    """Shows a benchmark on stderr: a bar on a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        import sys

        from tqdm import tqdm

        self._bar: tqdm[Any] = tqdm(disable=None, leave=False, dynamic_ncols=True, bar_format="  |{bar:20}| {desc}")
        self._quiet = not sys.stderr.isatty()
        self._told = (-1, 0.0)
        """Cells done and time, when a log was last told."""

    def show(self, state: State) -> None:
        """Show where it stands; in a log, once a minute where something is done, and at the end."""
        import time

        left = ""
        if state.seconds_left is not None:
            minutes = state.seconds_left / 60
            left = f", {minutes:.0f} min left" if minutes > 1.5 else f", {state.seconds_left:.0f} s left"
        text = f"{state.done} of {state.total} done{left}"
        if self._quiet:
            done, at = self._told
            if state.done > done and (time.monotonic() - at > 60 or state.done == state.total):
                self._told = (state.done, time.monotonic())
                say(f"  {text}")
            return
        running = ", ".join(f"{task.label} {task.draw}/{task.seed}" for task in state.running)
        self._bar.total, self._bar.n = state.total, state.done
        self._bar.set_description_str(f"{text}  {running}")

    def close(self) -> None:
        """Clear the bar."""
        self._bar.close()
