"""One or several runs evaluated: their rows, differences and verdicts, and the document that `--json` prints.

Runs of one recipe are its training seeds: row by row they are pooled, and a method of run k is compared with the
maximum likelihood phase of run k, from which it began. The test split is read here alone; which phase `sample`
should use is chosen on the validation split (`phases`).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqgan_music import __version__, run_folders
from seqgan_music import config as configs
from seqgan_music.config import Config
from seqgan_music.critic.judging import critic_of, knows
from seqgan_music.critic.source import PARTICLES, CriticSource, check_particles
from seqgan_music.errors import InputError, RunError
from seqgan_music.evaluate import phases as run_phases
from seqgan_music.evaluate import result, verdicts
from seqgan_music.evaluate.bootstrap import Estimate, Measured, between_runs
from seqgan_music.evaluate.figures import Row, catalogue, measure
from seqgan_music.evaluate.grammatical import GrammaticalSource
from seqgan_music.evaluate.ground import PLAIN, Ground, Options
from seqgan_music.evaluate.material import Material
from seqgan_music.evaluate.phases import Phase
from seqgan_music.evaluate.sources import GeneratorSource, Source
from seqgan_music.learning import checkpoint
from seqgan_music.music import corpus, scan_files, vocabulary
from seqgan_music.music.metrics.features import VERSION
from seqgan_music.music.metrics.windows import BARS
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits, TokenSet

_COPIES_TOLD = 5
_MOST_WRITTEN = 4e6
"""Ids that the critic's particles write for a row unless it is asked for: six or seven minutes of one core."""

Show = Callable[[str], None]
Document = dict[str, Any]


