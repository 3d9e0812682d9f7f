"""The phases of a run that have a checkpoint, and which of them `sample` should use.

The choice is made on the validation split, with samples that nothing else sees. A later phase takes the place of
the one chosen so far only where it is better in Fréchet distance and no worse in what could hide behind that: AUC
(by more than 0.01), bits a note (2%), copied share (2 points). So maximum likelihood stays unless something speaks
against it.

The critic has a say in `sample` where with it Fréchet distance or AUC is better beyond doubt (95%), neither is
worse beyond doubt, and the other figures are no worse: unlike a phase, it makes writing slower.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqgan_music.config import Config
from seqgan_music.evaluate.bootstrap import Measured
from seqgan_music.evaluate.verdicts import BITS, COPIED, LEAST_DIVERSITY
from seqgan_music.learning import checkpoint
from seqgan_music.learning.trainer import phase_name

AUC = 0.01
"""What AUC may rise by: it moves as much from one set of samples to the next."""


@dataclass(frozen=True)
class Phase:
    """What one phase of a run ended with. `name` is its method, numbered where it is not the first of its kind.

    `sha256` is that of the checkpoint's file of tensors, `weights` a digest of the generator alone: a phase that
    went back to where it had begun has another discriminator.
    """

    name: str
    number: int | None
    checkpoint: str
    sha256: str
    weights: str


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
            found.append(saved_phase(run, name, number + 1, saved))
    return found or [saved_phase(run, "best", None, "best")]


def saved_phase(run: Path, name: str, number: int | None, saved: str) -> Phase:
    """Read one checkpoint's digests. Raises RunError."""
    tensors, document = checkpoint.load(run, saved)
    digest = hashlib.sha256()
    for key, tensor in sorted(checkpoint.unprefixed(tensors, "generator").items()):
        digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
    return Phase(name, number, saved, document["sha256"], digest.hexdigest())


def choose(phases: Sequence[Phase], figures: Mapping[str, Mapping[str, Measured]], bits: str) -> tuple[Phase, str]:
    """Return the phase to sample from and why, given each phase's figures on the validation split by name."""
    chosen = phases[0]
    reasons = []
    for phase in phases[1:]:
        if phase.weights == chosen.weights:
            reasons.append(f"{phase.name} ended with the same weights")
            continue
        mine, other = figures[phase.name], figures[chosen.name]
        trouble = _trouble(mine, other, bits)
        if trouble is None:
            distances = f"{mine['frechet'].value:.2f}, {chosen.name} {other['frechet'].value:.2f}"
            reasons = [f"Fréchet distance of {phase.name} is {distances}, and no other figure is worse"]
            chosen = phase
        else:
            reasons.append(f"{phase.name} is not better: {trouble}")
    if len(phases) == 1:
        return chosen, f"{chosen.name} is the only phase with a checkpoint"
    return chosen, f"on the validation split: {'; '.join(reasons)}"


def helps(guided: Mapping[str, Measured], plain: Mapping[str, Measured], bits: str) -> tuple[bool, str]:
    """Return whether a phase writes better with its critic, and why, by figures on the validation split."""
    found = {
        name: (guided[figure] - plain[figure]).estimate()
        for figure, name in (("frechet", "Fréchet distance"), ("c2st_auc", "AUC"))
        if figure in guided and figure in plain
    }
    told = " and ".join(f"{name} differs by {d}" for name, d in found.items()) or "there is too little to compare"
    trouble = _other_trouble(guided, plain, bits)
    if trouble is None and any(d.below for d in found.values()) and not any(d.above for d in found.values()):
        return True, f"its critic chooses: with it {told}, and no other figure is worse"
    return False, f"its critic does not choose: with it {told}{f', and {trouble}' if trouble else ''}"


def _trouble(mine: Mapping[str, Measured], other: Mapping[str, Measured], bits: str) -> str | None:
    """Say what keeps a phase from taking another's place, or None."""
    if "frechet" not in mine or "frechet" not in other:
        return "there is too little music to compare"
    if not mine["frechet"].value < other["frechet"].value:
        return f"Fréchet distance {mine['frechet'].value:.2f}, not below {other['frechet'].value:.2f}"
    if "c2st_auc" in mine and "c2st_auc" in other and not mine["c2st_auc"].value <= other["c2st_auc"].value + AUC:
        return f"AUC {mine['c2st_auc'].value:.3f} is above {other['c2st_auc'].value:.3f}"
    return _other_trouble(mine, other, bits)


def _other_trouble(mine: Mapping[str, Measured], other: Mapping[str, Measured], bits: str) -> str | None:
    """Say what is worse of that which could hide behind a better distance."""
    for figure, name, factor, margin in (
        (bits, bits.replace("_per_", " a "), 1.0 + BITS, 0.0),
        ("copied_share", "copied share", 1.0, COPIED),
    ):
        if figure in mine and figure in other and not mine[figure].value <= other[figure].value * factor + margin:
            return f"{name} {mine[figure].value:.3f} is above {other[figure].value:.3f}"
    for figure in ("entropy", "distinct_4"):
        if figure in mine and figure in other and mine[figure].value < LEAST_DIVERSITY * other[figure].value:
            return f"{figure.replace('_', '-')} fell to {mine[figure].value:.2f}"
    return None
