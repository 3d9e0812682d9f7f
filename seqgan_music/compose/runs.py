"""Which run is meant, and what a composer needs of its folder: generator, training music, habits."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgan_music import documents, run_folders
from seqgan_music.errors import RunError
from seqgan_music.music.tokenizers import Tokenizer

if TYPE_CHECKING:
    from seqgan_music.learning.generator import Generator
    from seqgan_music.music.metrics.originality import Index

BUNDLED = Path(__file__).parent.parent / "bundled"
"""The run that comes with the package, without the music that it learnt from."""


def find_run(run: Path | None, root: Path = run_folders.RUNS) -> Path:
    """Return the run that is meant: the one named, the newest one, or the model that comes with the package.

    The latter has a name, too, "bundled". Raises RunError where it is meant and is not there.
    """
    if run is not None and (run.is_dir() or run != Path(BUNDLED.name)):
        return run
    if run is None:
        with suppress(RunError):
            return newest_run(root)
    if not BUNDLED.is_dir():
        raise RunError(f"There is no run in {root}/. Train one (seqgan-music train DIR) or name one with --run.")
    return BUNDLED


def newest_run(root: Path = run_folders.RUNS) -> Path:
    """Return the run that `root/latest` names (a link or a text file), else the newest one. Raises RunError."""
    latest = root / "latest"
    if latest.is_dir():
        return latest.resolve()
    try:
        named = root / documents.read(latest, 4096).decode().strip()
        if named != root and named.is_dir():
            return named
    except (OSError, ValueError):
        pass
    found = (*root.glob("*/config.toml"), *root.glob("*/seed-*/config.toml"))  # the latter of `train --seeds`
    runs = [path.parent for path in found]
    if not runs:
        raise RunError(f"There is no run in {root}/. Train one (seqgan-music train DIR) or name one with --run.")
    return max(runs, key=lambda run: ((run / "config.toml").stat().st_mtime, run.name))


def load_generator(run: Path, tokenizer: Tokenizer, checkpoint: str) -> Generator:
    """Return the generator of a checkpoint. Raises RunError where there is none that fits the tokenizer."""
    from seqgan_music.learning import checkpoint as checkpoints

    generator = checkpoints.load_generator(run, checkpoint)
    if generator.vocabulary_size != len(tokenizer.vocabulary) or generator.start_id != tokenizer.start_id:
        raise RunError(
            f"{run}: the checkpoint has {generator.vocabulary_size} tokens, vocabulary.json "
            f"{len(tokenizer.vocabulary)}: they are of different runs. Use another run, or train again."
        )
    return generator


def load_training(run: Path, tokenizer: Tokenizer, *, progress: bool = False) -> Index:
    """Return the training music, to look copied notes up in. Raises RunError for a run without it.

    Memory is bounded: what there is of it for each piece is a name.
    """
    from seqgan_music.music import corpus
    from seqgan_music.music.copies import training_index

    if not (run / "tokens.npz").exists():
        raise RunError(f"{run} does not hold the music that it learnt from: --max-copy needs a run that does.")
    return training_index(run / "tokens.npz", tokenizer, corpus.labels(run / "scan.json"), progress=progress)


def typical(run: Path) -> dict[str, Any]:
    """Tempo and program of the training music, where the run's scan says them."""
    try:
        found = documents.load(run / "scan.json")["typical"]
        qpm, program = float(found["qpm"]), int(found["program"])
        return {} if math.isnan(qpm) else {"qpm": min(max(qpm, 10.0), 400.0), "program": min(max(program, 0), 127)}
    except (OSError, ValueError, TypeError, LookupError, OverflowError):
        return {}  # they only save typing