def _quietly(text: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Entry:
    """A row of the table, by run. `kind` is "reference", "baseline", "method" or, of a method, "grammar"."""

    name: str
    kind: str
    phase: int | None
    temperature: float | None
    rows: Sequence[Row]


@dataclass(frozen=True)
class Opened:
    """A run folder, read. `splits` are what the evaluation looks at: of a large corpus a part of `whole`."""

    folder: Path
    config: Config
    tokenizer: Tokenizer
    whole: Splits
    splits: Splits
    names: Sequence[str]
    phases: Sequence[Phase]

    @classmethod
    def of(cls, folder: Path) -> Opened:
        """Read a run. Raises RunError, ConfigError."""
        run_folders.check_run(folder)
        if not (folder / "tokens.npz").exists():
            raise RunError(f"{folder} does not hold the music that it learnt from: evaluate a run of your own.")
        config = configs.of_run(folder)
        tokenizer = vocabulary.load(folder / "vocabulary.json")
        whole, most = Splits.load(folder / "tokens.npz"), config.evaluation
        splits = whole.at_most(training=most.training_pieces, held_out=most.held_out_pieces)
        phases = run_phases.of_run(folder, config)
        return cls(folder, config, tokenizer, whole, splits, corpus.labels(folder / "scan.json"), phases)

    def left_out(self) -> Iterator[str]:
        """Yield how much of each split the evaluation does not look at, for people."""
        for part in fields(Splits):
            seen, there = (len(getattr(splits, part.name)) for splits in (self.splits, self.whole))
            if seen < there:
                key = "training_pieces" if part.name == "train" else "held_out_pieces"
                yield f"Of {there:,} {part.name} sequences {seen:,} are looked at (evaluation.{key})."

    def generator(self, phase: Phase) -> GeneratorSource:
        """Load what a phase ended with."""
        generator = checkpoint.load_generator(self.folder, phase.checkpoint)
        if generator.vocabulary_size != len(self.tokenizer.vocabulary):
            raise RunError(
                f"{self.folder}: checkpoint '{phase.checkpoint}' has {generator.vocabulary_size} tokens,"
                f" vocabulary.json {len(self.tokenizer.vocabulary)}: they are of different runs."
            )
        return GeneratorSource(generator, self.tokenizer.end_id, self.config.sampling.cutoff)


@dataclass
class Evaluation:
    """What was found. Methods are compared with the row `baseline`; `chosen` and `copies` are for one run alone."""

    ground: Ground
    runs: Sequence[Path]
    split: str
    started: float
    baseline: str = "mle"
    entries: list[Entry] = field(default_factory=list)
    chosen: Document | None = None
    copies: list[Document] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    """When the test split was read, each time."""
    seconds: float = 0.0
    chosen_by: dict[str, Mapping[str, Measured]] = field(default_factory=dict)
    """Figures on the validation split, by the weights of the generator that has them."""
    cutoff: float = 0.0
    """No token less likely than this was drawn; of several runs, the first one's."""

    @property
    def bits(self) -> str:
        """Name of the figure of held-out likelihood."""
        return f"bits_per_{self.ground.test.unit_name}"

    @classmethod
    def begin(
        cls, ground: Ground, runs: Sequence[Path], split: str, started: float, show: Show = _quietly
    ) -> Evaluation:
        """Measure the rows that no run changes."""
        found = cls(ground, runs, split, started)
        show("real")
        found.entries.append(Entry("real", "reference", None, None, [ground.measured(ground.other, None)]))
        for name, source in ground.baselines():
            show(name)
            row = ground.measured(ground.draw(source, PLAIN), source)
            found.entries.append(Entry(name, "baseline", None, None, [row]))
        return found

    def add(
        self,
        name: str,
        phase: int | None,
        sources: Sequence[Source],
        show: Show,
        temperatures: Sequence[float] = (),
        kind: str = "method",
    ) -> Material:
        """Draw and measure a method, a source for each run; return the first one's music at T=1.

        `temperatures` are all of the options unless given, and have 1 among them. Rows of another `kind` are shown,
        and compared with none.
        """
        plain: Material | None = None
        for temperature in temperatures or self.ground.options.grid:
            rows = []
            for number, source in enumerate(sources, 1):
                which = f", run {number} of {len(sources)}" if len(sources) > 1 else ""
                show(f"{name} at T={temperature:g}{which}")
                material = self.ground.draw(source, temperature)
                rows.append(self.ground.measured(material, source, temperature))
                if temperature == PLAIN and plain is None:
                    plain = material
            self.entries.append(Entry(name, kind, phase, temperature, rows))
        assert plain is not None  # the grid holds 1
        return plain

    def row(self, name: str, temperature: float | None = None) -> Entry | None:
        """Return a row by its name and temperature, or None."""
        return next((e for e in self.entries if e.name == name and e.temperature == temperature), None)

    def curve(self, name: str) -> dict[float, list[Mapping[str, Measured]]]:
        """Return a method's figures by temperature and run."""
        return {
            e.temperature: [row.figures for row in e.rows]
            for e in self.entries
            if e.name == name and e.kind == "method" and e.temperature is not None
        }

    def methods(self) -> list[str]:
        """Return the names of the methods, in their order."""
        return list(dict.fromkeys(entry.name for entry in self.entries if entry.kind == "method"))

    def verdicts(self) -> dict[str, verdicts.Judgement]:
        """Return what is said of each method but the baseline."""
        real = self.row("real")
        if self.baseline not in self.methods() or real is None:
            return {}
        return {
            name: verdicts.judge(
                verdicts.Comparison(
                    self.curve(name), self.curve(self.baseline), real.rows[0].figures, self.bits, self._rng
                )
            )
            for name in self.methods()
            if name != self.baseline
        }

    def figures(self, entry: Entry) -> dict[str, Estimate]:
        """Return the figures that every run of a row has, with their intervals."""
        found = {}
        for figure in catalogue(self.ground.test.unit_name):
            if all(figure.name in row.figures for row in entry.rows):
                estimate = between_runs([row.figures[figure.name] for row in entry.rows], self._rng())
                found[figure.name] = estimate.within(0.0, figure.most)
        return found

    def differences(self) -> Iterator[Document]:
        """Yield the differences of every method to the baseline, temperature by temperature."""
        for entry in self.entries:
            base = self.row(self.baseline, entry.temperature)
            if entry.kind != "method" or entry.name == self.baseline or base is None:
                continue
            found = {
                name: between_runs(
                    [a.figures[name] - b.figures[name] for a, b in zip(entry.rows, base.rows, strict=True)],
                    self._rng(),
                )
                for name in self.figures(entry)
                if all(name in row.figures for row in base.rows)
            }
            yield {
                "name": entry.name,
                "against": self.baseline,
                "temperature": entry.temperature,
                "figures": {name: _plain(estimate) for name, estimate in found.items()},
            }

    def document(self) -> Document:
        """Return all of it as plain values."""
        ground = self.ground
        return {
            "format": result.FORMAT,
            "features": VERSION,
            "version": __version__,
            "read": self.reads,
            "runs": [str(run) for run in self.runs],
            "seed": ground.options.seed,
            "split": self.split,
            "data": {
                "train_pieces": len(ground.splits.train),
                "test_pieces": ground.reference.material.count,
                "test_windows": len(ground.reference.material.windows),
                "windows_compared": len(ground.reference.kept.windows),
                "generated_pieces": ground.count,
                "unit": ground.test.unit_name,
                "bars_a_window": BARS,
            },
            "temperatures": list(ground.options.grid),
            "cutoff": self.cutoff,
            "metrics": [asdict(one) for one in catalogue(ground.test.unit_name)],
            "rows": [self._row(entry) for entry in self.entries],
            "differences": list(self.differences()),
            "verdicts": [
                {"name": name, "verdict": str(found.verdict), "why": found.why}
                for name, found in self.verdicts().items()
            ],
            "chosen": self.chosen,
            "copies": self.copies,
            "notes": self.notes,
            "seconds": round(self.seconds, 1),
        }

    def _row(self, entry: Entry) -> Document:
        curves = np.array([row.lag_curve for row in entry.rows])
        document: Document = {
            "name": entry.name,
            "kind": entry.kind,
            "phase": entry.phase,
            "temperature": entry.temperature,
            "windows": round(float(np.mean([row.windows for row in entry.rows])), 1),
            "figures": {name: _plain(estimate) for name, estimate in self.figures(entry).items()},
            "lag_curve": [None if math.isnan(value) else float(value) for value in curves.mean(0)],
        }
        if entry.rows[0].features and entry.temperature in (None, PLAIN):
            document["features"] = entry.rows[0].features
        return document

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.ground.options.seed + 7)


