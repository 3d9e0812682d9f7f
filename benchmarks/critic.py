"""What the critic's tools are worth: `python benchmarks/critic.py RUN`, a run that has a critic.

Writes pieces of 16 bars as `sample` does: plain, with --best-of 4, with --fix-worst 4, with --critic 16, the same
seeds for each; and takes as many real openings from the validation split. Each row is measured against the test
split as `evaluate` measures (docs/metrics.md), with fewer pieces than there: compare rows of one table only. Then
one bar of each held-out opening is damaged, in ways that the critic learnt from and in others, and it says which is
the weakest; by chance it is 6% of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import torch

from seqgan_music.compose import Composer
from seqgan_music.critic import Critic, choosing, damage
from seqgan_music.critic.damage import Cut, Ints
from seqgan_music.critic.judging import critic_of
from seqgan_music.evaluate.evaluation import Opened
from seqgan_music.evaluate.ground import Ground, Options
from seqgan_music.evaluate.sources import Drawn
from seqgan_music.music import corpus
from seqgan_music.music.metrics.windows import part_of
from seqgan_music.music.notes import Piece

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
    click.echo("\none bar of 16 damaged | weakest by what bars add, by how they fit | others above it | openings")
    cuts = damage.fit_to_learn(corpus.pieces(opened.splits.test, opened.tokenizer))
    unseen = {"backwards": backwards, "mirrored": mirrored, "one note by a semitone": one_note}
    for name, kind in {**damage.KINDS, "a tritone up": tritone, **unseen}.items():
        mark = " (not shown in training)" if name in unseen else ""
        click.echo(f"{name}{mark} | {found(critic, cuts, kind, seed)}")


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


def backwards(cut: Cut, bar: int, rng: np.random.Generator, donors: Sequence[Cut]) -> Ints:
    """Play a bar from its end to its beginning."""
    notes = cut.inside(bar)
    _, length = cut.span(bar)
    notes[:, 0] = np.clip(length - notes[:, 0] - notes[:, 2], 0, length - 1)
    return notes


def mirrored(cut: Cut, bar: int, rng: np.random.Generator, donors: Sequence[Cut]) -> Ints:
    """Turn its steps upside down, from its first note on."""
    notes = cut.inside(bar)
    notes[:, 1] = 2 * notes[:1, 1].sum() - notes[:, 1]
    return notes


def one_note(cut: Cut, bar: int, rng: np.random.Generator, donors: Sequence[Cut]) -> Ints:
    """Move one of its notes by a semitone."""
    notes = cut.inside(bar)
    if len(notes):
        notes[int(rng.integers(len(notes))), 1] += 1 if rng.random() < 0.5 else -1
    return notes


def tritone(cut: Cut, bar: int, rng: np.random.Generator, donors: Sequence[Cut]) -> Ints:
    """Move all of it by six semitones: of a kind that training shows."""
    return cut.inside(bar) + np.array([0, 6, 0])


def found(critic: Critic, cuts: Sequence[Cut], kind: damage.Damage, seed: int) -> str:
    """Damage a bar of each opening; return how often it is the weakest, what share is above it, of how many.

    By both of the critic's networks: what bars add to the log-odds, and how well they fit (`Critic.fits`).
    """
    sheets, places = damage.trials(cuts, kind, np.random.default_rng(seed), earliest=EARLIEST)
    worst, above = [], []
    for told in (critic.bars(sheets), critic.fits(sheets)):
        of_bars = np.array(told)  # (N, BARS)
        own = of_bars[np.arange(len(places)), places]
        worst.append(f"{(of_bars.argmin(1) == places).mean():.2f}")
        above.append(f"{(of_bars > own[:, None]).sum(1).mean() / (BARS - 1):.2f}")
    return f"{', '.join(worst)} | {', '.join(above)} | {len(places)}"


if __name__ == "__main__":
    main()
