"""Several candidates for each piece, of which the best is kept: how many, and by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqgan_music.errors import ConfigError

if TYPE_CHECKING:
    from seqgan_music.compose import Composition, Controls
    from seqgan_music.critic import Critic
    from seqgan_music.critic.choosing import Guide
    from seqgan_music.critic.choosing import Ranking as CriticRanking
    from seqgan_music.evaluate.result import Chosen
    from seqgan_music.preference.ranking import Ranking

MOST = 1000
"""Candidates for a piece."""
_APART = 1_000_003
HEAT_MEANS = ("below every held-out bar", "above every held-out bar")
"""What the critic's ranks of bars are at 0 and at 1."""

_OPTIONS = (
    click.option("--best-of", type=int, metavar="N", help="Write N candidates for each piece and keep the best."),
    click.option(
        "--prefer",
        metavar="WEIGHTS",
        help="What is best: 'key=1,range=0.5,liked=2', see docs/objectives.md.  [default: the critic]",
    ),
    click.option(
        "--critic",
        "particles",
        type=int,
        is_flag=False,
        flag_value=8,
        metavar="[N]",
        help="Write N pieces side by side; go on, every few notes, with what the run's critic finds likely; 0: do"
        " without it.  [default: as the run's evaluation chose, 0 or 8]",
    ),
)


@dataclass(frozen=True)
class Choice:
    """What is asked for, checked as far as it can be without a run."""

    best_of: int
    prefer: str | None
    particles: int | None

    def guide(self, run: Path, chosen: Chosen, controls: Controls, *, new: bool) -> Guide | None:
        """Return the critic at work, as asked for or, for `new` music, as the run's evaluation chose.

        Raises RunError.
        """
        from seqgan_music.critic.choosing import Guide
        from seqgan_music.critic.judging import Critic, critic_of

        if self.particles is not None:
            return Guide(critic_of(run), self.particles) if self.particles else None
        if not new or chosen.particles is None:
            return None
        return Guide.usual(Critic.open(run), chosen, controls)

    def critic(self, run: Path, guide: Guide | None) -> Critic | None:
        """Return the run's critic where it writes along or chooses. Raises RunError."""
        if guide is not None:
            return guide.critic
        if self.best_of == 1 or self.prefer is not None:
            return None
        from seqgan_music.critic.judging import critic_of

        return critic_of(run)

    def ranking(self, run: Path, bars: int | None, critic: Critic | None) -> Ranking | CriticRanking | None:
        """Return what ranks candidates of so many bars; None where there are none. Raises ConfigError, RunError."""
        if self.prefer is None:
            if self.best_of == 1 or critic is None:
                return None
            from seqgan_music.critic.choosing import Ranking as ByCritic

            return ByCritic(critic)
        from seqgan_music.preference.ranking import Ranking

        ranking = Ranking.open(self.prefer, run, bars)
        for note in ranking.notes:
            click.echo(note, err=True)
        return ranking

    def best(
        self, write: Callable[[int], Composition], seed: int, ranking: Ranking | CriticRanking | None
    ) -> tuple[Composition, dict[str, Any] | None]:
        """Write the candidates of a seed, of which the first is that seed's own piece; return the best, and why."""
        if ranking is None:
            return write(seed), None
        from seqgan_music.compose import SEED_LIMIT

        candidates = [write((seed + _APART * number) % SEED_LIMIT) for number in range(self.best_of)]
        pieces = [candidate.piece for candidate in candidates]
        scores, parts = ranking.scores(pieces), ranking.parts(pieces)
        chosen = int(scores.argmax())
        why = {
            "score": round(float(scores[chosen]), 4),
            "of": self.best_of,
            "mean": round(float(scores.mean()), 4),
            # JSON has no NaN; an objective that has no score for a piece is absent.
            "parts": {n: round(float(s[chosen]), 4) for n, s in parts.items() if s[chosen] == s[chosen]},
        }
        return candidates[chosen], why


def with_choice(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as one argument, `choice`."""

    @wraps(function)
    def collected(best_of: int | None, prefer: str | None, particles: int | None, **given: Any) -> None:
        if best_of is not None and not 1 <= best_of <= MOST:
            raise ConfigError(f"--best-of must be 1 to {MOST}, not {best_of}.")
        if prefer is not None and best_of is None:
            raise ConfigError("--prefer chooses among candidates: say how many with --best-of, as in --best-of 8.")
        if particles is not None and not 0 <= particles <= MOST:
            raise ConfigError(f"--critic must be 0 (without it) to {MOST}, not {particles}.")
        function(choice=Choice(best_of or 1, prefer, particles), **given)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def told(why: dict[str, Any] | None) -> str:
    """Say why a piece was chosen, for people; empty where none was."""
    if why is None:
        return ""
    parts = ", ".join(f"{name} {score:.2f}" for name, score in why["parts"].items())
    return f"best of {why['of']} ({parts}; {why['score']:.2f} where the mean is {why['mean']:.2f}), "
