"""The critic: how much a piece is like the folder that a run learnt from, and unlike its generator, bar by bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_music.compose import bars_of
from seqgan_music.critic.network import Misfits, Network, Window, misfits, score
from seqgan_music.critic.ranks import Ranks
from seqgan_music.critic.sheet import BARS, Sheet, sheet
from seqgan_music.errors import RunError
from seqgan_music.learning import checkpoint
from seqgan_music.music.notes import Piece

CHECKPOINT = "critic"
HOP = BARS // 2
"""Bars from one window of a piece to the next."""
_MISFITS = "misfits"
"""Begins the names of the second network's weights."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sizes:
    """Of the network."""

    embedding: int
    channels: int
    hidden: int
    dropout: float


@dataclass(frozen=True)
class Judgement:
    """What the critic says of a piece."""

    score: float
    """Mean logit of its windows, above 0 where they are more like the folder, below 0 more like the generator."""
    real: float | None
    """Share of held-out pieces, cut to as many bars, with a lower score, 0 to 1; None where none are known."""
    generated: float | None
    """The same of the generator's own pieces."""
    compared: int
    """Bars that those were cut to."""
    by_bar: Sequence[float]
    """For each bar the share of held-out bars that fit less where they stand, 0 to 1."""


class Critic:
    """Two trained networks with the ranks of known music.

    One says of bars so far how much more the folder's they are than the generator's; what it says weighs. The other
    (`Misfits`) says which bars do not fit where they stand, and is what people are shown; a critic from before it
    shows what each bar adds in the first one's eyes. `told` is what training says of both, for people: figures on
    held-out music, and whose samples they know.
    """

    def __init__(
        self,
        network: Network,
        sizes: Sizes,
        real: Ranks,
        generated: Ranks,
        told: dict[str, Any],
        misfits: Misfits | None = None,
    ) -> None:
        self._network, self._sizes, self._misfits = network, sizes, misfits
        self.real, self.generated, self.told = real, generated, told

    @classmethod
    def open(cls, run: Path) -> Critic | None:
        """Return the critic of a run; None where none was trained. Raises RunError where it cannot be read."""
        if not checkpoint.exists(run, CHECKPOINT):
            return None
        advice = (
            f" Delete {checkpoint.FOLDER}/{CHECKPOINT}.json and train it again: seqgan-music train --resume {run}"
        )
        try:
            tensors, document = checkpoint.load(run, CHECKPOINT)
            sizes = Sizes(**document["sizes"])
            if not all(0 < size <= 4096 for size in (sizes.embedding, sizes.channels, sizes.hidden)):
                raise ValueError("impossible sizes")
            network, fitting = Network(**asdict(sizes)), None
            of_bars = checkpoint.unprefixed(tensors, _MISFITS)
            network.load_state_dict({n: value for n, value in tensors.items() if not n.startswith(f"{_MISFITS}.")})
            if of_bars:
                fitting = Misfits(**asdict(sizes))
                fitting.load_state_dict(of_bars)
                fitting.requires_grad_(False).eval()
            real, generated = (Ranks.read(document["ranks"][name]) for name in ("real", "generated"))
            told = dict(document["told"])
        except RunError as error:
            raise RunError(str(error).removesuffix(checkpoint.ADVICE) + advice) from None
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
            raise RunError(f"The critic of {run} cannot be read: {checkpoint.reason(error)}.{advice}") from None
        return cls(network.requires_grad_(False).eval(), sizes, real, generated, told, fitting)

    def save(self, run: Path) -> None:
        """Write it into a run, whole or not at all. Raises OutputError."""
        ranks = {"real": self.real.document(), "generated": self.generated.document()}
        document = {"sizes": asdict(self._sizes), "ranks": ranks, "told": self.told}
        tensors = dict(self._network.state_dict())
        if self._misfits is not None:
            tensors |= checkpoint.prefixed(self._misfits.state_dict(), _MISFITS)
        checkpoint.save(run, CHECKPOINT, tensors, document)

    def logits(self, sheets: Sequence[Sheet]) -> Floats:
        """Return for each piece so far (N,) the log-odds that its last bars are the folder's, not the generator's.

        Of an unfinished piece the whole bars count; one that has none yet is at 0, as good as any. What all bars
        add up to would be another weight, but one without bound, which endless repetition gathers (docs/log.md).
        """
        windows = [(of, max(0, of.whole - BARS), of.whole) for of in sheets if of.whole]
        found = np.zeros(len(sheets))
        found[[of.whole > 0 for of in sheets]] = score(self._network, windows)
        return found

    def scores(self, sheets: Sequence[Sheet], bars: int | None = None) -> Floats:
        """Return each piece's mean logit over windows (N,), as if it went on after `bars` bars; NaN: no notes."""
        windows: list[Window] = []
        owners = []
        for number, of in enumerate(sheets):
            mine = _windows(of, min(of.bars, bars or of.bars))
            windows += mine
            owners += [number] * len(mine)
        total = np.bincount(owners, score(self._network, windows), minlength=len(sheets))
        count = np.bincount(np.array(owners, dtype=np.int64), minlength=len(sheets))
        mean: Floats = np.divide(total, count, out=np.full(len(sheets), np.nan), where=count > 0)
        return mean

    def bars(self, sheets: Sequence[Sheet]) -> list[list[float]]:
        """Return what each bar of each piece adds to the log-odds, given the (at most 15) bars before it."""
        windows: list[Window] = []
        for of in sheets:
            open_end = _cut(of)
            for bar in range(of.bars):
                start = max(0, bar + 1 - BARS)
                windows.append((open_end, start, bar + 1))
                if bar > start:
                    windows.append((open_end, start, bar))
        logits = iter(score(self._network, windows).tolist())
        return [[next(logits) - (next(logits) if bar > 0 else 0.0) for bar in range(of.bars)] for of in sheets]

    def fits(self, sheets: Sequence[Sheet]) -> list[list[float]]:
        """Return how well each bar of each piece fits where it stands: a mean over windows, high for what fits."""
        if self._misfits is None:
            return self.bars(sheets)
        windows, owners = [], []
        for number, of in enumerate(sheets):
            mine = _windows(of, of.bars)
            windows += mine
            owners += [number] * len(mine)
        found = [np.zeros((2, of.bars)) for of in sheets]
        logits = misfits(self._misfits, windows)
        for owner, (_, start, end), said in zip(owners, windows, logits, strict=True):
            found[owner][:, start:end] += [-said, np.ones(end - start)]
        return [(total / count).tolist() for total, count in found]

    def judge(self, piece: Piece) -> Judgement | None:
        """Judge a piece as the run's tokenizer holds it; None where it has no notes."""
        of = sheet(piece)
        if not of.bars:
            return None
        value = float(self.scores([of])[0])
        cut = self.real.cut(of.bars)
        return Judgement(
            score=value,
            real=self.real.of_piece(value, cut),
            generated=self.generated.of_piece(value, cut),
            compared=cut,
            by_bar=self.by_bar(piece),
        )

    def by_bar(self, piece: Piece) -> list[float]:
        """Return for each bar the share of held-out bars that fit less where they stand, 0 to 1."""
        ranks = self.real.of_bars(self.fits([sheet(piece)])[0])
        # Into the bars after the last onset its note sounds on.
        return ranks + ranks[-1:] * (len(bars_of(piece)) - len(ranks))


def knows(run: Path, sha256: str | None) -> bool:
    """Whether a run has a critic that learnt from what this checkpoint writes. Raises RunError."""
    critic = Critic.open(run)
    return critic is not None and critic.told.get("sha256") == sha256


def critic_of(run: Path) -> Critic:
    """Return a run's critic. Raises RunError where it has none, with what to do."""
    critic = Critic.open(run)
    if critic is None:
        if not (run / "tokens.npz").exists():  # the model that comes with the package, from before the critic
            raise RunError(f"{run} has no critic, nor the music to train one from: use a run of your own.")
        raise RunError(f"{run} has no critic yet. Train one: seqgan-music train --resume {run}")
    return critic


def _cut(of: Sheet) -> Sheet:
    return replace(of, ended=False)


def _windows(of: Sheet, bars: int) -> list[Window]:
    """The windows of a piece cut to so many bars: every HOP bars, and the last."""
    open_end = _cut(of)
    ends = sorted({*range(BARS, bars, HOP), bars}) if bars else []
    return [(open_end, max(0, end - BARS), end) for end in ends]
