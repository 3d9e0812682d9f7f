"""From a folder of music to a finished run: scan, tokenize, plan, train. What `seqgan-music train` calls.

A run folder is complete from the moment it appears: `config.toml` (every setting written out), `vocabulary.json`,
`scan.json` and `scan.jsonl` (which files were used, skipped, why) and `tokens.npz` (what is learnt from), so that a
run resumes without the folder it came from. Training adds `metrics.jsonl`, `checkpoints/` and `samples/`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from seqgan_music import config as configs
from seqgan_music import memory, rewards, run_folders
from seqgan_music.compose.runs import typical
from seqgan_music.config import ChoiceConfig, Config, CriticConfig
from seqgan_music.errors import ConfigError, RunError
from seqgan_music.learning import checkpoint, devices, discriminators, methods, sizes
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.ranks import ALONE, Ranks
from seqgan_music.learning.sampling import sample
from seqgan_music.learning.trainer import Line, Listener, Trainer, begun
from seqgan_music.music import corpus, embedded, scan_files, tokenizers, vocabulary
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.notes import DEFAULT_QPM, Tempo
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.run_folders import write_text
from seqgan_music.tokenset import Effect, Splits

CONFIG, VOCABULARY, TOKENS, SAMPLES = "config.toml", "vocabulary.json", "tokens.npz", "samples"
_FILES = (rewards.TASTE, VOCABULARY, TOKENS, scan_files.FILES, scan_files.SCAN, CONFIG)
"""All that a run begins with. The config is written last, since a folder with a config.toml is a run."""

_SMALLER = "Make the generator, sequence_length, or batch and rollouts of a phase smaller."

log = logging.getLogger(__name__)


def check(config: Config, ranks: Ranks = ALONE) -> Config:
    """Check every choice of a run before any work, and return the config with all their options written out.

    Raises ConfigError.
    """
    for phase in config.phases:
        if (reason := methods.kind(phase).only_in_oracle) is not None:
            raise ConfigError(f"Method '{phase.name}' works in `seqgan-music oracle` alone: {reason}.")
        if ranks.size > 1 and (reason := getattr(methods.kind(phase), "only_alone", None)) is not None:
            raise ConfigError(f"Method '{phase.name}' trains in one process: {reason}. Start it without torchrun.")
        needed = getattr(methods.kind(phase), "needs_discriminator", None)
        if needed not in (None, config.discriminator.name):
            raise ConfigError(
                f"Method '{phase.name}' needs discriminator '{needed}', not '{config.discriminator.name}'."
            )
    made = tokenizers.create(config.tokenizer.name, config.tokenizer.options, config.corpus.reading.ticks_per_beat)
    if made.end_id is None:
        row = int(getattr(made.options, "length", config.sequence_length))
        if config.sequence_length > row:
            raise ConfigError(
                f"sequence_length {config.sequence_length} is more than the {row} steps of a row"
                f" of tokenizer '{made.name}'."
            )
    effects = made.effects()
    if config.generator.clock and effects is None:
        raise ConfigError(f"generator.clock needs bars, and tokenizer '{made.name}' has none. Set it to false.")
    if config.generator.returns and (effects is None or not (effects[0] == Effect.RETURN).any()):
        raise ConfigError("generator.returns needs tokens that say so. Set tokenizer.returns = 16, or it to false.")
    if config.generator.voices and (effects is None or not (effects[0] == Effect.VOICE).any()):
        raise ConfigError(
            'generator.voices needs tokens that say so. Set tokenizer.name = "ensemble", or it to false.'
        )
    config = rewards.check(config, made)
    return replace(
        config,
        tokenizer=ChoiceConfig(made.name, _values(made.options)),
        discriminator=ChoiceConfig(config.discriminator.name, _values(discriminators.check(config.discriminator))),
        phases=tuple(methods.resolved(phase) for phase in config.phases),
    )


def check_sizes(config: Config) -> None:
    """Raise ConfigError where the models cannot be built, or would never fit in this machine's memory."""
    choice, ticks_per_beat = config.tokenizer, config.corpus.reading.ticks_per_beat
    vocabulary_size = len(tokenizers.create(choice.name, choice.options, ticks_per_beat).vocabulary)
    sizes.check(
        lambda: [
            Generator(vocabulary_size, vocabulary_size, config.generator),
            discriminators.create(config.discriminator, vocabulary_size, config.sequence_length),
        ],
        _SMALLER,
    )


