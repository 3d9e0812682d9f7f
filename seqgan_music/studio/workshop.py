"""What the studio can do with music: write, vary, mend, read a primer; each as a job, of checked values."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from seqgan_music.asking import line as command_line
from seqgan_music.asking import settings as as_options
from seqgan_music.compose import (
    BUNDLED,
    DEFAULT_BARS,
    SEED_LIMIT,
    Composer,
    Composition,
    Controls,
    Primer,
    bars_of,
)
from seqgan_music.errors import ConfigError, InputError, RunError, SeqganMusicError
from seqgan_music.music.notes import Piece
from seqgan_music.preference.ranking import Ranking
from seqgan_music.studio import asking, rendering
from seqgan_music.studio.asking import Asked
from seqgan_music.studio.candidates import (
    KEPT_CANDIDATES,
    KEPT_PRIMERS,
    Candidate,
    Kept,
    Renderings,
    changed_bars,
    new_id,
)
from seqgan_music.studio.jobs import Job, Jobs
from seqgan_music.studio.runs import Runs

if TYPE_CHECKING:
    from seqgan_music.critic import Critic

MOST_PRIMER_BYTES = 4 * 1024 * 1024
MOST_PRIMER_BARS = 128
_READ_AT_ONCE = 2
_OPEN_RUNS = 3
_SEEDS = 10**9
_STEPS_A_BAR = {"compose": 16.0, "rewrite": 16.0}
"""Steps, which are tokens, that a bar takes until the run has written one."""
_DISTANCE = 0.5
"""Share of the bars that a variation has of its own, unless told otherwise."""
_BOLDER = (1.0, 1.0, 1.2, 1.4, 1.7, 2.0)
"""Times the temperature, at which bars are tried until they are not what they were: in music that repeats itself
they often come again."""
_APART = 1_000_003
"""From the seed of one of several pieces, of which the best is kept, to the next's."""
_RATED_AT_ONCE = 64
"""Candidates, the newest, whose liking is told after a rating."""

log = logging.getLogger(__name__)


class GoneError(Exception):
    """Something was named that the studio does not have, or no longer."""


class BusyError(Exception):
    """Too much is asked at once; later will do."""


@dataclass
class OpenRun:
    """A run that was read: its composer, its critic or why there is none, how many steps of work a bar takes."""

    name: str
    folder: Path
    composer: Composer
    critic: Critic | None = None
    no_critic: str = ""
    steps_a_bar: dict[str, float] = field(default_factory=lambda: dict(_STEPS_A_BAR))

    def expected(self, kind: str, bars: float) -> float:
        """Return how many steps a kind of work should take."""
        return bars * self.steps_a_bar[kind]

    def learn(self, kind: str, bars: float, steps: int) -> None:
        """Let what some work took count for what comes."""
        self.steps_a_bar[kind] += 0.3 * (steps / bars - self.steps_a_bar[kind])


@dataclass(frozen=True)
class Uploaded:
    """A file to continue: its name for people, what is in it, and how each run's tokenizer holds it."""

    name: str
    suffix: str
    data: bytes
    held: dict[str, Primer] = field(default_factory=dict)


