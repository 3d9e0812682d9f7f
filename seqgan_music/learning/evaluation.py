"""What is measured while training: held-out loss, entropy and diversity of samples, what D knows.

All in nats. The random numbers are the same at every evaluation, so that changes are the model's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_music.learning.data import IGNORED, Sequences
from seqgan_music.learning.discriminators import Discriminator
from seqgan_music.learning.generator import Generator, State, Stepper
from seqgan_music.learning.policy_gradient import until_end
from seqgan_music.learning.ranks import ALONE, Ranks
from seqgan_music.learning.sampling import sample


@torch.no_grad()
def held_out(
    generator: Generator, data: Sequences, window: int, batch: int = 64, ranks: Ranks = ALONE
) -> dict[str, float]:
    """Return NLL of whole sequences, the state carried from the first token: nats a token and bits a unit.

    Bits a unit = total NLL, end tokens included, / ln 2 / units (notes in music).
    """
    total = torch.zeros((), dtype=torch.float64, device=data.device)
    for index in ranks.dealt(data.groups(batch)):
        targets = data.rows(index, int(data.lengths[index].max()), IGNORED)  # (B, L)
        inputs = generator.inputs_for(targets.clamp(min=0))
        state: State | None = None
        for start in range(0, targets.shape[1], window):
            part = targets[:, start : start + window]
            loss, state = generator.loss(inputs[:, start : start + window], part, state)
            total += loss.double() * (part != IGNORED).sum()
    nll = float(ranks.sum(total))
    units = int(np.sum(data.tokens.units))
    return {
        "validation_nats": nll / int(data.lengths.sum()),
        f"validation_bits_per_{data.tokens.unit_name}": nll / math.log(2) / max(units, 1),
    }


@torch.no_grad()
def samples(
    generator: Generator, count: int, length: int, rng: torch.Generator, end_id: int | None, ranks: Ranks = ALONE
) -> tuple[Tensor, dict[str, float]]:
    """Sample at temperature 1; return the ids (N, T) and their entropy (nats a token) and distinct-4."""
    share = ranks.share(count)
    own = sample(Stepper(generator), share.count, length, share.rng(rng), end_id)
    log_probs = share.all(torch.cat([generator.log_probs(rows) for rows in own.split(64)]))
    ids = share.all(own)
    chosen = until_end(ids, end_id)
    entropy = -float((log_probs * chosen).sum() / chosen.sum())
    return ids, {"entropy": entropy, "distinct_4": distinct(ids.cpu().numpy(), chosen.cpu().numpy())}


@torch.no_grad()
def drift(generator: Generator, before: Generator, ids: Tensor, end_id: int | None, ranks: Ranks = ALONE) -> float:
    """Estimate KL(G || G before), nats a token, on samples (N, T) of G: how far a phase has moved it."""
    chosen = until_end(ids, end_id)
    share = ranks.share(len(ids))
    own = share.own(ids).split(64)
    ratios = share.all(torch.cat([generator.log_probs(rows) - before.log_probs(rows) for rows in own]))
    return float((ratios * chosen).sum() / chosen.sum())


def distinct(ids: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_], n: int = 4) -> float:
    """Return the share of different ones among all n-grams of chosen tokens (N, T): 0 to 1, NaN without any.

    Li et al. 2016, distinct-n; it falls with the number of samples, so compare equal numbers only.
    """
    if ids.shape[1] < n:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(ids, n, axis=1)  # (N, T - n + 1, n)
    grams = windows[chosen[:, n - 1 :]]  # those whose last token was chosen
    return len(np.unique(grams, axis=0)) / len(grams) if len(grams) else float("nan")


@torch.no_grad()
def discrimination(discriminator: Discriminator, real: Tensor, fake: Tensor) -> dict[str, float]:
    """Return D's accuracy on held-out real and fresh generated sequences, and its Donsker-Varadhan bound.

    The bound E_real[s] - log E_fake[e^s], s the logit, is at most KL(real || G) in nats a sequence: what
    resampling G's sequences by D would gain in held-out likelihood. At or below 0 nothing D knows generalises.
    """
    score = discriminator.scorer()
    on_real, on_fake = score(real), score(fake)
    accuracy = 0.5 * (float((on_real > 0).float().mean()) + float((on_fake <= 0).float().mean()))
    bound = float(on_real.mean() - (on_fake.logsumexp(0) - math.log(len(on_fake))))
    return {"d_accuracy": accuracy, "d_bound": bound}
