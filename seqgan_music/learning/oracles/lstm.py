"""The paper's oracle (SeqGAN section 4): an LSTM of the generator's class with all weights drawn from N(0, 1).

Differences from the paper: none in the distribution. The weights are another draw than the authors' file, so
that its entropy, and every NLL, differ a little from theirs (docs/oracle.md says by how much draws differ).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seqgan_music.config import GeneratorConfig
from seqgan_music.errors import ConfigError
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.models import GeneratorModel


@dataclass(frozen=True)
class LstmOptions:
    """Options of the random LSTM."""

    embedding: int = 32
    """Size E of a token's embedding."""
    hidden: int = 32
    """Size H of the LSTM's state (64 in LeakGAN's oracle for length 40)."""
    std: float = 1.0
    """Standard deviation of all weights and biases: the larger, the lower the entropy."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if min(self.embedding, self.hidden) < 1 or self.std <= 0:
            raise ConfigError("embedding and hidden must be at least 1, std above 0.")


class Lstm(GeneratorModel):
    """A random LSTM, frozen."""

    Options = LstmOptions

    def __init__(self, vocabulary_size: int, length: int, options: LstmOptions, rng: torch.Generator) -> None:
        self.start_id = 0
        shape = GeneratorConfig(
            embedding=options.embedding, hidden=options.hidden, dropout=0.0, init_std=options.std
        )
        generator = Generator(vocabulary_size, self.start_id, shape)
        generator.initialise(rng)
        # torch's LSTM adds two biases where the paper's code has one.
        generator.lstm.get_parameter("bias_hh_l0").data.zero_()
        super().__init__(generator.requires_grad_(False), length)

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self.generator.to(device)
