"""A recurrent discriminator: a bidirectional LSTM, its states averaged over time.

It is offered for comparison. Recurrent discriminators were tried early (suragnair's port uses one) and learn to
tell real from generated at once, without a reward that helps: part of SeqGAN's story.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqgan_music.errors import ConfigError
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import dropout
from seqgan_music.learning.ranks import Rng


@dataclass(frozen=True)
class RecurrentOptions:
    """Options of the recurrent discriminator."""

    embedding: int = 64
    """Size E of a token's embedding."""
    hidden: int = 64
    """Size H of the LSTM's state in each direction."""
    dropout: float = 0.25
    """Share of the embeddings and of the averaged states dropped while training."""
    l2: float = 0.0
    """Weight of the squared norm of the output layer in the loss."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if self.embedding < 1 or self.hidden < 1 or self.l2 < 0 or not 0 <= self.dropout < 1:
            raise ConfigError("embedding and hidden must be positive, l2 at least 0, dropout in [0, 1).")


class Recurrent(Discriminator):
    """D: the probability that a sequence is real, by a bidirectional LSTM."""

    Options = RecurrentOptions
    options: RecurrentOptions

    def __init__(self, vocabulary_size: int, length: int, options: RecurrentOptions) -> None:
        super().__init__(vocabulary_size, length, options)
        # Not nn.Embedding(...): see `generator.Generator`.
        self.embedding = nn.Embedding.from_pretrained(torch.empty(vocabulary_size, options.embedding), freeze=False)
        self.lstm = nn.LSTM(options.embedding, options.hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * options.hidden, 1)

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights."""
        bound = self.options.hidden**-0.5
        for name, parameter in self.named_parameters():
            reach = 1.0 if name.startswith("embedding") else bound
            parameter.uniform_(-reach, reach, generator=rng)

    def forward(self, ids: Tensor, dropout_rng: Rng | None = None) -> Tensor:
        """Return the logit of "real" (B,) for sequences (B, T)."""
        share = self.options.dropout
        states, _ = self.lstm(dropout(self.embedding(ids), share, dropout_rng))  # (B, T, 2H)
        logits: Tensor = self.output(dropout(states.mean(1), share, dropout_rng))
        return logits[:, 0]

    def penalty(self) -> Tensor:
        """Return the L2 term on the output layer."""
        squares: Tensor = self.output.weight.square().sum()
        return self.options.l2 * 0.5 * squares
