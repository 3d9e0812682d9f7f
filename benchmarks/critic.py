"""What the critic's tools are worth: `python benchmarks/critic.py RUN`, a run that has a critic.

Writes pieces of 16 bars as `sample` does: plain, with --best-of 4, with the four weakest bars written anew, with
four at random (what anything that chooses must beat), with --critic 16, the same seeds for each; and takes as
many real openings from the validation split. Each row is measured against the test split as `evaluate` measures
(docs/metrics.md), with fewer pieces than there: compare rows of one table only. Beside it is the share of bars that
a judge finds damaged: a network of the critic's kind, of other initial weights and trained on other damage.

Then a bar of another piece is put into held-out openings, and the weakest bar is written anew. Last, one bar of
each held-out opening is damaged, in ways that the critic learnt from and in others, and it says which is the
weakest; by chance it is 6% of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch

from seqgan_music import config as configs
from seqgan_music.compose import Composer
from seqgan_music.critic import Critic, choosing, damage, training
from seqgan_music.critic.damage import Cut, Ints
from seqgan_music.critic.judging import critic_of
from seqgan_music.critic.network import Misfits, misfits
from seqgan_music.critic.sheet import sheet
from seqgan_music.evaluate.evaluation import Opened
from seqgan_music.evaluate.ground import Ground, Options
from seqgan_music.evaluate.sources import Drawn
from seqgan_music.music import corpus
from seqgan_music.music.metrics.windows import part_of
from seqgan_music.music.notes import Note, Piece

BARS = 16
BEST_OF, WORST, PARTICLES = 4, 4, 16
FIGURES = (
    "frechet",
    "c2st_auc",
    "w1",
    "lag_distance",
    "self_bleu_4",
    "distinct_4",
    "bleu_4",
    "copied_share",
    "meter_share",
)
JUDGE_SEED = 7007
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
    judge = judge_of(opened, run)
    click.echo(" | ".join(["16 bars", *FIGURES, "damaged", "critic's rank", "s a piece"]))
    for name, written, seconds in rows(composer, critic, ground, pieces, seed):
        bad = np.mean([(said(judge, piece) > 0).mean() for piece in written])
        told = [*measured(ground, written), f"{bad:.3f}", ranked(critic, written), f"{seconds:.1f}"]
        click.echo(" | ".join([name, *told]))
    test = corpus.pieces(opened.splits.test, opened.tokenizer)
    cuts = damage.fit_to_learn(test)
    click.echo(f"\n{mended(composer, critic, judge, test, cuts, pieces, seed)}")
    click.echo("\none bar of 16 damaged | weakest by what bars add, by how they fit | others above it | openings")
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

    def anyhow(piece: Piece) -> list[int]:
        dice = np.random.default_rng([seed, len(piece.notes)])
        return sorted((1 + dice.permutation(len(list(piece.bars())))[:WORST]).tolist())

    def worst(piece: Piece) -> list[int]:
        return choosing.weakest(critic, piece, WORST)

    for name, choose in ((f"{WORST} weakest bars anew", worst), (f"{WORST} bars at random anew", anyhow)):
        started = time.perf_counter()
        anew = [
            composer.rewrite(piece, bars=choose(piece), seed=seed + number, score=weigh).piece
            for number, piece in enumerate(plain[:count])
        ]
        yield name, anew, each + (time.perf_counter() - started) / count
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


def judge_of(opened: Opened, run: Path) -> Misfits:
    """Train a network of damaged bars that has nothing of the critic's but the music and the settings."""
    config = configs.load(str(run / "config.toml")).critic
    judge = Misfits(config.embedding, config.channels, config.hidden, config.dropout)
    judge.initialise(torch.Generator().manual_seed(JUDGE_SEED))
    cuts, choice = (
        damage.fit_to_learn(corpus.pieces(split, opened.tokenizer))
        for split in (opened.splits.train, opened.splits.validation)
    )
    training.fit_bars(judge, cuts, choice, config, JUDGE_SEED, lambda text: click.echo(text, err=True))
    return judge.requires_grad_(False).eval()


def said(judge: Misfits, piece: Piece) -> npt.NDArray[np.float64]:
    """Return the log-odds (B,) that a judge gives each bar of being damaged."""
    of = sheet(piece, ended=False)
    (found,) = misfits(judge, [(of, 0, of.bars)])
    return np.asarray(found, dtype=np.float64)


def mended(
    composer: Composer,
    critic: Critic,
    judge: Misfits,
    pieces: Sequence[Piece],
    cuts: Sequence[Cut],
    count: int,
    seed: int,
) -> str:
    """Put a bar of another piece into openings and write the weakest bar of each anew; tell what came of it.

    Likeness is that of the bar's onsets and pitches to the real ones (Dice's coefficient).
    """
    rng = np.random.default_rng(seed)
    found, odds, alike = [], [], []
    for number in rng.permutation(len(pieces)).tolist():
        whole = list(pieces[number].bars())
        if len(found) == count:
            break
        if len(whole) < BARS:
            continue
        real = part_of(pieces[number], whole[:BARS])
        cut = Cut.of(real)
        bar = int(rng.integers(EARLIEST, BARS))
        new = damage.other(cut, bar, rng, cuts)
        if new is None or damage.same(new, cut.inside(bar)):
            continue
        put = cut.put(bar, new)
        notes = [Note(onset, pitch, min(length, put.end - onset)) for onset, pitch, length in put.notes.tolist()]
        bad = replace(real, notes=tuple(sorted(notes)))
        weakest = choosing.weakest(critic, bad, 1)
        fixed = composer.rewrite(
            bad, bars=weakest, seed=seed + len(found), score=lambda some: choosing.whole(critic, some)
        ).piece
        found.append(weakest == [bar + 1])
        odds.append([said(judge, piece)[bar] for piece in (real, bad, fixed)])
        start, ticks = cut.span(bar)
        inside = [
            {(n.onset, n.pitch) for n in piece.notes if start <= n.onset < start + ticks}
            for piece in (real, bad, fixed)
        ]
        alike.append([2 * len(one & inside[0]) / max(1, len(one) + len(inside[0])) for one in inside[1:]])
    damaged = np.mean(1 / (1 + np.exp(-np.array(odds))), axis=0)
    before, after = np.mean(alike, axis=0)
    return (
        f"a bar of another piece put into {len(found)} openings: it was the weakest in {np.mean(found):.2f};"
        f" the judge's probability of damage: real {damaged[0]:.3f}, put in {damaged[1]:.3f},"
        f" mended {damaged[2]:.3f}; likeness to the real bar {before:.2f}, {after:.2f}"
    )


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
