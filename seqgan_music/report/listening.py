"""Music of a run to hear and see: new pieces and a held-out one, each with the critic's score and its nearest tune.

All of it is a function of the run's files and a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seqgan_music import config as configs
from seqgan_music.compose import AS_IT_COMES, DEFAULT_BARS, Composer, bars_of
from seqgan_music.critic import Critic
from seqgan_music.critic.choosing import Guide
from seqgan_music.music import corpus
from seqgan_music.music.formats.audio import audio_bytes
from seqgan_music.music.metrics.originality import CopiedRun, Index
from seqgan_music.music.metrics.windows import part_of
from seqgan_music.music.notes import Piece, Tempo
from seqgan_music.tokenset import Splits

EXCERPT_BARS = 8
"""Bars of a training tune that are shown beside a piece."""


@dataclass(frozen=True)
class Heard:
    """A piece and its sound as MP3."""

    piece: Piece
    mp3: bytes


@dataclass(frozen=True)
class Nearest:
    """The longest run that a piece shares with the training music, and that music from there on."""

    copied: CopiedRun
    begin: int
    end: int
    """Ticks of the piece between which the shared notes begin."""
    excerpt: Heard


@dataclass(frozen=True)
class Sample:
    """Something to listen to.

    `scores` has each bar's rank among held-out bars by the critic, empty where there is no critic; `rank` that of
    the piece among held-out pieces, None where it is not known.
    """

    title: str
    told: str
    real: bool
    heard: Heard
    scores: Sequence[float]
    nearest: Nearest | None
    rank: float | None = None


def samples(run: Path, count: int, seed: int, show: Callable[[str], None]) -> list[Sample]:
    """Compose `count` pieces as `sample` does and take one from the test split, 16 bars each. Raises RunError."""
    import torch

    composer = Composer.open(run)
    show("samples to listen to")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one sequence at a time is too little work to share
    try:
        critic = Critic.open(run)
        guide = Guide.usual(critic, composer.chosen, AS_IT_COMES)
        guided = guide.arguments if guide else {}
        composed = composer.compose(count=count, seed=seed, **guided) if count else []
    finally:
        torch.set_num_threads(threads)
    names = corpus.labels(run / "scan.json")
    most = configs.of_run(run).evaluation
    splits = Splits.load(run / "tokens.npz").at_most(training=most.training_pieces, held_out=most.held_out_pieces)
    train = corpus.pieces(splits.train, composer.tokenizer, names)
    index = Index(train)
    source = f"phase {composer.chosen.name}" if composer.chosen.name != "best" else "the best checkpoint"
    source += " with its critic" if guide else ""

    def sample(title: str, told: str, piece: Piece, *, real: bool = False) -> Sample:
        judged = critic.judge(piece) if critic is not None else None
        scores, rank = (judged.by_bar, judged.real) if judged is not None else ([], None)
        nearest = _nearest(piece, index, train, composer)
        return Sample(title, told, real, _heard(piece, composer), scores, nearest, rank)

    found = [
        sample(f"New piece {number}", f"written by {source}, seed {one.seed}, temperature 1", one.piece)
        for number, one in enumerate(composed, 1)
    ]
    held_out = _held_out(corpus.pieces(splits.test, composer.tokenizer, names))
    if held_out is not None:
        title = "A held-out tune"
        found.append(sample(title, f"real music that was not trained on: {held_out.name}", held_out, real=True))
    return found


def _held_out(pieces: Sequence[Piece]) -> Piece | None:
    """Return the opening of the first piece that is long enough, else of the longest one."""
    longest = max(pieces, key=lambda piece: len(piece.notes), default=None)
    whole = next((piece for piece in pieces if len(list(piece.bars())) >= DEFAULT_BARS), longest)
    return part_of(whole, list(whole.bars())[:DEFAULT_BARS]) if whole is not None and whole.notes else None


def _nearest(piece: Piece, index: Index, train: Sequence[Piece], composer: Composer) -> Nearest | None:
    copied = index.longest_run(piece)
    if copied is None:
        return None
    tune = train[copied.source_piece]
    bars = bars_of(tune)[copied.source_bar - 1 : copied.source_bar - 1 + EXCERPT_BARS]
    shared = sorted(piece.tuned.notes)[copied.start_note : copied.start_note + copied.notes]
    return Nearest(copied, shared[0].onset, shared[-1].end, _heard(part_of(tune, bars), composer))


def _heard(piece: Piece, composer: Composer) -> Heard:
    """Return a piece as it sounds; what tokens do not keep, tempo and instrument, is the run's."""
    played = piece
    if played.tempos == Piece(()).tempos:
        qpm = composer.tokenizer.qpm or composer.qpm
        played = replace(piece, tempos=(Tempo(0, qpm),), program=composer.program)
    return Heard(played, audio_bytes(played))
