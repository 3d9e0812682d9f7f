"""An objective beside the discriminator's reward, as in ORGAN (Guimaraes et al. 2017, section 3).

ORGAN rewards lambda D + (1 - lambda) O, with O in [0, 1]. Here O is the sum of weight times score over objectives,
and W the sum of the weights; f(D) is what the method rewards:

    f = D, a probability:       reward = (1 - W) D + O            ORGAN's with lambda = 1 - W; so W <= 1
    f = the logit of D, nats:   reward = logit + O

In the second the KL anchor makes the meaning of a weight exact: the optimum of an iteration is
G_ref (D / (1 - D) e^O)^(1 / beta), so that, where D is at its optimum and beta is 1, it is the data's distribution
times e^O: music that scores 1 becomes e^weight times as likely against music that scores 0.

O of a prefix's completion is that of the completed sequence, as with D: of its T tokens, cut off at T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from seqgan_music.learning.discriminators import Scorer


@dataclass(frozen=True)
class Objective:
    """What a method is given: O (N,), in [0, W], as a function of ids (N, T), and W."""

    rewards: Callable[[Tensor], Tensor]
    weight: float


class MixedScorer:
    """A `Scorer` whose logits have become rewards: f(D) and O of each sequence."""

    def __init__(
        self, scorer: Scorer, reward: Callable[[Tensor], Tensor], objective: Objective, share: float
    ) -> None:
        """`share` is what f(D) is multiplied by."""
        self._scorer = scorer
        self._reward = reward
        self._objective = objective
        self._share = share

    def __call__(self, ids: Tensor) -> Tensor:
        """Return the reward (N,) of each sequence (N, T)."""
        return self._share * self._reward(self._scorer(ids)) + self._objective.rewards(ids)

    def completions(self, ids: Tensor, completed: Tensor, prefix: int) -> Tensor:
        """Return the rewards (B, R) of completions (B, R, T)."""
        of_d = self._reward(self._scorer.completions(ids, completed, prefix))
        return self._share * of_d + self._objective.rewards(completed.flatten(0, 1)).view(completed.shape[:2])
