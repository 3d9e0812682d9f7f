"""The critic's network: notes -> bars -> window -> one logit, that of "of the folder" against "of the generator".

    notes    sum of embeddings, two convolutions over notes, mean and maximum in each bar
    key      learnt profiles over the pitch classes, in all twelve rotations; the bars' chroma as seen from the key
             that fits best, which is a soft choice
    form     how like each bar is each of the bars before it in the window (`sheet`)
    window   both, and a few facts of each bar, through two residual convolutions over bars; the logit is a mean
             over bars and what a small network makes of the whole

Not the evaluation's classifier, which is a logistic regression on other numbers (`evaluate.c2st`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgan_music.critic.sheet import BARS, LAGS, LIKENESSES, LONGEST, NOTE_IDS, Sheet
from seqgan_music.errors import RunError
from seqgan_music.learning.devices import shared_dice_kept
from seqgan_music.learning.generator import dropout

Window = tuple[Sheet, int, int]
"""Bars of a sheet, from and up to: at most BARS, at least one."""

FACTS = LAGS * (LIKENESSES + 1) + 6
"""Numbers told of each bar."""
MOST_NOTES = 640
"""Of a window; of one with more the last are read."""
ROWS = 128
"""Windows scored at a time."""


@dataclass(frozen=True)
class Batch:
    """B windows side by side.

    notes:  (B, N, 5), and `owner` (B, N) the bar of each, BARS where there is no note
    facts:  (B, BARS, FACTS), `chroma` (B, BARS, 12), and `mask` (B, BARS): 1 for a bar, 0 past the window's end
    """

    notes: Tensor
    owner: Tensor
    facts: Tensor
    chroma: Tensor
    mask: Tensor


def batch(windows: Sequence[Window]) -> Batch:
    """Lay windows side by side."""
    spans = [
        (max(int(of.first[start]), int(of.first[end]) - MOST_NOTES), int(of.first[end]))
        for of, start, end in windows
    ]
    longest = max(8, *(end - start for start, end in spans))
    notes = np.zeros((len(windows), longest, len(NOTE_IDS)), dtype=np.int64)
    owner = np.full((len(windows), longest), BARS, dtype=np.int64)
    facts = np.zeros((len(windows), BARS, FACTS), dtype=np.float32)
    chroma = np.zeros((len(windows), BARS, 12), dtype=np.float32)
    mask = np.zeros((len(windows), BARS), dtype=np.float32)
    reach = np.arange(BARS)[:, None] >= np.arange(1, LAGS + 1)  # (BARS, LAGS): whether the earlier bar is inside
    for row, ((of, start, end), (begin, stop)) in enumerate(zip(windows, spans, strict=True)):
        bars, count = end - start, stop - begin
        notes[row, :count] = of.notes[begin:stop]
        notes[row, 0, :2] = NOTE_IDS[0] - 1, LONGEST  # nothing is before the window
        owner[row, :count] = of.bar[begin:stop] - start
        mask[row, :bars] = 1.0
        chroma[row, :bars] = of.chroma[start:end]
        inside = reach[:bars]
        place = np.arange(start, end)
        number = place + of.before
        length = of.length[start:end]
        facts[row, :bars] = np.concatenate(
            [
                (of.alike[start:end] * inside[:, :, None]).reshape(bars, -1),
                inside,
                np.stack(
                    [
                        np.minimum(number / 32, 2.0),
                        np.diff(of.first[start : end + 1]) / 8,
                        np.minimum(length, LONGEST) / 48,
                        number == 0,
                        (place == of.bars - 1) & of.ended,
                        np.diff(length, prepend=length[0]) != 0,
                    ],
                    axis=1,
                ),
            ],
            axis=1,
        )
    return Batch(*(torch.from_numpy(array) for array in (notes, owner, facts, chroma, mask)))


class Reader(nn.Module):
    """What is read of a window: its bars as vectors, and how well it fits the keys."""

    def __init__(self, embedding: int, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embeddings = nn.ModuleList([nn.Embedding(ids, embedding) for ids in NOTE_IDS])
        self.notes = nn.ModuleList([nn.Conv1d(width, channels, 3, padding=1) for width in (embedding, channels)])
        self.profiles = nn.Linear(12, 16)
        self.fit = nn.Linear(16, 1)
        self.bar = nn.Linear(2 * channels + 24 + FACTS, hidden)
        self.bars = nn.ModuleList([nn.Conv1d(hidden, hidden, 3, padding=1) for _ in range(2)])
        self._rotations = (torch.arange(12)[:, None] + torch.arange(12)) % 12

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("embeddings"):
                    parameter.normal_(0.0, 1.0, generator=rng)
                elif parameter.dim() > 1:
                    bound = parameter[0].numel() ** -0.5
                    parameter.uniform_(-bound, bound, generator=rng)
                else:
                    parameter.zero_()

    def read(self, of: Batch, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return the bars (B, H, BARS), 0 past a window's end, and the fit of the keys' profiles (B, 16)."""
        inside = of.mask[:, None]  # (B, 1, BARS)
        key, chroma = self._key(of.chroma)
        bars = torch.cat([self._notes(of, rng), chroma, of.facts], 2)  # (B, BARS, 2 * channels + 24 + FACTS)
        x = dropout(F.relu(self.bar(bars)), self.dropout, rng).transpose(1, 2) * inside  # (B, H, BARS)
        for layer in self.bars:
            x = x + F.relu(layer(dropout(x, self.dropout, rng))) * inside
        return x, key

    def _notes(self, of: Batch, rng: torch.Generator | None) -> Tensor:
        """Return what the notes of each bar come to: (B, BARS, 2 * channels)."""
        there = (of.owner < BARS).float()[:, None]  # (B, 1, N)
        embedded = sum(table(of.notes[..., column]) for column, table in enumerate(self.embeddings))
        assert isinstance(embedded, Tensor)
        x = dropout(embedded.transpose(1, 2), 0.1, rng) * there  # (B, E, N)
        for layer in self.notes:
            x = F.relu(layer(x)) * there
        owners = F.one_hot(of.owner, BARS + 1)[..., :BARS].float()  # (B, N, BARS)
        mean = (x @ owners) / owners.sum(1).clamp(min=1)[:, None]
        largest = x.new_zeros(*x.shape[:2], BARS + 1)
        largest = largest.scatter_reduce(2, of.owner[:, None].expand_as(x), x, "amax")[..., :BARS]
        return torch.cat([mean, largest], 1).transpose(1, 2)

    def _key(self, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the profiles' fit (B, 16), and each bar's and the window's chroma from the key (B, BARS, 24)."""
        whole = chroma.sum(1)
        whole = whole / whole.sum(1, keepdim=True).clamp(min=1)  # (B, 12)
        turned = whole[:, self._rotations]  # (B, 12 rotations, 12)
        fits = F.relu(self.profiles(4 * turned))  # (B, 12, 16)
        weights = (3 * self.fit(fits)[..., 0]).softmax(1)  # (B, 12)
        share = chroma / chroma.sum(2, keepdim=True).clamp(min=1)
        bars = torch.einsum("br,bnrk->bnk", weights, share[:, :, self._rotations])
        seen = torch.einsum("br,brk->bk", weights, turned)[:, None].expand_as(bars)
        return fits.amax(1), torch.cat([bars, seen], 2)


class Network(Reader):
    """D: the logit that a window is of the folder."""

    @shared_dice_kept()
    def __init__(self, embedding: int, channels: int, hidden: int, dropout: float) -> None:
        super().__init__(embedding, channels, hidden, dropout)
        self.of_bar = nn.Linear(hidden, 1)
        self.whole = nn.Linear(2 * hidden + 16, 64)
        self.of_whole = nn.Linear(64, 1)
        self.register_buffer("scale", torch.ones(()))
        """What the logit is multiplied by, fitted on held-out windows."""

    def forward(self, of: Batch, rng: torch.Generator | None = None) -> Tensor:
        """Return the logit (B,); dropout only where a generator is given."""
        x, key = self.read(of, rng)
        count = of.mask[:, None].sum(2)
        whole = torch.cat([x.sum(2) / count, x.amax(2), key], 1)
        hidden = F.relu(self.whole(dropout(whole, self.dropout, rng)))
        logit = self.of_whole(dropout(hidden, self.dropout, rng))[:, 0]
        by_bar = self.of_bar(x.transpose(1, 2))[..., 0] * of.mask
        scaled: Tensor = self.scale * (logit + by_bar.sum(1) / count[:, 0])
        return scaled


class Misfits(Reader):
    """Which bars of a window were put there in place of others: a logit for each, low for what fits.

    Beside what `Reader` knows each bar is told how like it is the bars after it, the window's mean and maximum.
    """

    @shared_dice_kept()
    def __init__(self, embedding: int, channels: int, hidden: int, dropout: float) -> None:
        super().__init__(embedding, channels, hidden, dropout)
        self.later = nn.Linear(LAGS * (LIKENESSES + 1) + 2 * LIKENESSES, hidden)
        self.beside = nn.Linear(4 * hidden, 64)
        self.of_bar = nn.Linear(64, 1)

    def forward(self, of: Batch, rng: torch.Generator | None = None) -> Tensor:
        """Return the logits (B, BARS), 0 past a window's end; dropout only where a generator is given."""
        x, _ = self.read(of, rng)
        later = F.relu(self.later(_both_ways(of))).transpose(1, 2)
        mean = x.sum(2) / of.mask.sum(1)[:, None]
        window = torch.cat([mean, x.amax(2)], 1)[..., None].expand(-1, -1, BARS)
        told = torch.cat([x, later, window], 1).transpose(1, 2)  # (B, BARS, 4 * H)
        hidden = F.relu(self.beside(dropout(told, self.dropout, rng)))
        logits: Tensor = self.of_bar(dropout(hidden, self.dropout, rng))[..., 0] * of.mask
        return logits


def _both_ways(of: Batch) -> Tensor:
    """Return how like each bar is those after it, whether they are inside, and the most like on either side."""
    rows = len(of.facts)
    alike = of.facts[..., : LAGS * LIKENESSES].view(rows, BARS, LAGS, LIKENESSES)
    lag = torch.arange(1, LAGS + 1)
    after = torch.arange(BARS)[:, None] + lag  # (BARS, LAGS)
    inside = (after < of.mask.sum(1)[:, None, None]).float()  # (B, BARS, LAGS)
    later = alike[:, after.clamp(max=BARS - 1), lag - 1] * inside[..., None]
    most = torch.cat([alike.amax(2), later.amax(2)], 2)  # (B, BARS, 2 * LIKENESSES)
    return torch.cat([later.flatten(2), inside, most], 2)


@torch.no_grad()
def score(network: Network, windows: Sequence[Window]) -> npt.NDArray[np.float64]:
    """Return the logit of each window (N,), scored in groups of like size."""
    found = np.zeros(len(windows))
    size = np.array([int(of.first[end] - of.first[start]) for of, start, end in windows])
    order = np.argsort(size, kind="stable")
    for rows in np.split(order, range(ROWS, len(order), ROWS)) if len(order) else ():
        found[rows] = network(batch([windows[row] for row in rows])).numpy()
    return _numbers(found)


def _numbers(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return logits. Raises RunError where weights that are too large have made them none."""
    if not np.isfinite(logits).all():
        raise RunError(
            "The critic's weights give no numbers: they are damaged. Delete checkpoints/critic.json in the run's"
            " folder and train it again: seqgan-music train --resume RUN"
        )
    return logits


@torch.no_grad()
def misfits(network: Misfits, windows: Sequence[Window]) -> list[npt.NDArray[np.float64]]:
    """Return the logits of each window's bars."""
    found: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(windows), ROWS):
        some = windows[start : start + ROWS]
        logits = _numbers(network(batch(some)).double().numpy())
        found += [row[: end - begin] for row, (_, begin, end) in zip(logits, some, strict=True)]
    return found
