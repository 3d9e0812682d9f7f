"""Ranking of new pieces by what a person asks for: objectives with weights, their own taste, and the critic.

Two names beside those of the objectives: `liked`, the probability that the person likes the piece, and `critic`,
the share of the generator's own pieces of that length that the critic finds less like the folder, both in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from seqgan_music.errors import ConfigError
from seqgan_music.music import note_tables, objectives
from seqgan_music.music.metrics.arrays import Floats
from seqgan_music.music.notes import Piece
from seqgan_music.music.objectives import Mix
from seqgan_music.preference.examples import cut, examples
from seqgan_music.preference.taste import Preference, load

LIKED, CRITIC = "liked", "critic"
MOST_EXAMPLES = 200
"""Training pieces from which targets are taken, evenly spaced where there are more."""

Judge = Callable[[Sequence[Piece]], Floats]
"""Gives a score (N,) in [0, 1] for each piece, NaN where it has none."""


class Ranking:
    """A mix of objectives for the pieces of one run. `notes` are lines that people should see."""

    def __init__(self, mix: Mix, judges: Mapping[str, tuple[float, Judge]], notes: Sequence[str] = ()) -> None:
        """`judges` are what ranks beside the mix, by name: weight, and what scores pieces."""
        self.notes = list(notes)
        self._mix = mix
        self._judges = judges
        self._weights = {name: part.weight for name, part in mix.parts.items()}
        self._weights |= {name: weight for name, (weight, _) in judges.items()}

    @classmethod
    def open(cls, text: str, run: Path, bars: int | None = None) -> Ranking:
        """Read "key=1,range=0.5,range.target=24,liked=2"; a target not given is the median of the run's music.

        That music is cut to `bars`, as long as what is to be ranked: longer pieces repeat more and range wider.
        Raises ConfigError, and RunError where the run's files cannot be read, or a critic asked for is not there.
        """
        document = objectives.parse(text, [LIKED, CRITIC])
        weights = {}
        for name in (LIKED, CRITIC):
            if (own := document.pop(name, None)) is not None:
                if set(own) != {"weight"}:
                    raise ConfigError(f"'{name}' takes a weight and nothing else, as in {name}=1.")
                weights[name] = objectives.weight_of(name, own["weight"])
        mix = Mix.of(document)
        if not mix.parts and not any(weights.values()):
            raise ConfigError(f"Every objective in '{text}' has weight 0: there is nothing to prefer.")
        if missing := mix.without_target:
            music = examples(run, MOST_EXAMPLES)
            if not music:
                raise ConfigError(
                    f"Objective '{missing[0]}' aims at what the training music is like, and {run.name} came without"
                    f" its music: give a target, as in {missing[0]}.target=..."
                )
            mix = mix.aimed(note_tables.of_pieces([cut(piece, bars) for piece in music] if bars else music))
        judges: dict[str, tuple[float, Judge]] = {}
        notes = []
        if weights.get(LIKED):
            taste = load(run)
            notes.append(taste.describe() if taste else "No piece of this run is rated yet: 'liked' says nothing.")
            judges[LIKED] = weights[LIKED], partial(_liked, taste)
        if weights.get(CRITIC):
            judges[CRITIC] = weights[CRITIC], _by_critic(run)
        return cls(mix, judges, notes)

    def parts(self, pieces: Sequence[Piece]) -> dict[str, Floats]:
        """Return each objective's score of each piece (N,), in [0, 1]; NaN where it has none."""
        found = self._mix.scores(note_tables.of_pieces(pieces))
        return {**found, **{name: judge(pieces) for name, (_, judge) in self._judges.items()}}

    def scores(self, pieces: Sequence[Piece]) -> Floats:
        """Return the weighted mean of the scores of each piece (N,), in [0, 1], over those that it has."""
        total, weight = np.zeros(len(pieces)), np.zeros(len(pieces))
        for name, scores in self.parts(pieces).items():
            known = np.isfinite(scores)
            total += self._weights[name] * np.where(known, scores, 0.0)
            weight += self._weights[name] * known
        return np.asarray(total / np.where(weight > 0, weight, 1.0))


def _liked(taste: Preference | None, pieces: Sequence[Piece]) -> Floats:
    return taste.scores(pieces) if taste is not None else np.full(len(pieces), 0.5)


def _by_critic(run: Path) -> Judge:
    """Return the run's critic as a judge. Raises RunError where it has none."""
    from seqgan_music.critic.judging import critic_of

    critic = critic_of(run)

    def judge(pieces: Sequence[Piece]) -> Floats:
        found = [critic.judge(piece) for piece in pieces]
        ranks = [None if one is None else one.generated for one in found]
        return np.array([np.nan if rank is None else rank for rank in ranks])

    return judge
