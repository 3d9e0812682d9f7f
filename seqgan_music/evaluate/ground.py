"""The real music of an evaluation, and all that is known of it before any generator is looked at.

What every row is compared with is the *reference*: the test split, or other music (`against`). Beside the phases of
the run stand

    real     other held-out pieces (the validation split; of other music, its other half): what no generator beats
    copies   training pieces passed off as new: good in everything but in what tells copying
    random   ids drawn by dice
    markov   counts of what followed the last three ids

All rows have the same number of windows, that of the smaller of the two real sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from seqgan_music.errors import ConfigError, RunError
from seqgan_music.evaluate.bootstrap import Measured
from seqgan_music.evaluate.figures import Reference, Row, bits, drift, measure, paper
from seqgan_music.evaluate.material import Material, prepare
from seqgan_music.evaluate.sources import (
    MOST_TOKENS,
    Drawn,
    MarkovSource,
    RandomSource,
    RowsSource,
    Source,
)
from seqgan_music.music import corpus
from seqgan_music.music.metrics.features import Scaling, feature_table
from seqgan_music.music.metrics.originality import Index
from seqgan_music.music.metrics.windows import windows
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits, TokenSet

PLAIN = 1.0
"""The temperature at which a generator is what it was trained to be."""

MOST_WINDOWS = 1000
"""Compared a row; more take longer and tell little more."""

_MORE = 1.3
"""Pieces drawn for each real one: generated pieces may be shorter, and windows must not run out."""
_LEAST_PIECES = 40
_MOST_SCALED = 4000
"""Training windows that the features are scaled by."""


@dataclass(frozen=True)
class Options:
    """How an evaluation is done."""

    temperatures: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1)
    """At which every method is sampled; 1 is always among them."""
    pieces: int = 0
    """Pieces drawn a row; 0 means 1.3 for each real piece that is compared, at least 40."""
    seed: int = 1
    """Of sampling and of resampling."""
    resamples: int = 200
    """Bootstrap resamples that the intervals are taken from."""
    paper_metrics: bool = False
    """Whether the SeqGAN paper's own figures are taken too (`music.metrics.paper`)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        if not all(0.05 <= value <= 10 for value in self.temperatures):
            raise ConfigError("temperatures must be 0.05 to 10.")
        if not 0 <= self.pieces <= 100_000:
            raise ConfigError(f"pieces must be 0 (as the test split) to 100000, not {self.pieces}.")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must be 0 to 2^31 - 1, not {self.seed}.")
        if not 0 <= self.resamples <= 10_000:
            raise ConfigError(f"resamples must be 0 (no intervals) to 10000, not {self.resamples}.")

    @property
    def grid(self) -> tuple[float, ...]:
        """The temperatures in order, 1 among them."""
        return tuple(sorted({*self.temperatures, PLAIN}))


class Ground:
    """The real music and all that is known of it before any generator is looked at."""

    def __init__(
        self,
        splits: Splits,
        tokenizer: Tokenizer,
        options: Options,
        *,
        names: Sequence[str] = (),
        against: tuple[TokenSet, TokenSet] | None = None,
    ) -> None:
        """`names` are those of the run's kept pieces; `against` holds two halves of other music."""
        self.splits = splits
        self.tokenizer = tokenizer
        self.options = options
        self.test, other = against or (splits.test, splits.validation)
        for part, data in (("training", splits.train), ("test", self.test), ("validation", other)):
            if not len(data):
                raise RunError(f"The {part} split of this run is empty. Train with more pieces.")
        known, tables = corpus.piece_names(splits.train, names), corpus.each_table(splits.train, tokenizer)
        self.index = Index.of_tables(tables, known, tokenizer.ticks_per_beat)
        cut = (window for piece in corpus.each_piece(splits.train, tokenizer) for window in windows(piece))
        self.scaling = Scaling.of(feature_table(list(islice(cut, _MOST_SCALED))))
        self.length = min(MOST_TOKENS, int(max(self.test.lengths.max(), other.lengths.max())))
        real = self.prepare(_all(self.test), owners(self.test))
        self.other = self.prepare(_all(other), owners(other))
        most = min(len(real.windows), len(self.other.windows), MOST_WINDOWS)
        share = most / max(1, len(real.windows))  # of the test split's pieces that the comparison needs
        self.count = options.pieces or max(_LEAST_PIECES, math.ceil(_MORE * share * len(self.test)))
        self.reference = Reference.of(real, most, options.resamples, self.scaling, options.seed)

    def prepare(self, drawn: Drawn, owners: npt.NDArray[np.int64] | None = None) -> Material:
        """Decode sequences and take from them what the measures need."""
        return prepare(drawn, self.tokenizer, self.scaling, self.index, owners)

    def draw(self, source: Source, temperature: float, seed: int = 0) -> Material:
        """Draw a row's pieces; the same random numbers for every source and temperature."""
        rng = torch.Generator().manual_seed(self.options.seed + 1_000_003 * seed)
        return self.prepare(source.draw(self.count, self.length, temperature, rng))

    def measured(self, material: Material, source: Source | None, temperature: float = PLAIN) -> Row:
        """Measure a row's pieces, and how likely their source finds the real ones."""
        row = measure(material, self.reference)
        nll = source.nll(self.test, temperature) if source is not None else None
        if nll is not None:
            row.figures.update(self.bits(nll))
        if self.tokenizer.end_id is None:
            # Rows of one fixed length: no end that could be missed, and no meter but the one put on them.
            for name in ("ended_share", "meter_share"):
                row.figures.pop(name, None)
        else:
            row.figures.update(drift(material, self.reference))
        if self.options.paper_metrics:
            row.figures.update(paper(material, self.reference))
        return row

    def bits(self, nll: npt.NDArray[np.float64]) -> dict[str, Measured]:
        """Return bits a unit and a beat of the reference's sequences (N,), in nats."""
        real, unit = self.reference.material, self.test.unit_name
        beats = np.array([piece.end / piece.ticks_per_beat for piece in real.pieces])
        amounts = {f"bits_per_{unit}": self.test.units.astype(np.float64), "bits_per_beat": beats}
        return {name: bits(nll, real.owners, some, self.reference.counts) for name, some in amounts.items()}

    @cached_property
    def validation(self) -> Reference:
        """The validation split, as what is chosen on."""
        data, options = self.splits.validation, self.options
        material = self.other if self.splits.test is self.test else self.prepare(_all(data), owners(data))
        return Reference.of(material, len(material.windows), options.resamples, self.scaling, options.seed)

    def baselines(self) -> Iterator[tuple[str, Source]]:
        """Yield name and source of the rows that no run changes, beside the real one."""
        train = self.splits.train
        yield "copies", RowsSource(train)
        yield "random", RandomSource(train)
        yield "markov", MarkovSource(train)


def owners(data: TokenSet) -> npt.NDArray[np.int64]:
    """Return the piece of each sequence, numbered from 0: (N,)."""
    if data.sources is None:
        return np.arange(len(data))
    return np.asarray(np.unique(data.sources, return_inverse=True)[1], dtype=np.int64)


def _all(data: TokenSet) -> Drawn:
    return Drawn([data.row(index).astype(np.int64) for index in range(len(data))], 0, None)
