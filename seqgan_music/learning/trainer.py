"""The loop over phases and rounds: measure, log, save, stop, resume. Knows no method by name.

Order of events, the same for the state before the first round as after each: measure; write a line of
`metrics.jsonl`; keep the best; let the listener write samples; save; decide whether the phase goes on; one more
round. Everything random comes from generators whose states are saved, and every decision from what was
measured, so that a run that is stopped anywhere and resumed ends in the very state of one that was not.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from seqgan_music import documents
from seqgan_music.config import ChoiceConfig, Config, build
from seqgan_music.errors import ConfigError, OutputError, RunError
from seqgan_music.files import replacing
from seqgan_music.learning import checkpoint, discriminators, evaluation, methods
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.generator import Generator
from seqgan_music.learning.mixing import Objective
from seqgan_music.learning.models import Model
from seqgan_music.learning.ranks import ALONE, Ranks
from seqgan_music.tokenset import Splits

METRICS = "metrics.jsonl"

Line = dict[str, Any]


def begun(run: Path) -> bool:
    """Whether a run has a checkpoint to go on from. Raises RunError where it had one: nothing is begun over it."""
    if checkpoint.exists(run, "last"):
        return True
    logged = 0
    with suppress(OSError):
        logged = len(list(islice(documents.lines(run / METRICS), 2)))
    # There is one before the second line of the log, and before the end of a phase.
    if logged == 2 or checkpoint.exists(run, phase_name(0)):
        raise RunError(
            f"{run} has lost its last checkpoint, {checkpoint.FOLDER}/last.json, and cannot go on."
            " Restore it, or train again into a new folder."
        )
    return False


def phase_name(phase: int) -> str:
    """Return the name of the checkpoint of what a phase (from 0) ended with, so that phases can be compared."""
    return f"phase-{phase + 1}"


class Listener(Protocol):
    """Whoever shows a run to people."""

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        """A phase begins, or goes on after `done` rounds."""
        ...

    def progress(self, measures: dict[str, float]) -> None:
        """A small step inside a round is done."""
        ...

    def evaluated(self, line: Line, generator: Generator, is_best: bool) -> None:
        """A round is done and measured."""
        ...

    def note(self, text: str) -> None:
        """Something that people must know has happened."""
        ...


class Silent:
    """A listener that shows nothing."""

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        """A phase begins."""

    def progress(self, measures: dict[str, float]) -> None:
        """A small step is done."""

    def evaluated(self, line: Line, generator: Generator, is_best: bool) -> None:
        """A round is done."""

    def note(self, text: str) -> None:
        """A note; the trainer keeps it."""


@dataclass
class Progress:
    """Where a run stands; all of it is in the checkpoint."""

    phase: int = 0
    round: int = 0
    lines: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    """Measures of the current phase, from the state before its first round on."""
    best: Line | None = None
    notes: list[str] = field(default_factory=list)
    finished: bool = False
    seconds: float = 0.0


class Trainer:
    """One run: models, data, and the state of the loop."""

    def __init__(
        self,
        run: Path,
        config: Config,
        splits: Splits,
        device: torch.device,
        *,
        oracle: Model | None = None,
        objective: Objective | None = None,
        probe: Callable[[Tensor], dict[str, float]] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """`probe` adds measures of the sampled ids (N, T); `oracle` is what the data was drawn from, if known.

        `objective` is what methods that take one reward besides D. Of several `ranks` each has a trainer.
        """
        self.ranks = ranks
        self.run = run
        self.config = config
        self.device = device
        self._oracle = oracle
        self._objective = objective
        self._probe = probe
        self.train_data = Sequences(splits.train, device)
        self.validation = Sequences(splits.validation, device)
        tokens = splits.train
        self.generator = Generator(tokens.vocabulary_size, tokens.start_id, config.generator, tokens.effects)
        self.discriminator = discriminators.create(
            config.discriminator, tokens.vocabulary_size, config.sequence_length, tokens
        )
        start = torch.Generator().manual_seed(config.seed)
        self.generator.initialise(start)
        self.discriminator.initialise(start)
        self.generator.to(device)
        self.discriminator.to(device)
        self.progress = Progress()
        self.model: Model | None = None
        """What the last phase that ended here made; None where a finished run was resumed."""
        self._method: methods.Method | None = None
        self._rngs: dict[str, torch.Generator] = {}
        self._last_samples: tuple[Tensor, dict[str, float]] | None = None
        self._before: Generator | None = None
        """What an adversarial phase began with."""

    def parameters(self) -> dict[str, int]:
        """Return the number of weights of each model."""
        models = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}

    def expected_seconds(self) -> list[float]:
        """Measure a few steps on copies of the models; return what each phase should take, evaluations included."""
        expected = []
        for choice in self.config.phases:
            setting = self._setting(self.generator.copied(), copy.deepcopy(self.discriminator), seed=0)
            method = methods.create(choice, setting)
            seconds = method.expected_seconds()
            start = time.perf_counter()
            self._measure(setting.generator, method)
            each = time.perf_counter() - start
            expected.append(seconds + each * (method.rounds + 1))
        self._last_samples = None
        return expected

    def resume(self) -> None:
        """Go back to the last checkpoint. Raises RunError where there is none or it does not fit."""
        tensors, document = checkpoint.load(self.run, "last")
        device = document.get("device", self.device.type)
        try:
            self.progress = build(Progress, document["progress"], "progress")
            # The random states of one device mean nothing to another; a finished run has no more use for them.
            if device != self.device.type and not self.progress.finished:
                raise RunError(f"{self.run} was trained on {device}: go on with it by --device {device}.")
            self.generator.load_state_dict(checkpoint.unprefixed(tensors, "generator"))
            self.discriminator.load_state_dict(checkpoint.unprefixed(tensors, "discriminator"))
            checkpoint.check_weights(self._models())
            if not self.progress.finished:
                self._begin_phase()
                for name, rng in self._rngs.items():
                    rng.set_state(tensors[f"rng.{name}"])
                assert self._method is not None
                self._method.restore(checkpoint.unprefixed(tensors, "method"), document["method"])
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ConfigError) as error:
            raise RunError(
                f"The checkpoint {self.run / checkpoint.FOLDER}/last.json does not fit its configuration,"
                f" config.toml: {checkpoint.reason(error)}. Restore the one or the other, or train again."
            ) from None

    def train(self, listener: Listener) -> None:
        """Run all phases that are left, from where the run stands."""
        progress = self.progress
        self._keep_lines(progress.lines)
        started = time.perf_counter() - progress.seconds
        while not progress.finished:
            if self._method is None:
                self._begin_phase()
            method = self._method
            assert method is not None
            choice = self.config.phases[progress.phase]
            listener.phase(progress.phase, choice.name, method.rounds, progress.round)
            trouble: str | None = None
            measures: dict[str, float] = {}
            if not progress.history:
                self._evaluate(listener, choice, measures, method, started)
            while progress.round < method.rounds and trouble is None:
                trouble = method.finished(progress.history[1:]) or self._collapse(method)
                if trouble is not None:
                    break
                measures = self.ranks.agreed(method.advance(listener.progress))
                progress.round += 1
                healthy = _sound(self._models()) and _finite(method.tensors())
                if not healthy or not all(math.isfinite(value) for value in measures.values()):
                    trouble = "a loss or a weight became NaN or infinite"
                    break
                self._evaluate(listener, choice, measures, method, started)
            self._end_phase(listener, choice, method, trouble or self._collapse(method))

    def _begin_phase(self) -> None:
        """Build the method of the current phase; its randomness depends on the seed and the phase alone."""
        phase = self.progress.phase
        seed = self.config.seed * 1_000_003 + 7919 * (phase + 1)
        setting = self._setting(self.generator, self.discriminator, seed)
        self._rngs = {"data": setting.data_rng, "model": setting.model_rng}
        self._method = methods.create(self.config.phases[phase], setting)
        self._before = None
        before = phase > 0 and self._method.adversarial and checkpoint.exists(self.run, phase_name(phase - 1))
        if self.ranks.agreed(before):  # which rank 0 says once it has saved it
            self._before = checkpoint.load_generator(self.run, phase_name(phase - 1), str(self.device))

    def _end_phase(
        self, listener: Listener, choice: ChoiceConfig, method: methods.Method, reason: str | None
    ) -> None:
        """Say why it ended, go back to the best state where that is due, and save."""
        progress = self.progress
        if reason is not None:
            text = f"{choice.name} ended after round {progress.round}: {reason}"
            progress.notes.append(text)
            listener.note(text)
        last_phase = progress.phase + 1 == len(self.config.phases)
        if reason is not None or method.keeps_best:
            self._roll_back(listener)
        self.model = method.model()
        self._keep(phase_name(progress.phase), self._models(), self._document())
        progress.phase += 1
        progress.round, progress.history = 0, []
        self._method = None
        progress.finished = last_phase
        if last_phase:
            self._save()

    def _roll_back(self, listener: Listener) -> None:
        """Put back the best generator so far: the next phase, and a run that went wrong, go on from there."""
        if self.ranks.first:  # the others may look before all of it is there
            tensors, _ = checkpoint.load(self.run, "best")
            self.generator.load_state_dict(checkpoint.unprefixed(tensors, "generator"))
            if not _finite(self.discriminator.state_dict()):
                self.discriminator.load_state_dict(checkpoint.unprefixed(tensors, "discriminator"))
        self.ranks.copy_first(self.generator, self.discriminator)
        self._last_samples = None
        where = self.progress.best
        assert where is not None
        listener.note(f"back to the best generator: {where['method']}, round {where['round']}")

    def _evaluate(
        self,
        listener: Listener,
        choice: ChoiceConfig,
        measures: dict[str, float],
        method: methods.Method,
        started: float,
    ) -> None:
        """Measure, log, keep the best, let samples be written, save."""
        progress = self.progress
        fresh = method.generator_changed or not progress.history
        measured = {**measures, **self._measure(self.generator, method, fresh)}
        progress.history.append(measured)
        progress.lines += 1
        progress.seconds = time.perf_counter() - started
        line: Line = {
            "line": progress.lines,
            "phase": progress.phase + 1,
            "method": choice.name,
            "round": progress.round,
            "updates": method.updates,
            "seconds": round(progress.seconds, 3),
            **measured,
        }
        self._log(line)
        is_best = progress.best is None or measured["validation_nats"] < progress.best["validation_nats"]
        if is_best:
            progress.best = line
            self._keep("best", self._models(), self._document())
        listener.evaluated(line, self.generator, is_best)
        self._save()

    @torch.no_grad()
    def _measure(self, generator: Generator, method: methods.Method, fresh: bool = True) -> dict[str, float]:
        """Measure a generator, and D against it where D learns; without `fresh` the generator's are last time's."""
        config, ranks = self.config, self.ranks
        if fresh or self._last_samples is None:
            rng = torch.Generator(self.device).manual_seed(config.seed)
            held_out = evaluation.held_out(generator, self.validation, config.sequence_length, ranks=ranks)
            length, end_id = config.sequence_length, self.train_data.end_id
            ids, measures = evaluation.samples(generator, config.evaluation.samples, length, rng, end_id, ranks)
            if self._before is not None:
                measures["kl"] = evaluation.drift(generator, self._before, ids, end_id, ranks)
            probed = self._probe(ids) if self._probe is not None else {}
            self._last_samples = ids, {**held_out, **measures, **probed}
        ids, measures = self._last_samples
        if not method.uses_discriminator:
            return ranks.agreed(dict(measures))
        real = self.validation.first(config.evaluation.samples, config.sequence_length)
        return ranks.agreed({**measures, **evaluation.discrimination(self.discriminator, real, ids)})

    def _collapse(self, method: methods.Method) -> str | None:
        """Return how an adversarial phase has collapsed since its start, or None."""
        if not method.adversarial or not self.progress.history or not method.generator_changed:
            return None
        first, last, limits = self.progress.history[0], self.progress.history[-1], self.config.evaluation
        if last["entropy"] < limits.min_entropy_ratio * first["entropy"]:
            return f"collapse: entropy fell from {first['entropy']:.2f} to {last['entropy']:.2f} nats a token"
        if last["distinct_4"] < limits.min_distinct_ratio * first["distinct_4"]:
            return f"collapse: distinct-4 fell from {first['distinct_4']:.2f} to {last['distinct_4']:.2f}"
        if last.get("d_accuracy", 0.0) > limits.max_discriminator_accuracy:
            return f"collapse: the discriminator tells {last['d_accuracy']:.0%} of held-out sequences apart"
        return None

    def _setting(
        self, generator: Generator, discriminator: discriminators.Discriminator, seed: int
    ) -> methods.Setting:
        return methods.Setting(
            generator=generator,
            discriminator=discriminator,
            train=self.train_data,
            length=self.config.sequence_length,
            data_rng=torch.Generator().manual_seed(seed),
            model_rng=torch.Generator(self.device).manual_seed(seed + 1),
            objective=self._objective,
            ranks=self.ranks,
            oracle=self._oracle,
        )

    def _models(self) -> dict[str, Tensor]:
        return {
            **checkpoint.prefixed(self.generator.state_dict(), "generator"),
            **checkpoint.prefixed(self.discriminator.state_dict(), "discriminator"),
        }

    def _document(self) -> dict[str, Any]:
        return {
            "generator": checkpoint.describe_generator(self.generator),
            "progress": vars(self.progress),
            "best": self.progress.best,
            "device": self.device.type,
        }

    def _save(self) -> None:
        tensors, document = self._models(), self._document()
        if self._method is not None:
            tensors.update(checkpoint.prefixed(self._method.tensors(), "method"))
            tensors.update({f"rng.{name}": rng.get_state() for name, rng in self._rngs.items()})
            document["method"] = self._method.counters()
        self._keep("last", tensors, document)

    def _keep(self, name: str, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        if self.ranks.first:
            checkpoint.save(self.run, name, tensors, document)

    def _log(self, line: Line) -> None:
        """Append to the log; it must be on the disk before the checkpoint that counts its lines."""
        if not self.ranks.first:
            return
        path = self.run / METRICS
        # What cannot be told is null: readers of JSON outside Python refuse NaN.
        told = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        try:
            documents.append(path, json.dumps(told).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"Cannot write {path}: {documents.why(error)}.") from None

    def _keep_lines(self, count: int) -> None:
        """Drop lines of the log that were written after the checkpoint."""
        if not self.ranks.first:
            return
        path = self.run / METRICS
        try:
            lines = list(documents.lines(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"{path} cannot be read: {documents.why(error)}. Move it away; then go on.") from None
        if len(lines) > count:
            with replacing(path) as temporary:
                temporary.write_bytes(b"".join(lines[:count]))


def _sound(weights: Mapping[str, Tensor]) -> bool:
    try:
        checkpoint.check_weights(weights)
    except ValueError:
        return False
    return True


def _finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