def evaluate(
    folder: Path,
    options: Options,
    *,
    against: Path | None = None,
    critic: int | None = None,
    show: Show = _quietly,
    bars: bool = True,
) -> Evaluation:
    """Evaluate one run on its test split, or on the music in `against`, and choose what `sample` does.

    `critic` is the number of particles of the row with the run's critic (`add_critic`), 0 for none; None means 8
    where the run has one of the chosen phase. `show` is told what is being done; `bars` shows how far reading is on
    stderr, where that is a terminal. Raises RunError for a run that cannot be used, ConfigError for a number that
    cannot be, InputError for such music.
    """
    run = Opened.of(folder)
    check_particles(critic)
    if critic:
        critic_of(run.folder)  # it is missed before minutes of work
    found = _begin([run], options, against, show, bars)
    if run.phases[0].number is None:
        found.notes.append(
            "The run has no checkpoints of its phases (an older version made it): only its best state."
        )
    materials: dict[str, Material] = {}
    for phase in run.phases:
        same = next(one for one in run.phases if one.weights == phase.weights)
        if same is phase:
            materials[phase.name] = found.add(phase.name, phase.number, [run.generator(phase)], show)
        else:  # it went back to where it had begun
            materials[phase.name] = materials[same.name]
            again = [entry for entry in found.entries if entry.kind == "method" and entry.name == same.name]
            found.entries += [replace(entry, name=phase.name, phase=phase.number) for entry in again]
    if against is None:
        found.reads = [*(result.read(folder) or {}).get("read", ()), time.strftime("%Y-%m-%d %H:%M:%S")]
    show("choosing")
    chosen, why = _choose(found, run)
    found.chosen = {
        "phase": chosen.number,
        "name": chosen.name,
        "checkpoint": chosen.checkpoint,
        "sha256": chosen.sha256,
        "why": why,
    }
    found.copies = _longest_copies(found.ground, chosen.name, materials[chosen.name])
    _add_grammar(found, run, chosen, materials[chosen.name], show)
    found.seconds = time.perf_counter() - found.started
    if critic or (critic is None and knows(folder, chosen.sha256)):
        add_critic(found, critic, show=show)
    return found


