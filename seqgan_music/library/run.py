"""A trained run as a value: what it writes, what its critic says, how good it is."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgan_music import asking, compose
from seqgan_music.arguments import AnyPath, checked
from seqgan_music.asking import Choice, Desk, Source
from seqgan_music.compose import Composer, Composition, Controls, Density, Key, PitchRange, Primer, check_seeds
from seqgan_music.errors import ConfigError, InputError, RunError
from seqgan_music.library.evaluation import Evaluation
from seqgan_music.library.music import OneMusic, paths_of, piece_of
from seqgan_music.library.telling import told
from seqgan_music.music.notes import Piece

if TYPE_CHECKING:
    from seqgan_music.config import Config
    from seqgan_music.critic.judging import Critic, Judgement
    from seqgan_music.critic.scoring import Scored
    from seqgan_music.music.tokenizers import Tokenizer


@checked()
def load(run: AnyPath | None = None) -> Run:
    """Return a trained run by its folder.

    Without one, it is what `seqgan-music sample` would take: the newest of `runs/` in the current folder, else the
    model that comes with the package, whose own name is "bundled". Raises RunError where there is no such run.
    """
    return Run(compose.find_run(Path(run) if run is not None else None))


class Run:
    """A trained run: its folder, and what can be done with it. Made by `train` and `load`.

    What takes time is loaded when it is first needed, and kept. The folder is read alone, but for `evaluate`,
    `report` and `resume`, which write into it.
    """

    @checked()
    def __init__(self, folder: AnyPath) -> None:
        """Open a folder. Raises RunError where it is no run or cannot be used, ConfigError for its config.toml."""
        self.folder = Path(folder).resolve()  # so that it stays the same wherever the program goes
        self._composer = Composer.open(self.folder)

    def __repr__(self) -> str:
        """Return "Run('/home/me/runs/first')"."""
        return f"Run({str(self.folder)!r})"

    @checked(key="C major", density="3-6", pitch_range="C4-G5")
    def sample(
        self,
        n: int = 1,
        *,
        seed: int | None = None,
        bars: int | None = None,
        seconds: float | None = None,
        temperature: float = 1.0,
        cutoff: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        key: str | None = None,
        tempo: float | None = None,
        program: int | str | None = None,
        density: str | None = None,
        pitch_range: str | None = None,
        max_copy: int | None = None,
        primer: OneMusic | None = None,
        keep_primer: bool = True,
        critic: bool | int | None = None,
        best_of: int = 1,
        prefer: str | None = None,
        progress: Callable[[Composition], object] | None = None,
    ) -> list[Composition]:
        """Write `n` new pieces; piece i is that of seed `seed + i`, and the same wherever it is written.

        Args:
            n: Pieces.
            seed: From 0 on; with the other arguments it decides the piece. One is drawn unless given, and every
                piece tells its own.
            bars: Length of what is new; 16, and an upbeat, unless given.
            seconds: The same in seconds, instead of `bars`.
            temperature: Below 1 safer, above 1 bolder.
            cutoff: Never a token less likely than this, 0 to 1; 0 is off, None as the run's configuration says.
            top_k: Only the k likeliest tokens; 0 is off.
            top_p: Only the fewest tokens of that joint probability; 1 is off.
            key: Scale that new notes stay in: "C major", "F# minor", "D dorian".
            tempo: Quarter notes a minute; the primer's or the training music's unless given.
            program: Instrument, a General MIDI number 0 to 127 or a name as "flute"; as for `tempo` unless given.
            density: Notes that begin in a bar: "4", "3-6", or bar by bar "4,4,8,8".
            pitch_range: Pitches of new notes: "C4-G5", "60-79", or bar by bar.
            max_copy: No more than so many notes in a row from the training music, in whatever key.
            primer: Music to continue: a file or a piece.
            keep_primer: Whether the pieces begin with the primer.
            critic: Whether the run's critic chooses among pieces while they are written side by side, or among how
                many; None is as the run's evaluation found best.
            best_of: Candidates for each piece, of which the best is kept.
            prefer: What is best, as "key=1,range=0.5,liked=2" (docs/objectives.md); the critic unless given.
            progress: Is called with each piece when it is written.

        Raises:
            ConfigError: A value that cannot be.
            RunError: A critic, or the training music, is needed and the run has none.
            InputError: A primer that cannot be used.
        """
        seed = _seed(seed)
        check_seeds(seed, n)
        if prefer is not None and best_of == 1:
            raise ConfigError("prefer chooses among candidates: say how many with best_of, as in best_of=8.")
        controls = Controls(
            temperature=temperature,
            cutoff=cutoff,
            top_k=top_k,
            top_p=top_p,
            bars=bars,
            seconds=seconds,
            tempo=tempo,
            program=_program(program),
            key=None if key is None else Key.parse(key),
            density=None if density is None else Density.parse(density),
            pitch_range=None if pitch_range is None else PitchRange.parse(pitch_range),
            keep_primer=keep_primer,
            max_copy=max_copy,
        )
        source = None if primer is None else self._source(primer)
        desk = Desk(self.folder, self._composer, controls, source, Choice(best_of, prefer, _particles(critic)))
        return self._written(desk, range(seed, seed + n), progress)

    @checked()
    def rewrite(
        self,
        music: OneMusic,
        bars: Iterable[int],
        *,
        seed: int | None = None,
        n: int = 1,
        temperature: float = 1.0,
        critic: bool | int | None = None,
        progress: Callable[[Composition], object] | None = None,
    ) -> list[Composition]:
        """Write some bars of a piece, counted from 1, anew so that they lead to what is kept; `n` ways of it.

        All other bars keep their notes. `Composition.changed` is the share of notes that differ. Other arguments
        are those of `sample`. Raises ConfigError, InputError, RunError.
        """
        seed = _seed(seed)
        check_seeds(seed, n)
        source = self._source(music)
        whole = range(1, len(compose.bars_of(source.primer.piece)) + 1)
        new = set(bars)
        if wrong := new - set(whole):
            raise ConfigError(f"There is no bar {min(wrong)}: the piece has {len(whole)} bars.")
        keep = tuple(bar for bar in whole if bar not in new)
        kept = Source(source.primer, source.name, keep=keep, keep_text=asking.ranges(keep))
        choice = Choice(particles=_particles(critic))
        desk = Desk(self.folder, self._composer, Controls(temperature=temperature), kept, choice)
        return self._written(desk, range(seed, seed + n), progress)

    @checked()
    def vary(
        self,
        music: OneMusic,
        distance: float = asking.DISTANCE,
        *,
        seed: int | None = None,
        n: int = 1,
        temperature: float = 1.0,
        progress: Callable[[Composition], object] | None = None,
    ) -> list[Composition]:
        """Write `n` variations of a piece: the share `distance` of its bars, 0 to 1, anew, the others kept.

        Other arguments are those of `sample`. Raises ConfigError, InputError, RunError.
        """
        seed = _seed(seed)
        check_seeds(seed, n)
        source = self._source(music)
        theme = Source(source.primer, source.name, distance=distance)
        desk = Desk(self.folder, self._composer, Controls(temperature=temperature), theme)
        return self._written(desk, range(seed, seed + n), progress)

    @checked()
    def score(self, music: OneMusic) -> Judgement:
        """Return what the run's critic says of a piece: its rank among held-out pieces, and bar by bar.

        Of a file with several pieces it is the first; `score_all` takes them all, and folders. Raises RunError
        where the run has no critic, InputError where the music has nothing that the run's tokenizer can hold.
        """
        if isinstance(music, str | os.PathLike):
            one = self.score_all([music])[0]
            if one.judgement is None:
                raise InputError(f"{music} cannot be scored: {one.reason}.")
            return one.judgement
        from seqgan_music.critic.scoring import hold
        from seqgan_music.learning.devices import one_thread

        piece = piece_of(music)
        held = hold(piece, self.tokenizer)
        with one_thread():
            judgement = None if held is None else self._critic.judge(held)
        if judgement is None:
            raise InputError("The piece has no notes that this run's tokenizer can hold.")
        return judgement

    @checked()
    def score_all(self, paths: AnyPath | Iterable[AnyPath]) -> list[Scored]:
        """Return what the run's critic says of every piece of files and folders, in order.

        What cannot be scored is there with its `reason`. Raises RunError where the run has no critic, InputError
        where there is no music.
        """
        from seqgan_music.critic.scoring import score
        from seqgan_music.learning.devices import one_thread
        from seqgan_music.music.loading import files_of

        with one_thread():
            return list(score(self.folder, self._critic, files_of(paths_of(paths))))

    @checked()
    def evaluate(
        self,
        *,
        against: AnyPath | None = None,
        temperatures: Iterable[float] = (0.8, 0.9, 1.0, 1.1),
        pieces: int = 0,
        seed: int = 1,
        critic: bool | int | None = None,
        paper_metrics: bool = False,
        progress: Callable[[str], object] | None = None,
    ) -> Evaluation:
        """Compare what the run writes with music that it has not learnt from, and return what was found.

        Measures every phase, and beside them rows that are known; says of each method whether it beats maximum
        likelihood; chooses what `sample` uses. Takes a minute or more, and writes `evaluation.json` into the run's
        folder, or, with `against`, `evaluation-NAME.json`.

        Args:
            against: A folder of other music, in the place of the test split.
            temperatures: Of sampling; 1 is added.
            pieces: Drawn for each row; 0 is 1.3 for each test piece.
            seed: Of sampling and of intervals.
            critic: Whether there are rows with the run's critic at work, or with how many pieces side by side; None
                where it has one.
            paper_metrics: Whether the SeqGAN paper's own figures for music are added.
            progress: Is called with a line of text for people.

        Raises:
            RunError: A run without the music that it learnt from, as the bundled one, or without a critic that is
                asked for.
            InputError: Other music that cannot be used.
            ConfigError: A number that cannot be.
            OutputError: The result cannot be written.
        """
        from seqgan_music import finishing
        from seqgan_music.evaluate.ground import Options

        options = Options(tuple(temperatures), pieces, seed, paper_metrics=paper_metrics)
        other = None if against is None else Path(against)
        found, _ = finishing.evaluate(
            self.folder, options, against=other, critic=_particles(critic), show=told(progress), bars=False
        )
        self._composer = Composer.open(self.folder)  # another phase may be the chosen one
        return Evaluation(found.document())

    @checked()
    def report(
        self,
        out: AnyPath | None = None,
        *,
        samples: int = 3,
        seed: int = 1,
        progress: Callable[[str], object] | None = None,
    ) -> Path:
        """Write the run's report, one HTML file that opens from disk, and return its path.

        It has `samples` new pieces of `seed` to hear and see, and shows the evaluation where there is one. `out` is
        `report.html` in the run's folder unless given. Raises RunError, OutputError.
        """
        from seqgan_music import report

        return report.write(
            self.folder, out=None if out is None else Path(out), samples=samples, seed=seed, show=told(progress)
        )

    @checked()
    def resume(
        self,
        *,
        device: str = "auto",
        progress: Callable[[str], object] | None = None,
        on_evaluation: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        """Go on with training that was stopped, to the same result as if it had not been; see `train`.

        Of a finished run, what is missing of evaluation, critic and report is made. Raises RunError where the
        folder holds no training run, or another process is at work on it; ConfigError, OutputError.
        """
        from seqgan_music import training
        from seqgan_music.learning import devices
        from seqgan_music.library.to_the_end import to_its_end

        to_its_end(training.Run.open(self.folder, devices.pick(device)), progress, on_evaluation)
        self._composer = Composer.open(self.folder)
        self.__dict__.pop("_critic", None)

    @cached_property
    def config(self) -> Config:
        """Every setting of the run. Raises RunError, ConfigError."""
        from seqgan_music import config, run_folders

        run_folders.check_run(self.folder)
        return config.of_run(self.folder)

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns pieces into the ids that the run learnt, and back."""
        return self._composer.tokenizer

    @cached_property
    def _critic(self) -> Critic:
        """The network that `score` asks."""
        from seqgan_music.critic.judging import critic_of

        return critic_of(self.folder)

    @property
    def evaluation(self) -> Evaluation | None:
        """What the last evaluation on the test split found, in this session or before; None without one."""
        from seqgan_music.evaluate import result

        document = result.read(self.folder)
        # The model that comes with the package brings its choice alone.
        return Evaluation(document) if document is not None and "rows" in document else None

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was measured after every round of training, for learning curves (the lines of `metrics.jsonl`)."""
        from seqgan_music.report.sources import Sources

        return [dict(line) for line in Sources.read(self.folder).lines]

    @checked()
    def pieces(self, split: str = "test") -> list[Piece]:
        """Return the music of one of the run's splits, "train", "validation" or "test", as its tokenizer holds it.

        Raises ConfigError for another name, RunError for a run that came without its music.
        """
        from seqgan_music.music import corpus
        from seqgan_music.tokenset import Splits

        if split not in ("train", "validation", "test"):
            raise ConfigError(f"split must be train, validation or test, not '{split}'.")
        if not (self.folder / "tokens.npz").exists():
            raise RunError(f"{self.folder} does not hold the music that it learnt from.")
        tokens = getattr(Splits.load(self.folder / "tokens.npz"), split)
        return corpus.pieces(tokens, self.tokenizer, corpus.labels(self.folder / "scan.json"))

    def _source(self, music: OneMusic) -> Source:
        """Return music as the run's tokenizer holds it."""
        if isinstance(music, str | os.PathLike):
            return Source(self._composer.read_primer(Path(music)), Path(music).name)
        piece = piece_of(music)
        held = Primer.of(piece, self.tokenizer)
        if held is None:
            raise InputError("The piece has no notes that this run's tokenizer can hold.")
        return Source(held, piece.name or "PIECE.mid")

    def _written(
        self, desk: Desk, seeds: Iterable[int], progress: Callable[[Composition], object] | None
    ) -> list[Composition]:
        from seqgan_music.learning.devices import one_thread

        found = []
        with one_thread():
            for seed in seeds:
                found.append(desk.write(seed))
                told(progress)(found[-1])
        return found


def _particles(critic: bool | int | None) -> int | None:
    """Return among how many pieces the critic is to choose: 0 is without it, None as the run's evaluation says."""
    if critic is True:
        return asking.SIDE_BY_SIDE
    return None if critic is None else int(critic)


def _seed(seed: int | None) -> int:
    """Return a seed: the one given, or one that was drawn."""
    return secrets.randbelow(10**9) if seed is None else seed


def _program(program: int | str | None) -> int | None:
    """Return the General MIDI number of an instrument."""
    if not isinstance(program, str):
        return program
    from seqgan_music.music.formats.midi import program_number

    return program_number(program)
