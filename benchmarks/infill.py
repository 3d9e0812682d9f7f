"""Does a bar that is written with a view to what follows fit better? Held-out pieces of a run, a gap in each.

    python benchmarks/infill.py runs/latest [--pieces 40] [--bars 2] [--candidates 64]

For each piece a gap is filled three ways: as it was, by looking left alone (one candidate), and by
`Composer.rewrite`. The fit is the log-likelihood of the next 8 kept bars after the gap, in nats, under the
generator itself: it says whether the choice does what it claims to do, and not whether people would like it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from seqgan_music.compose import Composer, bars_of
from seqgan_music.music import corpus
from seqgan_music.music.notes import Piece
from seqgan_music.tokenset import Splits

AFTER = 8


def fit(composer: Composer, piece: Piece, gap_end: int, last: int) -> float:
    """Return log p(kept notes from tick `gap_end` to `last` | all before them)."""
    before = replace(piece, notes=tuple(note for note in piece.notes if note.onset < gap_end))
    until = replace(piece, notes=tuple(note for note in piece.notes if note.onset < last))
    (ids,) = composer.tokenizer.encode(until)
    rows = composer.tokenizer.encode(before)
    begin = len(rows[0]) - 1 if rows else 0
    with torch.no_grad():
        return float(composer.generator.log_probs(torch.tensor([ids[:-1]]))[0, begin:].double().sum())


def told(name: str, values: Sequence[float]) -> str:
    mean, error = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
    return f"{name:<34}{mean:9.2f} ± {1.96 * error:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pieces", type=int, default=40)
    parser.add_argument("--bars", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    composer = Composer.open(asked.run)
    test = corpus.pieces(Splits.load(asked.run / "tokens.npz").test, composer.tokenizer)
    test = [piece for piece in test if len(bars_of(piece)) >= 8 + asked.bars]
    dice = random.Random(1)
    fits: dict[str, list[float]] = {"true": [], "left alone": [], "both sides": []}
    seconds, effective = [], []
    for number, piece in enumerate(dice.sample(test, min(asked.pieces, len(test)))):
        bars = bars_of(piece)
        first = dice.randrange(3, len(bars) - asked.bars - 3)  # some bars to both sides
        numbers = range(first + 1, first + asked.bars + 1)
        gap_end = bars[first + asked.bars].start
        last = bars[min(first + asked.bars + AFTER, len(bars)) - 1].end
        started = time.perf_counter()
        both = composer.rewrite(piece, bars=numbers, seed=number, candidates=asked.candidates)
        seconds.append(time.perf_counter() - started)
        left = composer.rewrite(piece, bars=numbers, seed=number, candidates=1)
        effective.append(both.effective or 1.0)
        for name, one in (("true", piece), ("left alone", left.piece), ("both sides", both.piece)):
            fits[name].append(fit(composer, one, gap_end, last))
    true, left_alone, both_sides = (np.array(values) for values in fits.values())
    print(f"{len(true)} held-out pieces, {asked.bars} bars each, {asked.candidates} candidates")
    print(f"log-likelihood of the {AFTER} bars after the gap, nats:")
    for name, values in fits.items():
        print("  " + told(name, values))
    print("  " + told("both sides - left alone", both_sides - left_alone))
    print("  " + told("true - both sides", true - both_sides))
    print("how often the first fits better than the second:")
    for name, better in (
        ("true, left alone", true > left_alone),
        ("true, both sides", true > both_sides),
        ("both sides, left alone", both_sides > left_alone),
    ):
        print(f"  {name:<34}{better.mean():9.0%}")
    print(f"effective candidates: median {np.median(effective):.1f}; seconds: median {np.median(seconds):.2f}")


if __name__ == "__main__":
    main()
