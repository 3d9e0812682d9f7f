"""Distillation's loss by enumeration, and on a small oracle: the true ratio brings G to the truth."""

from __future__ import annotations

import copy

import torch
from test_sampling import make

from seqgan_music.learning.generator import Stepper
from seqgan_music.learning.methods.distilled import distillation
from seqgan_music.learning.sampling import sample

SIZE, LENGTH = 4, 3
EVERY = torch.cartesian_prod(*[torch.arange(SIZE)] * LENGTH)
MASK = torch.ones(EVERY.shape, dtype=torch.bool)


def gradient(generator: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    generator.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in generator.parameters() if p.grad is not None])


def test_gradient_is_that_of_weighted_maximum_likelihood_in_expectation() -> None:
    anchor, generator = make(SIZE, seed=1), make(SIZE, seed=2)
    weights = torch.rand(len(EVERY), generator=torch.Generator().manual_seed(3)) * 2
    probability = anchor.log_probs(EVERY).sum(1).exp().detach()
    rows = zip(EVERY[:, None], weights[:, None], MASK[:, None], probability, strict=True)
    found = gradient(generator, sum(p * distillation(generator, anchor, ids, w, mask) for ids, w, mask, p in rows))
    exact = gradient(generator, -(probability * weights * generator.log_probs(EVERY).sum(1)).sum() / LENGTH)
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-4)


def test_nothing_moves_where_the_discriminator_knows_nothing() -> None:
    anchor = make(SIZE, seed=1)
    generator = copy.deepcopy(anchor)
    ids = sample(Stepper(anchor), 32, LENGTH, torch.Generator().manual_seed(4))
    still = gradient(generator, distillation(generator, anchor, ids, torch.ones(32), MASK[:32]))
    assert float(still.abs().max()) < 1e-7
    sampled = gradient(generator, -generator.log_probs(ids).mean())
    assert float(sampled.abs().max()) > 1e-3


def test_tokens_outside_the_mask_do_not_count() -> None:
    anchor, generator = make(SIZE, seed=1), make(SIZE, seed=2)
    weights, mask = torch.tensor([0.5, 2.0]), torch.tensor([[True, False, False], [True, True, True]])
    ids = torch.tensor([[3, 1, 1], [0, 1, 2]])
    other = torch.tensor([[3, 2, 0], [0, 1, 2]])
    first, second = (distillation(generator, anchor, rows, weights, mask) for rows in (ids, other))
    torch.testing.assert_close(first, second)


def test_the_true_ratio_brings_the_generator_to_the_truth() -> None:
    anchor, oracle = make(SIZE, seed=1), make(SIZE, hidden=6, seed=2)
    with torch.no_grad():
        oracle.output.weight.mul_(12.0)
        scores = (oracle.log_probs(EVERY) - anchor.log_probs(EVERY)).sum(1)
        truth = oracle.log_probs(EVERY).sum(1)
    generator, rng = copy.deepcopy(anchor), torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(generator.parameters(), 0.02)

    def divergence() -> float:
        with torch.no_grad():
            return float((truth.exp() * (truth - generator.log_probs(EVERY).sum(1))).sum())

    before, stepper = divergence(), Stepper(anchor)
    for _ in range(120):
        ids = sample(stepper, 256, LENGTH, rng)
        weights = scores[(ids * SIZE ** torch.arange(LENGTH - 1, -1, -1)).sum(1)].exp()
        loss = distillation(generator, anchor, ids, weights, torch.ones_like(ids, dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before > 0.2
    assert divergence() < 0.1 * before
