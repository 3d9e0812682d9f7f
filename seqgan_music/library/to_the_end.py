"""A training run, begun or stopped somewhere, to its end: trained, evaluated, with its critic and report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seqgan_music.errors import SeqganMusicError
from seqgan_music.library.telling import told

if TYPE_CHECKING:
    from seqgan_music.training import Run

log = logging.getLogger(__name__)


def to_its_end(
    run: Run,
    progress: Callable[[str], object] | None,
    on_evaluation: Callable[[dict[str, Any]], object] | None,
) -> None:
    """Train what is left, and make what is missing of evaluation, critic and report, as the run's settings want."""
    from seqgan_music import finishing
    from seqgan_music.training import Teller

    say = told(progress)
    run.train(Teller(run, say, told(on_evaluation)))
    for step in finishing.steps(run.folder, run.config):
        try:
            if step.due():
                say(step.title)
                step.work(say)
        except SeqganMusicError as error:
            log.warning("No %s: %s", step.what, error)
