"""What is asked of a run, whoever asks: bars that are new, kept or varied, and how the best of several is chosen.

`Asked` is checked as far as it can be without a run; a `Desk` is a run that is ready to write what was asked, a
piece for each seed. Every piece carries the line that makes it again on the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgan_music import __version__
from seqgan_music.compose import AS_IT_COMES, DEFAULT_BARS, SEED_LIMIT, Composer, Composition, Controls, bars_of
from seqgan_music.errors import ConfigError

if TYPE_CHECKING:
    from seqgan_music.compose import Primer
    from seqgan_music.critic import Critic
    from seqgan_music.critic.choosing import Guide
    from seqgan_music.critic.choosing import Ranking as CriticRanking
    from seqgan_music.preference.ranking import Ranking

MOST = 1000
"""Candidates for a piece, and pieces written side by side."""
SIDE_BY_SIDE = 8
"""Pieces written side by side where the critic is asked for and no number is given."""
DISTANCE = 0.25
"""Share of the bars that a variation writes anew unless told otherwise."""
_APART = 1_000_003
"""From the seed of one candidate to the next one's."""


@dataclass(frozen=True)
class Choice:
    """How the best of several is kept. Raises ConfigError for what cannot be.

    best_of:   candidates for each piece
    prefer:    what is best, as in "key=1,range=0.5,liked=2"; None: the critic
    particles: pieces that the critic chooses among while they are written side by side; 0: it does not; None: as
               the run's evaluation decided
    """

    best_of: int = 1
    prefer: str | None = None
    particles: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be."""
        if not 1 <= self.best_of <= MOST:
            raise ConfigError(f"--best-of must be 1 to {MOST}, not {self.best_of}.")
        if self.particles is not None and not 0 <= self.particles <= MOST:
            raise ConfigError(f"--critic must be 0 (without it) to {MOST}, not {self.particles}.")


@dataclass(frozen=True)
class Source:
    """Music that is gone on with or changed: how a run's tokenizer holds it, and where it comes from.

    name:     of its file, for the line that makes a piece again
    track:    of the file, as asked for
    keep:     bars, from 1, that stay while the others are written anew, and `keep_text` as people write them
    distance: share of the bars that a variation writes anew; None where the music is no theme to vary
    """

    primer: Primer
    name: str
    track: str | None = None
    keep: tuple[int, ...] | None = None
    keep_text: str | None = None
    distance: float | None = None

    @property
    def whole(self) -> bool:
        """Whether bars of the piece are written anew, so that its length is what it is."""
        return self.keep is not None or self.distance is not None

    def settings(self) -> dict[str, Any]:
        """Return it as options without their dashes; None is one that need not be given."""
        varied = self.distance is not None
        return {
            "primer": None if varied else self.name,
            "track": self.track,
            "keep-bars": self.keep_text,
            "vary": self.name if varied else None,
            "distance": self.distance,
        }


class Desk:
    """A run that is ready to write what was asked for. `notes` are lines that people should see."""

    def __init__(
        self,
        run: Path,
        composer: Composer,
        controls: Controls = AS_IT_COMES,
        source: Source | None = None,
        choice: Choice = Choice(),
    ) -> None:
        """Open what it takes. Raises ConfigError, and RunError where a critic is asked for and the run has none."""
        self.run, self.composer, self.controls, self.source, self.choice = run, composer, controls, source, choice
        if choice.particles and source is not None and source.distance is not None:
            raise ConfigError("--critic goes with new bars, or with those beside --keep-bars, not with --vary.")
        self.notes: list[str] = []
        self._guide = self._guided()
        self._critic = self._choosing_critic()
        self._ranking = self._ranked()

    def write(self, seed: int, on_token: Callable[[], object] = lambda: None) -> Composition:
        """Write the piece of one seed: of several candidates, of which the first is that seed's own, the best."""
        if self._ranking is None:
            return self._told(self._write(seed, on_token))
        seeds = [(seed + _APART * number) % SEED_LIMIT for number in range(self.choice.best_of)]
        candidates = [self._write(own, on_token) for own in seeds]
        pieces = [candidate.piece for candidate in candidates]
        scores, parts = self._ranking.scores(pieces), self._ranking.parts(pieces)
        best = int(scores.argmax())
        why = {
            "score": round(float(scores[best]), 4),
            "of": self.choice.best_of,
            "mean": round(float(scores.mean()), 4),
            # JSON has no NaN; an objective that has no score for a piece is absent.
            "parts": {n: round(float(s[best]), 4) for n, s in parts.items() if s[best] == s[best]},
        }
        return self._told(replace(candidates[best], why=why))

    def settings(self) -> dict[str, Any]:
        """Return all but the seed as options without their dashes; None is one that need not be given."""
        told = {"run": self.run.resolve().name, **settings(self.controls)}
        if self.source is not None:
            told |= self.source.settings()
            if self.source.whole:
                told["bars"] = None  # the piece's own
        # Said even where the run's evaluation chose it: another one may choose otherwise.
        return {**told, "critic": self._guide.particles if self._guide else self.choice.particles}

    def line(self, seed: int) -> str:
        """Return the command that writes the piece of a seed again."""
        return line(self.settings(), seed, keep_primer=self.source is None or self.controls.keep_primer)

    def _told(self, written: Composition) -> Composition:
        """Return a piece with what its files say of it."""
        heat = None if self._critic is None else tuple(self._critic.by_bar(written.piece))
        comment = f"seqgan-music {__version__}: {self.line(written.seed)}"
        signature = self.controls.key.signature if self.controls.key else None
        title = self.run.resolve().name
        return replace(written, title=title, comment=comment, signature=signature, heat=heat)

    def _write(self, seed: int, on_token: Callable[[], object]) -> Composition:
        composer, controls, source = self.composer, self.controls, self.source
        if source is not None and source.distance is not None:
            return composer.vary(
                source.primer, distance=source.distance, seed=seed, controls=controls, on_token=on_token
            )
        guide = self._guide
        if source is not None and source.keep is not None:
            weigh = guide.score_whole if guide else None
            return composer.infill(
                source.primer, keep=source.keep, seed=seed, controls=controls, on_token=on_token, score=weigh
            )
        primer = source.primer if source is not None else None
        guided = guide.arguments if guide else {}
        (piece,) = composer.compose(controls, seed=seed, primer=primer, on_token=on_token, **guided)
        return piece

    @property
    def _is_new(self) -> bool:
        return self.source is None or not self.source.whole

    def _guided(self) -> Guide | None:
        """Return the critic at work, as asked for or, for new music, as the run's evaluation decided."""
        particles, chosen = self.choice.particles, self.composer.chosen
        if particles == 0 or (particles is None and (not self._is_new or chosen.particles is None)):
            return None
        from seqgan_music.critic.choosing import Guide
        from seqgan_music.critic.judging import Critic, critic_of

        if particles is not None:
            return Guide(critic_of(self.run), particles)
        return Guide.usual(Critic.open(self.run), chosen, self.controls)

    def _choosing_critic(self) -> Critic | None:
        """Return the run's critic where it writes along or chooses."""
        if self._guide is not None:
            return self._guide.critic
        if self.choice.best_of == 1 or self.choice.prefer is not None:
            return None
        from seqgan_music.critic.judging import critic_of

        return critic_of(self.run)

    def _ranked(self) -> Ranking | CriticRanking | None:
        """Return what ranks candidates; None where there are none."""
        if self.choice.prefer is None:
            if self.choice.best_of == 1 or self._critic is None:
                return None
            from seqgan_music.critic.choosing import Ranking as ByCritic

            return ByCritic(self._critic)
        from seqgan_music.preference.ranking import Ranking

        ranking = Ranking.open(self.choice.prefer, self.run, self._bars_of_candidates())
        self.notes += ranking.notes
        return ranking

    def _bars_of_candidates(self) -> int | None:
        """As far as it is known before they are written: the length at which the training music is compared."""
        if self.source is not None:
            return len(bars_of(self.source.primer.piece))
        return None if self.controls.seconds is not None else self.controls.bars or DEFAULT_BARS


def settings(controls: Controls) -> dict[str, Any]:
    """Return controls as options without their dashes; None is an option that need not be given."""
    return {
        "temperature": controls.temperature,
        "cutoff": controls.cutoff,
        "top-k": controls.top_k or None,
        "top-p": controls.top_p if controls.top_p < 1 else None,
        "bars": controls.bars,
        "seconds": controls.seconds,
        "tempo": controls.tempo,
        "program": controls.program,
        "key": controls.key.name if controls.key else None,
        "density": controls.density.text if controls.density else None,
        "range": controls.pitch_range.text if controls.pitch_range else None,
        "max-copy": controls.max_copy,
    }


def line(settings: Mapping[str, Any], seed: int, *, keep_primer: bool = True) -> str:
    """Return the command that writes the piece of a seed, from options without their dashes; None is left out."""
    words = ["seqgan-music", "sample"]
    for option, value in settings.items():
        words += [f"--{option}", str(value)] if value is not None else []
    if not keep_primer:
        words.append("--no-primer")
    return shlex.join([*words, "--seed", str(seed)])


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as people write them: "1-4,9", or "none"."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        first = found.pop()[0] if found and number == found[-1][1] + 1 else number
        found.append((first, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found) or "none"
