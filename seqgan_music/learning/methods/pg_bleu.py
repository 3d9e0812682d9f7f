"""PG-BLEU (SeqGAN section 4): SeqGAN's policy gradient with sentence BLEU as the reward, and no discriminator.

Differences from the authors' code:
1. BLEU is smoothed where nothing matches (see `learning.bleu`); theirs is NLTK's.
2. Recipe `paper` otherwise has its settings: one rollout, BLEU-3, a reference set of 4,000 of 10,000 sequences.
   The defaults are SeqGAN's `anchored` steps, with more rollouts and a baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from seqgan_music.errors import ConfigError
from seqgan_music.learning.bleu import Bleu
from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods import Setting, _reinforce
from seqgan_music.learning.methods._reinforce import Reinforce, ReinforceOptions
from seqgan_music.learning.rollout import action_values


@dataclass(frozen=True)
class PgBleuOptions(ReinforceOptions):
    """Options of PG-BLEU."""

    rollouts: int = 4
    """R: completions of each prefix."""
    rollout_stride: int = 8
    """Every stride-th prefix is rolled out; values between are interpolated. 1 is the paper's."""
    order: int = 3
    """n: tokens of the longest n-gram that is compared; all orders weigh the same."""
    references: int = 4000
    """Training sequences against which samples are scored; fewer where there are fewer."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        super().__post_init__()
        if min(self.rollouts, self.rollout_stride, self.order, self.references) < 1:
            raise ConfigError("rollouts, rollout_stride, order and references must be at least 1.")


PAPER = {**_reinforce.PAPER, "iterations": 800, "g_learning_rate": 1e-3, "rollouts": 1, "rollout_stride": 1}


class PgBleu(Reinforce):
    """G by policy gradient towards the n-grams of the training data."""

    Options = PgBleuOptions
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER, "anchored": {}}
    options: PgBleuOptions

    def __init__(self, setting: Setting, options: PgBleuOptions) -> None:
        super().__init__(setting, options)
        train = setting.train
        references = train.openings(min(options.references, len(train)), setting.length, setting.data_rng)
        self._bleu = Bleu(references, options.order, train.tokens.vocabulary_size, train.end_id)

    def action_values(self, ids: Tensor) -> Tensor:
        """Return Q (B, T) by rollouts, scored by BLEU."""
        setting, options = self._setting, self.options
        return action_values(
            Stepper(setting.generator),
            self._bleu,
            ids,
            options.rollouts,
            self._rng,
            reward=lambda bleu: bleu,
            stride=options.rollout_stride,
            end_id=setting.train.end_id,
        )