def add_critic(found: Evaluation, particles: int | None = None, *, show: Show = _quietly) -> None:
    """Add what the chosen phase writes with the run's critic and so many particles; choose whether `sample` does.

    None is 8, and nothing is added where pieces are so many or long that it would take many minutes. What the
    critic keeps is less diverse than what is plainly drawn: the temperatures are those from 1 up. Raises RunError
    where the run has no critic of that phase.
    """
    (folder,), choice = found.runs, found.chosen
    assert choice is not None
    if particles is None:
        particles = PARTICLES
        lengths = np.minimum(found.ground.test.lengths, found.ground.length)
        if particles * found.ground.count * float(lengths.mean()) > _MOST_WRITTEN:
            choice["particles"] = None
            choice["why"] += "; its critic was not tried, so many or long are the pieces (evaluate --critic 8)"
            return
    started, run = time.perf_counter(), Opened.of(folder)
    phase = next(one for one in run.phases if one.checkpoint == choice["checkpoint"])
    cutoff = run.config.sampling.cutoff
    generator = run.generator(phase).generator
    source = CriticSource(generator, run.tokenizer, critic_of(folder), particles, cutoff=cutoff)
    name = f"{phase.name}+critic"
    at = [temperature for temperature in found.ground.options.grid if temperature >= PLAIN]
    material = found.add(name, phase.number, [source], show, at)
    show("choosing whether the critic does")
    guided = _figures(found.ground, run, source)
    helps, why = run_phases.helps(guided, _figures_of(found, run, phase), found.bits)
    choice["why"] += f"; {why}"
    choice["particles"] = particles if helps else None
    if helps:
        found.copies = _longest_copies(found.ground, name, material)
    found.seconds += time.perf_counter() - started


def compare(folders: Sequence[Path], options: Options, *, show: Show = _quietly) -> Evaluation:
    """Evaluate several runs on the one test split that they share.

    Runs that differ in their seed alone are pooled, phase by phase. Otherwise each run is a row, as `sample` would
    use it, and the first stands where MLE does; a run may be compared with itself.
    Raises RunError where there are fewer than two, or they learnt from different music.
    """
    if len(folders) < 2:
        raise RunError("Give at least two runs to compare.")
    runs = [Opened.of(folder) for folder in folders]
    for other in runs[1:]:
        _check_same_music(runs[0], other)
    found = _begin(runs, options, None, show)
    different = len({run.folder.resolve() for run in runs}) == len(runs)
    if different and all(_recipe(run) == _recipe(runs[0]) for run in runs):
        for phase in runs[0].phases:
            sources = [run.generator(next(p for p in run.phases if p.name == phase.name)) for run in runs]
            found.add(phase.name, phase.number, sources, show)
    else:
        names = _different([run.folder.resolve().name for run in runs])
        found.baseline = names[0]
        found.notes.append(f"The runs are not seeds of one recipe. The first, {names[0]}, stands where MLE does.")
        for name, run in zip(names, runs, strict=True):
            used = run_phases.saved_phase(run.folder, name, None, result.chosen(run.folder).checkpoint)
            found.add(name, None, [run.generator(used)], show)
    found.seconds = time.perf_counter() - found.started
    return found


def _begin(
    runs: Sequence[Opened], options: Options, against: Path | None, show: Show, bars: bool = True
) -> Evaluation:
    """Read the music and measure the rows that no run changes."""
    started = time.perf_counter()
    show("reading")
    first = runs[0]
    halves = _halves(against, first, bars) if against is not None else None
    ground = Ground(first.splits, first.tokenizer, options, names=first.names, against=halves)
    split = "test" if against is None else f"against {against.name}"
    found = Evaluation.begin(ground, [run.folder for run in runs], split, started, show)
    found.notes += first.left_out()
    found.cutoff = first.config.sampling.cutoff
    return found


def _choose(found: Evaluation, run: Opened) -> tuple[Phase, str]:
    """Compare the phases on the validation split."""
    compared = run.phases if len(run.phases) > 1 else ()
    figures = {phase.name: _figures_of(found, run, phase) for phase in compared}
    return run_phases.choose(run.phases, figures, found.bits)


def _add_grammar(found: Evaluation, run: Opened, chosen: Phase, free: Material, show: Show) -> None:
    """Add what the chosen phase writes under its grammar, as `sample` does, where without it mistakes are made."""
    if run.tokenizer.end_id is None or free.valid.all():
        return
    generator = run.generator(chosen).generator
    source = GrammaticalSource(generator, run.tokenizer, run.config.sampling.cutoff)
    found.add(f"{chosen.name}+grammar", chosen.number, [source], show, [PLAIN], kind="grammar")


