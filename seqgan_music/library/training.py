"""`seqgan_music.train`: from a folder of music to a finished run, as `seqgan-music train` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqgan_music import config as configs
from seqgan_music.arguments import AnyPath, checked
from seqgan_music.library.music import Configuration
from seqgan_music.library.run import Run
from seqgan_music.library.telling import told
from seqgan_music.library.to_the_end import to_its_end


def presets() -> list[str]:
    """Return the names of the configurations that come with the package: "default", "quick", "long", ..."""
    return configs.preset_names()


@checked()
def train(
    music: AnyPath | None = None,
    config: Configuration = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    out: AnyPath | None = None,
    seed: int | None = None,
    track: str | None = None,
    minutes: float | None = None,
    device: str = "auto",
    progress: Callable[[str], object] | None = None,
    on_evaluation: Callable[[dict[str, Any]], object] | None = None,
) -> Run:
    """Learn from the music in a folder and return the finished run: trained, evaluated, with its critic and report.

    Blocks until all is done. It may be interrupted at any time, by an exception of `progress` or `on_evaluation`
    too: `load(out).resume()` goes on to the same result, bit for bit on the same machine. What cannot be evaluated,
    for want of music say, is logged as a warning and costs no run.

    Args:
        music: A folder of files of any kind that `read` takes; None is the corpus that comes with music21.
        config: A preset's name (see `presets`), a TOML file, a `Config`, or its keys as a mapping.
        settings: Changes of single keys of it: `{"generator.hidden": 128, "phase.mle.updates": 500}`. All keys are
            in docs/config.md.
        out: The run's folder, new or empty; `runs/` and the time unless given.
        seed: Changes the configuration's; one seed reproduces a run on one machine.
        track: "all", "melody", a track's number from 1, or its name; "all" unless given.
        minutes: Shortens all phases alike so that training takes about so long on this machine.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: Is called with a line of text for people, as `print` can be.
        on_evaluation: Is called after every round with what was measured, a line of `metrics.jsonl`: "phase",
            "method", "round", "seconds", "validation_nats" (nats a token), "entropy", "distinct_4" and more.

    Raises:
        ConfigError: A setting that does not exist or cannot be.
        InputError: No folder, too little music in it, or `out` is taken.
        OutputError: The run cannot be written.
    """
    from seqgan_music import training
    from seqgan_music.learning import devices

    changes = dict(settings or {})
    if seed is not None:
        changes["seed"] = seed
    if track is not None:
        changes["corpus.reading.track"] = track
    chosen = configs.resolve(config, changes)
    folder = Path(music) if music is not None else None
    target = Path(out) if out is not None else None
    run = training.Run.begin(
        folder, chosen, out=target, device=devices.pick(device), minutes=minutes, say=told(progress), bars=False
    )
    told(progress)(f"Run: {run.folder}")
    to_its_end(run, progress, on_evaluation)
    return Run(run.folder)
