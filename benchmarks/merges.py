"""Are byte-pair merges inside bars worth their time? Maximum likelihood with and without, at equal CPU time.

    pip install tokenizers
    python benchmarks/merges.py RUN [--merges 0 256 512] [--seconds 300] [--seeds 1] [--pieces 200] [--json]

RUN is a run of preset `default`: its tokens, split and settings are used, all of it is trained anew. Merges (Gage
1994, learnt by Hugging Face's `tokenizers`) join tokens that often follow each other, never across a bar line and
never with what is said of a whole bar or piece. The clock follows what a merge is made of, so that the generator is
told bar and place as without. Each row has the updates that its share of seconds allows by a measured step, its
learning rate falling over them; what is printed is of the **validation** split:

    bits         a note; with merges an upper bound, since only one spelling of the music is counted
    Fréchet      distance of drawn pieces, decoded (floor: training pieces)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_music import config as configs
from seqgan_music.config import ChoiceConfig, Config
from seqgan_music.evaluate.ground import Ground, Options
from seqgan_music.evaluate.sources import Drawn
from seqgan_music.learning import methods
from seqgan_music.learning.bars import Bars
from seqgan_music.learning.clock import Clock, Reading
from seqgan_music.learning.data import Sequences
from seqgan_music.learning.evaluation import held_out
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.methods.mle import Mle
from seqgan_music.learning.sampling import whole
from seqgan_music.music import vocabulary
from seqgan_music.tokenset import Splits, TokenSet

CPU = torch.device("cpu")
ALONE = ("END_OF_PIECE", "KEY", "METER", "RETURN")
"""Kinds of tokens that no merge holds."""
FIRST_CHARACTER = 0x4E00
"""Ids are written as characters from here on, for a library that reads text."""
LONGEST = 700
"""Tokens of a drawn piece, before merges."""
TOGETHER = 1024
"""Sequences whose bars are told at a time."""


class Merges:
    """Merged ids: the base ids first, in their order, then one for each merge."""

    def __init__(self, train: TokenSet, names: Sequence[str], count: int) -> None:
        self._base = train
        self._alone = np.isin([name.partition("(")[0] for name in names], ALONE)
        self.parts: list[list[int]] = [[id_] for id_ in range(len(names))]
        """The base ids of each id."""
        if not count:
            return
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        self._found = Tokenizer(models.BPE())
        self._found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        alphabet = [_text([id_]) for id_ in range(len(names))]
        trainer = trainers.BpeTrainer(
            vocab_size=len(names) + count, initial_alphabet=alphabet, special_tokens=[], show_progress=False
        )
        self._found.train_from_iterator((" ".join(map(_text, words)) for words in self._words(train)), trainer)
        made = sorted(self._found.get_vocab(), key=lambda text: (len(text) > 1, text))
        self.parts = [[ord(character) - FIRST_CHARACTER for character in text] for text in made]
        self._id_of = {text: number for number, text in enumerate(made)}

    def tokens(self, data: TokenSet) -> TokenSet:
        """Return the same sequences in merged ids."""
        if len(self.parts) == data.vocabulary_size:
            return data
        rows = [
            [self._id_of[text] for text in self._found.encode(" ".join(map(_text, words))).tokens]
            for words in self._words(data)
        ]
        assert all(self.apart(row) == data.row(number).tolist() for number, row in enumerate(rows))
        size = len(self.parts)
        return TokenSet.from_rows(
            rows,
            vocabulary_size=size,
            start_id=size,
            end_id=data.end_id,
            units=data.units,
            unit_name=data.unit_name,
        )

    def apart(self, row: Sequence[int]) -> list[int]:
        """Return the base ids of merged ones."""
        return [base for id_ in row for base in self.parts[id_]]

    def clock(self) -> Clock:
        """Return a clock that follows merged ids."""
        return MergedClock(self.parts, Clock(self._base.vocabulary_size + 1, self._base.effects))

    def _words(self, data: TokenSet) -> Iterator[list[list[int]]]:
        """Yield the words of each sequence: what may be merged, none of it in two bars."""
        for number, of in enumerate(bars_of(data)):
            row = data.row(number)
            alone = self._alone[row]
            begins = np.flatnonzero((np.diff(of) != 0) | alone[1:] | alone[:-1]) + 1
            yield [part.tolist() for part in np.split(row, begins)]


class MergedClock(Clock):
    """Follows merged ids by the clock of the base ids, one after the other."""

    def __init__(self, parts: Sequence[Sequence[int]], base: Clock) -> None:
        super().__init__(len(parts) + 2)
        nothing = base.effects.shape[1] - 1
        table = torch.full((len(parts) + 2, max(map(len, parts))), nothing)
        for row, ids in zip(table, parts, strict=False):
            row[: len(ids)] = torch.tensor(ids)
        self._table, self._base = table, base

    def advance(self, tokens: Tensor, now: Reading) -> Reading:
        """Return the reading after one merged id (N,) more of each sequence."""
        for ids in self._table[tokens].unbind(1):
            now = self._base.advance(ids, now)
        return replace(now, token=tokens)


def bars_of(data: TokenSet) -> list[npt.NDArray[np.int64]]:
    """Return the bar of each token of each sequence."""
    bars, lengths = Bars(data.vocabulary_size, data.effects), data.lengths
    found = [np.zeros(0, dtype=np.int64)] * len(data)
    order = np.argsort(lengths)
    for chosen in np.split(order, range(TOGETHER, len(order), TOGETHER)):
        padded = torch.zeros(len(chosen), int(lengths[chosen].max()), dtype=torch.long)
        for line, number in zip(padded, chosen, strict=True):
            line[: lengths[number]] = torch.from_numpy(data.row(number).astype(np.int64))
        for line, number in zip(bars.of(padded).numpy(), chosen, strict=True):
            found[number] = line[: lengths[number]]
    return found


def _text(ids: Sequence[int]) -> str:
    return "".join(chr(FIRST_CHARACTER + id_) for id_ in ids)


def sequences(data: TokenSet, clock: Clock) -> Sequences:
    """Return the data with that clock in the place of its own."""
    found = Sequences(data, CPU)
    found.__dict__["_clock"] = clock
    return found


def learnt(
    config: Config, merges: Merges, splits: Splits, seconds: float, seed: int
) -> tuple[Generator, dict[str, Any]]:
    """Train a generator for so many CPU seconds; return it and what it took."""
    clock = merges.clock()
    train, size = sequences(merges.tokens(splits.train), clock), len(merges.parts)

    def made(updates: int) -> tuple[Generator, Mle]:
        generator = Generator(size, size, config.generator)
        generator.initialise(torch.Generator().manual_seed(seed))
        generator.clock = clock
        rngs = [torch.Generator().manual_seed(seed + n) for n in (1, 2)]
        placed = methods.Setting(generator, None, train, config.sequence_length, *rngs)  # type: ignore[arg-type]
        options = {**config.phases[0].options, "updates": updates, "round_updates": updates, "patience": 0}
        method = methods.create(ChoiceConfig("mle", options), placed)
        assert isinstance(method, Mle)
        return generator, method

    _, trial = made(10**6)
    step = _cpu_seconds(lambda: trial._learn(trial._next_group(), None))  # the clock runs through all the data
    done, begun = trial.updates, time.process_time()
    while time.process_time() - begun < 0.05 * seconds:
        trial._learn(trial._next_group(), None)
    step = (time.process_time() - begun) / (trial.updates - done)
    generator, method = made(max(1, round(seconds / step)))
    spent = _cpu_seconds(method.advance)
    found = held_out(generator, sequences(merges.tokens(splits.validation), clock), 256)
    tokens = train.tokens
    return generator, {
        "vocabulary": size,
        "tokens_a_note": float(tokens.lengths.sum() / tokens.units.sum()),
        "updates": method.updates,
        "cpu_seconds": spent,
        "bits": found["validation_bits_per_note"],
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--merges", type=int, nargs="+", default=[0, 256, 512])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config, splits = configs.load(str(options.run / "config.toml")), Splits.load(options.run / "tokens.npz")
    tokenizer = vocabulary.load(options.run / "vocabulary.json")
    held_out_pieces = len(splits.validation)
    other = splits.train.at_most(2 * held_out_pieces)
    ground = Ground(Splits(splits.train, other, splits.validation), tokenizer, Options(resamples=100))
    floor = ground.measured(ground.other, None).figures["frechet"].value
    rows = []
    for seed in options.seeds:
        for count in options.merges:
            merges = Merges(splits.train, tokenizer.vocabulary, count)
            generator, row = learnt(config, merges, splits, options.seconds, seed)
            rng = torch.Generator().manual_seed(seed)
            drawn = whole(Stepper(generator), options.pieces, LONGEST, rng, splits.train.end_id)
            apart = [np.array(merges.apart(some.tolist())[:LONGEST]) for some in drawn]
            figures = ground.measured(ground.prepare(Drawn(apart, 0, None)), None).figures
            row |= {name: figures[name].value for name in ("frechet", "c2st_auc", "valid_share") if name in figures}
            rows.append({"merges": count, "seed": seed, **row})
            print(json.dumps(rows[-1]), file=sys.stderr)
    if options.json:
        print(json.dumps({"floor": floor, "rows": rows}))
        return
    print("| merges | seed | ids | tokens a note | updates | bits | Fréchet | AUC | valid |\n|" + "---|" * 9)
    for row in rows:
        cells = [f"{row[k]:,}" for k in ("merges", "seed", "vocabulary")] + [f"{row['tokens_a_note']:.2f}"]
        cells += [f"{row['updates']:,}", f"{row['bits']:.3f}", f"{row['frechet']:.2f}"]
        print("| " + " | ".join([*cells, f"{row['c2st_auc']:.3f}", f"{row['valid_share']:.2f}"]) + " |")
    print(f"Floor of the Fréchet distance: {floor:.2f}")


if __name__ == "__main__":
    main()
