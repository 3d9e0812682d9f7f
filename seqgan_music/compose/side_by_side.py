"""New music of which several pieces are written side by side, those gone on with that are judged likely so far.

The particle filter of `evaluate --critic` (`learning.particle_filter`), held to a length and to pitches as a plain
piece is (`music.drafting`), in which bars have no wishes of their own; where they have, see `barwise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqgan_music.compose.controls import Controls
from seqgan_music.compose.rewriting import Score
from seqgan_music.learning import particle_filter
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.models import tempered
from seqgan_music.music.drafting import Ending
from seqgan_music.music.tokenizers import Reader, Tokenizer

BLOCK = 32
"""Ids from one choice to the next: two bars or so."""
SILENT = -20.0
"""Log weight of more than a block of ids without a new note."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Readers:
    """Rows of ids that grow from call to call: of one that goes on from a row of the last call the rest is read."""

    def __init__(self, tokenizer: Tokenizer, prefix: Sequence[int] = ()) -> None:
        """`prefix` stands before every row."""
        self.first = tokenizer.reader()
        self.first.read(prefix)
        self._known: dict[bytes, Reader] = {}
        self._length = 0  # of the rows known that can go on

    def read(self, rows: Sequence[Ints]) -> list[Reader]:
        """Return what has read each row. Rows that will go on are all of one length, and none is longer."""
        keys = [row.tobytes() for row in rows]
        readers = {}
        for key, row in dict(zip(keys, rows, strict=True)).items():
            known = self._known.get(row[: self._length].tobytes())
            readers[key] = (known or self.first).copy()
            readers[key].read(row[self._length if known else 0 :].tolist())
        self._known, self._length = readers, max(map(len, rows))
        return [readers[key] for key in keys]


def write(
    generator: Generator,
    tokenizer: Tokenizer,
    controls: Controls,
    rng: torch.Generator,
    *,
    prefix: Sequence[int],
    length: Mapping[str, Any],
    most: int,
    candidates: int,
    score: Score,
    looks_back: int | None,
    holds_copy: Callable[[Sequence[int]], bool] | None,
    on_token: Callable[[], object],
) -> tuple[list[int], bool]:
    """Return new ids after `prefix`, and whether they came to the length (bars or ticks) within `most` ids.

    `score` weighs pieces so far, the prefix in them, by their last `looks_back` bars. Those are left out in which
    new ids hold a copy, if that leaves any.
    """
    readers = Readers(tokenizer, prefix)
    heard = readers.first.count()

    def weigh(rows: Sequence[Ints]) -> npt.NDArray[np.float64]:
        read = readers.read(rows)
        weights = np.array(score([one.piece(looks_back) for one in read]), dtype=np.float64)
        silent = [len(row) > BLOCK and one.count() <= heard for row, one in zip(rows, read, strict=True)]
        weights[silent] = SILENT
        if holds_copy is not None:
            copied = np.array([holds_copy(row.tolist()) for row in rows])
            weights[copied & (not copied.all())] = -np.inf
        return weights

    first = Ending.after(prefix, tokenizer, length, controls.pitches(1), lambda: None)
    (row,) = particle_filter.draw(
        Stepper(tempered(generator, controls.temperature), torch.float32, controls.cutoff or 0.0),
        1,
        most,
        rng,
        particles=candidates,
        block=BLOCK,
        weigh=weigh,
        end_id=tokenizer.end_id,
        prefix=prefix,
        steering=_Endings(first, candidates, on_token),
        top_k=controls.top_k,
        top_p=controls.top_p,
    )
    ids: list[int] = row.tolist()
    return ids, len(ids) < most or ids[-1] == tokenizer.end_id


class _Endings:
    """The steering of rows that are to come to one length: an `Ending` for each."""

    def __init__(self, first: Ending, count: int, on_token: Callable[[], object]) -> None:
        self._endings = [first.copy() for _ in range(count)]
        self._on_token = on_token

    def allowed(self, rows: Ints) -> Bools:
        return np.concatenate([self._endings[row].allowed() for row in rows])

    def advance(self, rows: Ints, ids: Ints) -> Bools:
        """Take ids; what is refused is narrowed down to what fits, which the next one is drawn from."""
        taken = np.ones(len(rows), dtype=np.bool_)
        for place, (row, token) in enumerate(zip(rows, ids, strict=True)):
            ending = self._endings[row]
            ending.advance(np.array([token]))
            if ending.refused is not None:
                ending.narrow()
                taken[place] = False
        self._on_token()
        return taken

    def finished(self, rows: Ints) -> Bools:
        return np.array([bool(self._endings[row].finished[0]) for row in rows], dtype=np.bool_)

    def select(self, source: Ints) -> None:
        self._endings = [self._endings[row].copy() for row in source]
