"""Training methods: one file each, found by name. A method is one phase of a run and reads like its paper.

A method works in *rounds*: the trainer calls `advance()` once a round, then measures, logs and saves. It knows
nothing of files; what it needs to go on later is in `tensors()` and `counters()`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from seqgan_music import choices
from seqgan_music.config import ChoiceConfig, build
from seqgan_music.errors import ConfigError, did_you_mean
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.mixing import Objective
from seqgan_music.learning.models import Model
from seqgan_music.learning.ranks import ALONE, Ranks

_LONG = 5.0
"""Seconds of a step for which no second one is waited for."""
LARGEST = 10**9
"""Of any whole number among a method's options: more overflows the machine's integers in places."""

Progress = Any
"""Called by `advance` after each small step with a dict of numbers to show; may be None."""


@dataclass
class Setting:
    """What every method works with."""

    generator: Generator
    discriminator: Discriminator
    train: Sequences
    length: int
    """T: ids a sequence in the adversarial phase."""
    data_rng: torch.Generator
    """Order of the data and its shifts; on the CPU."""
    model_rng: torch.Generator
    """Dropout and sampling; on the models' device."""
    objective: Objective | None = None
    """What is rewarded besides D."""
    ranks: Ranks = ALONE
    """The processes that train together."""
    oracle: Model | None = None
    """The distribution that the data was drawn from, where it is known: only the method `oracle` may look."""

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return self.train.device


class Method(Protocol):
    """What a file of this folder defines. `Options` is a frozen dataclass; `recipes` names sets of its values."""

    Options: ClassVar[type[Any]]
    adversarial: ClassVar[bool]
    """Whether it moves the generator by a reward: the collapse watch then looks over it."""
    uses_discriminator: ClassVar[bool]
    """Whether D learns in it, so that it is worth measuring."""
    takes_objectives: ClassVar[bool]
    """Whether its reward has the run's objectives in it."""
    only_in_oracle: ClassVar[str | None]
    """Why a run on music refuses it (a clause for people), or None where it does not."""
    keeps_best: bool
    """Whether a phase that ends as planned goes back to its best state by held-out loss, too."""
    options: Any
    rounds: int
    """Rounds of the whole phase."""
    generator_changed: bool
    """Whether the last round changed the generator, so that it has to be measured again."""

    def __init__(self, setting: Setting, options: Any) -> None: ...

    @property
    def updates(self) -> int:
        """Updates of the generator in this phase so far."""
        ...

    def advance(self, progress: Progress = None) -> dict[str, float]:
        """Do one round; return what was measured on the way, by name. NaN in a loss is the trainer's to see."""
        ...

    def finished(self, history: list[dict[str, float]]) -> str | None:
        """Return why the phase ends before its last round, given each round's measures, or None."""
        ...

    def model(self) -> Model:
        """Return the distribution that the phase has made so far: the generator, or what stands on it."""
        ...

    def expected_seconds(self) -> float:
        """Run a few steps and return what the whole phase should take. Changes the models: give it copies."""
        ...

    @staticmethod
    def scaled(options: Any, share: float) -> Any:
        """Return the options of a phase that takes that share of the time."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the state besides the models', as tensors."""
        ...

    def counters(self) -> dict[str, Any]:
        """Return the rest of the state, as plain values."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Put back what `tensors` and `counters` gave."""
        ...


def kind(choice: ChoiceConfig) -> type[Method]:
    """Return the class of one phase's method. Raises ConfigError."""
    return choices.load(__name__, choice.name, "method")


def check(choice: ChoiceConfig) -> Any:
    """Return the checked options of one phase, before anything is built. Raises ConfigError.

    `recipe = "name"` in a phase takes the values of that recipe, which the phase's other keys then change.
    """
    cls = kind(choice)
    options = dict(choice.options)
    recipes: Mapping[str, Mapping[str, Any]] = getattr(cls, "recipes", {})
    recipe = options.pop("recipe", None)
    where = f"Method '{choice.name}'"
    if recipe is not None:
        if not isinstance(recipe, str):
            raise ConfigError(f"{where}: recipe must be text in quotes, not {recipe!r}.")
        if recipe not in recipes:
            raise ConfigError(f"{where} has no recipe '{recipe}'.{did_you_mean(recipe, recipes)}")
        options = {**recipes[recipe], **options}
    built = build(cls.Options, options, where)
    for name, value in vars(built).items():
        if isinstance(value, int) and value > LARGEST:
            raise ConfigError(f"{where}: {name} must be at most {LARGEST:,}, not {value}.")
    return built


def resolved(choice: ChoiceConfig) -> ChoiceConfig:
    """Return the choice with every option written out, recipe applied. Raises ConfigError."""
    options = check(choice)
    return ChoiceConfig(choice.name, {f.name: getattr(options, f.name) for f in fields(options)})


def create(choice: ChoiceConfig, setting: Setting) -> Method:
    """Build the method of one phase. Raises ConfigError."""
    return kind(choice)(setting, check(choice))


def seconds(step: Callable[[], object]) -> float:
    """Return the seconds that a step takes: of a short one the second, as the first pays for allocations."""
    for _ in range(2):
        start = time.perf_counter()
        step()
        taken = time.perf_counter() - start
        if taken > _LONG:
            break
    return taken
