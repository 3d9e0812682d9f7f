"""From a folder of music to a finished run: scan, tokenize, plan, train. What `seqgan-music train` calls.

A run folder is complete from the moment it appears: `config.toml` (every setting written out), `vocabulary.json`,
`scan.json` (which files were used, skipped, why) and `tokens.npz` (what is learnt from), so that a run resumes
without the folder it came from. Training adds `metrics.jsonl`, `checkpoints/` and `samples/`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from seqgan_music import config as configs
from seqgan_music.config import ChoiceConfig, Config
from seqgan_music.errors import ConfigError, InputError, OutputError, RunError
from seqgan_music.files import check_writable, replacing
from seqgan_music.learning import checkpoint, discriminators, methods
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.sampling import sample
from seqgan_music.learning.trainer import Listener, Trainer
from seqgan_music.music import corpus, embedded, tokenizers, vocabulary
from seqgan_music.music.formats.midi import write_midi
from seqgan_music.music.notes import Tempo
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits

RUNS = Path("runs")
CONFIG, VOCABULARY, SCAN, TOKENS, SAMPLES = "config.toml", "vocabulary.json", "scan.json", "tokens.npz", "samples"
LOCK = "lock"

_SMALLER = "Make the generator, sequence_length, or batch and rollouts of a phase smaller."
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory")

log = logging.getLogger(__name__)


def check(config: Config) -> Config:
    """Check every choice of a run before any work, and return the config with all their options written out.

    Raises ConfigError.
    """
    made = tokenizers.create(config.tokenizer.name, config.tokenizer.options, config.corpus.reading.ticks_per_beat)
    if made.end_id is None:
        row = int(getattr(made.options, "length", config.sequence_length))
        if config.sequence_length > row:
            raise ConfigError(
                f"sequence_length {config.sequence_length} is more than the {row} steps of a row"
                f" of tokenizer '{made.name}'."
            )
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
    try:
        with torch.device("meta"):  # nothing is allocated
            models = [
                Generator(vocabulary_size, vocabulary_size, config.generator),
                discriminators.create(config.discriminator, vocabulary_size, config.sequence_length),
            ]
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"The models cannot be built: {str(error).splitlines()[0]}. {_SMALLER}") from None
    weights = sum(p.numel() for model in models for p in model.parameters())
    # Adam keeps a gradient and two moments beside each float32.
    if hasattr(os, "sysconf") and 16 * weights > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise ConfigError(f"The models would have {weights:,} weights: too many for this machine. {_SMALLER}")


def pick_device(name: str) -> torch.device:
    """Return the device named "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ... Raises ConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"There is no device '{name}'. Use auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"Device '{name}' is not supported. Use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise ConfigError(f"Device '{name}' is not on this machine. Use --device cpu.")
    return device


def check_free(folder: Path) -> None:
    """Check that a new run can be written to a folder.

    Raises InputError where there is something already, OutputError where nothing can be written.
    """
    if os.path.isfile(folder):
        raise InputError(f"{folder} is a file. Give --out a new folder.")
    check_writable(folder / CONFIG)
    if folder.is_dir() and any(folder.iterdir()):
        hint = f" To go on with it: --resume {folder}." if (folder / CONFIG).exists() else ""
        raise InputError(f"{folder} is not empty. Give --out a new folder.{hint}")


@contextmanager
def new_folder(out: Path | None) -> Iterator[Path]:
    """Make the folder of a new run, `out` or `runs/` and the time, and lock it; it goes again if the block fails.

    Raises InputError or RunError where it is taken, OutputError where it cannot be made.
    """
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    # Other runs may begin in the same second.
    candidates = (
        [RUNS / (stamp + end) for end in ("", *(f"-{n}" for n in range(2, 1000)))] if out is None else [out]
    )
    for path in candidates:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=out is not None)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"Cannot make the folder {path}: {(error.strerror or str(error)).lower()}.") from None
    else:
        raise InputError(f"{path} is taken. Give --out a new folder.")
    with _lock(path):
        if (path / CONFIG).exists():
            raise InputError(f"Another process has begun a run in {path}. Give --out a new folder.")
        try:
            yield path
        except BaseException:
            for name in (CONFIG, VOCABULARY, TOKENS, SCAN, LOCK):
                (path / name).unlink(missing_ok=True)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()
            raise