class Run:
    """A run folder with its data, its tokenizer and a trainer that stands where the run stands."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        tokenizer: Tokenizer,
        splits: Splits,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer
        self.splits = splits
        self.device = device
        self.trainer = self._trainer()

    def _trainer(self) -> Trainer:
        # What is measured after each round must not grow with the corpus.
        held_out = self.splits.validation.at_most(self.config.evaluation.held_out_pieces)
        return Trainer(
            self.folder,
            self.config,
            replace(self.splits, validation=held_out),
            self.device,
            objective=rewards.objective(self.config, self.tokenizer, self.folder),
            probe=rewards.probe(self.config, self.tokenizer, self.folder),
            ranks=self.ranks,
        )

    @classmethod
    def begin(
        cls,
        music: Path | None,
        config: Config,
        *,
        out: Path | None = None,
        device: torch.device,
        minutes: float | None = None,
        say: Callable[[str], object] = log.info,
        bars: bool = True,
        ranks: Ranks = ALONE,
    ) -> Run:
        """Scan `music` (None: the embedded corpus), plan, and write a new run folder. Raises SeqganMusicError.

        `bars` shows how far reading is on stderr, where that is a terminal.

        Of several `ranks` the first does it alone, with a worker process on every core: more of them would read the
        same files on the same cores. It plans by its own share of a step. Then all open what it wrote.
        """
        if ranks.size == 1:
            return cls._begin(music, config, out, device, minutes, say, bars, ranks)

        def alone() -> str:
            return str(cls._begin(music, config, out, device, minutes, say, bars, ranks.rehearsal()).folder)

        return cls.open(Path(ranks.by_first(alone)), device, ranks)

    @classmethod
    def _begin(
        cls,
        music: Path | None,
        config: Config,
        out: Path | None,
        device: torch.device,
        minutes: float | None,
        say: Callable[[str], object],
        bars: bool,
        ranks: Ranks,
    ) -> Run:
        if minutes is not None and not minutes > 0:
            raise ConfigError(f"--minutes must be above 0, not {minutes}.")
        config = check(config, ranks)
        check_sizes(config)
        run_folders.check_free(out or run_folders.RUNS / "new", _FILES)
        rated = rewards.rated(config)
        say(f"Device: {devices.describe(device)}")
        if music is None:
            music = embedded.default_folder(progress=bars)
        scan = corpus.scan(music, config.corpus, progress=bars)
        say(scan.table())
        tokenizer = tokenizers.create(
            config.tokenizer.name, config.tokenizer.options, config.corpus.reading.ticks_per_beat
        )
        splits, changed = corpus.tokenize(scan, config.corpus, tokenizer, progress=bars)
        config = rewards.aimed(config, tokenizer, splits.train)
        with run_folders.new_folder(out, _FILES) as folder, _enough_memory():
            rewards.keep(rated, folder)
            splits.save(folder / TOKENS)
            scan_files.write(scan, folder)
            del scan  # what is known of every file is not needed any more
            run = cls(folder, config, tokenizer, splits, device, ranks)
            say(run.describe())
            if changed:
                say("Tokenizing changed: " + ", ".join(f"{n:,} {what}" for what, n in changed.most_common()))
            run.plan(minutes, say)
            vocabulary.save(tokenizer, folder / VOCABULARY)
            write_text(folder / CONFIG, configs.to_file(configs.to_document(run.config)))
        run_folders.point_latest(folder)
        return run

    @classmethod
    def open(cls, folder: Path, device: torch.device, ranks: Ranks = ALONE) -> Run:
        """Open a run where its last checkpoint left it, or at its beginning. Raises RunError, ConfigError.

        Of several `ranks` each opens it, with any number of them, whatever their number was before.
        """
        run_folders.check_run(folder)
        config = check(configs.of_run(folder), ranks)
        tokenizer = vocabulary.load(folder / VOCABULARY)
        splits = Splits.load(folder / TOKENS)
        size = splits.train.vocabulary_size
        if size != len(tokenizer.vocabulary):
            raise RunError(f"{folder}: {TOKENS} has {size} ids, {VOCABULARY} {len(tokenizer.vocabulary)}.")
        config = rewards.aimed(config, tokenizer, splits.train)
        run = cls(folder, config, tokenizer, splits, device, ranks)
        if begun(folder):
            run.trainer.resume()
        return run

    def plan(self, minutes: float | None, say: Callable[[str], object]) -> None:
        """Measure a few steps, say how long the run will take, and shorten it to `minutes` where it is longer."""
        say("Measuring a step of each kind")
        expected = self.trainer.expected_seconds()
        total = sum(expected)
        if minutes is not None and total > 60 * minutes:
            share = 60 * minutes / total
            phases = tuple(_scaled(phase, share) for phase in self.config.phases)
            self.config = replace(self.config, phases=phases, critic=_scaled_critic(self.config.critic, share))
            self.trainer = self._trainer()
            say(f"Shortened to {share:.0%} of its updates to fit in {minutes:g} min; config.toml says how.")
            expected = [seconds * share for seconds in expected]
        each = ", ".join(f"{p.name} {_time(s)}" for p, s in zip(self.config.phases, expected, strict=True))
        say(f"Expected time: about {_time(sum(expected))} ({each}); less if it stops learning earlier.")

    def train(self, listener: Listener) -> None:
        """Train to the end.

        Raises RunError where another process trains this run, OutputError where nothing can be written any more:
        the run goes on from its last checkpoint once it can.
        """
        with ExitStack() as held, _enough_memory():
            if self.ranks.first:
                held.enter_context(run_folders.locked(self.folder))
                run_folders.sweep(self.folder, self.folder / checkpoint.FOLDER, self.folder / SAMPLES)
            if self.ranks.agreed(begun(self.folder)):
                self.trainer.resume()  # another process may have gone on since this one looked
            self.trainer.train(listener)

    def write_samples(self, generator: Generator, name: str) -> list[Path]:
        """Write a few sequences, as the generator gives them at temperature 1, as MIDI under `samples/`."""
        config = self.config
        rng = torch.Generator(self.device).manual_seed(config.seed)
        count, length = config.evaluation.midi_samples, config.sequence_length
        if not count:
            return []
        qpm = self.tokenizer.qpm or typical(self.folder).get("qpm", DEFAULT_QPM)
        paths = []
        for number, ids in enumerate(sample(Stepper(generator), count, length, rng, self.tokenizer.end_id), 1):
            piece = self.tokenizer.decode(ids.tolist()).piece
            if piece.notes:
                paths.append(self.folder / SAMPLES / f"{name}-{number}.mid")
                write_midi(replace(piece, tempos=(Tempo(0, qpm),)), paths[-1], title=f"{self.folder.name} {name}")
        return paths

    def describe(self) -> str:
        """Return what is learnt from and what learns, for people."""
        sets = {f.name: getattr(self.splits, f.name) for f in fields(self.splits)}
        unit = self.splits.train.unit_name
        shifts = self.splits.train.shift_allowed.sum(1).mean()
        models = ", ".join(f"{name} {count:,}" for name, count in self.trainer.parameters().items())
        train = sets["train"]
        return "\n".join(
            [
                f"Tokens: {self.tokenizer.name}, vocabulary {train.vocabulary_size},"
                f" {train.lengths.sum() / max(1, train.units.sum()):.2f} tokens a {unit}",
                "Sequences: "
                + ", ".join(f"{name} {len(tokens):,}" for name, tokens in sets.items())
                + f"; {train.units.sum():,} {unit}s to learn from, each sequence in {shifts:.1f} keys",
                f"Weights: {models}",
            ]
        )


class Teller:
    """A listener: lets a few samples be heard at each evaluation, and tells in lines how a run goes.

    `on_evaluation` is given what was measured.
    """

    def __init__(
        self,
        run: Run,
        say: Callable[[str], object],
        on_evaluation: Callable[[dict[str, Any]], object] = lambda line: None,
    ) -> None:
        self.run, self.say, self.on_evaluation = run, say, on_evaluation
        self.rounds = (0, 0)
        """Done of this phase, and of how many."""

    def phase(self, number: int, name: str, rounds: int, done: int) -> None:
        """A phase begins, or goes on."""
        self.rounds = (done, rounds)
        phases = len(self.run.config.phases)
        self.say(f"Phase {number + 1} of {phases}: {name}, {rounds} rounds" + (f", {done} done" if done else ""))

    def progress(self, measures: dict[str, float]) -> None:
        """A small step is done."""

    def evaluated(self, line: Line, generator: Generator, is_best: bool) -> None:
        """A round is measured."""
        self.rounds = (line["round"], self.rounds[1])
        self.run.write_samples(generator, f"{line['phase']}-{line['method']}-{line['round']:04}")
        bits = next(value for name, value in line.items() if name.startswith("validation_bits"))
        unit = self.run.splits.train.unit_name
        text = (
            f"  round {line['round']:>3}/{self.rounds[1]}  held-out {line['validation_nats']:.4f} nats a token,"
            f" {bits:.3f} bits a {unit}  entropy {line['entropy']:.2f}  distinct-4 {line['distinct_4']:.2f}"
        )
        if "d_accuracy" in line and line["round"] > 0:
            text += f"  D acc {line['d_accuracy']:.2f} bound {line['d_bound']:+.2f}"
            if "reward" in line:
                text += f"  reward {line['reward']:.3f}"
        self.say(text + ("  *" if is_best else ""))
        self.on_evaluation(dict(line))

    def note(self, text: str) -> None:
        """Something that people must know has happened."""
        self.say(f"  {text}")


def _scaled(phase: ChoiceConfig, share: float) -> ChoiceConfig:
    method = methods.check(phase)
    return ChoiceConfig(phase.name, _values(methods.kind(phase).scaled(method, share)))


def _scaled_critic(critic: CriticConfig, share: float) -> CriticConfig:
    def fewer(wanted: int) -> int:
        return wanted and max(64, round(wanted * share))  # 0 means without

    names = ("negatives", "held_out", "windows", "bar_windows")
    return replace(critic, **{name: fewer(getattr(critic, name)) for name in names})


def _values(options: Any) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in fields(options)}


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


@contextmanager
def _enough_memory() -> Iterator[None]:
    """Raise ConfigError where the machine's or the GPU's memory does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not memory.exhausted(error):
            raise
        raise ConfigError(f"Not enough memory. {_SMALLER}") from None
