"""What the benchmarks of training begin with: a config's models, their weights drawn, and data."""

from __future__ import annotations

import torch

from seqgan_music.config import Config
from seqgan_music.learning import discriminators, methods
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.ranks import ALONE, Ranks
from seqgan_music.tokenset import TokenSet


def setting(config: Config, tokens: TokenSet, device: torch.device, ranks: Ranks = ALONE) -> methods.Setting:
    """Return it; the same random numbers each time."""
    start = torch.Generator().manual_seed(1)
    size = tokens.vocabulary_size
    generator = Generator(size, tokens.start_id, config.generator, tokens.effects)
    discriminator = discriminators.create(config.discriminator, size, config.sequence_length, tokens)
    generator.initialise(start)
    discriminator.initialise(start)
    return methods.Setting(
        generator.to(device),
        discriminator.to(device),
        Sequences(tokens, device),
        config.sequence_length,
        torch.Generator().manual_seed(2),
        torch.Generator(device).manual_seed(3),
        ranks=ranks,
    )
