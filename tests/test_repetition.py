"""The discriminator of form sees that distant tokens are equal, whatever they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from seqgan_music.config import ChoiceConfig
from seqgan_music.errors import ConfigError
from seqgan_music.learning import discriminators
from seqgan_music.learning.discriminators.repetition import Repetition

V, T = 16, 12
LEAN = {"embedding": 4, "widths": [1, 2, 4], "counts": [8, 8, 8], "filters": 8, "hidden": 8, "window": 4}


def made(**options: Any) -> Repetition:
    found = discriminators.create(ChoiceConfig("repetition", {**LEAN, **options}), V, T)
    assert isinstance(found, Repetition)
    found.initialise(torch.Generator().manual_seed(1))
    return found


def tokens(count: int, seed: int) -> torch.Tensor:
    return torch.randint(V, (count, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("lags", [[], [1], [11, 3], [2, 40]])
def test_matches_are_equal_tokens_at_each_lag(lags: list[int]) -> None:
    discriminator, ids = made(lags=lags), tokens(5, 2)
    assert discriminator.lags == [lag for lag in lags or range(1, T) if lag < T]
    found = discriminator.matches(ids)
    for row, sequence in enumerate(ids.tolist()):
        for channel, lag in enumerate(discriminator.lags):
            expected = [t >= lag and sequence[t] == sequence[t - lag] for t in range(T)]
            assert found[row, channel].tolist() == expected


@pytest.mark.parametrize("window", [4, 12, 50])
def test_it_begins_as_the_convolutions_alone(window: int) -> None:
    discriminator, ids = made(window=window), tokens(9, 2)
    with torch.no_grad():
        assert torch.equal(discriminator(ids), discriminator.content(ids))
        assert torch.equal(discriminator.penalty(), discriminator.content.penalty())


@pytest.mark.parametrize("prefix", [0, 1, 5, T - 1])
def test_completions_are_scored_as_whole_sequences(prefix: int) -> None:
    discriminator = made()
    torch.nn.init.normal_(discriminator.output.weight, generator=torch.Generator().manual_seed(3))
    completed = tokens(6 * 5, 4).view(6, 5, T)
    completed[:, :, :prefix] = completed[:, :1, :prefix]
    with torch.no_grad():
        expected = discriminator(completed.flatten(0, 1)).view(6, 5)
    found = discriminator.scorer().completions(completed[:, 0], completed, prefix)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_it_learns_a_lag_between_tokens_that_are_all_alike_otherwise() -> None:
    # Real sequences repeat at lag 6 with a tenth of noise; every token, and every pair nearer, is uniform in both.
    rng = torch.Generator().manual_seed(5)

    def real(count: int) -> torch.Tensor:
        ids = torch.randint(V, (count, T), generator=rng)
        copied = torch.rand(count, 6, generator=rng) < 0.9
        ids[:, 6:] = torch.where(copied, ids[:, :6], ids[:, 6:])
        return ids

    discriminator = made()
    optimizer = torch.optim.Adam(discriminator.parameters(), 0.01)
    labels = (torch.arange(128) < 64).float()
    for _ in range(50):
        ids = torch.cat([real(64), torch.randint(V, (64, T), generator=rng)])
        loss = F.binary_cross_entropy_with_logits(discriminator(ids, rng), labels)
        optimizer.zero_grad()
        (loss + discriminator.penalty()).backward()
        optimizer.step()
    score = discriminator.scorer()
    assert float((score(real(1000)) > 0).float().mean()) > 0.95
    assert float((score(torch.randint(V, (1000, T), generator=rng)) < 0).float().mean()) > 0.95


@pytest.mark.parametrize(
    "options",
    [{"lags": [0]}, {"window": 0}, {"stride": 0}, {"filters": 0}, {"hidden": 0}, {"lags": [T]}, {"dropout": 1.0}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        made(**options)
