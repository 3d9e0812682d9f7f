"""What a critic says to who writes music: weights of pieces so far and whole, a ranking, the weakest bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music.compose import Controls, bars_of
from seqgan_music.critic.judging import Critic
from seqgan_music.critic.sheet import BARS, LOOKS_BACK, sheet
from seqgan_music.evaluate.result import Chosen
from seqgan_music.music.notes import Piece

Floats = npt.NDArray[np.float64]


def so_far(critic: Critic, pieces: Sequence[Piece]) -> list[float]:
    """Return log weights (N,) of unfinished pieces: log p - log g of their whole bars, the last 16 of them."""
    return list(critic.logits([sheet(piece, ended=False, last=LOOKS_BACK) for piece in pieces]))


def whole(critic: Critic, pieces: Sequence[Piece]) -> list[float]:
    """Return log weights (N,) of pieces: what all their bars add, each given the 15 before it."""
    sheets = [sheet(piece, ended=False) for piece in pieces]
    if all(of.bars <= BARS for of in sheets):  # then one window of each says as much
        return list(critic.scores(sheets))
    return [sum(bars) for bars in critic.bars(sheets)]


def weakest(critic: Critic, piece: Piece, count: int, after: int = 0) -> list[int]:
    """Return the numbers, from 1 and in order, of the `count` lowest-ranked bars that come after bar `after`."""
    ranks = critic.by_bar(piece)
    bars = range(after, min(len(ranks), len(bars_of(piece))))
    return sorted(bar + 1 for bar in sorted(bars, key=lambda bar: ranks[bar])[:count])


@dataclass(frozen=True)
class Guide:
    """A critic that chooses, among so many particles, what new music goes on with: the arguments of `compose`."""

    critic: Critic
    particles: int

    @classmethod
    def usual(cls, critic: Critic | None, chosen: Chosen, controls: Controls) -> Guide | None:
        """Return what a run writes new music with unless told otherwise, as its evaluation decided.

        None where bars have wishes of their own: there the filter is another one, which was not compared.
        """
        if critic is None or chosen.particles is None or controls.by_bar:
            return None
        return cls(critic, chosen.particles)

    @property
    def arguments(self) -> dict[str, Any]:
        """What `Composer.compose` is to be given."""
        return {"score": self.score, "looks_back": LOOKS_BACK, "candidates": self.particles}

    def score(self, pieces: Sequence[Piece]) -> list[float]:
        """Return log weights (N,) of unfinished pieces."""
        return so_far(self.critic, pieces)

    def score_whole(self, pieces: Sequence[Piece]) -> list[float]:
        """Return log weights (N,) of pieces that are whole."""
        return whole(self.critic, pieces)


class Ranking:
    """Ranks candidates by their score, which does not grow with their length."""

    def __init__(self, critic: Critic) -> None:
        self._critic = critic

    def scores(self, pieces: Sequence[Piece]) -> Floats:
        """Return the critic's score of each piece (N,); the higher, the more like the folder."""
        found = self._critic.scores([sheet(piece) for piece in pieces])
        return np.where(np.isnan(found), -np.inf, found)

    def parts(self, pieces: Sequence[Piece]) -> dict[str, Floats]:
        """Return the rank of each piece (N,) among held-out ones: 0 to 1, NaN where none are known."""
        ranks = []
        for piece in pieces:
            judged = self._critic.judge(piece)
            ranks.append(float("nan") if judged is None or judged.real is None else judged.real)
        return {"rank": np.array(ranks)}
