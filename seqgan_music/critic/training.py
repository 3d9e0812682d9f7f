"""Training of the critic: a finished generator's own pieces against the music that it learnt from.

A phase after all others. The discriminator of the adversarial phase knows openings of T tokens and a generator that
has moved on since; the critic sees whole bars from anywhere, and the generator that `sample` uses.

    draw pieces of the generator, once; some are kept apart
    repeat                                              epochs of `epochs`
        for windows that end anywhere in a piece, at most 16 bars long, as many real as generated:
            one step of AdamW on the cross-entropy
    take the weights of the lowest held-out cross-entropy, and scale the logit to lower it further

Windows end at any bar and begin with the piece, or 15 bars before: the logit is log p(bars so far) - log g(bars
so far), up to what it does not know, for every number of bars. So differences of logits are weights of what was
written between them, which is what `learning.particle_filter` needs. The held-out cross-entropy and not the bound
chooses the epoch: where real and generated windows hardly overlap, the bound rests on few of them.

A second network learns which bars of real windows were damaged on purpose (`damage`). The generator's own faults
teach nothing of a wrong key where it never leaves one. It is a network of its own, so that the first stays the
log-odds that it is; what it learns from is drawn anew for every epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from seqgan_music import config as configs
from seqgan_music import run_folders
from seqgan_music.compose import runs
from seqgan_music.config import CriticConfig
from seqgan_music.critic import damage
from seqgan_music.critic.damage import Cut
from seqgan_music.critic.judging import Critic, Sizes, knows
from seqgan_music.critic.network import Misfits, Network, Window, batch, misfits, score
from seqgan_music.critic.ranks import CUTS, Ranks
from seqgan_music.critic.sheet import BARS, Sheet, sheet
from seqgan_music.errors import RunError
from seqgan_music.evaluate import result
from seqgan_music.learning import checkpoint
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.sampling import whole
from seqgan_music.music import corpus, vocabulary
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits, TokenSet

FARTHEST = 40
"""Bars: three windows of four end before this, as pieces mostly do; the fourth ends anywhere."""
MOST_TOKENS = 1024
"""Of a generated piece: one that has not ended is cut off."""
_DRAWN = 256
"""Pieces drawn side by side."""
_CHECKED = 4
"""Windows of each held-out piece that choose the epoch."""

Show = Callable[[str], None]


@dataclass(frozen=True)
class Music:
    """Real and generated pieces as the critic reads them: to learn from, to choose by, to rank others among."""

    real: Sequence[Sheet]
    generated: Sequence[Sheet]
    real_choice: Sequence[Sheet]
    generated_choice: Sequence[Sheet]
    real_ranks: Sequence[Sheet]
    generated_ranks: Sequence[Sheet]


def due(run: Path) -> bool:
    """Whether a run wants a critic and has none of what `sample` uses. Raises RunError, ConfigError."""
    return configs.of_run(run).critic.negatives > 0 and not current(run)


def current(run: Path) -> bool:
    """Whether a run has a critic of what `sample` uses. Raises RunError."""
    return knows(run, _digest(run))


def learn(run: Path, show: Show) -> Critic:
    """Train the critic of a run against the generator that `sample` uses, and save it.

    One thread is as fast as several, and does not wait for others' work. Raises RunError, ConfigError, OutputError.
    """
    config = configs.of_run(run)
    tokenizer = vocabulary.load(run / "vocabulary.json")
    chosen = result.chosen(run)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with run_folders.locked(run):
            generator = runs.load_generator(run, tokenizer, chosen.checkpoint)
            most = config.evaluation
            splits = Splits.load(run / "tokens.npz").at_most(
                training=most.training_pieces, held_out=most.held_out_pieces
            )
            cutoff = config.sampling.cutoff
            critic = train(splits, tokenizer, generator, config.critic, config.seed, show, cutoff)
            critic.told |= {"generator": chosen.name, "sha256": _digest(run)}
            critic.save(run)
    finally:
        torch.set_num_threads(threads)
    return critic


def _digest(run: Path) -> str | None:
    """The SHA-256 of the checkpoint that `sample` uses."""
    saved = result.read_object(run / checkpoint.FOLDER / f"{result.chosen(run).checkpoint}.json")
    return None if saved is None else saved.get("sha256")


def train(
    splits: Splits,
    tokenizer: Tokenizer,
    generator: Generator,
    config: CriticConfig,
    seed: int,
    show: Show,
    cutoff: float = 0.0,
) -> Critic:
    """Train the critic of a generator, sampled with a cut-off. A function of its arguments alone."""
    music = gather(splits, tokenizer, generator, config, seed, show, cutoff)
    for name, sheets in vars(music).items():
        if not sheets and name.startswith("generated"):
            raise RunError("The generator has learnt too little for a critic: by itself it writes no notes yet.")
        if not sheets:
            raise RunError(f"There is too little music for a critic: none is {name.replace('_', ' for its ')}.")
    rng = torch.Generator().manual_seed(seed)
    sizes = Sizes(config.embedding, config.channels, config.hidden, config.dropout)
    network = Network(config.embedding, config.channels, config.hidden, config.dropout)
    network.initialise(rng)
    told = fit(network, music, config, rng, show)
    fitting = None
    cuts, choice = (
        damage.fit_to_learn(corpus.pieces(some, tokenizer)) for some in (splits.train, splits.validation)
    )
    if config.bar_windows and cuts and choice:
        fitting = Misfits(config.embedding, config.channels, config.hidden, config.dropout)
        fitting.initialise(rng)
        told |= fit_bars(fitting, cuts, choice, config, seed, show)
        fitting.requires_grad_(False)
    show("critic: held-out music")
    nothing = Ranks({}, {})
    unranked = Critic(network.requires_grad_(False), sizes, nothing, nothing, told, fitting)
    real, generated = (_ranks(unranked, sheets) for sheets in (music.real_ranks, music.generated_ranks))
    return Critic(network, sizes, real, generated, told, fitting)


def gather(
    splits: Splits,
    tokenizer: Tokenizer,
    generator: Generator,
    config: CriticConfig,
    seed: int,
    show: Show,
    cutoff: float = 0.0,
) -> Music:
    """Read the splits, and draw the generator's pieces."""
    rng = torch.Generator(generator.output.weight.device).manual_seed(seed + 1)
    stepper = Stepper(generator, cutoff=cutoff)
    length = MOST_TOKENS if tokenizer.end_id is not None else int(splits.train.lengths.max())
    wanted = config.negatives + 2 * config.held_out
    rows: list[np.ndarray] = []
    while len(rows) < wanted:
        show(f"critic: piece {len(rows):,} of {wanted:,} of the generator")
        rows += whole(stepper, min(_DRAWN, wanted - len(rows)), length, rng, tokenizer.end_id)
    drawn = read(rows, tokenizer)
    apart = config.held_out
    return Music(
        real=read(_rows(splits.train), tokenizer),
        generated=drawn[2 * apart :],
        real_choice=read(_rows(splits.validation), tokenizer),
        generated_choice=drawn[:apart],
        real_ranks=read(_rows(splits.test), tokenizer),
        generated_ranks=drawn[apart : 2 * apart],
    )