class Workshop:
    """All that the studio holds: runs, candidates, primers, jobs. Its folder for files goes with `close`."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.jobs = Jobs()
        self.candidates: Kept[Candidate] = Kept(KEPT_CANDIDATES)
        self.primers: Kept[Uploaded] = Kept(KEPT_PRIMERS)
        self.renderings = Renderings()
        self._open: OrderedDict[str, tuple[object, OpenRun]] = OrderedDict()
        self._opening = threading.Lock()
        self._rating = threading.Lock()
        self._readers = threading.BoundedSemaphore(_READ_AT_ONCE)
        self._folder = TemporaryDirectory(prefix="seqgan-music-studio-", ignore_cleanup_errors=True)

    def close(self) -> None:
        """End all work and remove what was written."""
        self.jobs.close()
        self._folder.cleanup()

    def keep(self, name: str, text: str) -> Path:
        """Write a file that only this user can read, and that goes with all others."""
        path = Path(self._folder.name) / name  # a folder of this user's alone
        path.write_text(text, encoding="utf-8")
        return path

    def warm_up(self) -> None:
        """Load the first run while its reader looks at the page: torch alone takes seconds."""

        def work(_: Job) -> None:
            name = next(iter(self.runs.found()), None)
            if name is not None:
                with suppress(SeqganMusicError):  # told when it is asked for
                    _ready(self.open_run(name))

        self.jobs.add(Job(work))

    def open_run(self, name: str) -> OpenRun:
        """Return a run, read anew where its checkpoint has changed. Raises GoneError, RunError, ConfigError."""
        folder = self.runs.found().get(name)
        if folder is None:
            raise GoneError(f"There is no run '{name[:80]}'.")
        with self._opening:
            best = (folder / "checkpoints" / "best.json").stat()
            known, opened = self._open.get(name, (None, None))
            mark = (str(folder), best.st_mtime_ns, best.st_size)
            if opened is None or known != mark:
                opened = OpenRun(name, folder, Composer.open(folder))
                self._open[name] = (mark, opened)
            self._open.move_to_end(name)
            while len(self._open) > _OPEN_RUNS:
                self._open.popitem(last=False)
        return opened

    def rendered(self, candidate: Candidate, suffix: str) -> bytes:
        """Return a candidate as a file of one of `rendering.KINDS`, from what is kept if it can be."""
        folder = Path(self._folder.name)
        return self.renderings.get(candidate.id, suffix, lambda: rendering.render(candidate, suffix, folder))

    def find(self, name: str) -> Candidate:
        """Return a candidate. Raises GoneError."""
        found = self.candidates.find(name)
        if found is None:
            raise GoneError("This piece is not here, or no longer: the studio keeps the newest ones only.")
        return found

    def upload(self, run: str, name: str, data: bytes) -> tuple[str, Uploaded, Primer]:
        """Read a file to continue, in a bounded process. Raises InputError, BusyError, GoneError."""
        suffix = Path(name).suffix.lower()
        uploaded = Uploaded(_shown(name), suffix, data)
        primer = self._held(uploaded, self.open_run(run))
        identity = new_id()
        self.primers.add(identity, uploaded)
        return identity, uploaded, primer

    def compose(self, settings: dict[str, Any]) -> Job:
        """Return the job that writes new pieces. Raises ConfigError, GoneError."""
        asked = Asked(settings, asking.COMPOSE)
        controls = asked.controls()
        count = asked.number("count") or 1
        seed = asked.number("seed")
        run = asked.text("run") or next(iter(self.runs.found()), "")
        opened = self.open_run(run)
        uploaded = None
        if (name := asked.text("primer")) is not None:
            uploaded = self.primers.find(name)
            if uploaded is None:
                raise GoneError("This primer is not here, or no longer: drop the file again.")
        bars = controls.bars or DEFAULT_BARS
        first = secrets.randbelow(_SEEDS) if seed is None else seed
        prefer, best_of = asked.text("prefer"), asked.number("best_of") or 1
        ranking = Ranking.open(prefer, opened.folder, bars) if prefer and best_of > 1 else None
        best_of = best_of if ranking else 1
        title = f"after {uploaded.name}" if uploaded else ""

        def work(job: Job) -> None:
            from seqgan_music.critic.choosing import Guide

            _ready(opened)
            primer = self._held(uploaded, opened) if uploaded else None
            primed = primer.full_bars if primer and controls.keep_primer else 0
            guide = Guide.usual(opened.critic, opened.composer.chosen, controls)
            guided = guide.arguments if guide else {}
            for number in range(count):
                several = []
                for other in range(best_of):
                    before, own = job.steps, (first + number + other * _APART) % SEED_LIMIT
                    several += opened.composer.compose(
                        controls, seed=own, primer=primer, on_token=job.step, **guided
                    )
                    opened.learn("compose", bars, job.steps - before)
                    left = (count - number) * best_of - other - 1
                    job.expected = job.steps + opened.expected("compose", left * bars)
                scores = ranking.scores([one.piece for one in several]).tolist() if ranking else [0.0]
                written = several[scores.index(max(scores))]
                line = _line(opened, controls, written.seed, uploaded, guide.particles if guide else None)
                best = f"best of {best_of}" if best_of > 1 else ""
                told = ", ".join(text for text in (title, best) if text)
                made = self._candidate(opened, written, controls, title=told, line=line, primed=primed)
                job.results.append(made.id)

        return Job(work, expected=opened.expected("compose", count * best_of * bars))

    def like(self, settings: dict[str, Any]) -> Job:
        """Return the job that writes variations of a candidate. Raises ConfigError, GoneError."""
        asked = Asked(settings, asking.LIKE)
        source = self.find(asked.text("candidate") or "")
        opened = self.open_run(source.run)
        controls = _kept(source.controls, asked.number("temperature"))
        count = asked.number("count") or 3
        distance = asked.number("distance")
        distance = _DISTANCE if distance is None else distance
        seed = asked.number("seed")
        first = secrets.randbelow(_SEEDS) if seed is None else seed
        bars = max(1.0, distance * len(bars_of(source.piece)))

        def work(job: Job) -> None:
            _ready(opened)
            primer = Primer.of(source.piece, opened.composer.tokenizer)
            if primer is None:
                raise InputError("This piece cannot be varied: there is no note in it that the run can hold.")
            for number in range(count):
                before = job.steps
                written = opened.composer.vary(
                    primer, distance=distance, seed=first + number, controls=controls, on_token=job.step
                )
                opened.learn("rewrite", bars, job.steps - before)
                job.expected = job.steps + opened.expected("rewrite", (count - number - 1) * bars)
                made = self._candidate(opened, written, controls, title=f"like seed {source.seed}", parent=source)
                job.results.append(made.id)

        return Job(work, expected=opened.expected("rewrite", count * bars))

    def rewrite(self, settings: dict[str, Any]) -> Job:
        """Return the job that writes bars of a candidate anew, counted from 0. Raises ConfigError, GoneError."""
        asked = Asked(settings, asking.REWRITE)
        source = self.find(asked.text("candidate") or "")
        opened = self.open_run(source.run)
        bars = asked.numbers("bars", len(bars_of(source.piece)))
        controls = _kept(source.controls, asked.number("temperature"))
        given = asked.number("seed")
        seed = secrets.randbelow(_SEEDS) if given is None else given

        def work(job: Job) -> None:
            _ready(opened)
            numbers, warnings = [bar + 1 for bar in bars], list[str]()
            for again, factor in enumerate(_BOLDER):
                before = job.steps
                bolder = replace(controls, temperature=controls.temperature * factor)
                written = opened.composer.rewrite(
                    source.piece, bars=numbers, seed=seed + again, controls=bolder, on_token=job.step
                )
                opened.learn("rewrite", len(bars), job.steps - before)
                if written.changed:
                    break
                job.expected += opened.expected("rewrite", len(bars))
            else:
                raise RunError("Written anew, it was the same again each time. Try a higher temperature.")
            if factor > 1:
                warnings = [f"It came out the same again, until temperature {bolder.temperature:.2f}."]
            made = self._candidate(opened, written, controls, title="mended", parent=source, warnings=warnings)
            job.results.append(made.id)

        return Job(work, expected=opened.expected("rewrite", len(bars)))

    def rate(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Keep a thumb with the run, or take it back, and return what is known of the person's taste by now.

        Raises ConfigError, GoneError, RunError, OutputError.
        """
        from seqgan_music import preference
        from seqgan_music.preference import ratings

        liked = Asked(settings, asking.RATE).flag("liked")
        if "liked" not in settings:
            raise ConfigError("liked must be true, false, or null to take a thumb back.")
        candidate = self.find(name)
        opened = self.open_run(candidate.run)
        if why := no_ratings(opened):
            raise RunError(f"Not rated: {why}.")
        with self._rating:
            ratings.add(opened.folder, candidate.piece, liked)
            taste = preference.fit(opened.folder)
        others = [one for one in self.candidates.newest(_RATED_AT_ONCE) if one.run == candidate.run]
        liking: dict[str, float | None] = {one.id: None for one in others}
        if not taste.neutral:
            scores = taste.scores([one.piece for one in others]).tolist()
            liking = {one.id: round(score, 3) for one, score in zip(others, scores, strict=True)}
        return {"liked": liked, "told": taste.describe(), "liking": liking}

    def _candidate(
        self,
        opened: OpenRun,
        written: Composition,
        controls: Controls,
        *,
        title: str,
        line: str = "",
        primed: int = 0,
        parent: Candidate | None = None,
        warnings: Sequence[str] = (),
    ) -> Candidate:
        """Keep what was written."""
        piece = written.piece
        bars = len(bars_of(piece))
        judged = opened.critic.judge(piece) if opened.critic else None
        changed = range(primed, bars) if parent is None else changed_bars(parent.piece, piece)
        made = Candidate(
            piece,
            opened.name,
            written.seed,
            controls,
            title,
            line=line,
            copied=str(written.copied) if written.copied else None,
            heat=judged.by_bar if judged else (),
            rank=judged.real if judged else None,
            own_rank=judged.generated if judged else None,
            liking=_liking(opened, piece),
            new_bars=changed,
            primed=min(primed, bars),
            parent=parent.id if parent else None,
            warnings=[*warnings, *_warnings(written, controls)],
        )
        self.candidates.add(made.id, made)
        return made

    def _held(self, uploaded: Uploaded, opened: OpenRun) -> Primer:
        """Return an uploaded file as a run's tokenizer holds it."""
        from seqgan_music.music.reading import SUFFIXES

        primer = uploaded.held.get(opened.name)
        if primer is not None:
            return primer
        if uploaded.suffix not in SUFFIXES:
            raise InputError(f"{uploaded.name} is of no known kind. Kinds: {' '.join(sorted(SUFFIXES))}.")
        if not self._readers.acquire(timeout=30):
            raise BusyError("Other files are being read. Try again in a moment.")
        # The name on disk is ours; of the file's own only the suffix is kept, which is one of a list.
        path = Path(self._folder.name) / f"{secrets.token_hex(8)}{uploaded.suffix}"
        try:
            path.write_bytes(uploaded.data)
            primer = opened.composer.read_primer(path)
        except InputError as error:
            raise InputError(str(error).replace(f"Primer {path}", uploaded.name)) from None
        finally:
            path.unlink(missing_ok=True)
            self._readers.release()
        if primer.full_bars > MOST_PRIMER_BARS:
            raise InputError(
                f"{uploaded.name} has {primer.full_bars} bars; the studio continues up to {MOST_PRIMER_BARS}."
            )
        uploaded.held[opened.name] = primer
        return primer