class Run:
    """A run folder with its data, its tokenizer and a trainer that stands where the run stands."""

    def __init__(
        self, folder: Path, config: Config, tokenizer: Tokenizer, splits: Splits, device: torch.device
    ) -> None:
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer
        self.splits = splits
        self.device = device
        self.trainer = Trainer(folder, config, splits, device)

    @classmethod
    def begin(
        cls,
        music: Path | None,
        config: Config,
        *,
        out: Path | None = None,
        device: torch.device,
        minutes: float | None = None,
        say: Callable[[str], None] = log.info,
    ) -> Run:
        """Scan `music` (None: the embedded corpus), plan, and write a new run folder. Raises SeqganMusicError."""
        if minutes is not None and not minutes > 0:
            raise ConfigError(f"--minutes must be above 0, not {minutes}.")
        config = check(config)
        check_sizes(config)
        check_free(out or RUNS / "new")
        say(f"Device: {describe_device(device)}")
        if music is None:
            music = embedded.default_folder(progress=True)
        scan = corpus.scan(music, config.corpus, progress=True)
        say(scan.table())
        tokenizer = tokenizers.create(
            config.tokenizer.name, config.tokenizer.options, config.corpus.reading.ticks_per_beat
        )
        splits, changed = corpus.tokenize(scan, config.corpus, tokenizer)
        with new_folder(out) as folder, _enough_memory():
            run = cls(folder, config, tokenizer, splits, device)
            say(run.describe())
            if changed:
                say("Tokenizing changed: " + ", ".join(f"{n:,} {what}" for what, n in changed.most_common()))
            run.plan(minutes, say)
            vocabulary.save(tokenizer, folder / VOCABULARY)
            splits.save(folder / TOKENS)
            _write_text(folder / SCAN, json.dumps(scan.to_json(), indent=1))
            # Last, since a folder with a config.toml is a run.
            _write_text(folder / CONFIG, configs.to_toml(configs.to_document(run.config)))
        _point_latest(folder)
        return run

    @classmethod
    def open(cls, folder: Path, device: torch.device) -> Run:
        """Open a run where its last checkpoint left it, or at its beginning. Raises RunError, ConfigError."""
        if not os.path.isfile(folder / CONFIG):
            raise RunError(f"{folder} is not a run: it has no {CONFIG}. Train one: seqgan-music train DIR.")
        config = check(configs.load(str(folder / CONFIG)))
        tokenizer = vocabulary.load(folder / VOCABULARY)
        splits = Splits.load(folder / TOKENS)
        size = splits.train.vocabulary_size
        if size != len(tokenizer.vocabulary):
            raise RunError(f"{folder}: {TOKENS} has {size} ids, {VOCABULARY} {len(tokenizer.vocabulary)}.")
        run = cls(folder, config, tokenizer, splits, device)
        if checkpoint.exists(folder, "last"):
            run.trainer.resume()
        return run

    def plan(self, minutes: float | None, say: Callable[[str], None]) -> None:
        """Measure a few steps, say how long the run will take, and shorten it to `minutes` where it is longer."""
        expected = self.trainer.expected_seconds()
        total = sum(expected)
        if minutes is not None and total > 60 * minutes:
            share = 60 * minutes / total
            phases = tuple(_scaled(phase, share) for phase in self.config.phases)
            self.config = replace(self.config, phases=phases)
            self.trainer = Trainer(self.folder, self.config, self.splits, self.device)
            say(f"Shortened to {share:.0%} of its updates to fit in {minutes:g} min; config.toml says how.")
            expected = [seconds * share for seconds in expected]
        each = ", ".join(f"{p.name} {_time(s)}" for p, s in zip(self.config.phases, expected, strict=True))
        say(f"Expected time: about {_time(sum(expected))} ({each}); less if it stops learning earlier.")

    def train(self, listener: Listener) -> None:
        """Train to the end.

        Raises RunError where another process trains this run, OutputError where nothing can be written any more:
        the run goes on from its last checkpoint once it can.
        """
        with _lock(self.folder), _enough_memory():
            if checkpoint.exists(self.folder, "last"):
                self.trainer.resume()  # another process may have gone on since this one looked
            _sweep(self.folder)
            self.trainer.train(listener)

    def write_samples(self, generator: Generator, name: str) -> list[Path]:
        """Write a few sequences, as the generator gives them at temperature 1, as MIDI under `samples/`."""
        config = self.config
        rng = torch.Generator(self.device).manual_seed(config.seed)
        count, length = config.evaluation.midi_samples, config.sequence_length
        qpm = _typical_qpm(self.folder)
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


def describe_device(device: torch.device) -> str:
    """Return the device for people: its name, or the number of threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


def _scaled(phase: ChoiceConfig, share: float) -> ChoiceConfig:
    method = methods.check(phase)
    return ChoiceConfig(phase.name, _values(methods.kind(phase).scaled(method, share)))


def _values(options: Any) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in fields(options)}


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _typical_qpm(run: Path) -> float:
    try:
        return min(max(float(json.loads((run / SCAN).read_bytes())["typical"]["qpm"]), 10.0), 400.0)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 120.0  # MIDI's own default; no reason to stop a run


def _sweep(run: Path) -> None:
    """Remove what a killed process was in the middle of writing."""
    for folder in (run, run / checkpoint.FOLDER, run / SAMPLES):
        for unfinished in folder.glob(".*.part*"):
            with suppress(OSError):
                unfinished.unlink()


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _point_latest(run: Path) -> None:
    """Let `latest` beside the run name it; where links are not to be had, the newest folder is found anyway."""
    latest = run.parent / "latest"
    with suppress(OSError):
        if latest.is_symlink() or not latest.exists():
            temporary = run.parent / f".latest-{os.getpid()}"
            temporary.symlink_to(run.name)
            os.replace(temporary, latest)


@contextmanager
def _lock(run: Path) -> Iterator[None]:
    """Hold the run's lock; it goes with the process, however that ends. Raises RunError where another holds it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    try:
        file = (run / LOCK).open("w")
    except OSError as error:
        raise OutputError(f"Cannot write {run / LOCK}: {(error.strerror or str(error)).lower()}.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"Another process is training {run}. Wait for it, or stop it.") from None
        except OSError:
            log.info("%s is on a file system without locks", run)
        yield


@contextmanager
def _enough_memory() -> Iterator[None]:
    """Raise ConfigError where the machine's or the GPU's memory does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        raise ConfigError(f"Not enough memory. {_SMALLER}") from None
