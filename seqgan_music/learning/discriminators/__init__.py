"""Discriminators: one file each, found by name. A discriminator tells real sequences from generated ones."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from seqgan_music import choices
from seqgan_music.config import ChoiceConfig, build
from seqgan_music.learning.devices import shared_dice_kept
from seqgan_music.learning.ranks import Rng
from seqgan_music.tokenset import TokenSet


class Scorer(Protocol):
    """A frozen copy of a discriminator, laid out for scoring many sequences; no dropout, no gradients."""

    def __call__(self, ids: Tensor) -> Tensor:
        """Return the logit of "real" (N,) for each sequence (N, T)."""
        ...

    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return logits (B, R) of R completions (B, R, T) that share the first `prefix` < T ids of `ids` (B, T)."""
        ...


class Discriminator(nn.Module):
    """What a file of this folder defines: logits of "real", a loss penalty, and a scorer."""

    Options: ClassVar[type[Any]]
    needs_tokens: ClassVar[bool] = False
    """Whether it is told the data's `tokens`, for what they say of its ids: bars, and which one ends a sequence."""

    def __init__(self, vocabulary_size: int, length: int, options: Any) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.length = length
        self.options = options

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights."""
        raise NotImplementedError

    def forward(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return the logit of "real" (B,) for sequences (B, T); dropout only where a generator is given."""
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """Return the regulariser that is added to the mean cross-entropy."""
        raise NotImplementedError

    def scorer(self) -> Scorer:
        """Return a frozen copy for scoring."""
        return PlainScorer(self)


class PlainScorer:
    """Scores by the discriminator itself: the slow, obvious reference, and good enough for small ones."""

    ROWS = 1024

    def __init__(self, discriminator: Discriminator) -> None:
        self._discriminator = discriminator

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """Return the logit of "real" (N,) for each sequence (N, T)."""
        return torch.cat([self._discriminator(rows) for rows in ids.split(self.ROWS)])

    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return logits (B, R) of completions (B, R, T)."""
        return self(completed.flatten(0, 1)).view(completed.shape[:2])


def check(choice: ChoiceConfig) -> Any:
    """Return the checked options of a discriminator, before anything is built. Raises ConfigError."""
    cls = choices.load(__name__, choice.name, "discriminator")
    return build(cls.Options, choice.options, f"Discriminator '{choice.name}'")


@shared_dice_kept()
def create(
    choice: ChoiceConfig, vocabulary_size: int, length: int, tokens: TokenSet | None = None
) -> Discriminator:
    """Build a discriminator for sequences of `length` ids, like those of `tokens`. Raises ConfigError."""
    cls = choices.load(__name__, choice.name, "discriminator")
    told = {"tokens": tokens} if cls.needs_tokens else {}
    discriminator: Discriminator = cls(vocabulary_size, length, check(choice), **told)
    return discriminator
