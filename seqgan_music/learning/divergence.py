"""The exact distance between a model and the oracle: both KL divergences, and the proxies that papers print.

With P the oracle, G_T the model at temperature T, L the length; all in nats a token:

    NLL_oracle = -E_G[log P] / L      samples of the model, scored by the oracle
    NLL_gen    = -E_P[log G] / L      held-out samples of the oracle, scored by the model
    H(G)       = -E_G[log G] / L
    KLrev      = NLL_oracle - H(G) = KL(G || P) / L
    KLfwd      = NLL_gen - H(P)    = KL(P || G) / L
    J          = KLrev + KLfwd        (Jeffreys) 0 only where G = P

NLL_oracle alone is lowered by any loss of entropy; no temperature and no collapse lowers J below 0.
Each divergence is a mean over sequences of one log-ratio, so that its standard error is that of the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_music.learning.evaluation import distinct
from seqgan_music.learning.models import Model

DISTINCT = 2000
"""Sequences from which distinct-4 is counted: it depends on their number."""


@dataclass(frozen=True)
class HeldOut:
    """Samples of the oracle that no training saw: ids (N, T) and their log-probability (N,) under it."""

    ids: Tensor
    log_prob: Tensor

    @classmethod
    def of(cls, oracle: Model, ids: Tensor) -> HeldOut:
        """Score the sequences by the oracle."""
        return cls(ids, oracle.log_prob(ids, 1.0))

    @property
    def entropy(self) -> tuple[float, float]:
        """H(P), nats a token, and its standard error."""
        return _mean(-self.log_prob / self.ids.shape[1], None)


@torch.no_grad()
def measure(
    model: Model, oracle: Model, held_out: HeldOut, temperature: float, count: int, rng: torch.Generator
) -> dict[str, float]:
    """Return all measures of `model` at a temperature from `count` of its samples, standard errors as `..._se`.

    `j_chosen` is J from the first half of all sequences and `j_judged` from the second: a temperature is chosen
    by the one and judged by the other. `effective` is the share of samples that carry the weight (Kish).
    """
    ids, log_weights = model.draw(count, temperature, rng)
    length = ids.shape[1]
    log_g = model.log_prob(ids, temperature) / length
    log_p = oracle.log_prob(ids, 1.0) / length
    log_g_held_out = model.log_prob(held_out.ids, temperature) / length
    log_p_held_out = held_out.log_prob / length
    reverse, forward = log_g - log_p, log_p_held_out - log_g_held_out
    weights = None if log_weights is None else log_weights.double().softmax(0)
    found: dict[str, float] = {}
    for name, values, weight in (
        ("nll_oracle", -log_p, weights),
        ("nll_gen", -log_g_held_out, None),
        ("entropy", -log_g, weights),
        ("kl_rev", reverse, weights),
        ("kl_fwd", forward, None),
    ):
        found[name], found[f"{name}_se"] = _mean(values, weight)
    found["j"] = found["kl_rev"] + found["kl_fwd"]
    found["j_se"] = (found["kl_rev_se"] ** 2 + found["kl_fwd_se"] ** 2) ** 0.5
    for name, part in (("j_chosen", slice(0, None, 2)), ("j_judged", slice(1, None, 2))):
        weight = None if weights is None else weights[part] / weights[part].sum()
        found[name] = _mean(reverse[part], weight)[0] + _mean(forward[part], None)[0]
    found["effective"] = 1.0 if weights is None else float(1.0 / weights.square().sum() / len(weights))
    alike = ids[:DISTINCT] if weights is None else model.sample(min(DISTINCT, count), temperature, rng)
    found["distinct_4"] = distinct_4(alike)
    return found


def distinct_4(ids: Tensor) -> float:
    """Return the share of different 4-grams in the first `DISTINCT` sequences of ids (N, T)."""
    rows = ids[:DISTINCT].cpu()
    return distinct(rows.numpy(), torch.ones_like(rows, dtype=torch.bool).numpy())


def _mean(values: Tensor, weights: Tensor | None) -> tuple[float, float]:
    """Return the (weighted) mean of values (N,) and its standard error."""
    if weights is None:
        return float(values.mean()), float(values.std() / len(values) ** 0.5)
    mean = (weights * values).sum()
    return float(mean), float((weights.square() * (values - mean).square()).sum().sqrt())
