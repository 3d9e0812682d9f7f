"""Held-out bits per note of the best n-gram on a run's own tokens and split: what a generator must beat.

    python benchmarks/ngram.py RUN [--order 8] [--keys 12]

Interpolated Witten-Bell smoothing (Witten and Bell 1991, method C): p_n = (c + t * p_n-1) / (C + t), with C the
count of the context and t the number of different ids seen after it; order 0 is uniform. Trained on the training
sequences in `--keys` of their allowed transpositions (1: as they are), as the generator is.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqgan_music.tokenset import Splits, TokenSet


class WittenBell:
    """Counts of ids after contexts of each length below the order."""

    def __init__(self, order: int, size: int) -> None:
        self.order = order
        self.size = size
        self.counts: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)

    def learn(self, row: list[int], start_id: int) -> None:
        """Count one sequence."""
        padded = [start_id] * (self.order - 1) + row
        for at in range(self.order - 1, len(padded)):
            token = padded[at]
            for length in range(self.order):
                after = self.counts[tuple(padded[at - length : at])]
                after[token] = after.get(token, 0) + 1

    def nats(self, row: list[int], start_id: int) -> list[float]:
        """Return the negative log-likelihood of one sequence for each order from 1 on."""
        padded = [start_id] * (self.order - 1) + row
        total = [0.0] * self.order
        for at in range(self.order - 1, len(padded)):
            probability = 1.0 / self.size
            for length in range(self.order):
                after = self.counts.get(tuple(padded[at - length : at]))
                if after:
                    kinds, seen = len(after), sum(after.values())
                    probability = (after.get(padded[at], 0) + kinds * probability) / (seen + kinds)
                total[length] -= math.log(probability)
        return total


def transposed(tokens: TokenSet, keys: int) -> Iterator[list[int]]:
    """Yield every sequence in up to `keys` of its allowed shifts, the identity first."""
    for index in range(len(tokens)):
        for shift in np.flatnonzero(tokens.shift_allowed[index])[:keys]:
            yield tokens.shifts[shift][tokens.row(index)].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--order", type=int, default=8)
    parser.add_argument("--keys", type=int, default=12)
    options = parser.parse_args()
    splits = Splits.load(options.run / "tokens.npz")
    model = WittenBell(options.order, splits.train.vocabulary_size)
    for number, row in enumerate(transposed(splits.train, options.keys)):
        model.learn(row, splits.train.start_id)
        if number % 500 == 0:
            print(f"\r{number} sequences", end="", file=sys.stderr)
    held_out = splits.validation
    total = np.sum([model.nats(held_out.row(i).tolist(), held_out.start_id) for i in range(len(held_out))], axis=0)
    units = int(np.sum(held_out.units))
    print(f"\r{options.run.name}: {options.keys} keys, {units} {held_out.unit_name}s held out", file=sys.stderr)
    for order, nats in enumerate(total, 1):
        print(f"order {order}: {nats / math.log(2) / units:.3f} bits a {held_out.unit_name}")


if __name__ == "__main__":
    main()
