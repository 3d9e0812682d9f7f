"""Ranking of new pieces by what a person asks for: objectives with weights, and the person's own taste, `liked`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgan_music.errors import ConfigError
from seqgan_music.music import note_tables, objectives
from seqgan_music.music.metrics.arrays import Floats
from seqgan_music.music.notes import Piece
from seqgan_music.music.objectives import Mix
from seqgan_music.preference.examples import cut, examples
from seqgan_music.preference.taste import Preference, load

LIKED = "liked"
MOST_EXAMPLES = 200
"""Training pieces from which targets are taken, evenly spaced where there are more."""


class Ranking:
    """A mix of objectives for the pieces of one run. `notes` are lines that people should see."""

    def __init__(self, mix: Mix, liked: float = 0.0, taste: Preference | None = None) -> None:
        """`liked` is the weight of `taste`."""
        self.notes: list[str] = []
        self._mix = mix
        self._liked = liked
        self._taste = taste
        if liked and taste is not None:
            self.notes.append(taste.describe())
        if liked and taste is None:
            self.notes.append("No piece of this run is rated yet: every one counts the same for 'liked'.")

    @classmethod
    def open(cls, text: str, run: Path, bars: int | None = None) -> Ranking:
        """Read "key=1,range=0.5,range.target=24,liked=2"; a target not given is the median of the run's music.

        That music is cut to `bars`, as long as what is to be ranked: longer pieces repeat more and range wider.
        Raises ConfigError, and RunError where the run's files cannot be read.
        """
        document = objectives.parse(text, [LIKED])
        weight = 0.0
        if (own := document.pop(LIKED, None)) is not None:
            if set(own) != {"weight"}:
                raise ConfigError("'liked' takes a weight and nothing else, as in liked=1.")
            weight = objectives.weight_of(LIKED, own["weight"])
        mix = Mix.of(document)
        if not mix.parts and not weight:
            raise ConfigError(f"Every objective in '{text}' has weight 0: there is nothing to prefer.")
        if missing := mix.without_target:
            music = examples(run, MOST_EXAMPLES)
            if not music:
                raise ConfigError(
                    f"Objective '{missing[0]}' aims at what the training music is like, and {run.name} came without"
                    f" its music: give a target, as in {missing[0]}.target=..."
                )
            mix = mix.aimed(note_tables.of_pieces([cut(piece, bars) for piece in music] if bars else music))
        return cls(mix, weight, load(run) if weight else None)

    def parts(self, pieces: Sequence[Piece]) -> dict[str, Floats]:
        """Return each objective's score of each piece (N,), in [0, 1]; NaN where it has none."""
        found = self._mix.scores(note_tables.of_pieces(pieces))
        if self._liked:
            found[LIKED] = self._taste.scores(pieces) if self._taste else np.full(len(pieces), 0.5)
        return found

    def scores(self, pieces: Sequence[Piece]) -> Floats:
        """Return the weighted mean of the scores of each piece (N,), in [0, 1], over those that it has."""
        weights: dict[str, float] = {name: part.weight for name, part in self._mix.parts.items()}
        total, weight = np.zeros(len(pieces)), np.zeros(len(pieces))
        for name, scores in self.parts(pieces).items():
            known = np.isfinite(scores)
            total += weights.get(name, self._liked) * np.where(known, scores, 0.0)
            weight += weights.get(name, self._liked) * known
        return np.asarray(total / np.where(weight > 0, weight, 1.0))
