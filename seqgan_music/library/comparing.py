"""`seqgan_music.compare`: several training runs judged together, as `seqgan-music compare` does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from seqgan_music.arguments import AnyPath, checked
from seqgan_music.library.evaluation import Evaluation
from seqgan_music.library.run import Run
from seqgan_music.library.telling import told


@checked()
def compare(
    runs: Iterable[AnyPath | Run],
    *,
    temperatures: Iterable[float] = (0.8, 0.9, 1.0, 1.1),
    pieces: int = 0,
    seed: int = 1,
    progress: Callable[[str], object] | None = None,
) -> Evaluation:
    """Judge several training runs together, on the one test split that they share, and return what was found.

    Runs that differ in their seed alone are pooled, phase by phase, and intervals hold for new seeds as for new
    pieces; runs of different recipes are compared with the first. Nothing is written. Other arguments are those of
    `Run.evaluate`. Raises RunError where there are fewer than two, or they learnt from different music.
    """
    from seqgan_music.evaluate import evaluation
    from seqgan_music.evaluate.ground import Options

    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    found = evaluation.compare(folders, Options(tuple(temperatures), pieces, seed), show=told(progress))
    return Evaluation(found.document())