def no_ratings(opened: OpenRun) -> str:
    """Say why a run keeps no ratings; empty where it does."""
    if opened.folder == BUNDLED:
        return "ratings are kept with a run of your own, and this model came along with the program"
    return ""


def _kept(controls: Controls, temperature: float | None) -> Controls:
    """Return the controls for changing a piece: length, tempo and instrument are its own by now."""
    own = replace(controls, bars=None, seconds=None, tempo=None, program=None, keep_primer=True)
    return replace(own, temperature=temperature) if temperature else own


def _ready(opened: OpenRun) -> None:
    """Load what writing needs, in the thread that writes."""
    import torch

    from seqgan_music.critic import Critic

    torch.set_num_threads(1)  # one sequence at a time is too little work to share
    _ = opened.composer.generator
    if opened.critic is None and not opened.no_critic:
        with suppress(SeqganMusicError):
            opened.critic = Critic.open(opened.folder)
        if opened.critic is None:
            opened.no_critic = "it has no critic yet: seqgan-music train --resume gives it one"


def _liking(opened: OpenRun, piece: Piece) -> float | None:
    """Return how likely the person is to like a piece, by their thumbs; None where those say nothing."""
    from seqgan_music import preference

    with suppress(RunError):  # a damaged file is written anew with the next thumb
        taste = preference.load(opened.folder)
        if taste is not None and not taste.neutral:
            return taste.score(piece)
    return None


def _line(opened: OpenRun, controls: Controls, seed: int, uploaded: Uploaded | None, particles: int | None) -> str:
    """Return the command that writes the same piece."""
    options = {
        "run": opened.folder.resolve().name,
        **as_options(controls),
        "primer": uploaded.name if uploaded else None,
        "critic": particles,
    }
    return command_line(options, seed, keep_primer=uploaded is None or controls.keep_primer)


def _warnings(written: Composition, controls: Controls) -> Sequence[str]:
    found = []
    if not written.finished:
        found.append("It did not come to the length asked for and was stopped.")
    if controls.max_copy is not None and written.copied and written.copied.notes > controls.max_copy:
        found.append(f"No way was found to copy at most {controls.max_copy} notes in a row.")
    return found


def _shown(name: str) -> str:
    """Return a file's name as text for people: no control characters, no folders, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in last)[-80:] or "file"


def checked_name(name: str) -> str:
    """Return an uploaded file's name. Raises ConfigError where it is missing or endless."""
    if not 0 < len(name) <= 400:
        raise ConfigError("Say the file's name, for its kind: ?name=tune.mid")
    return name
