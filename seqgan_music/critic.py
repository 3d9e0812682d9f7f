"""The discriminator as a tool: how much a piece sounds like the folder that a run was trained on, bar by bar."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seqgan_music import config as configs
from seqgan_music.compose import bars_of
from seqgan_music.config import Config
from seqgan_music.errors import RunError
from seqgan_music.learning import checkpoint, discriminators, methods
from seqgan_music.learning.discriminators import Scorer
from seqgan_music.music import vocabulary
from seqgan_music.music.notes import Bar, Piece
from seqgan_music.music.tokenizers import Tokenizer

_OVERLAP = 8
"""Windows begin every so many-th part of their length."""


class Critic:
    """A trained discriminator, its tokenizer, and the length T of the sequences that it judges."""

    def __init__(self, scorer: Scorer, tokenizer: Tokenizer, length: int) -> None:
        self._scorer = scorer
        self._tokenizer = tokenizer
        self._length = length

    @classmethod
    def open(cls, run: Path) -> Critic | None:
        """Return the critic of a run's last checkpoint; None where nothing has trained one yet.

        Raises RunError, ConfigError.
        """
        config = configs.load(str(run / "config.toml"))
        if not any(methods.kind(phase).uses_discriminator for phase in config.phases):
            return None
        tensors, document = checkpoint.load(run, "last")
        if not _trained(config, document.get("progress")):
            return None
        tokenizer = vocabulary.load(run / "vocabulary.json")
        model = discriminators.create(config.discriminator, len(tokenizer.vocabulary), config.sequence_length)
        try:
            model.load_state_dict(checkpoint.unprefixed(tensors, "discriminator"))
        except RuntimeError:
            raise RunError(f"The discriminator saved in {run} does not fit its config.toml. Train again.") from None
        return cls(model.scorer(), tokenizer, config.sequence_length)

    def by_bar(self, piece: Piece) -> list[float]:
        """Return for each bar the probability that the music around it is of the folder, 0 to 1.

        A window of T tokens has one logit; a bar's is the mean of the windows that it lies in, weighted by the
        tokens of the bar in each, and an empty bar's that of the bar before. The discriminator learnt from openings
        and is shown windows from anywhere: compare bars of pieces with each other, not with 0.5.
        """
        ids = [token for row in self._tokenizer.encode(piece) for token in row]
        bars = bars_of(piece)
        if not ids or not bars:
            return []
        logits = self._by_token(ids)
        owners = np.searchsorted(self._first_tokens(ids, bars), np.arange(len(ids)), side="right") - 1
        scores: list[float] = []
        for bar in range(len(bars)):
            own = logits[owners == bar]
            scores.append(float(own.mean()) if len(own) else scores[-1])
        return [1 / (1 + float(np.exp(-score))) for score in scores]

    def _by_token(self, ids: list[int]) -> npt.NDArray[np.float64]:
        """Return the mean logit of the windows around each token (M,)."""
        padding = self._length - len(ids)
        padded = ids + [self._tokenizer.end_id or 0] * padding if padding > 0 else ids
        last = len(padded) - self._length
        begins = sorted({*range(0, last + 1, max(1, self._length // _OVERLAP)), last})
        windows = torch.tensor([padded[begin : begin + self._length] for begin in begins])  # (N, T)
        total, times = np.zeros(len(padded)), np.zeros(len(padded))
        for begin, logit in zip(begins, self._scorer(windows).tolist(), strict=True):
            total[begin : begin + self._length] += logit
            times[begin : begin + self._length] += 1
        return (total / times)[: len(ids)]

    def _first_tokens(self, ids: list[int], bars: Sequence[Bar]) -> list[int]:
        """Return the index of the token that completes each bar's first note; the first bar has what is before."""

        def reached(index: int) -> int:
            notes = self._tokenizer.decode(ids[: index + 1]).piece.notes
            return notes[-1].onset if notes else 0

        found = [0]
        for bar in bars[1:]:
            found.append(bisect_left(range(len(ids)), bar.start, lo=found[-1], key=reached))
        return found


def _trained(config: Config, progress: object) -> bool:
    """Say whether a phase that trains the discriminator has done a round; `progress` is the trainer's."""
    if not isinstance(progress, dict):
        return False
    phase, round_ = progress.get("phase"), progress.get("round")
    if not isinstance(phase, int) or not isinstance(round_, int):
        return False
    begun = config.phases[: phase + (round_ > 0)]
    return any(methods.kind(one).uses_discriminator for one in begun)
