"""What the critic's tools are worth: `python benchmarks/critic.py RUN`, a run that has a critic.

Writes pieces of 16 bars as `sample` does: plain, with --best-of 4, with --fix-worst 4, with --critic 16, the same
seeds for each; and takes as many real openings from the validation split. Each row is measured against the test
split as `evaluate` measures (docs/metrics.md), with fewer pieces than there: compare rows of one table only. Then
one bar of each held-out opening is damaged, and the critic says which bar is the weakest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch

from seqgan_music.compose import Composer, bars_of
from seqgan_music.critic import Critic, choosing
from seqgan_music.critic.judging import critic_of
from seqgan_music.evaluate.evaluation import Opened
from seqgan_music.evaluate.ground import Ground, Options
from seqgan_music.evaluate.sources import Drawn
from seqgan_music.music import corpus
from seqgan_music.music.metrics.windows import part_of
from seqgan_music.music.notes import Note, Piece

BARS = 16
BEST_OF, WORST, PARTICLES = 4, 4, 16
FIGURES = ("frechet", "c2st_auc", "w1", "lag_distance", "self_bleu_4", "distinct_4", "bleu_4", "copied_share")
EARLIEST = 2
"""Damaged bars come after so many: the first ones have nothing that they could disagree with."""


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--pieces", default=40, show_default=True, help="Pieces of each row.")
@click.option("--seed", default=1, show_default=True)
def main(run: Path, pieces: int, seed: int) -> None:
    """Print a table of the tools, and one of the damage."""
    torch.set_num_threads(1)
    opened = Opened.of(run)
    critic, composer = critic_of(run), Composer.open(run)
    ground = Ground(opened.splits, opened.tokenizer, Options(), names=opened.names)
    click.echo(" | ".join(["16 bars", *FIGURES, "critic's rank", "s a piece"]))
    for name, written, seconds in rows(composer, critic, ground, pieces, seed):
        click.echo(" | ".join([name, *measured(ground, written), ranked(critic, written), f"{seconds:.1f}"]))
    click.echo("\ndamaged bar of 16 | is the weakest | is where nothing is damaged | ranks below another bar of it")
    openings = [
        part_of(one, list(one.bars())[:BARS]) for one in corpus.pieces(opened.splits.test, opened.tokenizer)
    ]
    openings = [one for one in openings if len(list(one.bars())) == BARS]
    for name, damage in (
        ("of another piece", other),
        ("a tritone up", tritone),
        ("its pitches shuffled", shuffled),
    ):
        click.echo(" | ".join([name, *found(critic, openings, damage, np.random.default_rng(seed))]))


def rows(
    composer: Composer, critic: Critic, ground: Ground, count: int, seed: int
) -> Iterator[tuple[str, Sequence[Piece], float]]:
    """Yield name, pieces, and seconds a piece of each row."""
    order = np.random.default_rng(seed).permutation(len(ground.other.pieces))[:count]  # they stand by kinds
    yield (
        "real",
        [part_of(one, list(one.bars())[:BARS]) for one in map(ground.other.pieces.__getitem__, order)],
        0.0,
    )
    started = time.perf_counter()
    plain = [one.piece for one in composer.compose(seed=seed, count=BEST_OF * count)]
    each = (time.perf_counter() - started) / len(plain)
    yield "plain", plain[:count], each
    scores = choosing.Ranking(critic).scores(plain).reshape(BEST_OF, count)
    yield (
        f"--best-of {BEST_OF}",
        [plain[place * count + n] for n, place in enumerate(scores.argmax(0))],
        BEST_OF * each,
    )

    def weigh(some: Sequence[Piece]) -> list[float]:
        return choosing.whole(critic, some)

    started = time.perf_counter()
    mended = []
    for number, piece in enumerate(plain[:count]):
        bars = choosing.weakest(critic, piece, WORST)
        mended.append(composer.rewrite(piece, bars=bars, seed=seed + number, score=weigh).piece)
    yield f"--fix-worst {WORST}", mended, each + (time.perf_counter() - started) / count
    started = time.perf_counter()
    filtered = composer.compose(
        seed=seed, count=count, score=lambda some: choosing.so_far(critic, some), candidates=PARTICLES
    )
    yield f"--critic {PARTICLES}", [one.piece for one in filtered], (time.perf_counter() - started) / count


def measured(ground: Ground, pieces: Sequence[Piece]) -> list[str]:
    """Return the figures of pieces, with their intervals."""
    ids = [np.array(row, dtype=np.int64) for piece in pieces for row in ground.tokenizer.encode(piece)]
    figures = ground.measured(ground.prepare(Drawn(ids, 0, None)), None).figures
    told = []
    for name in FIGURES:
        one = figures[name].estimate() if name in figures else None
        told.append("-" if one is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]")
    return told


def ranked(critic: Critic, pieces: Sequence[Piece]) -> str:
    """Return the mean rank of pieces among held-out ones."""
    ranks = [
        judged.real for piece in pieces if (judged := critic.judge(piece)) is not None and judged.real is not None
    ]
    return f"{np.mean(ranks):.3f}"


Damage = Callable[[list[Note], int, Sequence[Piece], np.random.Generator], list[Note] | None]
"""From the notes of a bar, its first tick, and pieces to take others from; None where it cannot be done."""


def other(notes: list[Note], start: int, pieces: Sequence[Piece], rng: np.random.Generator) -> list[Note] | None:
    """Put a bar of another piece in its place."""
    piece = pieces[int(rng.integers(len(pieces)))]
    bar = list(piece.bars())[int(rng.integers(EARLIEST, BARS))]
    inside = [note for note in piece.notes if bar.start <= note.onset < bar.end]
    return [replace(note, onset=note.onset - bar.start + start) for note in inside] or None


def tritone(notes: list[Note], start: int, pieces: Sequence[Piece], rng: np.random.Generator) -> list[Note] | None:
    """Move all of it by six semitones."""
    return [replace(note, pitch=note.pitch + 6) for note in notes] or None


def shuffled(notes: list[Note], start: int, pieces: Sequence[Piece], rng: np.random.Generator) -> list[Note] | None:
    """Exchange its pitches, the rhythm staying."""
    pitches = [note.pitch for note in notes]
    order = rng.permutation(len(pitches))
    changed = [replace(note, pitch=pitches[place]) for note, place in zip(notes, order, strict=True)]
    return changed if [note.pitch for note in changed] != pitches else None


def found(critic: Critic, pieces: Sequence[Piece], damage: Damage, rng: np.random.Generator) -> list[str]:
    """Damage a bar of each piece; return how often it is found."""
    weakest, before, below = [], [], []
    for piece in pieces:
        number = int(rng.integers(EARLIEST, BARS))
        bar = list(piece.bars())[number]
        inside = [note for note in piece.notes if bar.start <= note.onset < bar.end]
        new = damage(inside, bar.start, pieces, rng)
        if new is None or any(note.onset >= bar.end for note in new):
            continue
        rest = [note for note in piece.notes if not bar.start <= note.onset < bar.end]
        broken = replace(piece, notes=tuple(sorted(rest + new)))
        if len(bars_of(broken)) != len(bars_of(piece)):
            continue
        ranks: npt.NDArray[np.float64]
        plain, ranks = (np.array(critic.by_bar(one)[:BARS]) for one in (piece, broken))
        weakest.append(ranks.argmin() == number)
        before.append(plain.argmin() == number)
        others = np.delete(ranks, number)
        below.append(float((others > ranks[number]).mean() + 0.5 * (others == ranks[number]).mean()))
    return [f"{np.mean(one):.2f}" for one in (weakest, before, below)]


if __name__ == "__main__":
    main()
