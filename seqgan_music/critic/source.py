"""The critic at work while a generator writes, as a row of an evaluation: a particle filter with its logit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from seqgan_music.compose.side_by_side import BLOCK, SILENT, Readers
from seqgan_music.critic.judging import Critic
from seqgan_music.critic.sheet import LOOKS_BACK, sheet
from seqgan_music.errors import ConfigError
from seqgan_music.evaluate.result import MOST_PARTICLES
from seqgan_music.evaluate.sources import Drawn, cut_short
from seqgan_music.learning import particle_filter
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.models import tempered
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import TokenSet

PARTICLES = 8
_SIDE_BY_SIDE = 1024
"""Particles held at a time."""

Floats = npt.NDArray[np.float64]


def check_particles(particles: int | None) -> None:
    """Raise ConfigError for a number of particles that cannot be; 0 and None mean no critic, or what is usual."""
    if not 0 <= (particles or 0) <= MOST_PARTICLES:
        raise ConfigError(f"--critic must be 0 (without it) to {MOST_PARTICLES}, not {particles}.")


class CriticSource:
    """A generator of which M particles a piece are kept in proportion to e^logit."""

    def __init__(
        self,
        generator: Generator,
        tokenizer: Tokenizer,
        critic: Critic,
        particles: int = PARTICLES,
        block: int = BLOCK,
        cutoff: float = 0.0,
    ) -> None:
        self._generator, self._tokenizer, self._critic = generator, tokenizer, critic
        self._particles, self._block, self._cutoff = particles, block, cutoff

    def draw(self, count: int, length: int, temperature: float, rng: torch.Generator) -> Drawn:
        """Draw from the start id to the end id."""
        stepper = Stepper(tempered(self._generator, temperature), cutoff=self._cutoff)
        rows: list[npt.NDArray[np.int64]] = []
        most = max(1, _SIDE_BY_SIDE // self._particles)
        end_id = self._tokenizer.end_id
        while len(rows) < count:
            rows += particle_filter.draw(
                stepper,
                min(most, count - len(rows)),
                length,
                rng,
                particles=self._particles,
                block=self._block,
                weigh=partial(self._weigh, Readers(self._tokenizer)),
                end_id=end_id,
            )
        return Drawn(rows, cut_short(rows, end_id), None)

    def nll(self, data: TokenSet, temperature: float) -> None:
        """Give nothing: its probabilities are known up to a factor alone."""

    def _weigh(self, readers: Readers, rows: Sequence[npt.NDArray[np.int64]]) -> Floats:
        """Return the critic's logit (N,) of rows of ids so far."""
        end_id = self._tokenizer.end_id
        sheets = [
            sheet(read.piece(LOOKS_BACK), ended=end_id is not None and int(row[-1]) == end_id, last=LOOKS_BACK)
            for row, read in zip(rows, readers.read(rows), strict=True)
        ]
        silent = np.array(
            [not of.bars and (of.ended or len(row) > self._block) for of, row in zip(sheets, rows, strict=True)]
        )
        return np.where(silent, SILENT, self._critic.logits(sheets))
