"""The phases of a run that have a checkpoint, and which of them `sample` should use.

The choice is made on the validation split, with samples that nothing else sees. A later phase takes the place of
the one chosen so far only where it is better in Fréchet distance and no worse in what could hide behind that: AUC,
bits a note (by more than 2%), copied share. So the phase of maximum likelihood stays unless there is a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqgan_music.config import Config
from seqgan_music.errors import RunError
from seqgan_music.evaluate.bootstrap import Measured
from seqgan_music.evaluate.verdicts import BITS, COPIED, LEAST_DIVERSITY
from seqgan_music.learning import checkpoint
from seqgan_music.learning.trainer import phase_name


@dataclass(frozen=True)
class Phase:
    """What one phase of a run ended with. `name` is its method, numbered where it is not the first of its kind."""

    name: str
    number: int | None
    checkpoint: str
    sha256: str


def of_run(run: Path, config: Config) -> list[Phase]:
    """Return the phases that have a checkpoint; for an older run without them, its best state alone.

    Raises RunError where there is no checkpoint at all.
    """
    found, seen = [], Counter[str]()
    for number, choice in enumerate(config.phases):
        seen[choice.name] += 1
        name = choice.name if seen[choice.name] == 1 else f"{choice.name}-{seen[choice.name]}"
        saved = phase_name(number)
        if checkpoint.exists(run, saved):
            found.append(Phase(name, number + 1, saved, _digest(run, saved)))
    return found or [Phase("best", None, "best", _digest(run, "best"))]


def choose(phases: Sequence[Phase], figures: Mapping[str, Mapping[str, Measured]], bits: str) -> tuple[Phase, str]:
    """Return the phase to sample from and why, given each phase's figures on the validation split by name."""
    chosen = phases[0]
    reasons = []
    for phase in phases[1:]:
        if phase.sha256 == chosen.sha256:
            reasons.append(f"{phase.name} ended with the same weights")
            continue
        trouble = _trouble(figures[phase.name], figures[chosen.name], bits)
        if trouble is None:
            reasons = [
                f"{_fall('frechet', phase, chosen, figures)} than {chosen.name}, and no other figure is worse"
            ]
            chosen = phase
        else:
            reasons.append(f"{phase.name} is not better: {trouble}")
    if len(phases) == 1:
        return chosen, f"{chosen.name} is the only phase with a checkpoint"
    return chosen, f"on the validation split: {'; '.join(reasons)}"


def _trouble(mine: Mapping[str, Measured], other: Mapping[str, Measured], bits: str) -> str | None:
    """Say what keeps a phase from taking another's place, or None."""
    if "frechet" not in mine or "frechet" not in other:
        return "there is too little music to compare"
    for figure, name, factor, margin, places in (
        ("frechet", "Fréchet distance", 1.0, 0.0, 2),
        ("c2st_auc", "AUC", 1.0, 0.0, 3),
        (bits, bits.replace("_per_", " a "), 1.0 + BITS, 0.0, 3),
        ("copied_share", "copied share", 1.0, COPIED, 3),
    ):
        if figure in mine and figure in other and not mine[figure].value <= other[figure].value * factor + margin:
            return f"{name} {mine[figure].value:.{places}f}, not {other[figure].value:.{places}f}"
    for figure in ("entropy", "distinct_4"):
        if mine[figure].value < LEAST_DIVERSITY * other[figure].value:
            return f"{figure.replace('_', '-')} fell to {mine[figure].value:.2f}"
    return None


def _fall(figure: str, phase: Phase, other: Phase, figures: Mapping[str, Mapping[str, Measured]]) -> str:
    mine, theirs = (figures[one.name][figure].value for one in (phase, other))
    return f"{phase.name} has a lower Fréchet distance ({mine:.2f}, not {theirs:.2f})"


def _digest(run: Path, name: str) -> str:
    _, document = checkpoint.load(run, name)
    digest = document["sha256"]
    if not isinstance(digest, str):
        raise RunError(f"{run}: checkpoint '{name}' has no sha256.")
    return digest
