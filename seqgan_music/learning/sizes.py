"""Whether models can be built and would fit in this machine's memory, found out before anything is allocated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
from torch import nn

from seqgan_music.errors import ConfigError


def check(build: Callable[[], Iterable[nn.Module]], advice: str) -> None:
    """Build models without memory. Raises ConfigError where they cannot be, or would never fit in this machine."""
    try:
        with torch.device("meta"):  # nothing is allocated
            weights = sum(p.numel() for model in build() for p in model.parameters())
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"The models cannot be built: {str(error).splitlines()[0]}. {advice}") from None
    # Adam keeps a gradient and two moments beside each float32.
    if hasattr(os, "sysconf") and 16 * weights > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise ConfigError(f"The models would have {weights:,} weights: too many for this machine. {advice}")