def _figures_of(found: Evaluation, run: Opened, phase: Phase) -> Mapping[str, Measured]:
    """Return a phase's figures on the validation split, measured once for all phases of its weights."""
    if phase.weights not in found.chosen_by:
        found.chosen_by[phase.weights] = _figures(found.ground, run, run.generator(phase))
    return found.chosen_by[phase.weights]


def _figures(ground: Ground, run: Opened, source: Source) -> Mapping[str, Measured]:
    """Return a source's figures on the validation split, at T=1, with samples that nothing else sees."""
    row = measure(ground.draw(source, PLAIN, seed=1), ground.validation)
    nll = source.nll(run.splits.validation, PLAIN)
    if nll is None:
        return row.figures
    bits = float(nll.sum()) / math.log(2) / int(run.splits.validation.units.sum())
    return row.figures | {f"bits_per_{ground.test.unit_name}": Measured(bits, np.zeros(0))}


def _longest_copies(ground: Ground, name: str, material: Material) -> list[Document]:
    """Return the longest runs that a method copied from the training set, the nearest piece named."""
    longest = [
        (run.notes, number, run) for number, run in enumerate(ground.index.longest_runs(material.pieces)) if run
    ]
    longest.sort(key=lambda one: (-one[0], one[1]))
    return [
        {
            "file": f"{name}-{number + 1}",
            "notes": notes,
            "bar": run.start_bar,
            "source": run.source,
            "source_bar": run.source_bar,
            "transposed": run.transposed,
        }
        for notes, number, run in longest[:_COPIES_TOLD]
    ]


def _halves(folder: Path, run: Opened, bars: bool = True) -> tuple[TokenSet, TokenSet]:
    """Read other music with the run's tokenizer, in two halves that share no tune with each other or the run's.

    Raises InputError where there are not two such tunes.
    """
    scan = corpus.scan(folder, run.config.corpus, progress=bars, check=False)
    known = scan_files.known_families(run.folder / "scan.json")
    new = sorted(set(scan.family_names) - known)
    side_of = {family: number % 2 for number, family in enumerate(new)}
    sides: list[list[int]] = [[], []]
    for number, family in enumerate(scan.family_names):
        if family in side_of:
            sides[side_of[family]].append(number)
    halves = [_encoded(scan, numbers, run) for numbers in sides]
    if not all(map(len, halves)):
        raise InputError(
            f"{folder} has too little to compare with: at least two tunes that {run.folder} has not seen."
        )
    return halves[0], halves[1]


def _encoded(scan: corpus.Scan, numbers: Sequence[int], run: Opened) -> TokenSet:
    """Return the run's rows of some kept pieces of a scan, or of as many of them as an evaluation looks at."""
    most, rows, sources = run.config.evaluation.held_out_pieces, list[list[int]](), list[int]()
    for turn in range(min(most, len(numbers))):
        number = numbers[turn * len(numbers) // min(most, len(numbers))]
        some = run.tokenizer.encode(scan.pieces[number])
        rows += some
        sources += [number] * len(some)
    train = run.splits.train
    return TokenSet.from_rows(
        rows,
        vocabulary_size=train.vocabulary_size,
        start_id=train.start_id,
        end_id=train.end_id,
        units=[run.tokenizer.units(row) for row in rows],
        unit_name=train.unit_name,
        sources=sources,
    )


def _check_same_music(first: Opened, other: Opened) -> None:
    """Raise RunError where two runs were not made from the same pieces, split and tokenized alike."""
    for name in ("train", "validation", "test"):
        mine, theirs = getattr(first.whole, name), getattr(other.whole, name)
        if not (np.array_equal(mine.ids, theirs.ids) and np.array_equal(mine.offsets, theirs.offsets)):
            raise RunError(
                f"{first.folder} and {other.folder} learnt from different music, or it was split in another way:"
                " their figures cannot be compared."
            )


def _recipe(run: Opened) -> tuple[Config, tuple[str, ...]]:
    """What training seeds of one recipe share."""
    return replace(run.config, seed=0), tuple(phase.name for phase in run.phases)


def _different(names: Sequence[str]) -> list[str]:
    seen = Counter[str]()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return made


def _plain(estimate: Estimate) -> dict[str, float]:
    """Return an estimate without what is not known."""
    return {name: value for name, value in asdict(estimate).items() if math.isfinite(value)}
