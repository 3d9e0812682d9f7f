"""Oracles: one file each, found by name. An oracle is a known distribution that stands in the corpus's place.

It samples the training data and scores what is generated, exactly: a `Model` (see `learning.models`) with a
start id. Its weights are drawn from a generator once and then frozen; another draw is another oracle.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from seqgan_music import choices
from seqgan_music.config import ChoiceConfig, build
from seqgan_music.learning.models import Model
from seqgan_music.tokenset import TokenSet


class Oracle(Model, Protocol):
    """What a file of this folder defines. `Options` is a frozen dataclass."""

    Options: ClassVar[type[Any]]
    start_id: int
    """The id fed before the first token."""

    def __init__(self, vocabulary_size: int, length: int, options: Any, rng: torch.Generator) -> None: ...

    def to(self, device: torch.device) -> None:
        """Move the weights; ids are drawn and scored there from now on."""
        ...


def check(choice: ChoiceConfig) -> Any:
    """Return the checked options of an oracle, before anything is built. Raises ConfigError."""
    cls = choices.load(__name__, choice.name, "oracle")
    return build(cls.Options, choice.options, f"Oracle '{choice.name}'")


def create(choice: ChoiceConfig, vocabulary_size: int, length: int, rng: torch.Generator) -> Oracle:
    """Draw an oracle over sequences of `length` of V tokens, on the CPU. Raises ConfigError."""
    cls = choices.load(__name__, choice.name, "oracle")
    oracle: Oracle = cls(vocabulary_size, length, check(choice), rng)
    return oracle


def token_set(oracle: Oracle, ids: Tensor) -> TokenSet:
    """Return sampled ids (N, T) as what every method trains on."""
    count, length = ids.shape
    size = oracle.vocabulary_size
    return TokenSet(
        ids=ids.flatten().cpu().numpy().astype(np.int32),
        offsets=np.arange(count + 1, dtype=np.int64) * length,
        vocabulary_size=size,
        start_id=oracle.start_id,
        end_id=None,
        units=np.full(count, length, dtype=np.int64),
        unit_name="token",
        shifts=np.arange(size, dtype=np.int32)[None],
        shift_allowed=np.ones((count, 1), dtype=np.bool_),
    )