def read(rows: Sequence[np.ndarray], tokenizer: Tokenizer) -> list[Sheet]:
    """Read rows of ids; rows without notes are left out."""
    found = []
    for row in rows:
        ended = tokenizer.end_id is not None and len(row) > 0 and int(row[-1]) == tokenizer.end_id
        of = sheet(tokenizer.decode(row.tolist()).piece, ended=ended)
        if of.bars:
            found.append(of)
    return found


def fit(network: Network, music: Music, config: CriticConfig, rng: torch.Generator, show: Show) -> dict[str, Any]:
    """Train a network; return its figures on the music that chose the epoch."""
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    half = max(1, config.windows // 2)
    steps = config.epochs * -(-2 * half // config.batch)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.02, 1 - step / steps))
    choice = torch.Generator().manual_seed(0)
    held_out = [_deal(some, _CHECKED * len(some), choice) for some in (music.real_choice, music.generated_choice)]
    best, weights = float("inf"), network.state_dict()
    for epoch in range(config.epochs):
        windows = _deal(music.real, half, rng) + _deal(music.generated, half, rng)
        truth = (torch.arange(2 * half) < half).float()
        for rows in torch.randperm(2 * half, generator=rng).split(config.batch):
            logits = network(batch([windows[row] for row in rows.tolist()]), rng)
            loss = F.binary_cross_entropy_with_logits(logits, truth[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
        found = cross_entropy(*(score(network, some) for some in held_out))
        show(f"critic: epoch {epoch + 1} of {config.epochs}, held-out cross-entropy {found:.3f} nats")
        if found < best:
            best, weights = found, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(weights)
    real, generated = (score(network, some) for some in held_out)
    scale = calibrated(real, generated)
    network.scale = torch.tensor(scale, dtype=torch.float32)
    real, generated = scale * real, scale * generated
    return {
        "auc": area(real, generated),
        "bound": bound(real, generated),
        "cross_entropy": cross_entropy(real, generated),
        "scale": scale,
    }


def fit_bars(
    network: Misfits, cuts: Sequence[Cut], choice: Sequence[Cut], config: CriticConfig, seed: int, show: Show
) -> dict[str, Any]:
    """Train the network of damaged bars; return its figures on the pieces `choice`.

    They are the cross-entropy in nats a bar, and how often the one damaged bar of an opening is the worst, by kind.
    """
    rng, dice = torch.Generator().manual_seed(seed + 2), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * -(-config.bar_windows // config.batch)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.02, 1 - step / steps))
    held_out = damage.deal(choice, _CHECKED * len(choice), np.random.default_rng(0))
    best, weights = float("inf"), network.state_dict()
    for epoch in range(config.epochs):
        sheets, marks = damage.deal(cuts, config.bar_windows, dice)
        for rows in torch.randperm(len(sheets), generator=rng).split(config.batch):
            some = [sheets[row] for row in rows.tolist()]
            laid = batch([(of, 0, of.bars) for of in some])
            truth = torch.zeros_like(laid.mask)
            for place, row in enumerate(rows.tolist()):
                truth[place, : len(marks[row])] = torch.from_numpy(marks[row])
            losses = F.binary_cross_entropy_with_logits(
                network(laid, rng), truth, weight=laid.mask, reduction="sum"
            )
            optimizer.zero_grad()
            (losses / laid.mask.sum()).backward()
            optimizer.step()
            decay.step()
        logits = np.concatenate(misfits(network, [(of, 0, of.bars) for of in held_out[0]]))
        found = float((np.logaddexp(0, logits) - np.concatenate(held_out[1]) * logits).mean())
        show(f"critic: epoch {epoch + 1} of {config.epochs} of damaged bars, {found:.3f} nats a bar held out")
        if found < best:
            best, weights = found, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(weights)
    rates = {}
    for name, kind in damage.KINDS.items():
        tried, places = damage.trials(choice, kind, np.random.default_rng(0))
        worst = [int(row.argmax()) for row in misfits(network, [(of, 0, of.bars) for of in tried])]
        if places:
            rates[name] = float(np.mean(np.array(worst) == places))
    return {"bars": {"cross_entropy": best, "found": rates}}


def cross_entropy(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the mean cross-entropy of logits, nats, both sides weighing the same; ln 2 knows nothing."""
    return float(np.logaddexp(0, -real).mean() + np.logaddexp(0, generated).mean()) / 2


def calibrated(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the factor of the logits, 0.1 to 2, of the lowest cross-entropy (Platt's scaling, slope alone)."""
    factors = np.geomspace(0.1, 2.0, 61)
    return float(min(factors, key=lambda factor: cross_entropy(factor * real, factor * generated)))


def area(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a real window has the higher logit, ties halved."""
    ordered = np.sort(generated)
    below = np.searchsorted(ordered, real, side="left") + np.searchsorted(ordered, real, side="right")
    return float(below.mean() / (2 * len(generated)))


def bound(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the Donsker-Varadhan bound, nats a window: what weighing generated ones by e^logit would gain."""
    return float(real.mean() - np.logaddexp.reduce(generated) + np.log(len(generated)))


def _deal(sheets: Sequence[Sheet], count: int, rng: torch.Generator) -> list[Window]:
    """Return `count` windows: pieces in random order, each as often as any other, and in each a random end."""
    turns = -(-count // len(sheets))
    order = torch.cat([torch.randperm(len(sheets), generator=rng) for _ in range(turns)])[:count].tolist()
    ends = torch.rand(count, generator=rng, dtype=torch.float64).tolist()
    windows = []
    for number, end in zip(order, ends, strict=True):
        of = sheets[number]
        near = 4 * end < 3
        reach = 4 * end / 3 * FARTHEST if near else (4 * end - 3) * of.bars
        stop = min(of.bars, 1 + int(reach))
        windows.append((of, max(0, stop - BARS), stop))
    return windows


def _ranks(critic: Critic, sheets: Sequence[Sheet]) -> Ranks:
    scores = {}
    for cut in CUTS:
        long_enough = [of for of in sheets if of.bars >= cut]
        scores[cut] = critic.scores(long_enough, cut).tolist()
    return Ranks.of(scores, critic.fits(sheets))


def _rows(tokens: TokenSet) -> list[np.ndarray]:
    return [tokens.row(index) for index in range(len(tokens))]
